"""SDP of a recording session (RFC 7866 §7.1): every audio line is a stream of its own, answered line by line.

Each line is read by sdp.read_lines as if it stood alone. We take every format we can decode, and where there is none the
first that is offered, since raw packets are better than nothing. Lines of another kind are declined with port 0, and so is one that
cannot be read: it costs its own stream and not the recording. Every line has its answer (RFC 3264 §6); more than LINES_MOST are
refused as a whole.
"""

import re
from dataclasses import dataclass, replace

from callqa.errors import ProtocolError
from callqa.sip.media.codec import heard_of
from callqa.sip.media.spool import STREAMS_MOST
from callqa.sip.wire.headers import plain
from callqa.sip.wire.sdp import (
    EVENTS,
    SDP_MOST_BYTES,
    Codecs,
    MediaDirection,
    Session,
    UnfitMedia,
    lines_of,
    read_lines,
    rtpmap_of,
)

LABEL_MOST_CHARS = 64
LINES_MOST = (
    128  # m= lines; beyond a spool's streams they are declined, beyond this our answer would outgrow a datagram
)
PART_MOST_CHARS = 64  # of a declined line's kind and protocol
_MEDIA = re.compile(r"m=(\S+)\s+([0-9]{1,5})(?:/[0-9]+)?\s+(\S+)\s+(.*\S)\s*")


@dataclass(frozen=True, slots=True)
class OfferedStream:
    """One m= line. session: None where we cannot take it; codecs: what we take of it; fmtp: its format lines, repeated in our answer."""

    index: int
    kind: str
    protocol: str
    formats: str
    session: Session | None = None
    label: str = ""
    codecs: Codecs = ()
    fmtp: tuple[str, ...] = ()
    unfit: str = ""  # why it cannot be taken, where that is the client's settings (Chinese)

    @property
    def paused(self) -> bool:
        """Whether it sends nothing for now."""
        s = self.session
        return s is None or s.direction in (MediaDirection.INACTIVE, MediaDirection.RECVONLY)


@dataclass(frozen=True, slots=True)
class AnsweredStream:
    """Our line to one of theirs. port 0: declined."""

    offered: OfferedStream
    port: int
    crypto: tuple[str, ...] = ()


def read_offer(data: bytes) -> tuple[OfferedStream, ...]:
    """All m= lines. ProtocolError when it is no SDP, or has none or too many."""
    if len(data) > SDP_MOST_BYTES or not data.lstrip().startswith(b"v="):
        raise ProtocolError(f"{len(data)} bytes are no SDP")
    lines = lines_of(data.lstrip())
    starts = [i for i, line in enumerate(lines) if line.startswith("m=")]
    if not 0 < len(starts) <= LINES_MOST:
        raise ProtocolError(f"SDP has {len(starts)} m= lines, needs 1 to {LINES_MOST}")
    head = [line for line in lines[: starts[0]] if not line.startswith("a=group")]
    ends = [*starts[1:], len(lines)]
    return tuple(_stream(i, head, lines[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True)))


def _stream(index: int, head: list[str], section: list[str]) -> OfferedStream:
    label = next((line[8:].strip() for line in section if line.startswith("a=label:")), "")
    label = plain(label)[:LABEL_MOST_CHARS]
    match = _MEDIA.fullmatch(plain(section[0]))
    if match is None:
        return _unreadable(index, section[0], label)
    kind, port, protocol, formats = match[1].lower(), int(match[2]), match[3].upper(), match[4]
    bare = OfferedStream(index, kind, protocol, formats, label=label)
    if kind != "audio" or not port or index >= 2 * STREAMS_MOST:
        return bare
    try:
        session = read_lines([*head, *section])
    except UnfitMedia as e:
        return replace(bare, unfit=e.reason)
    except ProtocolError:
        return bare
    codecs = heard_of(session.codecs)
    numbers = {number for number, _ in codecs}
    fmtp = tuple(line for number, line in session.fmtp if number in numbers)
    return OfferedStream(index, kind, protocol, formats, session if codecs else None, label, codecs, fmtp)


def _unreadable(index: int, line: str, label: str) -> OfferedStream:
    """A line that is declined as far as it can be read; what it lacks is made up, so that our answer is an SDP."""
    parts = plain(line[2:]).split()
    kind = parts[0][:PART_MOST_CHARS] if parts else "application"
    protocol = parts[2][:PART_MOST_CHARS] if len(parts) > 2 else "RTP/AVP"
    return OfferedStream(index, kind, protocol, "0", label=label)


def build_answer(host: str, session_id: int, version: int, lines: tuple[AnsweredStream, ...]) -> bytes:
    """Our SDP: as many m= lines as were offered."""
    family = "IP6" if ":" in host else "IP4"
    made = ["v=0", f"o=callqa {session_id} {version} IN {family} {host}", "s=callqa", f"c=IN {family} {host}", "t=0 0"]
    for line in lines:
        made += _answer_lines(line)
    return ("\r\n".join(made) + "\r\n").encode()


def _answer_lines(line: AnsweredStream) -> list[str]:
    o = line.offered
    if not line.port:
        return [f"m={o.kind} 0 {o.protocol} {o.formats}"]
    made = [f"m={o.kind} {line.port} {o.protocol} {' '.join(str(number) for number, _ in o.codecs)}"]
    made += [f"a=rtpmap:{number} {rtpmap_of(name)}" for number, name in o.codecs]
    made += [*o.fmtp, *line.crypto]
    made += [f"a=label:{o.label}"] if o.label else []
    return [*made, f"a={MediaDirection.INACTIVE if o.paused else MediaDirection.RECVONLY}"]


def build_offer(host: str, session_id: int, port_of_each: tuple[int, ...]) -> bytes:
    """Ours, where an INVITE had none: audio streams that we only listen to."""
    family = "IP6" if ":" in host else "IP4"
    made = ["v=0", f"o=callqa {session_id} 1 IN {family} {host}", "s=callqa", f"c=IN {family} {host}", "t=0 0"]
    for label, port in enumerate(port_of_each, 1):
        made += [f"m=audio {port} RTP/AVP 8 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000"]
        made += [f"a=rtpmap:101 {EVENTS}", f"a=label:{label}", "a=recvonly"]
    return ("\r\n".join(made) + "\r\n").encode()
