"""SDP offer/answer for one audio stream (RFC 8866, RFC 3264): what the peer offers, what we offer and answer.

Only G.711 and telephone-event are spoken. Further m= lines are declined with port 0. Both styles of hold are read:
a=sendonly/inactive and c=0.0.0.0. It does not do SRTP, ICE, bundles or video.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from callqa.errors import ProtocolError

SDP_MOST_BYTES = 32_768
LINES_MOST = 1_000
_FORMAT = re.compile(r"[0-9]{1,2}|1[01][0-9]|12[0-7]")  # an RTP payload type
MEDIA_MOST = 32
FORMATS_MOST = 64
STATIC = {0: "PCMU/8000", 8: "PCMA/8000"}
G711 = ("PCMA/8000", "PCMU/8000")  # Chinese networks speak A-law first
EVENTS = "telephone-event/8000"
OUR_CODECS = ((8, "PCMA/8000"), (0, "PCMU/8000"), (101, EVENTS))

Codecs = tuple[tuple[int, str], ...]


class MediaDirection(StrEnum):
    """From the side of whoever wrote the SDP."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def reversed(self) -> "MediaDirection":
        """The direction of the answerer who wants everything the offer allows."""
        return _REVERSED[self]


_REVERSED = {
    MediaDirection.SENDRECV: MediaDirection.SENDRECV,
    MediaDirection.SENDONLY: MediaDirection.RECVONLY,
    MediaDirection.RECVONLY: MediaDirection.SENDONLY,
    MediaDirection.INACTIVE: MediaDirection.INACTIVE,
}


@dataclass(frozen=True, slots=True)
class Session:
    """What a peer's SDP says about its first audio stream.

    codecs: every format of the line, in order, as (payload type, "name/clock"). media: all m= lines as
    (kind, protocol, formats) for the answer; audio_index: which of them is ours.
    """

    host: str
    port: int
    codecs: Codecs
    direction: MediaDirection = MediaDirection.SENDRECV
    ptime_ms: int | None = None
    audio_index: int = 0
    media: tuple[tuple[str, str, str], ...] = (("audio", "RTP/AVP", "0"),)

    @property
    def held(self) -> bool:
        """Whether this side put the call on hold, in the new style or the old one (c=0.0.0.0)."""
        return self.direction in (MediaDirection.SENDONLY, MediaDirection.INACTIVE) or self.no_address

    @property
    def no_address(self) -> bool:
        return self.host in ("0.0.0.0", "::") or self.port == 0

    @property
    def remote(self) -> tuple[str, int] | None:
        """Where it wants its RTP, or None."""
        return None if self.no_address or self.direction is MediaDirection.INACTIVE else (self.host, self.port)

    @property
    def voice(self) -> Codecs:
        """Its G.711 formats, in its order of preference."""
        return tuple(c for c in self.codecs if c[1] in G711)

    @property
    def events(self) -> Codecs:
        """Its telephone-event format, or ()."""
        return tuple(c for c in self.codecs if c[1] == EVENTS)[:1]


def common_codecs(offered: Session) -> Codecs:
    """What of an offer we can speak: G.711 in the offerer's order, then telephone-event. () when there is no G.711."""
    return offered.voice + offered.events if offered.voice else ()


def agreed_codecs(offered: Codecs, answer: Session) -> Codecs:
    """One voice codec, the first of the answer that was offered, plus telephone-event when both have it."""
    voice = next((c for a in answer.voice for c in offered if c[1] == a[1]), None)
    if voice is None:
        return ()
    return (voice, *(c for c in offered if c[1] == EVENTS and answer.events))


def build_sdp(
    host: str,
    port: int,
    codecs: Codecs,
    *,
    session_id: int,
    version: int,
    direction: MediaDirection,
    answering: Session | None = None,
) -> bytes:
    """SDP with one audio stream of ours. answering: the offer; its other m= lines are declined with port 0."""
    family = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o=callqa {session_id} {version} IN {family} {host}", "s=callqa", f"c=IN {family} {host}", "t=0 0"]
    ours = [
        f"m=audio {port} {answering.media[answering.audio_index][1] if answering else 'RTP/AVP'} {' '.join(str(pt) for pt, _ in codecs)}"
    ]
    ours += [f"a=rtpmap:{pt} {name}" for pt, name in codecs]
    ours += [f"a=fmtp:{pt} 0-15" for pt, name in codecs if name == EVENTS]
    ours += ["a=ptime:20", f"a={direction}"]
    if answering is None:
        lines += ours
    else:
        for i, (kind, protocol, formats) in enumerate(answering.media):
            lines += ours if i == answering.audio_index else [f"m={kind} 0 {protocol} {formats}"]
    return ("\r\n".join(lines) + "\r\n").encode()


def parse_sdp(data: bytes) -> Session:
    """Read a session description. ProtocolError when there is no usable audio stream over RTP/AVP."""
    if len(data) > SDP_MOST_BYTES:
        raise ProtocolError(f"SDP has {len(data)} bytes, limit {SDP_MOST_BYTES}")
    lines = [x for x in re.split(r"\r\n|\n|\r", data.decode("utf-8", "replace")) if x.strip()]
    if len(lines) > LINES_MOST or not lines or not lines[0].startswith("v="):
        raise ProtocolError(f"SDP of {len(lines)} lines does not start with v=")
    session_lines: list[str] = []
    sections: list[list[str]] = []
    for line in lines:
        if len(line) < 2 or line[1] != "=":
            raise ProtocolError(f"SDP line {line[:40]!r} is not letter=value")
        if line.startswith("m="):
            sections.append([line])
        else:
            (sections[-1] if sections else session_lines).append(line)
    media = [_media_line(s[0]) for s in sections[:MEDIA_MOST]]
    index = next((i for i, m in enumerate(media) if m[0] == "audio" and m[2] in ("RTP/AVP", "RTP/AVPF")), None)
    if index is None:
        raise ProtocolError("SDP has no audio over RTP/AVP")
    return _audio(session_lines, sections[index], media, index)


def _media_line(line: str) -> tuple[str, int, str, tuple[str, ...]]:
    parts = line[2:].split()
    port = parts[1].partition("/")[0] if len(parts) > 3 else ""
    if re.fullmatch(r"[0-9]{1,5}", port) is None or int(port) > 65535 or len(parts) > FORMATS_MOST + 3:
        raise ProtocolError(f"SDP media line {line[:60]!r} is not kind port protocol formats")
    return parts[0].lower(), int(port), parts[2].upper(), tuple(parts[3:])


def _audio(
    session_lines: list[str], section: list[str], media: list[tuple[str, int, str, tuple[str, ...]]], index: int
) -> Session:
    _, port, _, formats = media[index]
    host = _host(section) or _host(session_lines)
    if host is None:
        raise ProtocolError("SDP has no c= line for its audio")
    names = dict(STATIC)
    direction = _direction(session_lines, MediaDirection.SENDRECV)
    direction = _direction(section, direction)
    ptime_ms = None
    for line in section:
        rtpmap = re.fullmatch(r"a=rtpmap:\s*([0-9]{1,3})\s+([A-Za-z0-9_.-]+)/([0-9]{1,6})(/[12])?\s*", line)
        if rtpmap:
            name = rtpmap[2].lower() if rtpmap[2].lower() == "telephone-event" else rtpmap[2].upper()
            names[int(rtpmap[1])] = f"{name}/{int(rtpmap[3])}"
        ptime = re.fullmatch(r"a=ptime:\s*([0-9]{1,4})(?:\.0*)?\s*", line)
        ptime_ms = int(ptime[1]) if ptime else ptime_ms
    codecs = tuple((int(f), names[int(f)]) for f in formats if _FORMAT.fullmatch(f) and int(f) in names)
    all_media = tuple((kind, protocol, " ".join(f)) for kind, _, protocol, f in media)
    return Session(host, port, codecs, direction, ptime_ms, index, all_media)


def _host(lines: list[str]) -> str | None:
    for line in lines:
        match = re.fullmatch(r"c=IN\s+IP[46]\s+([^\s/]+)\S*\s*", line, re.IGNORECASE)
        if match:
            try:
                return str(ipaddress.ip_address(match[1]))
            except ValueError as e:
                raise ProtocolError(f"SDP connection address {match[1][:60]!r} is no IP address") from e
    return None


def _direction(lines: list[str], otherwise: MediaDirection) -> MediaDirection:
    for line in lines:
        name = line[2:].strip().lower()
        if line.startswith("a=") and name in _REVERSED:
            return MediaDirection(name)
    return otherwise
