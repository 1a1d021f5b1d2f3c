"""What a person changed in a transcript: the stretches, how many characters, and words worth keeping. Pure."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from callqa.matching import edit_distance
from callqa.privacy import without_digits
from callqa.speech import Repair, Speaker, Transcript
from callqa.text import is_han
from callqa.transcribe.vocabulary import MAX_WORD_CHARS

NUMBER_CHARS: Final = frozenset("零〇一二三四五六七八九幺两十百千万0123456789")
CONTEXT_CHARS: Final = 6
MOST_CELLS: Final = 4_000_000  # of an exact edit distance: a second; longer calls are aligned block by block


@dataclass(frozen=True, slots=True)
class Offer:
    """A word that a person wrote where the machine had written `was`. context: a few characters around it."""

    word: str
    was: str
    context: str


def stretches(was: str, text: str) -> tuple[Repair, ...]:
    """Where `text` differs from `was`, in order."""
    matcher = difflib.SequenceMatcher(None, was, text, autojunk=False)
    return tuple(Repair(j, k, was[i:h]) for tag, i, h, j, k in matcher.get_opcodes() if tag != "equal")


def errors_of(machine: Transcript, confirmed: Transcript) -> tuple[int, int]:
    """(characters to change, insert or delete, characters of the confirmed text); punctuation and case do not count."""
    edits = chars = 0
    for speaker in Speaker:
        wrong, right = (_said(transcript, speaker) for transcript in (machine, confirmed))
        edits += _distance(wrong, right)
        chars += len(right)
    return edits, chars


def offers(was: str, text: str) -> Iterator[Offer]:
    """Words for the vocabulary among the changes of one utterance: Han characters and no numerals.

    A single character is told with its neighbour, since it says nothing alone; a person decides and may change it. Everybody
    who sees the list reads what stood there and around it: a changed number is not offered, one beside it is hidden.
    """
    hidden = without_digits(text)
    for change in stretches(was, text):
        first, last = change.start, change.end
        if not _may_offer(text[first:last]) or without_digits(change.was) != change.was:
            continue
        if last - first == 1 and first > 0 and _may_offer(text[first - 1]):
            first -= 1
        elif last - first == 1 and last < len(text) and _may_offer(text[last]):
            last += 1
        if 2 <= last - first <= MAX_WORD_CHARS:
            before, behind = hidden[max(0, first - CONTEXT_CHARS) : first], hidden[last : last + CONTEXT_CHARS]
            yield Offer(text[first:last], change.was, f"{before}【{text[first:last]}】{behind}")


def _may_offer(text: str) -> bool:
    return bool(text) and all(is_han(char) and char not in NUMBER_CHARS for char in text)


def _said(transcript: Transcript, speaker: Speaker) -> str:
    return "".join(
        char.lower() for u in transcript.utterances if u.speaker is speaker for char in u.text if char.isalnum()
    )


def _distance(a: str, b: str) -> int:
    if len(a) * len(b) <= MOST_CELLS:
        return edit_distance(a, b)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return sum(max(h - i, k - j) for tag, i, h, j, k in matcher.get_opcodes() if tag != "equal")
