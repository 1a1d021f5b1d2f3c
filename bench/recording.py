"""A recording client for the bench: RFC 7866 in plain text, one session a call with both sides, one metadata document each.

Shares no code with the product.
"""

import re

from signalling import Address, Agent, Dialog, field

CUT = "bench-cut"


def metadata(number: str, extension: str) -> str:
    """Who is on the call, as RFC 7865 has it: the citizen sends label 1, the seat label 2."""
    who = (("citizen", f"tel:{number}", 1), ("agent", f"sip:{extension}@bench.example", 2))
    lines = ["<?xml version='1.0' encoding='UTF-8'?>", "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>"]
    lines += ["<datamode>complete</datamode>", f"<session session_id='bench-session-of-{number}'/>"]
    for key, aor, label in who:
        lines.append(f"<participant participant_id='{key}-{number}'><nameID aor='{aor}'/></participant>")
        lines.append(f"<stream stream_id='s{label}-{number}'><label>{label}</label></stream>")
        lines.append(
            f"<participantstreamassoc participant_id='{key}-{number}'><send>s{label}-{number}</send>"
            "</participantstreamassoc>"
        )
    return "\r\n".join([*lines, "</recording>"])


def offer(media: tuple[Address, Address], payload_type: int) -> str:
    """Two audio lines that only send, each from an address of its own."""
    name = {0: "PCMU", 8: "PCMA"}[payload_type]
    lines = ["v=0", f"o=- 1 1 IN IP4 {media[0][0]}", "s=-", f"c=IN IP4 {media[0][0]}", "t=0 0"]
    for label, (host, port) in enumerate(media, 1):
        lines += [f"m=audio {port} RTP/AVP {payload_type}", f"c=IN IP4 {host}", f"a=rtpmap:{payload_type} {name}/8000"]
        lines += [f"a=label:{label}", "a=sendonly"]
    return "\r\n".join([*lines, ""])


def session_body(number: str, extension: str, media: tuple[Address, Address], payload_type: int) -> tuple[str, str]:
    """The body of an INVITE that has a call recorded, and its Content-Type."""
    parts = [
        f"--{CUT}", "Content-Type: application/sdp", "", offer(media, payload_type),
        f"--{CUT}", "Content-Type: application/rs-metadata+xml", "Content-Disposition: recording-session", "",
        metadata(number, extension), f"--{CUT}--", "",
    ]  # fmt: skip
    return "\r\n".join(parts), f"multipart/mixed;boundary={CUT}"


class RecordingClient(Agent):
    """An SBC that has its calls recorded."""

    def record(
        self, number: str, extension: str, media: tuple[Address, Address], payload_type: int
    ) -> tuple[Dialog, tuple[Address, Address]]:
        """One session; where the recorder wants the citizen's and the agent's audio."""
        self.ask_to_record(number, extension, media, payload_type)
        return self.recorded(number, self.wait("SIP/2.0 200", "INVITE"))

    def ask_to_record(self, number: str, extension: str, media: tuple[Address, Address], payload_type: int) -> None:
        """The INVITE of a session."""
        body, kind = session_body(number, extension, media, payload_type)
        me = self.contact(number)
        fields = [
            f"From: <{me}>;tag=c{number}", f"To: <sip:recorder@{self.server[0]}>", f"Call-ID: bench-{number}",
            "CSeq: 1 INVITE", f"Contact: <{me}>;+sip.src", "Require: siprec",
            f"Content-Type: {kind}",
        ]  # fmt: skip
        self.request("INVITE", f"sip:recorder@{self.server[0]}:{self.server[1]}", fields, body, kind="")

    def recorded(self, number: str, ok: str) -> tuple[Dialog, tuple[Address, Address]]:
        """Acknowledge that 200."""
        me = self.contact(number)
        target = field(ok, "Contact").partition("<")[2].partition(">")[0]
        wanted = media_lines(ok)
        dialog = Dialog(self.server, target, f"<{me}>;tag=c{number}", field(ok, "To"), f"bench-{number}", wanted[0])
        self.acknowledge(dialog)
        return dialog, wanted


def media_lines(message: str) -> tuple[Address, Address]:
    """Both audio lines of an answer."""
    host = re.search(r"(?m)^c=IN IP4 (\S+)", message)
    ports = [int(port) for port in re.findall(r"(?m)^m=audio ([1-9]\d*)", message)]
    if host is None or len(ports) != 2:
        raise KeyError(f"two audio lines in the answer, found {ports}")
    return (host[1], ports[0]), (host[1], ports[1])
