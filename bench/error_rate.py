"""Character error rate of transcripts against exact references: strict, micro-averaged, with an interval over calls.

Both sides are compared as simplified Han and Latin characters; punctuation and spaces do not count. Figures that the engine
wrote are read out, digit by digit or as a number, whichever is nearer to what was said. Pure, and nothing of the product.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zhconv import convert

DIGITS: Final = "零一二三四五六七八九"
ROUNDS: Final = 2000
_ONE_SOUND: Final = str.maketrans({"幺": "一", "〇": "零", "○": "零", **{chr(0xFF10 + n): str(n) for n in range(10)}})
_FIGURES: Final = re.compile(r"(\d+(?:\.\d+)?)")
_BETWEEN_FIGURES: Final = re.compile(r"(?<=\d)[\s,，-]+(?=\d)")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%")
_NO_LETTER: Final = re.compile(r"[^\u4e00-\u9fffA-Za-z]")
_MAX_NUMBER_DIGITS: Final = 8  # nobody reads a longer one as a number


@dataclass(frozen=True, slots=True)
class Errors:
    """Wrong, missing and added characters of one speaker in one call, of so many that were said."""

    call: str
    speaker: str
    errors: int
    said: int


def count_errors(call: str, turns: Iterable[dict[str, Any]], segments: Iterable[dict[str, Any]]) -> list[Errors]:
    """One row a speaker. turns, segments: {speaker, start, text}; those of one speaker are joined in order of time."""
    found = []
    for speaker in ("agent", "citizen"):
        said, heard = _joined(turns, speaker), _joined(segments, speaker)
        said = letters(plain(said))
        found.append(Errors(call, speaker, distance(said, read_out(heard, said)), len(said)))
    return found


def error_rate(rows: Sequence[Errors]) -> float | None:
    """Of all characters together; None where nothing was said."""
    said = sum(row.said for row in rows)
    return sum(row.errors for row in rows) / said if said else None


def interval(rows: Sequence[Errors], rounds: int = ROUNDS) -> tuple[float, float] | None:
    """95 % percentile interval of the error rate, calls drawn with replacement from a fixed seed."""
    calls = [[row for row in rows if row.call == call] for call in dict.fromkeys(row.call for row in rows)]
    sums = [(sum(row.errors for row in call), sum(row.said for row in call)) for call in calls]
    if not any(said for _, said in sums):
        return None
    rng = random.Random(1)
    rates = []
    while len(rates) < rounds:
        drawn = rng.choices(sums, k=len(sums))
        if any(said for _, said in drawn):
            rates.append(sum(errors for errors, _ in drawn) / sum(said for _, said in drawn))
    rates.sort()
    return rates[int(0.025 * rounds)], rates[int(0.975 * rounds)]


def plain(text: str) -> str:
    """Simplified, with one character for each digit's sound."""
    return str(convert(text, "zh-cn")).translate(_ONE_SOUND)


def letters(text: str) -> str:
    """Han and Latin characters alone."""
    return _NO_LETTER.sub("", text).upper()


def read_out(heard: str, said: str) -> str:
    """What was heard as letters, each figure in the reading that comes nearest to what was said, from left to right."""
    text = _PERCENT.sub(r"百分之\1", plain(heard))
    parts = _FIGURES.split(_BETWEEN_FIGURES.sub("", text))
    ways = [readings(part) if n % 2 else [letters(part)] for n, part in enumerate(parts)]
    chosen = [way[0] for way in ways]
    for n, choices in enumerate(ways):
        if len(choices) > 1:
            before, after = "".join(chosen[:n]), "".join(chosen[n + 1 :])
            chosen[n] = min(choices, key=lambda way: distance(said, before + way + after))
    return "".join(chosen)


def readings(figure: str) -> list[str]:
    """Ways to say a figure: digit by digit, and as a number where it can be one (12 -> 一二, 十二)."""
    whole, _, part = figure.partition(".")
    tail = "点" + "".join(DIGITS[int(digit)] for digit in part) if part else ""
    ways = ["".join(DIGITS[int(digit)] for digit in whole) + tail]
    if len(whole) <= _MAX_NUMBER_DIGITS and (whole == "0" or not whole.startswith("0")):
        ways.append(number_in_words(int(whole)) + tail)
    return list(dict.fromkeys(ways))


def number_in_words(number: int) -> str:
    """A number below 10^8 as it is read: 108 -> 一百零八, 12 -> 十二, 20300 -> 二万零三百."""
    if not number:
        return DIGITS[0]
    high, low = divmod(number, 10_000)
    words = f"{_below_ten_thousand(high)}万" if high else ""
    words += DIGITS[0] if high and 0 < low < 1000 else ""
    words += _below_ten_thousand(low)
    return words[1:] if words.startswith("一十") else words


def _below_ten_thousand(number: int) -> str:
    words = ""
    for digit, unit in zip(f"{number:04d}", "千百十 ", strict=True):
        if digit == "0":
            words += DIGITS[0] if words and not words.endswith(DIGITS[0]) else ""
        else:
            words += DIGITS[int(digit)] + unit.strip()
    return words.rstrip(DIGITS[0])


def distance(a: str, b: str) -> int:
    """Levenshtein distance, the columns of a as bits of one integer (Myers 1999, in the form of Hyyrö 2003)."""
    if not a:
        return len(b)
    places: dict[str, int] = {}
    for n, char in enumerate(a):
        places[char] = places.get(char, 0) | 1 << n
    every, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, score = every, 0, len(a)
    for char in b:
        same = places.get(char, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = (down | ~(diagonal | up)) & every, up & diagonal
        score += bool(right & last) - bool(left & last)
        right, left = (right << 1) | 1, left << 1
        up, down = (left | ~(diagonal | right)) & every, right & diagonal
    return score


def _joined(parts: Iterable[dict[str, Any]], speaker: str) -> str:
    own = sorted((part for part in parts if part["speaker"] == speaker), key=lambda part: part["start"])
    return "".join(part["text"] for part in own)
