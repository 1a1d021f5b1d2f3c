"""Byte ranges as RFC 9110 §14 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.web.ranges import ByteRange, RangeNotSatisfiable, etag_matches, parse_range


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=90-500", ByteRange(90, 99)),
        ("bytes=-10", ByteRange(90, 99)),
        ("bytes=-500", ByteRange(0, 99)),
        ("BYTES = 5 - 6 ", ByteRange(5, 6)),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_one_range_is_served_and_anything_odd_gives_the_whole(header, wanted):
    assert parse_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header):
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 100)


@given(st.text(max_size=60), st.integers(0, 10**9))
def test_whatever_is_asked_the_part_lies_inside(header, size):
    for text in (header, f"bytes={header}"):
        try:
            part = parse_range(text, size)
        except RangeNotSatisfiable:
            continue
        assert part is None or 0 <= part.first <= part.last < size


def test_etag_lists():
    assert etag_matches('"a", W/"b"', '"b"')
    assert etag_matches("*", '"b"')
    assert not etag_matches("", '"b"')
