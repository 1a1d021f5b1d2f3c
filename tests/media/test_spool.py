from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import SpoolError
from callqa.sip.media.spool import MAGIC, PacketRecord, encode_packet, read_records, read_started
from tests.media.builders import Sender, call, spool_bytes

DATA = Path(__file__).parents[1] / "data" / "spool"
RECORDS = call(Sender(0, 12).records() + Sender(1, 12, seed=2, ssrc=5).records(), 240)
SPOOL = spool_bytes(RECORDS)


def test_records_come_back_from_their_bytes():
    assert list(read_records(SPOOL)) == RECORDS


@given(st.integers(len(MAGIC), len(SPOOL)))
def test_a_truncated_spool_gives_a_prefix(size):
    read = list(read_records(SPOOL[:size]))
    assert read == RECORDS[: len(read)]
    # A record is missing only when its last byte is.
    assert len(spool_bytes(RECORDS[: len(read) + 1])) > size or len(read) == len(RECORDS)


@given(st.integers(len(MAGIC), len(SPOOL) - 1), st.integers(1, 255))
def test_a_damaged_byte_gives_a_prefix(position, flip):
    damaged = bytearray(SPOOL)
    damaged[position] ^= flip
    read = list(read_records(bytes(damaged)))
    assert read == RECORDS[: len(read)]
    assert len(spool_bytes(read)) <= position


@given(st.binary(max_size=400))
def test_any_bytes_after_the_head_are_read_to_an_end(tail):
    assert len(list(read_records(MAGIC + tail))) <= len(tail) // 9


@given(st.binary(max_size=60))
def test_trailing_bytes_leave_the_records_before_them(tail):
    assert list(read_records(SPOOL + tail))[: len(RECORDS)] == RECORDS


def test_a_packet_on_a_stream_beyond_the_last_ends_the_reading():
    assert list(read_records(MAGIC + encode_packet(16, 1, b"x") + encode_packet(0, 2, b"y"))) == []


def test_a_file_that_is_no_spool_is_refused():
    with pytest.raises(SpoolError, match="spool starts with"):
        list(read_records(b"RIFF....WAVE"))


def test_the_first_mark_says_whose_call_it_is():
    assert read_started(SPOOL[:600]) == RECORDS[0]
    assert read_started(SPOOL[:40]) is None
    assert read_started(b"") is None
    assert read_started(MAGIC + encode_packet(0, 1, b"x")) is None


def test_wall_time_follows_the_monotonic_clock():
    started = RECORDS[0]
    assert started.wall_of(started.at_ns + 1_499_600_000) == started.wall_ms + 1500


def test_a_spool_written_by_the_first_release_is_read():
    """The format outlives the code: old spools must stay readable."""
    records = list(read_records((DATA / "two_frames.spool").read_bytes()))
    assert [type(r).__name__ for r in records] == [
        *("StartedMark", "MediaMark", "MediaMark", "AnsweredMark"),
        *("PacketRecord", "PacketRecord", "FaultMark", "ForeignMark", "EndedMark"),
    ]
    assert records[4] == PacketRecord(0, 5_000_000_000, Sender(0, 1).record(0).data)


@pytest.mark.parametrize(
    ("name", "whole"), [("bad_cut", 4), ("bad_crc", 4), ("bad_length", 4), ("bad_kind", 4), ("bad_mark", 4)]
)
def test_damaged_spools_give_what_stands_before_the_damage(name, whole):
    assert len(list(read_records((DATA / f"{name}.spool").read_bytes()))) == whole
