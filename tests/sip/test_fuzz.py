"""Fuzzing from the golden corpus: every file of tests/data/sip, changed, cut, spliced, fed by UDP, TCP and as SDP or multipart.

Nothing raises but ProtocolError, output is bounded, the user agent stays usable. `CALLQA_FUZZ_EXAMPLES=20000` runs longer; what
Hypothesis finds it shrinks and replays from its own database, and a file of it belongs into the corpus.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.legs.session_timer import agree_as_client, agree_as_server, asking_longer
from callqa.sip.wire.framing import StreamFramer
from callqa.sip.wire.hop import TcpAddress
from callqa.sip.wire.identity import called_number, caller_number, diverted_from
from callqa.sip.wire.message import Request, parse_message, serialise
from callqa.sip.wire.multipart import parts_of, sdp_of
from callqa.sip.wire.sdp import SDP_MOST_BYTES, parse_sdp
from tests.sip.simulated import TRUNK, Network, ringing_hotline

FOLDER = Path(__file__).parent.parent / "data" / "sip"
CORPUS = [p.read_bytes() for p in sorted(FOLDER.rglob("*.sip"))]
EXAMPLES = int(os.environ.get("CALLQA_FUZZ_EXAMPLES", "500"))
NUMBERS = [b"0", b"-1", b"4294967296", b"99999999999999999999999", b"\xd9\xa3", b"1e9", b""]
PIECES = [
    b"\r\n", b"\n", b"\r\n\r\n", b"\r\n ", b'"', b"<", b">", b",", b";", b"\0", b"\\", b"%00", b"\xff", "督".encode(), b"[::1]", b"@", b"?a=b", b"=",
    b"\r\nContent-Length: 3", b"\r\nRequire: 100rel", b"\r\nSession-Expires: 1", b"\r\nRSeq: 1", b"\r\nRAck: 1 1 INVITE", b"\r\nVia: SIP/2.0/TCP h;alias",
    b"\r\nHistory-Info: <sip:1@h?Reason=SIP%3Bcause%3D302>;index=1", b"--b\r\n", b"m=audio 0 RTP/AVP 8\r\n", b"c=IN IP4 0.0.0.0\r\n",
]  # fmt: skip


def _insert(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    return data[:at] + piece + data[at:]


def _cut(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    return data[:at] + data[at + len(piece) + 1 :]


def _splice(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    return data[:at] + other[at % (len(other) + 1) :]


def _repeat_line(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    lines = data.split(b"\r\n")
    n = at % len(lines)
    return b"\r\n".join([*lines[: n + 1], lines[n], *lines[n + 1 :]])


def _number(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    found = list(re.finditer(rb"[0-9]+", data))
    if not found:
        return data
    match = found[at % len(found)]
    return data[: match.start()] + NUMBERS[at % len(NUMBERS)] + data[match.end() :]


def _flip(data: bytes, at: int, piece: bytes, other: bytes) -> bytes:
    return data[:at] + bytes(b ^ 1 << at % 8 for b in data[at : at + 1]) + data[at + 1 :]


CHANGES: list[Callable[[bytes, int, bytes, bytes], bytes]] = [_insert, _cut, _splice, _repeat_line, _number, _flip]


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A file of the corpus with up to five changes."""
    data = draw(st.sampled_from(CORPUS))
    for _ in range(draw(st.integers(0, 5))):
        change = draw(st.sampled_from(CHANGES))
        at = draw(st.integers(0, len(data)))
        data = change(data, at, draw(st.sampled_from(PIECES)), draw(st.sampled_from(CORPUS)))
    return data


FUZZ = settings(max_examples=EXAMPLES)


@FUZZ
@given(changed())
def test_reading_and_writing(data: bytes):
    try:
        message = parse_message(data)
    except ProtocolError:
        return
    assert parse_message(serialise(message)) == message
    agree_as_client(message.headers)
    agree_as_server(message.headers)
    asking_longer(message.headers)
    if isinstance(message, Request):
        for number in (caller_number(message, "9"), called_number(message), diverted_from(message)):
            assert number == "" or (number.isascii() and number.isdigit() and len(number) <= 40)


@FUZZ
@given(changed(), st.integers(1, 4000))
def test_framing(data: bytes, size: int):
    framer = StreamFramer()
    found: list[bytes] = []
    try:
        for at in range(0, len(data), size):
            found += framer.feed(data[at : at + size])
    except ProtocolError:
        return
    assert sum(map(len, found)) + framer.waiting <= len(data)


@FUZZ
@given(changed())
def test_bodies(data: bytes):
    body = data.partition(b"\r\n\r\n")[2]
    for text in (body, data):
        for kind in (
            "application/sdp",
            "multipart/mixed; boundary=b",
            'multipart/related;boundary="b"',
            "multipart/mixed",
        ):
            try:
                sdp = sdp_of(kind, text)
                if kind.endswith("=b"):
                    assert sum(len(part) for _, part in parts_of(kind, text)) <= len(text)
                if sdp is not None:
                    session = parse_sdp(sdp)
                    assert len(sdp) <= SDP_MOST_BYTES and 0 <= session.port <= 65535
            except ProtocolError:
                continue


@settings(FUZZ, max_examples=max(40, EXAMPLES // 4))
@given(st.lists(st.tuples(changed(), st.integers(0, 3)), min_size=1, max_size=6))
def test_the_user_agent_lives_through_it(story: list[tuple[bytes, int]]):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    sources = (TRUNK, one.address, ("203.0.113.9", 5060), TcpAddress(TRUNK[0], 40000))
    for data, n in story:
        net.inject(data, sources[n])
        net.run(0.1)
    for call in net.ua.calls():
        net.ua.hang_up(call.call_id, net.now)
    net.run(1)
    trunk.log.clear()
    trunk.call("12345")
    net.run(0.3)
    assert trunk.log and trunk.log[0] in ("180", "refused 480", "refused 486"), "the next call is handled"
    for call in net.ua.calls():
        net.ua.hang_up(call.call_id, net.now)
    net.settle()
