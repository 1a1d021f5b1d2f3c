"""Byte ranges of RFC 9110 §14: which part of a representation a request asks for. Pure.

Only one range is served; a request for several, or one we cannot read, is answered with the whole (§14.2 allows it).
"""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes first..last, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


class RangeNotSatisfiable(Exception):
    """The range begins behind the end."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """The part asked for of `size` bytes; None = the whole. Raise RangeNotSatisfiable."""
    match = _ONE_RANGE.fullmatch(header.strip())
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:  # the last n bytes
        length = int(match[2])
        if not length or not size:
            raise RangeNotSatisfiable
        return ByteRange(max(0, size - length), size - 1)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None  # invalid, not unsatisfiable
    if first >= size:
        raise RangeNotSatisfiable
    return ByteRange(first, min(last, size - 1))


def etag_matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match list holds the tag (weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags
