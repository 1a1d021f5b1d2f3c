"""Columns must say what the records say, one by one, whatever the bytes are."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import ProtocolError, SpoolError
from callqa.sip.media.columns import columns_of, read_columns, rtp_columns
from callqa.sip.media.rtp import parse_rtp
from callqa.sip.media.spool import MAGIC, PacketRecord, encode_packet, read_records
from tests.media.builders import Sender, call, spool_bytes

RECORDS = call(Sender(0, 12).records() + Sender(1, 9, seed=2).records(), 240)
WHOLE = spool_bytes(RECORDS)


def records_of(columns):
    """The records again, in order."""
    packets = [
        PacketRecord(channel, arrival_ns, columns.data[start : start + size].tobytes())
        for channel, arrival_ns, start, size in zip(
            *(c.tolist() for c in (columns.channel, columns.arrival_ns, columns.start, columns.size)), strict=True
        )
    ]
    for behind, (before, mark) in enumerate(columns.marks):
        packets.insert(before + behind, mark)
    return packets


def test_columns_of_a_spool_and_of_its_records_are_the_same():
    assert records_of(read_columns(WHOLE)) == records_of(columns_of(RECORDS)) == list(read_records(WHOLE))
    assert read_columns(WHOLE).last_ns == RECORDS[-1].at_ns
    assert read_columns(MAGIC).last_ns == 0


@settings(max_examples=200)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4), st.booleans())
def test_a_damaged_spool_gives_the_same_prefix_both_ways(at, garbage, cut):
    data = WHOLE[:at] + (b"" if cut else garbage + WHOLE[at + len(garbage) :])
    if data[: len(MAGIC)] != MAGIC:
        with pytest.raises(SpoolError):
            read_columns(data)
        return
    assert records_of(read_columns(data)) == list(read_records(data))


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x01\x10" + bytes(8) + b"data", b"\x03junk", b"\x02no json"])
def test_records_that_are_none_end_the_reading(body):

    bad = struct.pack("<II", len(body), zlib.crc32(body)) + body
    data = MAGIC + encode_packet(1, 7, b"first") + bad + encode_packet(0, 8, b"second")
    assert records_of(read_columns(data)) == list(read_records(data)) == [PacketRecord(1, 7, b"first")]


DATAGRAMS = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=11, max_size=60).map(lambda b: bytes([0x80 | b[0] & 0x3F]) + b[1:]),
    st.binary(min_size=11, max_size=60).map(lambda b: b"\x80" + b[1:]),
)


@settings(max_examples=200)
@given(st.lists(DATAGRAMS, max_size=20))
def test_rtp_is_read_in_columns_as_one_by_one(datagrams):
    columns = columns_of([PacketRecord(0, k, data) for k, data in enumerate(datagrams)])
    rtp = rtp_columns(columns, np.arange(len(datagrams)))
    expected = []
    for row, data in enumerate(datagrams):
        try:
            packet = parse_rtp(data)
        except ProtocolError:
            continue
        expected.append((row, packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc, packet.payload))
    names = (rtp.row, rtp.payload_type, rtp.sequence, rtp.timestamp, rtp.ssrc)
    payloads = [columns.data[a : a + n].tobytes() for a, n in zip(rtp.start.tolist(), rtp.size.tolist(), strict=True)]
    assert list(zip(*(c.tolist() for c in names), payloads, strict=True)) == expected
