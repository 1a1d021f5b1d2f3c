"""A recording client on the virtual wire: sends the INVITEs of tests/data/sip/siprec and whatever it is told to after them."""

import re
from pathlib import Path

from callqa.sip.wire.message import Request, Response, parse_message
from callqa.sip.wire.sdp import MediaDirection
from tests.sip.simulated import TRUNK, UA, Network

DATA = Path(__file__).parents[1] / "data" / "sip" / "siprec"


def invite_of(name: str) -> bytes:
    return (DATA / f"{name}.sip").read_bytes()


class RecordingClient:
    """One recording session. answer: the 200 to its last request with SDP."""

    def __init__(self, net: Network, name: str, data: bytes | None = None, source: tuple[str, int] = TRUNK) -> None:
        self.net = net
        self.data = invite_of(name) if data is None else data
        self.source = source
        self.data = self.data.replace(b"10.0.1.1:5060;branch", b"%s:%d;branch" % (source[0].encode(), source[1]))
        self.invite = parse_message(self.data)
        assert isinstance(self.invite, Request)
        self.cseq = 1
        self.byes: list[Request] = []
        net.inject(self.data, source)
        net.run(0.05)
        self.answer = self.last_response()
        if self.answer is not None and self.answer.status == 200:
            self.ack()

    def last_response(self) -> Response | None:
        """The newest final response in our dialog."""
        for _, data, _source, to in reversed(self.net.wire):
            message = parse_message(data)
            if isinstance(message, Response) and to == self.source and message.call_id == self.invite.call_id:
                return message
        return None

    @property
    def ports(self) -> list[int]:
        """Our port in each m= line of the answer."""
        assert self.answer is not None
        return [int(p) for p in re.findall(rb"(?m)^m=\S+ (\d+)", self.answer.body)]

    @property
    def directions(self) -> list[str]:
        assert self.answer is not None
        named = "|".join(MediaDirection)
        return [d.decode() for d in re.findall(rb"(?m)^a=(%b)\r?$" % named.encode(), self.answer.body)]

    def ack(self, body: bytes = b"") -> None:
        self._send("ACK", body, "application/sdp" if body else None)

    def ask(self, method: str, body: bytes = b"", kind: str | None = None) -> Response:
        """A request in the dialog, and its answer (acknowledged)."""
        self.cseq += 1
        self._send(method, body, kind)
        response = self.last_response()
        assert response is not None
        assert response.cseq.number == self.cseq
        if method == "INVITE" and response.status == 200:
            self.answer = response
            self.ack()
        elif response.body:
            self.answer = response
        return response

    def bye(self) -> None:
        assert self.ask("BYE").status == 200

    def _send(self, method: str, body: bytes, kind: str | None) -> None:
        assert self.answer is not None
        head = [
            f"{method} sip:callqa@{UA[0]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.source[0]}:{self.source[1]};branch=z9hG4bK{self.invite.call_id[:8]}{method}{self.cseq}",
            "Max-Forwards: 70",
            f"From: {self.invite.headers.first('From')}",
            f"To: {self.answer.headers.first('To')}",
            f"Call-ID: {self.invite.call_id}",
            f"CSeq: {self.cseq} {method}",
            *([f"Content-Type: {kind}"] if kind else []),
            f"Content-Length: {len(body)}",
        ]
        self.net.inject("\r\n".join(head).encode() + b"\r\n\r\n" + body, self.source)
        self.net.run(0.05)

    def sdp(self, directions: list[str]) -> bytes:
        """An offer like the first one with other directions, line by line."""
        body = self.invite.body
        start = body.index(b"v=0")
        end = body.find(b"\n--", start)
        sdp = body[start : end if end >= 0 else len(body)]
        wanted = iter(directions)
        return re.sub(rb"a=sendonly", lambda _: b"a=" + next(wanted).encode(), sdp)
