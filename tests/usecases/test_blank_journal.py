"""Blanking a call's lines moves no byte of anything else, whoever wrote the file."""

import zlib
from pathlib import Path

import pytest

from callqa.journal import JournalEntry, JournalKind, decode_line, encode_entry
from callqa.usecases.blank_journal import blank_journal

DAY_MS = 1_793_491_200_000  # 2026-11-01 UTC
NUMBER = "13987651234"


def line(text: str) -> bytes:
    return b"%s\t%08x\n" % (text.encode(), zlib.crc32(text.encode()))


def entry(number: int, call_id: str, **facts: object) -> bytes:
    return encode_entry(
        JournalEntry(
            number=number, at_ms=DAY_MS + number, kind=JournalKind.CALL_STARTED, call_id=call_id, facts=dict(facts)
        )
    )


OTHER = entry(9, "C2", from_number=NUMBER, note="takes over from C1")


@pytest.mark.parametrize(
    "first",
    [
        entry(1, "C1", from_number=NUMBER, direction="inbound", ring_ms=900),
        entry(1, "C1", note=f"打给 {NUMBER}，再打"),
        line('{"kind":"call_started","number":1,"at_ms":5,"call_id":"C1"}'),  # shorter than we would write it
        line(f'{{"kind":"call_started","number":1,"at_ms":5,"call_id":"C1","facts":{{"x":"{NUMBER}"}}}}'),
        f"{NUMBER} C1 is no entry\n".encode(),
    ],
)
def test_only_the_lines_of_the_call_change_and_no_byte_moves(tmp_path: Path, first: bytes) -> None:
    torn = entry(10, "C1", from_number="139")[:-5]
    path = tmp_path / "2026-11-01.jsonl"
    path.write_bytes(first + OTHER + torn)
    blank_journal(tmp_path, {"C1"}, since_ms=DAY_MS)
    after = path.read_bytes()
    assert after[len(first) :] == OTHER + torn
    blanked = after[: len(first)]
    assert NUMBER.encode() not in blanked and blanked.endswith(b"\n")
    was, now = decode_line(first[:-1]), decode_line(blanked[:-1])
    if was is not None:
        assert now is not None and (now.number, now.at_ms, now.kind, now.call_id) == (1, was.at_ms, was.kind, "C1")
        assert "ring_ms" not in was.facts or now.facts == {"direction": "inbound", "ring_ms": 900}
    assert blank_journal(tmp_path, {"C1"}, since_ms=DAY_MS) == 0
    assert path.read_bytes() == after


def test_a_line_of_a_strange_writer_is_blotted_rather_than_written_over_the_next(tmp_path: Path) -> None:
    strange = line('{"kind":"call_started","number":1,"at_ms":5,"call_id":"C1","facts":{"x":"a"}}')
    short = line('{"number":1,"at_ms":1e0,"kind":"call_started","call_id":"C1","facts":{"x":"1"}}')
    path = tmp_path / "2026-11-01.jsonl"
    for first in (strange, short):
        path.write_bytes(first + OTHER)
        blank_journal(tmp_path, {"C1"}, since_ms=DAY_MS)
        assert path.read_bytes()[len(first) :] == OTHER
