"""Regular expressions read as things people say: the ways to say what a pattern matches, as sounds to listen for.

`(电话|号码)(是|给我)` gives 电话是, 电话给我, 号码是, 号码给我; `.{0,6}` gives up to six syllables of any kind, `[0-9]{7,}`
seven digits, `钟?` a syllable that may be absent. Reads the part of the syntax that rubrics use. Anything else (lookarounds,
back references), and a pattern with too many spellings, gives None: then nobody can say how it would sound.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from callqa.scoring.hearing import DIGITS, Sought, Sound
from callqa.text import is_han, syllables

MAX_SPELLINGS = 300  # the longest alternation of the default rubric has 67
MAX_FREE = 12  # `.*` stands for so many syllables: farther apart, two words are two sentences
_ANY = ""
_DIGIT = "0-9"


@dataclass(frozen=True, slots=True)
class _Token:
    """One character of a spelling: any of `chars`; _ANY any character, _DIGIT any digit."""

    chars: tuple[str, ...]
    optional: bool = False


_Spelling = tuple[_Token, ...]


class _Unreadable(Exception):
    """The pattern uses what this reader does not know, or too much of it."""


@lru_cache(maxsize=512)
def spellings(pattern: str) -> tuple[Sought, ...] | None:
    """The ways to say what a pattern matches, each with at least one known sound; None when they cannot be told."""
    reader = _Reader(pattern)
    try:
        found = reader.alternatives()
    except _Unreadable:
        return None
    if not reader.at_end:
        return None
    said = [Sought(_written(spelling), _sounds(spelling)) for spelling in dict.fromkeys(found)]
    return tuple(said) if all(each.n_known for each in said) else None


def _written(spelling: _Spelling) -> str:
    """A spelling for people: what may be absent left out, what is free as an ellipsis."""
    shown = "".join("…" if t.chars[0] in (_ANY, _DIGIT) else t.chars[0] for t in spelling if not t.optional)
    return "".join("…" if mark == "…" else "".join(run) for mark, run in groupby(shown))


def _sounds(spelling: _Spelling) -> tuple[Sound, ...]:
    # Characters are read in their word (银行 is not 行人), so one plain reading of the whole spelling comes first.
    plain = syllables("".join(t.chars[0] if len(t.chars[0]) == 1 else "，" for t in spelling))
    return tuple(
        Sound(_readings(token, at_place), token.optional) for token, at_place in zip(spelling, plain, strict=True)
    )


def _readings(token: _Token, at_place: str) -> frozenset[str]:
    if _ANY in token.chars:
        return frozenset()
    if _DIGIT in token.chars:
        return DIGITS
    return frozenset((at_place, *(syllables(char)[0] for char in token.chars[1:])))


class _Reader:
    """Recursive descent over a pattern; every method returns the spellings of what it read."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def alternatives(self) -> list[_Spelling]:
        found = self._sequence()
        while self._take("|"):
            found += self._sequence()
        return _bounded(found)

    def _sequence(self) -> list[_Spelling]:
        found: list[_Spelling] = [()]
        while not self.at_end and self._peek() not in "|)":
            more = self._repeated()
            found = _bounded([before + after for before in found for after in more])
        return found

    def _repeated(self) -> list[_Spelling]:
        atom = self._atom()
        least, most = self._repetition()
        if (least, most) == (1, 1):
            return atom
        if all(len(spelling) == 1 for spelling in atom):
            chars = tuple(char for (token,) in atom for char in token.chars)
            extra = min(most, least + MAX_FREE) - least
            return [(_Token(chars),) * least + (_Token(chars, optional=True),) * extra]
        once = [()] if least == 0 else atom
        return _bounded([*once, *atom] if least == 0 else once)

    def _repetition(self) -> tuple[int, int]:
        for mark, bounds in (("?", (0, 1)), ("*", (0, MAX_FREE)), ("+", (1, MAX_FREE))):
            if self._take(mark):
                self._take("?")
                return bounds
        if not self._take("{"):
            return 1, 1
        low, comma, high = self._until("}").partition(",")
        if not (low.isdigit() and (high.isdigit() or not high)):
            raise _Unreadable
        self._take("?")
        least = int(low)
        if least > MAX_FREE:
            raise _Unreadable
        return least, int(high) if high else (MAX_FREE if comma else least)

    def _atom(self) -> list[_Spelling]:
        char = self._next()
        if char == "(":
            if self._take("?") and not self._take(":"):
                raise _Unreadable
            inside = self.alternatives()
            if not self._take(")"):
                raise _Unreadable
            return inside
        if char == "[":
            return [(_Token(_class_chars(self._until("]"))),)]
        if char in "^$":
            return [()]
        if char == ".":
            return [(_Token((_ANY,)),)]
        if char == "\\":
            escaped = self._next()
            if escaped == "d":
                return [(_Token((_DIGIT,)),)]
            if escaped.isalnum():
                raise _Unreadable
            char = escaped
        return [(_Token((char,)),)] if char.isalnum() or is_han(char) else [()]

    def _peek(self) -> str:
        return self._pattern[self._at]

    def _next(self) -> str:
        if self.at_end:
            raise _Unreadable
        self._at += 1
        return self._pattern[self._at - 1]

    def _take(self, char: str) -> bool:
        if not self.at_end and self._peek() == char:
            self._at += 1
            return True
        return False

    def _until(self, end: str) -> str:
        stop = self._pattern.find(end, self._at)
        if stop < 0:
            raise _Unreadable
        text, self._at = self._pattern[self._at : stop], stop + 1
        return text


def _class_chars(inside: str) -> tuple[str, ...]:
    if inside.startswith("^"):
        return (_ANY,)
    if "0-9" in inside or "\\d" in inside:
        return (_DIGIT,)
    inside = re.sub(r"(\d)-(\d)", lambda m: "".join(map(str, range(int(m[1]), int(m[2]) + 1))), inside)
    if "-" in inside or "\\" in inside or not inside:
        raise _Unreadable
    return tuple(inside)


def _bounded(found: Sequence[_Spelling]) -> list[_Spelling]:
    if len(found) > MAX_SPELLINGS:
        raise _Unreadable
    return list(found)
