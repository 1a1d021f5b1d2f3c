"""Doubt: reasons not to believe what the engine wrote for one turn. Pure.

A turn with a grave doubt is decoded again in other company (assemble.py); one that still has any doubt stays, marked unreliable.
So is a whole side that has too few characters for its speech.
Text that is certainly none of the speaker's (a known invention, the prompt read aloud) is dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log10
from typing import Final

from callqa.speech import Span
from callqa.transcribe.engine import Word
from callqa.transcribe.vocabulary import leaks_prompt


class Doubt(StrEnum):
    """Why a turn's text is not to be relied on."""

    EMPTY = "empty"  # speech, but no text
    COVERAGE = "coverage"  # far fewer characters than the time asks for
    RATE = "rate"  # more characters than anybody says in the time
    FAST = "fast"  # speech faster than a small model follows
    REPEATS = "repeats"  # the engine went round in a loop
    COMPRESSION = "compression"
    NO_SPEECH = "no_speech"  # the engine itself thinks nobody spoke
    PROBABILITY = "probability"  # words hardly more likely than others
    FOREIGN = "foreign"  # mostly neither Chinese nor figures
    INVENTED = "invented"  # a sentence Whisper is known to make up, or its prompt


MIN_CHARS_PER_S: Final = 2.0
COVERAGE_FROM_MS: Final = 1_500  # shorter turns may be one long 嗯
MAX_CHARS_PER_S: Final = 10.0  # the fastest hotline speech measured is 8.4
RATE_SLACK_CHARS: Final = 2
FAST_CHARS_PER_S: Final = 7.5  # usual agents speak 5 to 6; from here on base gets every second character wrong
FAST_FROM_MS: Final = 1_000
MAX_REPAIRED_SHARE: Final = 0.50  # with more of it rewritten, a turn is a guess
MAX_COMPRESSION: Final = 2.4
NO_SPEECH: Final = 0.6
NO_SPEECH_PROBABILITY: Final = 0.45  # a silent window is believed silent only when its words are also unlikely
MIN_PROBABILITY: Final = 0.65  # under it, turns have two to three times the mean error rate (docs/transcription.md)
AGAIN_PROBABILITY: Final = 0.60  # under it a second decode is often another, likelier text
_LEAST_PROBABILITY: Final = 0.001
RIVAL_PROBABILITY: Final = 0.80  # over it a second text is hardly ever the better one
_LOOP = re.compile(r"(.{1,8}?)\1{4,}")
_DIGITS = re.compile(r"[\d零一二三四五六七八九幺]+")
# What the training subtitles of Whisper end with; no caller of a hotline says it.
_INVENTIONS: Final = re.compile(
    "字幕|点赞|訂閱|订阅|轉發|转发打赏|打賞|明镜与|明鏡與|感谢观看|感謝觀看|谢谢观看|謝謝觀看|谢谢收看|謝謝收看|"
    "優優獨播|优优独播|中文字幕|Amara|索蘭婭|索兰娅|MING PAO|不吝"
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one decode gave for one turn. prompt: what the engine was told before."""

    turn: Span
    words: tuple[Word, ...]
    no_speech: float
    compression_ratio: float
    prompt: str

    @property
    def raw(self) -> str:
        return "".join(word.text for word in self.words)

    @property
    def text(self) -> str:
        return self.raw.strip()

    @property
    def n_chars(self) -> int:
        return sum(c.isalnum() for c in self.text)

    @property
    def probability(self) -> float:
        """Mean word probability, each word by its characters; 0 without words."""
        weights = [sum(c.isalnum() for c in word.text) for word in self.words]
        total = sum(weights)
        return sum(w.probability * n for w, n in zip(self.words, weights, strict=True)) / total if total else 0.0

    @property
    def log10_probability(self) -> float:
        """Of the whole text, each character as likely as its word."""
        return sum(
            log10(max(word.probability, _LEAST_PROBABILITY)) * sum(c.isalnum() for c in word.text)
            for word in self.words
        )


def doubts(heard: Heard) -> tuple[Doubt, ...]:
    """All reasons to doubt, or () when there is none."""
    if not heard.n_chars:
        return (Doubt.EMPTY,)
    seconds = heard.turn.duration_ms / 1000
    text = heard.text
    silent = heard.no_speech > NO_SPEECH and heard.probability < NO_SPEECH_PROBABILITY
    found = {
        Doubt.COVERAGE: heard.turn.duration_ms >= COVERAGE_FROM_MS and _spoken_chars(text) < MIN_CHARS_PER_S * seconds,
        Doubt.RATE: heard.n_chars > MAX_CHARS_PER_S * seconds + RATE_SLACK_CHARS,
        Doubt.FAST: heard.turn.duration_ms >= FAST_FROM_MS and heard.n_chars > FAST_CHARS_PER_S * seconds,
        Doubt.REPEATS: bool(_LOOP.search(_DIGITS.sub("", text))),
        Doubt.COMPRESSION: heard.compression_ratio > MAX_COMPRESSION,
        Doubt.NO_SPEECH: silent,
        Doubt.PROBABILITY: heard.probability < MIN_PROBABILITY,
        Doubt.FOREIGN: _chinese_share(text) < 0.5,
        Doubt.INVENTED: is_invented(heard),
    }
    return tuple(doubt for doubt, holds in found.items() if holds)


def is_sparse(channel: Sequence[Heard]) -> bool:
    """Whether a side's speech as a whole has far fewer characters than its time asks for: many short turns, of which each may
    well be one long 嗯."""
    seconds = sum(heard.turn.duration_ms for heard in channel) / 1000
    return seconds * 1000 >= COVERAGE_FROM_MS and (
        sum(_spoken_chars(heard.text) for heard in channel) < MIN_CHARS_PER_S * seconds
    )


def asks_again(heard: Heard) -> bool:
    """Whether a second decode is worth its cost: a doubt other than somewhat unlikely words."""
    return heard.probability < AGAIN_PROBABILITY or bool(hard_doubts(heard))


def asks_rival(heard: Heard) -> bool:
    """Whether a decode with a prompt may be the better one; only where a word model can tell."""
    return heard.probability < RIVAL_PROBABILITY or bool(hard_doubts(heard))


def hard_doubts(heard: Heard) -> list[Doubt]:
    """Doubts other than somewhat unlikely words."""
    return [doubt for doubt in doubts(heard) if doubt not in (Doubt.PROBABILITY, Doubt.FAST)]


def is_invented(heard: Heard) -> bool:
    """Whether the text is certainly nobody's speech: a known invention or a piece of the prompt."""
    return bool(_INVENTIONS.search(heard.text)) or leaks_prompt(heard.text, heard.prompt)


def is_loop(heard: Heard) -> bool:
    """Whether the engine went round and round: the text is long and each part of it likely, and says nothing."""
    return not {Doubt.REPEATS, Doubt.COMPRESSION}.isdisjoint(doubts(heard))


def choose(decodes: Sequence[Heard]) -> Heard:
    """The decode to keep: fewest kinds of doubt other than probability, then the higher probability, then the first."""

    def merit(heard: Heard) -> tuple[int, float]:
        return -len(hard_doubts(heard)), heard.probability

    return max(decodes, key=merit)


def _spoken_chars(text: str) -> int:
    """Characters by time: a written percent sign or a figure is at least one syllable."""
    return sum(c.isalnum() or c == "%" for c in text)


def _chinese_share(text: str) -> float:
    letters = [c for c in text if c.isalnum()]
    return sum("一" <= c <= "鿿" or c.isdigit() for c in letters) / len(letters) if letters else 0.0
