"""A word model small enough to reckon by head."""

from collections.abc import Iterable
from dataclasses import dataclass

LIKELY, UNLIKELY, UNKNOWN = -2.5, -4.5, -7.0
WORDS = {
    "水务": LIKELY,
    "热线": LIKELY,
    "水": -3.5,
    "污": UNLIKELY,
    "务": UNLIKELY,
    "您好": LIKELY,
    "时": -3.0,
    "是": -2.0,
}


@dataclass(frozen=True)
class Unigrams:
    """A WordModel without memory."""

    name: str = "unigrams"

    def words(self) -> Iterable[str]:
        return WORDS

    def begin(self) -> None:
        return None

    def score(self, state: None, word: str) -> tuple[float, None]:
        return WORDS.get(word, UNKNOWN), None
