"""Fuzz targets: functions of any bytes that must hold. `./run bench fuzz` drives them by coverage; the tests replay their corpora.

A target raises AssertionError where a property fails and lets every exception pass that the code may not raise.
"""

import base64
import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from callqa.errors import ImportFileError, ProtocolError, SpoolError
from callqa.sip.media.align import to_stereo
from callqa.sip.media.captured import read_calls
from callqa.sip.media.columns import columns_of, read_columns
from callqa.sip.media.layers import read_datagrams
from callqa.sip.media.pcap import is_capture, read_frames
from callqa.sip.media.rtcp import parse_rtcp
from callqa.sip.media.rtp import build_rtp, parse_rtp
from callqa.sip.media.spool import (
    MAGIC,
    RECORD_HEAD,
    AnsweredMark,
    EndedMark,
    MediaMark,
    PacketRecord,
    SpoolRecord,
    StartedMark,
    encode_mark,
    encode_packet,
    read_records,
)
from callqa.sip.media.story import tell
from callqa.sip.recording.metadata import PARTICIPANTS_MOST, read_metadata
from callqa.sip.recording.sdp import LABEL_MOST_CHARS, read_offer
from callqa.sip.wire.auth import parse_challenge, parse_credentials
from callqa.sip.wire.framing import StreamFramer
from callqa.sip.wire.identity import called_number, caller_number, dialled, diverted_from, is_withheld
from callqa.sip.wire.message import Request, parse_message, serialise
from callqa.sip.wire.multipart import parts_of, sdp_of
from callqa.sip.wire.sdp import (
    EVENTS,
    OUR_CODECS,
    MediaDirection,
    agreed_codecs,
    build_sdp,
    common_codecs,
    parse_sdp,
)
from callqa.sip.wire.xml_tree import TEXT_MOST_CHARS

FOLDER = Path(__file__).parent.parent / "data" / "fuzz"
SECOND_NS = 1_000_000_000
LONGEST_MS = 60_000


def message(data: bytes) -> None:
    """One SIP message: written again it reads the same; what is told of its parties is digits."""
    try:
        parsed = parse_message(data)
    except ProtocolError:
        return
    assert parse_message(serialise(parsed)) == parsed
    for header, read in (("Authorization", parse_credentials), ("WWW-Authenticate", parse_challenge)):
        value = parsed.headers.first(header)
        if value is not None:
            with contextlib.suppress(ProtocolError):
                read(value)
    if isinstance(parsed, Request):
        is_withheld(parsed)
        for number in (caller_number(parsed, "9"), called_number(parsed), diverted_from(parsed)):
            assert number == "" or (number.isascii() and number.isdigit() and len(number) <= 40)
        assert len(dialled(parsed)) <= len(data)


def framing(data: bytes) -> None:
    """A stream cut anywhere gives the same messages; the first byte says where."""
    if not data:
        return
    whole, pieces = StreamFramer(), StreamFramer()
    size, rest = data[0] + 1, data[1:]
    found: list[list[bytes]] = [[], []]
    broken = [False, False]
    for n, (framer, step) in enumerate(((whole, len(rest) or 1), (pieces, size))):
        try:
            for at in range(0, len(rest), step):
                found[n] += framer.feed(rest[at : at + step])
        except ProtocolError:
            broken[n] = True
    assert broken[0] or found[0] == found[1], "where the stream is cut makes no difference"
    for framer, messages in zip((whole, pieces), found, strict=True):
        assert sum(map(len, messages)) + framer.waiting <= len(rest)


def sdp(data: bytes) -> None:
    """A session that can be read can be answered, and the answer can be read."""
    try:
        session = parse_sdp(data)
    except ProtocolError:
        return
    assert 0 <= session.port <= 65535 and all(0 <= pt <= 127 for pt, _ in session.codecs)
    codecs = common_codecs(session)
    if not codecs:
        return
    assert set(codecs) <= set(session.codecs) and codecs[0][1] != EVENTS
    answer = build_sdp(
        "10.0.0.1", 20000, codecs, session_id=1, version=1, direction=MediaDirection.SENDRECV, answering=session
    )
    back = parse_sdp(answer)
    assert back.audio_index == session.audio_index and len(back.media) == len(session.media)
    agreed = agreed_codecs(OUR_CODECS, session)
    assert len(agreed) <= 2 and all(c in OUR_CODECS for c in agreed)


def multipart(data: bytes) -> None:
    """A body and its Content-Type (the first line)."""
    kind, _, body = data.partition(b"\n")
    value = kind.decode("latin-1")
    try:
        parts = parts_of(value, body)
        assert sum(len(content) for _, content in parts) <= len(body)
    except ProtocolError:
        pass
    try:
        found = sdp_of(value, body)
        assert found is None or found in body
    except ProtocolError:
        pass


def recording_sdp(data: bytes) -> None:
    """The offer of a recording client: as many lines as there are, each answerable alone."""
    try:
        streams = read_offer(data)
    except ProtocolError:
        return
    for n, stream in enumerate(streams):
        assert stream.index == n and len(stream.label) <= LABEL_MOST_CHARS and stream.label.isprintable()


def metadata(data: bytes) -> None:
    """A recording client's XML: bounded, and never an exception."""
    found = read_metadata(data)
    assert len(found.participants) <= PARTICIPANTS_MOST
    names = [text for p in found.participants for text in (p.key, p.name, p.address)]
    assert all(len(text) <= TEXT_MOST_CHARS for text in names)


def rtcp(data: bytes) -> None:
    """One datagram on an RTCP port: bounded figures, and a session that goes on."""
    report = parse_rtcp(data)
    assert len(report.blocks) <= len(data) // 24
    for block in report.blocks:
        assert 0 <= block.fraction_lost < 1 and -(1 << 23) <= block.lost < 1 << 23


def rtp(data: bytes) -> None:
    """One datagram on an RTP port."""
    try:
        packet = parse_rtp(data)
    except ProtocolError:
        return
    assert packet.payload in data
    again = parse_rtp(build_rtp(packet))
    assert again == packet


def spool(data: bytes) -> None:
    """A spool file as it lies on the disk: a prefix, the same by both readers.

    An odd first byte: what follows is [length, body]*, and each body is given its right length and CRC.
    """
    data = data[1:] if data[:1] < b"\x01" or not data[0] & 1 else _framed(data[1:])
    records = list(read_records(MAGIC + data))
    columns = read_columns(MAGIC + data)
    packets = [r for r in records if isinstance(r, PacketRecord)]
    assert len(columns.arrival_ns) == len(packets)
    assert [m for _, m in columns.marks] == [r for r in records if not isinstance(r, PacketRecord)]
    for record in packets:
        assert encode_packet(record.channel, record.arrival_ns, record.data) in data
    with contextlib.suppress(SpoolError):  # it does not say when the call was answered
        to_stereo(columns)


def _framed(data: bytes) -> bytes:
    out, position = b"", 0
    while position < len(data):
        body = data[position + 1 : position + 1 + data[position]]
        position += 1 + data[position]
        out += RECORD_HEAD.pack(len(body), zlib.crc32(body)) + body
    return out


def records_from(data: bytes) -> list[SpoolRecord]:
    """A call whose packets are what the bytes say: [channel, delay in 4 ms, length, RTP …]*; marks by a length of 255."""
    out: list[SpoolRecord] = [
        StartedMark(at_ns=0, wall_ms=1_700_000_000_000, call_id="F", mode="bridge", direction="inbound"),
        MediaMark(at_ns=0, channel=0, codecs=((8, "PCMA/8000"), (101, EVENTS))),
        MediaMark(at_ns=0, channel=1, codecs=((0, "PCMU/8000"),)),
        AnsweredMark(at_ns=SECOND_NS),
    ]
    at_ns, position = SECOND_NS, 0
    while position + 3 <= len(data):
        channel, delay, length = data[position], data[position + 1], data[position + 2]
        position += 3
        at_ns = min(at_ns + delay * 4_000_000, SECOND_NS + LONGEST_MS * 1_000_000)
        if length == 255:
            codecs = ((delay & 127, ("PCMA/8000", "PCMU/8000", "G722/8000", "GSM/8000")[channel >> 1 & 3]),)
            out.append(MediaMark(at_ns=at_ns, channel=1 if channel & 1 else 0, codecs=codecs, held=bool(channel & 8)))
            continue
        out.append(PacketRecord(channel & 1, at_ns, data[position : position + length]))
        position += length
    out.append(EndedMark(at_ns=at_ns, hangup_party="citizen"))
    return out


def timeline(data: bytes) -> None:
    """Any packets on both legs of a call: bounded audio, gaps inside it, the same from file and from memory."""
    records = records_from(data)
    stereo = to_stereo(columns_of(records))
    last = records[-1]
    assert isinstance(last, EndedMark)
    assert stereo.duration_ms <= (last.at_ns - SECOND_NS) // 1_000_000 + 2_000, "audio is not longer than the call"
    for gap in stereo.gaps:
        assert 0 <= gap.span.start_ms <= gap.span.end_ms <= stereo.duration_ms
    file = MAGIC + b"".join(
        encode_packet(r.channel, r.arrival_ns, r.data) if isinstance(r, PacketRecord) else encode_mark(r)
        for r in records
    )
    again = to_stereo(read_columns(file))
    assert again.samples.tobytes() == stereo.samples.tobytes() and again.gaps == stereo.gaps
    assert tell(read_columns(file)).started.call_id == "F"


def capture(data: bytes) -> None:
    """A pcap or pcapng file."""
    if not is_capture(data[:16]):
        return
    with contextlib.suppress(ImportFileError):
        read_calls(read_datagrams(read_frames(data)))


TARGETS: dict[str, Callable[[bytes], None]] = {
    f.__name__: f
    for f in (message, framing, sdp, recording_sdp, metadata, multipart, rtp, rtcp, spool, timeline, capture)
}


def read_corpus(name: str) -> list[bytes]:
    """The kept inputs of a target, shortest first."""
    path = FOLDER / f"{name}.txt"
    return list(_lines(path.read_text("ascii"))) if path.exists() else []


def write_corpus(name: str, inputs: set[bytes]) -> None:
    """Keep these: one base64 line each, shortest first, so that a change shows as lines."""
    ordered = sorted(inputs, key=lambda i: (len(i), i))
    (FOLDER / f"{name}.txt").write_text("".join(base64.b64encode(i).decode() + "\n" for i in ordered), "ascii")


def _lines(text: str) -> Iterator[bytes]:
    for line in text.splitlines():
        yield base64.b64decode(line, validate=True)
