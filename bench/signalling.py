"""As much SIP as the bench needs to place calls, in plain text over two sockets: the trunk's and that of all seat phones.

Shares no code with the product. Works one call at a time, waits for what must come next and skips the rest; there is no loss
on loopback, so nothing is sent again.
"""

import hashlib
import re
import socket
import time
from dataclasses import dataclass

Address = tuple[str, int]
WAIT_S = 10.0


@dataclass
class Dialog:
    """One leg's dialog as its own end sees it."""

    peer: Address
    target: str
    local: str
    remote: str
    call_id: str
    media: Address  # where the recorder wants our audio


def field(message: str, name: str) -> str:
    """A header field's value. KeyError names it."""
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    if found is None:
        raise KeyError(f"{name} in {message.splitlines()[0]}")
    return found[1]


def media_of(message: str) -> Address:
    """Address and port of the audio line of an SDP."""
    body = message.partition("\r\n\r\n")[2]
    host = re.search(r"(?m)^c=IN IP4 (\S+)", body)
    port = re.search(r"(?m)^m=audio (\d+)", body)
    if host is None or port is None:
        raise KeyError("c= and m=audio in the SDP")
    return host[1], int(port[1])


def sdp(media: Address, payload_type: int) -> str:
    """One audio line with one law."""
    name = {0: "PCMU", 8: "PCMA"}[payload_type]
    return (
        f"v=0\r\no=- 1 1 IN IP4 {media[0]}\r\ns=-\r\nc=IN IP4 {media[0]}\r\nt=0 0\r\n"
        f"m=audio {media[1]} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {name}/8000\r\n"
    )


class Agent:
    """One SIP socket. Messages that nobody waits for are dropped, unless they are a BYE: that is answered."""

    def __init__(self, host: str, server: Address) -> None:
        self.server = server
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(WAIT_S)
        self.address: Address = self.socket.getsockname()
        self._count = 0
        self._last = b""

    def request(
        self, method: str, uri: str, fields: list[str], body: str = "", *, kind: str = "application/sdp"
    ) -> None:
        """Send one request with a Via of its own. kind: Content-Type of a body; "": it stands in the fields."""
        self._count += 1
        via = (
            f"Via: SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch=z9hG4bKb{self.address[1]}x{self._count};rport"
        )
        said = [f"Content-Type: {kind}"] if body and kind else []
        head = [f"{method} {uri} SIP/2.0", via, "Max-Forwards: 70", *fields, *said, f"Content-Length: {len(body)}"]
        self._last = ("\r\n".join(head) + "\r\n\r\n" + body).encode()
        self.again()

    def again(self) -> None:
        """Send the last request once more, as it was."""
        self.socket.sendto(self._last, self.server)

    def reply(self, request: str, status: str, *, tag: str = "", contact: str = "", body: str = "") -> None:
        """Answer a request."""
        copied = [f"{n}: {v}" for n in ("Via", "From", "To", "Call-ID", "CSeq") for v in all_fields(request, n)]
        if tag:
            copied = [
                line + f";tag={tag}" if line.startswith("To:") and ";tag=" not in line else line for line in copied
            ]
        kind = ["Content-Type: application/sdp"] if body else []
        more = [f"Contact: <{contact}>"] if contact else []
        head = [f"SIP/2.0 {status}", *copied, *more, *kind, f"Content-Length: {len(body)}"]
        self.socket.sendto(("\r\n".join(head) + "\r\n\r\n" + body).encode(), self.server)

    def wait(self, start: str, method: str = "") -> str:
        """The next message that starts so (its CSeq of `method`); failures end the bench."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            message = self.socket.recv(65_536).decode()
            if message.startswith(start) and (not method or field(message, "CSeq").endswith(method)):
                return message
            if message.startswith("BYE "):
                self.reply(message, "200 OK")
            elif re.match(r"SIP/2\.0 [3-6]", message) and start.startswith("SIP/2.0 2"):
                raise SystemExit(f"waited for {start} {method}, got {message}")
        raise SystemExit(f"waited {WAIT_S:.0f} s for {start} {method}")

    def register(self, extension: str, password: str) -> None:
        """Register one extension at this socket, with MD5 digest."""
        aor = f"<sip:{extension}@{self.server[0]}:{self.server[1]}>"
        uri = f"sip:{self.server[0]}:{self.server[1]}"
        fields = [
            f"From: {aor};tag=r{extension}",
            f"To: {aor}",
            f"Call-ID: register-{extension}",
            f"Contact: <{self.contact(extension)}>",
            "Expires: 3600",
        ]
        self.request("REGISTER", uri, [*fields, "CSeq: 1 REGISTER"])
        challenge = field(self.wait("SIP/2.0 401", "REGISTER"), "WWW-Authenticate")
        given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        ha1 = _md5(f"{extension}:{given['realm']}:{password}")
        response = _md5(f"{ha1}:{given['nonce']}:00000001:bench:auth:{_md5('REGISTER:' + uri)}")
        credentials = (
            f'Authorization: Digest username="{extension}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
            f'uri="{uri}", algorithm=MD5, qop=auth, nc=00000001, cnonce="bench", response="{response}"'
        )
        self.request("REGISTER", uri, [*fields, "CSeq: 2 REGISTER", credentials])
        self.wait("SIP/2.0 200", "REGISTER")

    def contact(self, user: str) -> str:
        return f"sip:{user}@{self.address[0]}:{self.address[1]}"

    def invite(self, number: str, called: str, media: Address, payload_type: int) -> None:
        """Start a call; `connected` finishes it."""
        self.request(
            "INVITE",
            f"sip:{called}@{self.server[0]}:{self.server[1]}",
            [
                f"From: <{self.contact(number)}>;tag=c{number}",
                f"To: <sip:{called}@{self.server[0]}>",
                f"Call-ID: bench-{number}",
                "CSeq: 1 INVITE",
                f"Contact: <{self.contact(number)}>",
            ],
            sdp(media, payload_type),
        )

    def connected(self, number: str) -> Dialog:
        """Wait for the 200 to our INVITE and acknowledge it."""
        return self.confirm(number, self.wait("SIP/2.0 200", "INVITE"))

    def confirm(self, number: str, ok: str) -> Dialog:
        """Acknowledge that 200."""
        target = field(ok, "Contact").strip("<>").partition(">")[0]
        dialog = Dialog(
            self.server,
            target,
            f"<{self.contact(number)}>;tag=c{number}",
            field(ok, "To"),
            f"bench-{number}",
            media_of(ok),
        )
        self._in_dialog("ACK", 1, dialog)
        return dialog

    def answer(self, media: Address, payload_type: int) -> Address:
        """Take the INVITE that rings here; where the recorder wants our audio."""
        invite = self.wait("INVITE ")
        extension = invite.split(" ", 2)[1].removeprefix("sip:").partition("@")[0]
        contact = self.contact(extension)
        self.reply(invite, "180 Ringing", tag=extension, contact=contact)
        self.reply(invite, "200 OK", tag=extension, contact=contact, body=sdp(media, payload_type))
        self.wait("ACK ")
        return media_of(invite)

    def hang_up(self, dialog: Dialog) -> None:
        """BYE and its 200."""
        self._in_dialog("BYE", 2, dialog)
        self.wait("SIP/2.0 200", "BYE")

    def acknowledge(self, dialog: Dialog) -> None:
        """ACK of the 200 to our INVITE."""
        self._in_dialog("ACK", 1, dialog)

    def _in_dialog(self, method: str, number: int, d: Dialog) -> None:
        fields = [f"From: {d.local}", f"To: {d.remote}", f"Call-ID: {d.call_id}", f"CSeq: {number} {method}"]
        self.request(method, d.target, fields)

    def take_bye(self) -> None:
        """Answer the BYE of the other side."""
        self.reply(self.wait("BYE "), "200 OK")


def all_fields(message: str, name: str) -> list[str]:
    """Every value of a header field, in order."""
    return re.findall(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
