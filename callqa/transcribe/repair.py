"""Homophone repair: among all texts that sound like what the engine wrote, the one a word trigram model finds likeliest.

Whisper base hears the syllable and often writes another character of the same sound (水污 for 水务). The search goes over a
lattice of words by pinyin; every changed character costs, the more the surer the engine was of it and the less alike the
two sound. Figures, Latin letters and number characters never change and never arise: a number that was read back must stay
as it was heard. Nothing here knows the call's ticket, for the same reason. Two exceptions: a single 一 that counts nothing may
become part of a word of the vocabulary (买一码 -> 满意吗), and 要 among digits is the 幺 that it sounds like. Pure but for the model
it is given.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from pypinyin import Style, pinyin

from callqa.speech import Repair
from callqa.text import syllables
from callqa.transcribe.homophones import MAX_WORD_CHARS, Homophones, index_words, loosely_near, near, sound_twins
from callqa.transcribe.language import WordModel, find_word_model
from callqa.transcribe.lattice import Choices, Doubles, Ints, likeliest
from callqa.transcribe.ngrams import UNKNOWN
from callqa.transcribe.vocabulary import NO_VOCABULARY, Vocabulary

log = logging.getLogger(__name__)

NUMBER_CHARS: Final = frozenset("零〇一二三四五六七八九十百千万亿两幺半几")
# A single 一 that counts nothing may be misheard too (满意吗 -> 买一码); LONE stands for it while the search runs.
LONE: Final = "\ue000"
_COUNTED: Final = frozenset("号栋幢座单楼层室户期门组区街路巷弄村队环元块毛点分秒时天周月年日次个位条吨方立米公")
# 幺, as 1 is read in numbers, comes out as 要: after three digits when the number ends or goes on, before the other ten of a mobile.
_DIGIT: Final = "[0-9零〇一二三四五六七八九幺]"
_YAO: Final = re.compile(
    rf"(?<={_DIGIT}{{3}})[要药腰](?={_DIGIT}|[^\u4e00-\u9fff]|$)|(?<!{_DIGIT})[要药腰](?=(?:{_DIGIT}[-, ]?){{10}}(?!{_DIGIT}))"
)
_MOST_BLOCKS: Final = 20_000  # the same few hundred characters come again in every call


@dataclass(frozen=True, slots=True)
class Costs:
    """What a changed character costs, in units of log10 probability, and how wide the search is."""

    changed: float = 0.5
    sure: float = 1.0  # times the engine's probability of the character
    other_tone: float = 0.4
    near_sound: float = 0.5
    loose_sound: float = 2.5  # only in words of two characters or more
    beam: int = 12


@dataclass(frozen=True, slots=True)
class Repaired:
    """A text of the same length, and the stretches of it that are not as the engine wrote them (`heard`).

    likelihood: log10 of the word model for its Han characters, less the costs of the changes.
    """

    text: str
    changed: tuple[tuple[int, int], ...] = ()
    likelihood: float = field(default=0.0, compare=False)
    heard: str = field(default="", compare=False)

    @property
    def share(self) -> float:
        """Part of the letters and figures that was changed."""
        total = sum(char.isalnum() for char in self.text)
        return sum(last - first for first, last in self.changed) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class _Block:
    """Words that may be meant by some written characters, whatever the engine thought of these.

    numbers: those of the model, then of the vocabulary's own words, then one for each unknown character. changed: (n, length)
    1.0 where a character differs. costs: without the engine's part. texts: the words.
    """

    texts: tuple[str, ...]
    numbers: Ints
    costs: Doubles
    changed: Doubles


@dataclass(frozen=True, slots=True)
class Repairer:
    """The language model, the index of its words and those of the service vocabulary.

    numbers: of each word; those not in the model follow its own. floors: least log10 probability by number.
    twins: vocabulary words that sound alike: nobody hears which was said, so the repair writes none of them.
    """

    model: WordModel
    homophones: Homophones
    vocabulary: Vocabulary
    numbers: Mapping[str, int]
    floors: Doubles
    twins: tuple[tuple[str, ...], ...] = ()
    costs: Costs = field(default_factory=Costs)
    _blocks: dict[tuple[str, tuple[str, ...]], _Block] = field(default_factory=dict, compare=False, repr=False)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """For the transcript's `Made`."""
        return (("repair", self.model.name), ("vocabulary", self.vocabulary.vocabulary_hash[:12] or "none"))

    def repair(self, text: str, probabilities: Sequence[float]) -> Repaired:
        """The likeliest text that sounds like `text` (simplified); one engine probability per character."""
        numbered = _YAO.sub("幺", text)
        out, likelihood = list(numbered), 0.0
        marked = _with_lone_ones(numbered)
        for first, last in _han_runs(numbered):
            found, score = self._likeliest(marked[first:last], np.array(probabilities[first:last]))
            out[first:last] = found
            likelihood += score
        repaired = "".join(out)
        return Repaired(repaired, _differing(text, repaired), likelihood, text)

    def _likeliest(self, run: str, probabilities: Doubles) -> tuple[str, float]:
        sounds = syllables(run.replace(LONE, "一"))
        blocks: list[list[_Block]] = []

        def choices(at: int) -> Choices:
            lengths = range(1, min(MAX_WORD_CHARS, len(run) - at) + 1)
            here = [self._block(run[at : at + length], tuple(sounds[at : at + length])) for length in lengths]
            blocks.append(here)
            unsure = [
                block.costs + self.costs.sure * (block.changed @ probabilities[at : at + length])
                for block, length in zip(here, lengths, strict=True)
            ]
            sizes = [len(block.texts) for block in here]
            return Choices(
                np.concatenate([block.numbers for block in here]), np.repeat(lengths, sizes), np.concatenate(unsure)
            )

        way = likeliest(len(run), choices, self._told, self.costs.beam)
        return "".join(_text(blocks[place], choice) for place, choice in way.steps), way.score

    def _told(self, history: Ints, numbers: Ints) -> Doubles:
        n_words = len(self.model.words)
        before, words = (np.where(each < n_words, each, UNKNOWN) for each in (history, numbers))
        floors = self.floors[np.minimum(numbers, len(self.floors) - 1)]
        return np.maximum(self.model.scores(before, words).astype(np.float64), floors)

    def _block(self, written: str, own: tuple[str, ...]) -> _Block:
        key = written, own
        found = self._blocks.get(key)
        if found is None:
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks.clear()
            found = self._blocks[key] = self._made_block(written, own)
        return found

    def _made_block(self, written: str, own: tuple[str, ...]) -> _Block:
        plain = written.replace(LONE, "一")
        extras: dict[str, float] = {plain: 0.0} if len(plain) == 1 else {}
        for heard, extra in self._variants(own):
            for word in self.homophones.words(heard):
                if extra < extras.get(word, np.inf) and self._may_write(word, written):
                    extras[word] = extra
        changed = np.array([[a != b for a, b in zip(plain, word, strict=True)] for word in extras], float)
        costs = [extra + self._tone_cost(plain, word) for word, extra in extras.items()]
        return _Block(
            tuple(extras),
            np.array([self._number(word) for word in extras], np.int64),
            np.array(costs) + self.costs.changed * changed.sum(axis=-1) if costs else np.zeros(0),
            changed.reshape(len(extras), len(written)),
        )

    def _may_write(self, word: str, written: str) -> bool:
        """Whether the repair may put this word: no number may change or arise, a lone 一 only become part of a word of the
        vocabulary, and no twin be chosen."""
        if word == written.replace(LONE, "一"):
            return True
        one_changes = any(old == LONE and new != "一" for old, new in zip(written, word, strict=True))
        if one_changes and (len(word) == 1 or word not in self.vocabulary.words):
            return False
        return not _touches_number(written, word) and not any(word in group for group in self.twins)

    def _number(self, word: str) -> int:
        known = self.numbers.get(word)
        return (
            len(self.floors) - 1 + ord(word) if known is None else known
        )  # only a single written character is unknown

    def _variants(self, own: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], float]]:
        yield own, 0.0
        for n, sound in enumerate(own):
            for other in near(sound):
                yield (*own[:n], other, *own[n + 1 :]), self.costs.near_sound
            for other in loosely_near(sound) if len(own) > 1 else ():
                yield (*own[:n], other, *own[n + 1 :]), self.costs.loose_sound

    def _tone_cost(self, written: str, word: str) -> float:
        return sum(
            self.costs.other_tone
            for old, new in zip(written, word, strict=True)
            if old != new and not _tones(old) & _tones(new)
        )


def _touches_number(written: str, word: str) -> bool:
    """Whether a number would change or arise."""
    return any(
        old != new and (old in NUMBER_CHARS or (new in NUMBER_CHARS and (old, new) != (LONE, "一")))
        for old, new in zip(written, word, strict=True)
    )


def _with_lone_ones(text: str) -> str:
    """The text with LONE for each 一 that is beside no other number and before no unit: no part of what was read back."""

    def counts(n: int) -> bool:
        before, after = text[n - 1 : n], text[n + 1 : n + 2]
        beside = (before, after)
        return before == "第" or after in _COUNTED or any(c.isdigit() or c in NUMBER_CHARS for c in beside)

    return "".join(LONE if char == "一" and not counts(n) else char for n, char in enumerate(text))


def _text(blocks: Sequence[_Block], choice: int) -> str:
    """The word with that number in the choices made of these blocks."""
    for block in blocks:
        if choice < len(block.texts):
            return block.texts[choice]
        choice -= len(block.texts)
    raise IndexError(choice)


def build_repairer(model: WordModel, vocabulary: Vocabulary = NO_VOCABULARY) -> Repairer:
    """Index the words of the model and of the vocabulary."""
    numbers = {word: n for n, word in enumerate(model.words) if not word.startswith("<")}
    own = [word for word in vocabulary.words if word not in numbers]
    numbers |= {word: len(model.words) + n for n, word in enumerate(own)}
    floors = np.full(len(model.words) + len(own) + 1, -np.inf)  # the last one: any unknown character
    floors[[numbers[word] for word in vocabulary.words]] = list(vocabulary.words.values())
    twins = sound_twins(vocabulary.words)
    if twins:
        log.warning(
            "词表里有听不出分别的词，同音修正不在它们之间选：%s", "、".join("／".join(group) for group in twins)
        )
    floors[[numbers[word] for group in twins for word in group]] = -np.inf
    return Repairer(model, index_words(numbers), vocabulary, numbers, floors, twins)


def load_repairer(vocabulary: Vocabulary = NO_VOCABULARY, word_model: Path | None = None) -> Repairer | None:
    """The repairer of this machine; None where no word model can be used. Takes a second: load once per process.

    word_model: the file of the setting, None for the usual places.
    """
    model = find_word_model(word_model)
    return None if model is None else build_repairer(model, vocabulary)


def placed(repaired: Repaired, final: str) -> tuple[Repair, ...]:
    """The repaired stretches in `final`, the same text with other punctuation."""
    letters = [n for n, char in enumerate(repaired.text) if char.isalnum()]
    places = [n for n, char in enumerate(final) if char.isalnum()]
    if len(letters) != len(places):  # cannot be told: all of it counts as repaired
        return (Repair(0, len(final), repaired.heard),) if repaired.changed else ()
    there = dict(zip(letters, places, strict=True))
    found: list[Repair] = []
    for first, last in repaired.changed:
        # Punctuation may have come between the characters of one stretch.
        for n in range(first, last):
            at = there[n]
            if found and found[-1].end == at:
                found[-1] = Repair(found[-1].start, at + 1, found[-1].was + repaired.heard[n])
            else:
                found.append(Repair(at, at + 1, repaired.heard[n]))
    return tuple(found)


def _han_runs(text: str) -> Iterator[tuple[int, int]]:
    first = None
    for n, char in enumerate([*text, ""]):
        han = bool(char) and "\u4e00" <= char <= "\u9fff"
        if han and first is None:
            first = n
        elif not han and first is not None:
            yield first, n
            first = None


def _differing(old: str, new: str) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for n, (a, b) in enumerate(zip(old, new, strict=True)):
        if a == b:
            continue
        if spans and spans[-1][1] == n:
            spans[-1] = (spans[-1][0], n + 1)
        else:
            spans.append((n, n + 1))
    return tuple(spans)


@lru_cache(maxsize=30_000)
def _tones(char: str) -> frozenset[str]:
    return frozenset(syllable[-1:] for syllable in pinyin(char, style=Style.TONE3, heteronym=True)[0])
