"""词表: lists of words, and finding them in what was said — exactly, or by sound where the speech engine may have
written another character.

Sound matching compares toneless syllables one by one and never inserts or drops one. A word of four characters or more may
differ in one syllable, and only by a near sound (sh/s, n/l, in/ing). A strict word list (服务忌语) allows no such
difference and no match across the end of a sentence. Who matches by sound alone is told so (`exact=False`).
"""

from dataclasses import dataclass
from functools import lru_cache

from callqa.text import Normalised, is_han, normalised_with_positions, spoken_with_positions, syllables

STRICT_PREFIX = "taboo_"
# One edit per four syllables: in a word of two or three, one other syllable makes another word.
SYLLABLES_PER_EDIT = 4
_SENTENCE_ENDS = frozenset("。！？!?；;\n")
_NEAR_INITIALS = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("n", "l"), ("h", "f"), ("r", "l"))


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A named list of words; name is "" for words written in the check itself."""

    name: str
    words: tuple[str, ...]

    @property
    def strict(self) -> bool:
        """Whether a hit is an accusation (服务忌语), so that only equal sounds count."""
        return self.name.startswith(STRICT_PREFIX)


@dataclass(frozen=True, slots=True)
class SoundRule:
    """How far a match by sound may go: the rubric's machine.homophone_match."""

    enabled: bool = True
    max_edit: int = 1
    min_chars: int = 2


EXACT_ONLY = SoundRule(enabled=False)


@dataclass(frozen=True, slots=True)
class WordMatch:
    """A word found in a text: [start, end) in the original text; exact is False when only the sound agrees."""

    word: str
    start: int
    end: int
    exact: bool


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[Normalised, Normalised]:
    return normalised_with_positions(text), spoken_with_positions(text)


def find_word(word: str, text: str, rule: SoundRule, *, strict: bool = False) -> WordMatch | None:
    """The first place of a word in a text, an exact one before one by sound; None when it is not there."""
    for word_form, text_form in zip(_forms(word), _forms(text), strict=True):
        start = _find_exact(word_form.text, text_form, text, strict=strict)
        if start is not None:
            return WordMatch(word, *text_form.original_span(start, start + len(word_form.text)), exact=True)
    if not rule.enabled:
        return None
    word_form, text_form = _forms(word)[0], _forms(text)[0]
    start = _find_by_sound(word_form.text, text_form, text, rule, strict=strict)
    if start is None:
        return None
    return WordMatch(word, *text_form.original_span(start, start + len(word_form.text)), exact=False)


def find_words(words: tuple[str, ...], text: str, rule: SoundRule, *, strict: bool = False) -> tuple[WordMatch, ...]:
    """Every word of the list that the text holds, each once, in order of place."""
    found = [match for word in words if (match := find_word(word, text, rule, strict=strict)) is not None]
    return tuple(sorted(found, key=lambda match: (match.start, match.end)))


def _find_exact(word: str, form: Normalised, original: str, *, strict: bool) -> int | None:
    start = form.text.find(word) if word else -1
    while start >= 0:
        if not strict or not _crosses_sentence(form, original, start, start + len(word)):
            return start
        start = form.text.find(word, start + 1)
    return None


def _find_by_sound(word: str, form: Normalised, original: str, rule: SoundRule, *, strict: bool) -> int | None:
    if len(word) < max(2, rule.min_chars) or not all(is_han(char) for char in word):
        return None
    wanted, heard = syllables(word), syllables(form.text)
    allowed = 0 if strict else min(rule.max_edit, len(word) // SYLLABLES_PER_EDIT)
    for start in range(len(heard) - len(wanted) + 1):
        stretch = slice(start, start + len(wanted))
        if not all(is_han(char) for char in form.text[stretch]):
            continue
        if _sounds_like(wanted, heard[stretch], allowed) and not (
            strict and _crosses_sentence(form, original, start, start + len(wanted))
        ):
            return start
    return None


def _crosses_sentence(form: Normalised, original: str, start: int, end: int) -> bool:
    first, last = form.original_span(start, end)
    return any(char in _SENTENCE_ENDS for char in original[first:last])


def _sounds_like(wanted: tuple[str, ...], heard: tuple[str, ...], allowed: int) -> bool:
    edits = 0
    for a, b in zip(wanted, heard, strict=True):
        if a == b:
            continue
        edits += 1
        if edits > allowed or not near_syllable(a, b):
            return False
    return True


@lru_cache(maxsize=65536)
def near_syllable(a: str, b: str) -> bool:
    """Whether two toneless syllables are often taken for each other (shi/si, nan/lan, xin/xing)."""
    return a == b or blurred_syllable(a) == blurred_syllable(b)


def blurred_syllable(syllable: str) -> str:
    """A toneless syllable without what speakers and engines mix up: zh/z, n/l, -ng/-n."""
    for heavy, light in _NEAR_INITIALS:
        if syllable.startswith(heavy):
            syllable = light + syllable[len(heavy) :]
            break
    return syllable[:-1] if syllable.endswith("ng") else syllable
