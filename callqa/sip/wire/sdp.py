"""SDP offer/answer for one audio stream (RFC 8866, RFC 3264): what the peer offers, what we offer and answer.

Only G.711 and telephone-event are spoken; where we only listen, all that media/codec.py decodes is taken. Further m= lines are declined with port 0. Both styles of hold are read:
a=sendonly/inactive and c=0.0.0.0. Media may be encrypted with keys in the SDP (sdes.py), in RTP/SAVP(F) or, as phones do that
would rather than must, in RTP/AVP(F) with a=crypto. It does not do DTLS-SRTP, ICE, bundles or video.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import plain
from callqa.sip.wire.sdes import CryptoLine, parse_crypto

SDP_MOST_BYTES = 32_768
LINES_MOST = 1_000
_LINE_END = re.compile(r"\r\n|\n|\r")
_PORT = re.compile(r"[0-9]{1,5}")
_RTPMAP = re.compile(r"a=rtpmap:\s*([0-9]{1,3})\s+([A-Za-z0-9_.-]+)/([0-9]{1,6})(/[12])?\s*")
_FMTP = re.compile(r"a=fmtp:([0-9]{1,3})\s")
_PTIME = re.compile(r"a=ptime:\s*([0-9]{1,4})(?:\.0*)?\s*")
_RTCP = re.compile(r"a=rtcp:\s*([0-9]{1,5})(?:\s+IN\s+IP[46]\s+(\S+))?\s*", re.IGNORECASE)
_CONNECTION = re.compile(r"c=IN\s+IP[46]\s+([^\s/]+)\S*\s*", re.IGNORECASE)
_FORMAT = re.compile(r"[0-9]{1,2}|1[01][0-9]|12[0-7]")  # an RTP payload type
MEDIA_MOST = 32
FORMATS_MOST = 64
FMTP_MOST_CHARS = 256
# RFC 3551 §6: what a number means without a=rtpmap.
STATIC = {0: "PCMU/8000", 3: "GSM/8000", 8: "PCMA/8000", 9: "G722/8000", 18: "G729/8000"}
G711 = ("PCMA/8000", "PCMU/8000")  # Chinese networks speak A-law first
EVENTS = "telephone-event/8000"
OUR_CODECS = ((8, "PCMA/8000"), (0, "PCMU/8000"), (101, EVENTS))

PLAIN = ("RTP/AVP", "RTP/AVPF")
SECURE = ("RTP/SAVP", "RTP/SAVPF")
NO_KEYS = "对方要求媒体加密，但没有给出可用的密钥（a=crypto）；请把它的 SRTP 设为 SDES，套件选 AES_CM_128_HMAC_SHA1_80"
DTLS = "对方要求 DTLS-SRTP 媒体加密，这里只支持 SDES；请把它的媒体加密改成 SDES-SRTP 或关闭"

Codecs = tuple[tuple[int, str], ...]
MediaLine = tuple[str, int, str, tuple[str, ...]]  # kind, port, protocol, formats


class UnfitMedia(ProtocolError):
    """An SDP that is right, but whose audio we cannot take. reason: Chinese, for staff."""

    def __init__(self, reason: str) -> None:
        super().__init__("SDP has no audio we can take")
        self.reason = reason


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
    (kind, protocol, formats) for the answer; audio_index: which of them is ours. crypto: its usable keys, first first.
    rtcp: where it wants RTCP; rtcp_mux: it takes RTCP on its RTP port (RFC 5761). fmtp: (payload type, line) of its formats.
    """

    host: str
    port: int
    codecs: Codecs
    direction: MediaDirection = MediaDirection.SENDRECV
    ptime_ms: int | None = None
    audio_index: int = 0
    media: tuple[tuple[str, str, str], ...] = (("audio", "RTP/AVP", "0"),)
    crypto: tuple[CryptoLine, ...] = ()
    rtcp_named: tuple[str, int] | None = None
    rtcp_mux: bool = False
    fmtp: tuple[tuple[int, str], ...] = ()

    @property
    def protocol(self) -> str:
        """The profile of its audio line."""
        return self.media[self.audio_index][1]

    @property
    def rtcp(self) -> tuple[str, int] | None:
        """Where it wants RTCP (RFC 3605): as named, else the port above its RTP's."""
        if self.no_address:
            return None
        if self.rtcp_mux:
            return self.host, self.port
        return self.rtcp_named or (self.host, min(self.port + 1, 65535))

    @property
    def sends(self) -> bool:
        """Whether it means to send audio."""
        return self.direction in (MediaDirection.SENDRECV, MediaDirection.SENDONLY)

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
    crypto: tuple[CryptoLine, ...] = (),
    protocol: str = "RTP/AVP",
) -> bytes:
    """SDP with one audio stream of ours. answering: the offer; its other m= lines are declined with port 0, its profile is
    repeated. crypto: our keys; protocol: the profile where we offer."""
    family = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o=callqa {session_id} {version} IN {family} {host}", "s=callqa", f"c=IN {family} {host}", "t=0 0"]
    profile = answering.protocol if answering else protocol
    ours = [f"m=audio {port} {profile} {' '.join(str(pt) for pt, _ in codecs)}"]
    ours += [f"a=rtpmap:{pt} {rtpmap_of(name)}" for pt, name in codecs]
    theirs = {pt for pt, name in codecs if name not in G711 and name != EVENTS}
    ours += [line for pt, line in (answering.fmtp if answering else ()) if pt in theirs]
    ours += [f"a=fmtp:{pt} 0-15" for pt, name in codecs if name == EVENTS]
    ours += [str(line) for line in crypto]
    ours += ["a=ptime:20", f"a={direction}"]
    if answering is not None and answering.rtcp_mux:
        ours.append("a=rtcp-mux")
    if answering is None:
        lines += ours
    else:
        for i, (kind, protocol, formats) in enumerate(answering.media):
            lines += ours if i == answering.audio_index else [f"m={kind} 0 {protocol} {formats}"]
    return ("\r\n".join(lines) + "\r\n").encode()


def rtpmap_of(name: str) -> str:
    """A format as we name it in an a=rtpmap line."""
    return "opus/48000/2" if name.upper() == "OPUS/48000" else name  # RFC 7587 §7


def parse_sdp(data: bytes) -> Session:
    """Read a session description. ProtocolError when it has no audio over RTP; UnfitMedia when it has, but none we can take."""
    if len(data) > SDP_MOST_BYTES:
        raise ProtocolError(f"SDP has {len(data)} bytes, limit {SDP_MOST_BYTES}")
    return read_lines(lines_of(data))


def lines_of(data: bytes) -> list[str]:
    """The lines of a session description that are not empty."""
    return [x for x in _LINE_END.split(data.decode("utf-8", "replace")) if x.strip()]


def read_lines(lines: Sequence[str]) -> Session:
    """Read the lines of a session description; as parse_sdp."""
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
    if len(sections) > MEDIA_MOST:
        raise ProtocolError(f"SDP has {len(sections)} m= lines, limit {MEDIA_MOST}")
    media = [_media_line(s[0]) for s in sections]
    return _audio(session_lines, sections, media, _chosen(session_lines, sections, media))


def _chosen(session_lines: list[str], sections: list[list[str]], media: list[MediaLine]) -> int:
    """Index of the first audio line we can take, one that is in use before one with port 0."""
    audio = [i for i, m in enumerate(media) if m[0] == "audio"]
    usable = [i for i in audio if media[i][2] in PLAIN or (media[i][2] in SECURE and parse_crypto(sections[i]))]
    if usable:
        return next((i for i in usable if media[i][1]), usable[0])
    if any("TLS" in media[i][2] or _fingerprint(session_lines, sections[i]) for i in audio):
        raise UnfitMedia(DTLS)
    if any(media[i][2] in SECURE for i in audio):
        raise UnfitMedia(NO_KEYS)
    raise ProtocolError("SDP has no audio over RTP")


def _fingerprint(session_lines: list[str], section: list[str]) -> bool:
    return any(line.startswith("a=fingerprint:") for line in (*session_lines, *section))


def _media_line(line: str) -> MediaLine:
    """An m= line. What is wrong with one that is no audio concerns nobody: it is declined anyway."""
    parts = plain(line[2:]).split()
    port = parts[1].partition("/")[0] if len(parts) > 3 else ""
    if _PORT.fullmatch(port) is not None and int(port) <= 65535 and len(parts) <= FORMATS_MOST + 3:
        return parts[0].lower(), int(port), parts[2].upper(), tuple(parts[3:])
    if not parts or parts[0].lower() == "audio":
        raise ProtocolError(f"SDP media line {line[:60]!r} is not kind port protocol formats")
    return (
        parts[0].lower(),
        0,
        parts[2].upper() if len(parts) > 2 else PLAIN[0],
        tuple(parts[3:][:FORMATS_MOST]) or ("0",),
    )


def _audio(session_lines: list[str], sections: list[list[str]], media: list[MediaLine], index: int) -> Session:
    _, port, _, formats = media[index]
    section = sections[index]
    host = _host(section) or _host(session_lines)
    if host is None:
        raise ProtocolError("SDP has no c= line for its audio")
    names = dict(STATIC)
    direction = _direction(session_lines, MediaDirection.SENDRECV)
    direction = _direction(section, direction)
    ptime_ms = None
    for line in section:
        if rtpmap := _RTPMAP.fullmatch(line):
            name = rtpmap[2].lower() if rtpmap[2].lower() == "telephone-event" else rtpmap[2].upper()
            names[int(rtpmap[1])] = f"{name}/{int(rtpmap[3])}"
        elif ptime := _PTIME.fullmatch(line):
            ptime_ms = int(ptime[1])
    codecs = tuple((int(f), names[int(f)]) for f in formats if _FORMAT.fullmatch(f) and int(f) in names)
    all_media = tuple((kind, protocol, " ".join(f)) for kind, _, protocol, f in media)
    mux = "a=rtcp-mux" in (line.strip() for line in section)
    return Session(
        host, port, codecs, direction, ptime_ms, index, all_media, parse_crypto(section), _rtcp(section, host), mux,
        _fmtp(section),
    )  # fmt: skip


def _fmtp(section: list[str]) -> tuple[tuple[int, str], ...]:
    """Format lines that may be repeated in our answer."""
    found = ((_FMTP.match(line), line) for line in section if len(line) < FMTP_MOST_CHARS)
    return tuple((int(match[1]), plain(line)) for match, line in found if match)


def _rtcp(section: list[str], host: str) -> tuple[str, int] | None:
    """RFC 3605: a=rtcp:port, perhaps with an address of its own; a broken one counts as none."""
    for line in section:
        match = _RTCP.fullmatch(line)
        if match and 0 < int(match[1]) <= 65535:
            try:
                return str(ipaddress.ip_address(match[2])) if match[2] else host, int(match[1])
            except ValueError:
                return None
    return None


def _host(lines: list[str]) -> str | None:
    for line in lines:
        match = _CONNECTION.fullmatch(line)
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
