"""When private numbers were said: the stretches of a recording that hold them, for taking them out of its sound. Pure.

Transcripts say when an utterance was spoken, not each of its words. So an utterance with a number loses all that could
have been the number at any pace: only what lies further from it than the quickest speaker's words in front and behind
stays. Seven digits are enough, whatever stands in front of them. Where recognition itself doubts its words, digits among them take the whole utterance, and so does speech of which
nothing was understood. Not found: numbers in speech that no voice activity was found for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from callqa.privacy import Turn, find_private, find_suspect
from callqa.speech import Span
from callqa.text import digits_of, speech_chars

QUICKEST_CHARS_PER_S = 10.0  # no stretch of Mandarin is quicker; over 7.5 recognition marks the whole as doubtful
MARGIN_MS = 200  # voice activity begins a little late and ends a little early
DOUBTFUL_DIGITS = 4  # so many in an utterance that recognition doubts may be a misheard piece of a number
LOOPS_FROM = 4  # a text so many times as long as it has different characters is no text
LEAST_UNHEARD_MS = 700  # seven digits at the quickest pace; shorter speech holds no number


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance. turn: with the text in force; raw_text: as the engine wrote it, which a person may have corrected."""

    turn: Turn
    raw_text: str
    reliable: bool


def private_spans(said: Sequence[Said]) -> tuple[Span, ...]:
    """The stretches in order, apart from each other. said: one conversation in order of start."""
    written = [each.turn for each in said]
    heard = [replace(each.turn, text=each.raw_text) for each in said]
    return _joined([*_of_numbers(written), *_of_numbers(heard), *_of_doubts(said)])


def _of_numbers(turns: Sequence[Turn]) -> Iterator[Span]:
    for turn, sure, suspect in zip(turns, find_private(turns), find_suspect(turns), strict=True):
        for part in (*sure, *suspect):
            in_front = speech_chars(turn.text[: part.start]) * 1000 / QUICKEST_CHARS_PER_S
            behind = speech_chars(turn.text[part.end :]) * 1000 / QUICKEST_CHARS_PER_S
            start_ms, end_ms = turn.start_ms + int(in_front), turn.end_ms - int(behind)
            if end_ms <= start_ms:  # more words than the time has room for: their places say nothing
                start_ms, end_ms = turn.start_ms, turn.end_ms
            yield _wider(start_ms, end_ms)


def _of_doubts(said: Sequence[Said]) -> Iterator[Span]:
    for each in said:
        turn = each.turn
        if each.reliable:
            continue
        digits = max(len(digits_of(turn.text)), len(digits_of(each.raw_text)))
        loops = len(set(turn.text)) * LOOPS_FROM < len(turn.text)  # the same few characters again and again
        unheard = (not turn.text or loops) and turn.end_ms - turn.start_ms >= LEAST_UNHEARD_MS
        if unheard or digits >= DOUBTFUL_DIGITS:
            yield _wider(turn.start_ms, turn.end_ms)


def _wider(start_ms: int, end_ms: int) -> Span:
    return Span(max(0, start_ms - MARGIN_MS), max(0, end_ms + MARGIN_MS))


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start_ms <= joined[-1].end_ms:
            joined[-1] = Span(joined[-1].start_ms, max(joined[-1].end_ms, span.end_ms))
        else:
            joined.append(span)
    return tuple(joined)
