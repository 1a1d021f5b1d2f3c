"""Every kept fuzz input, and every golden file, through its target; `./run bench fuzz` looks for new ones."""

import re
from pathlib import Path

import pytest

from callqa.errors import ProtocolError
from callqa.sip.media.spool import MAGIC, RECORD_HEAD
from callqa.sip.wire.multipart import parts_of
from tests.fuzz.targets import FOLDER, TARGETS, read_corpus

DATA = Path(__file__).parent.parent / "data"
GOLDEN = {
    "message": ("sip/**/*.sip",), "framing": ("sip/**/*.sip",), "sdp": ("sip/**/*.sip",), "recording_sdp": ("sip/siprec/*.sip",), "metadata": ("sip/siprec/*.sip",), "rtcp": ("rtp/*",), "multipart": ("sip/**/*.sip",),
    "rtp": ("rtp/*.bin",), "spool": ("spool/*",), "timeline": ("rtp/*",), "capture": ("pcap/*.pcap*",),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_kept_inputs_hold(name: str) -> None:
    kept = read_corpus(name)
    assert kept, f"{FOLDER / name}.txt: made by ./run bench fuzz --target {name} --seconds 60"
    for data in kept:
        TARGETS[name](data)


def golden(name: str) -> list[bytes]:
    """The golden files that a target can read, as it takes them."""
    files = [p.read_bytes() for pattern in GOLDEN[name] for p in sorted(DATA.glob(pattern)) if p.is_file()]
    if name == "spool":
        return [b"\0" + data.removeprefix(MAGIC) for data in files] + [_bodies(data) for data in files]
    if name in ("metadata", "recording_sdp"):
        wanted = "application/sdp" if name == "recording_sdp" else "xml"
        return [
            body
            for data in files
            for kind, body in _parts(data)
            if (kind == wanted) or (wanted == "xml" and "metadata" in kind)
        ]
    if name not in ("sdp", "multipart"):
        return files
    found = []
    for data in files:
        head, _, body = data.partition(b"\r\n\r\n")
        if body:
            found.append(_kind(head) + b"\n" + body if name == "multipart" else body)
    return found


def _kind(head: bytes) -> bytes:
    found = re.search(rb"(?im)^(?:c|content-type)[ \t]*:[ \t]*([^\r\n]*)", head)
    return found[1] if found else b""


def _parts(data: bytes) -> list[tuple[str, bytes]]:
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    kind = _kind(head)
    try:
        return parts_of(kind.decode(), body) if b"multipart" in kind else [("application/sdp", body)]
    except ProtocolError:
        return []


def _bodies(data: bytes) -> bytes:
    """The short records of a spool as the target spool frames them."""
    out, position = b"\1", len(MAGIC)
    while position + RECORD_HEAD.size <= len(data):
        length, _ = RECORD_HEAD.unpack_from(data, position)
        position += RECORD_HEAD.size
        if 0 < length < 256:
            out += bytes([length]) + data[position : position + length]
        position += length
    return out[:2048]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_golden_files_hold(name: str) -> None:
    inputs = golden(name)
    assert inputs
    for data in inputs:
        TARGETS[name](data)
