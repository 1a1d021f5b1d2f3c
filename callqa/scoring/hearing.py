"""可能说过吗: whether words could have been said where the transcript does not show them.

A speech engine garbles: 满意吗 becomes 买一码, 您好 becomes 一号. So "not heard" says little by itself. Words are sought a
second time, by likeness of sound: toneless syllables are laid along what was written, as near as they will go, a syllable
with the same initial or the same final counting half. How much likeness makes them possible depends on how far the text
is to be trusted (`Trust`); text that is no evidence at all, and speech without text, is judged by its length alone.

The thresholds were measured on transcripts of Whisper base beside the exact text (docs/scoring.md). Nothing here says that
words were said; it only says where a machine must not claim that they were not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from callqa.scoring.lexicon import blurred_syllable
from callqa.text import is_han, spoken_with_positions, syllables

# The fastest hotline speech measured is 8.4 syllables a second; a calm agent says 5 to 6.
MAX_SYLLABLES_PER_S = 8
# Syllables that were written account for at most this much time each; what is left may hold others.
SLOW_SYLLABLE_MS = 300
# How unlike two syllables are (`unlikeness`).
LIKE, HALF = 0.25, 0.5
# Least likeness at which a text may hide the sought words, measured on every stretch of two to six syllables of 13 calls
# (docs/scoring.md). DOUBTFUL: 9 of 10 stretches that were said and garbled are at least so like. CLEAR: such a text is only
# doubted where each syllable is LIKE its counterpart (in more than four, one may be HALF) and half of them are the same.
DOUBTFUL_LIKENESS = 0.5
DOUBTFUL_LIKENESS_LONG = 0.375
LONG_SYLLABLES = 4
CLEAR_LIKENESS = 0.875
SAME_SOUND = 1.0
_NEVER = 1000.0
_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcs")
_FAMILIES = ("bp", "dt", "gk", "jqx", "zcs", "mnl")  # as they are after blurring (zh/z, n/l, r/l, h/f)
_SONORANTS = "mnl"  # an initial of these is easily lost altogether
_DIGIT_SYLLABLES = (("ling",), ("yi", "yao"), ("er",), ("san",), ("si",), ("wu",), ("liu",), ("qi",), ("ba",), ("jiu",))
DIGITS = frozenset(reading for readings in _DIGIT_SYLLABLES for reading in readings)


class Trust(StrEnum):
    """How far the text of an utterance is to be trusted."""

    CLEAR = "clear"  # the engine was sure of it
    DOUBTFUL = "doubtful"  # a guard doubts it, but its sounds are some evidence
    UNREADABLE = "unreadable"  # nothing but its length


@dataclass(frozen=True, slots=True)
class Sound:
    """One syllable that is sought: any of these readings; none given = any syllable. optional: may be absent."""

    readings: frozenset[str]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Sought:
    """Words that are sought: how they are written, and their sounds in order."""

    text: str
    sounds: tuple[Sound, ...]

    @property
    def n_syllables(self) -> int:
        """How many syllables they have at least."""
        return sum(not sound.optional for sound in self.sounds)

    @property
    def n_known(self) -> int:
        """How many of these are known sounds."""
        return sum(bool(sound.readings) and not sound.optional for sound in self.sounds)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much of the sought sounds a text holds (0..1), and the [start, end) of the text that comes nearest."""

    score: float
    start: int
    end: int


@lru_cache(maxsize=4096)
def sought(word: str) -> Sought:
    """A word as it is said; a digit as either of its readings (一, 幺)."""
    return Sought(word, tuple(Sound(readings) for readings, _ in _spoken(word)))


@lru_cache(maxsize=4096)
def _spoken(text: str) -> tuple[tuple[frozenset[str], tuple[int, int]], ...]:
    """The syllables of a text, each with its readings and its place in the text; marks and fillers left out."""
    form = spoken_with_positions(text)
    return tuple(
        (_readings(char, syllable), place)
        for char, syllable, place in zip(form.text, syllables(form.text), form.positions, strict=True)
    )


def _readings(char: str, syllable: str) -> frozenset[str]:
    if char.isascii() and char.isdigit():
        return frozenset(_DIGIT_SYLLABLES[int(char)])
    return frozenset((syllable,)) if is_han(char) else frozenset((char,))


def n_spoken(text: str) -> int:
    """How many syllables a text has, fillers left out."""
    return len(_spoken(text))


@lru_cache(maxsize=65536)
def unlikeness(a: str, b: str) -> float:
    """How unlike two toneless syllables sound: 0 the same (or mixed up by everybody: shi/si), LIKE taken for each other over
    the telephone (man/mai, qiang/xiang, ni/yi), HALF the same initial or the same final, else 1."""
    a, b = blurred_syllable(a), blurred_syllable(b)
    if a == b:
        return 0.0
    (initial_a, final_a), (initial_b, final_b) = _halves(a), _halves(b)
    if initial_a == initial_b:
        return LIKE if _kernel(final_a) == _kernel(final_b) else HALF
    if final_a == final_b:
        return LIKE if _related(initial_a, initial_b) else HALF
    return 1.0


def _halves(syllable: str) -> tuple[str, str]:
    """Initial and final; y and w are no initials but vowels, and the i of zi, ci, si is another one than that of li."""
    for vowel, written in (("yu", "v"), ("yi", "i"), ("y", "i"), ("wu", "u"), ("w", "u")):
        if syllable.startswith(vowel):
            return "", written + syllable[len(vowel) :]
    initial = next((i for i in _INITIALS if syllable.startswith(i)), "")
    final = syllable[len(initial) :]
    if final == "i" and initial in ("z", "c", "s"):
        final = "-i"
    return initial, final


def _kernel(final: str) -> str:
    """The vowel that carries a final: a of an, ai, ao, iang; the rest is what a telephone line loses."""
    return next((vowel for vowel in "aoe" if vowel in final), final[:1])


def _related(a: str, b: str) -> bool:
    if not a or not b:
        return (a or b) in _SONORANTS
    return any(a in family and b in family for family in _FAMILIES)


@lru_cache(maxsize=65536)
def _cost(readings: frozenset[str], heard: frozenset[str], most: float) -> float:
    if not readings:
        return 0.0
    least = min(unlikeness(a, b) for a in readings for b in heard)
    return least if least <= most else _NEVER


@lru_cache(maxsize=65536)
def likeness(wanted: Sought, text: str, most: float = 1.0) -> Likeness:
    """Lay the wanted sounds along a text as near as they will go; both ends of the text are free (Sellers 1980).

    most: the greatest unlikeness of a syllable to its counterpart; under 1, none may be missing or too many either.
    """
    heard = _spoken(text)
    if not wanted.n_known or not heard:
        return Likeness(0.0, 0, 0)
    uneven = 1.0 if most >= 1 else _NEVER
    # A row holds, for each place in the text, the least cost up to there and where that stretch began.
    row = [(0.0, at) for at in range(len(heard) + 1)]
    for sound in wanted.sounds:
        absent = 0.0 if sound.optional or not sound.readings else uneven
        before, row = row, [(row[0][0] + absent, 0)]
        for at, (readings, _) in enumerate(heard, 1):
            steps = (
                (before[at - 1][0] + _cost(sound.readings, readings, most), before[at - 1][1]),
                (before[at][0] + absent, before[at][1]),
                (row[at - 1][0] + uneven, row[at - 1][1]),
            )
            row.append(min(steps))
    at = min(range(len(row)), key=lambda place: row[place][0])
    cost, start = row[at]
    score = max(0.0, 1 - cost / wanted.n_known)
    if start >= at:
        return Likeness(score, 0, 0)
    return Likeness(score, heard[start][1][0], heard[at - 1][1][1])


def room(duration_ms: int) -> int:
    """How many syllables a stretch of speech may hold at most."""
    return -(-duration_ms * MAX_SYLLABLES_PER_S // 1000)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Words that may have been said, and the piece of text that may be them; "" where only the length speaks for it."""

    wanted: Sought
    behind: str


def hidden_in(
    wanted: Iterable[Sought], text: str, duration_ms: int, trust: Trust, clear_likeness: float = CLEAR_LIKENESS
) -> Hidden | None:
    """The first of the sought words that an utterance may hide; None when it has room for none, or sounds like none."""
    for each in wanted:
        if room(duration_ms) < each.n_syllables:
            continue
        behind = _behind(each, text, duration_ms, trust, clear_likeness)
        if behind is not None:
            return Hidden(each, behind)
    return None


def _behind(wanted: Sought, text: str, duration_ms: int, trust: Trust, clear_likeness: float) -> str | None:
    if trust is Trust.UNREADABLE:
        return ""
    if trust is Trust.CLEAR:
        # A single syllable has too many that are like it.
        most = HALF if wanted.n_known > LONG_SYLLABLES else LIKE
        return _nearest(wanted, text, most, clear_likeness) if wanted.n_known > 1 else None
    unwritten_ms = duration_ms - n_spoken(text) * SLOW_SYLLABLE_MS
    if wanted.n_known <= 1 or (unwritten_ms > 0 and room(unwritten_ms) >= wanted.n_syllables):
        return ""
    least = DOUBTFUL_LIKENESS_LONG if wanted.n_known >= LONG_SYLLABLES else DOUBTFUL_LIKENESS
    return _nearest(wanted, text, 1.0, least)


def _nearest(wanted: Sought, text: str, most: float, least: float) -> str | None:
    nearest = likeness(wanted, text, most)
    return text[nearest.start : nearest.end] if nearest.score >= least else None


def anything(n_syllables: int) -> tuple[Sought, ...]:
    """Something of so many syllables, of which nobody knows how it would sound."""
    return (Sought("", (Sound(frozenset()),) * n_syllables),)
