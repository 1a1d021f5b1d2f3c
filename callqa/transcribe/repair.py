"""Homophone repair: among all texts that sound like what the engine wrote, the one a word trigram model finds likeliest.

Whisper base hears the syllable and often writes another character of the same sound (水污 for 水务). The search goes over a
lattice of words by pinyin; every changed character costs, the more the surer the engine was of it and the less alike the
two sound. Figures, Latin letters and number characters never change and never arise: a number that was read back must stay
as it was heard. Nothing here knows the call's ticket, for the same reason. Pure but for the model it is given.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from pypinyin import Style, pinyin

from callqa.speech import Repair
from callqa.text import syllables
from callqa.transcribe.homophones import MAX_WORD_CHARS, Homophones, index_words, loosely_near, near
from callqa.transcribe.language import WordModel, find_word_model
from callqa.transcribe.vocabulary import NO_VOCABULARY, Vocabulary

NUMBER_CHARS: Final = frozenset("零〇一二三四五六七八九十百千万亿两幺半几")


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
class _Path:
    score: float
    state: Any
    words: tuple[str, ...]

    @property
    def history(self) -> tuple[str, ...]:
        return self.words[-2:]


@dataclass(frozen=True, slots=True)
class Repairer:
    """The language model, the index of its words and those of the service vocabulary."""

    model: WordModel
    homophones: Homophones
    vocabulary: Vocabulary
    costs: Costs = field(default_factory=Costs)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """For the transcript's `Made`."""
        return (("repair", self.model.name), ("vocabulary", self.vocabulary.vocabulary_hash[:12] or "none"))

    def repair(self, text: str, probabilities: Sequence[float]) -> Repaired:
        """The likeliest text that sounds like `text` (simplified); one engine probability per character."""
        out, likelihood = list(text), 0.0
        for first, last in _han_runs(text):
            best = self._likeliest(text[first:last], probabilities[first:last])
            out[first:last] = "".join(best.words)
            likelihood += best.score
        repaired = "".join(out)
        return Repaired(repaired, _differing(text, repaired), likelihood, text)

    def _likeliest(self, run: str, probabilities: Sequence[float]) -> _Path:
        sounds = syllables(run)
        paths: list[list[_Path]] = [[] for _ in range(len(run) + 1)]
        paths[0] = [_Path(0.0, self.model.begin(), ())]
        for at in range(len(run)):
            best = _pruned(paths[at], self.costs.beam)
            for word, cost in self._options(run, sounds, probabilities, at):
                for path in best:
                    paths[at + len(word)].append(self._extended(path, word, cost))
        return max(paths[-1], key=lambda path: path.score)

    def _extended(self, path: _Path, word: str, cost: float) -> _Path:
        likelihood, state = self.model.score(path.state, word)
        known = self.vocabulary.words.get(word)
        if known is not None and known > likelihood:
            likelihood = known
        return _Path(path.score + likelihood - cost, state, (*path.words, word))

    def _options(
        self, run: str, sounds: Sequence[str], probabilities: Sequence[float], at: int
    ) -> Iterable[tuple[str, float]]:
        """Words that may stand at `at`, each with what its changes cost; the characters as written among them."""
        found: dict[str, float] = {run[at]: 0.0}
        for length in range(1, min(MAX_WORD_CHARS, len(run) - at) + 1):
            written = run[at : at + length]
            own = tuple(sounds[at : at + length])
            for heard, extra in self._variants(own):
                for word in self.homophones.words(heard):
                    cost = self._cost(written, word, probabilities[at : at + length])
                    if cost is not None and cost + extra < found.get(word, 1e9):
                        found[word] = cost + extra
        return found.items()

    def _variants(self, own: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], float]]:
        yield own, 0.0
        for n, sound in enumerate(own):
            for other in near(sound):
                yield (*own[:n], other, *own[n + 1 :]), self.costs.near_sound
            for other in loosely_near(sound) if len(own) > 1 else ():
                yield (*own[:n], other, *own[n + 1 :]), self.costs.loose_sound

    def _cost(self, written: str, word: str, probabilities: Sequence[float]) -> float | None:
        """What changing `written` to `word` costs; None when a number would change or arise."""
        total = 0.0
        for old, new, probability in zip(written, word, probabilities, strict=True):
            if old == new:
                continue
            if old in NUMBER_CHARS or new in NUMBER_CHARS:
                return None
            total += self.costs.changed + self.costs.sure * probability
            total += 0.0 if _tones(old) & _tones(new) else self.costs.other_tone
        return total


def build_repairer(model: WordModel, vocabulary: Vocabulary = NO_VOCABULARY) -> Repairer:
    """Index the words of the model and of the vocabulary."""
    return Repairer(model, index_words([*model.words(), *vocabulary.words]), vocabulary)


def load_repairer(vocabulary: Vocabulary = NO_VOCABULARY) -> Repairer | None:
    """The repairer of this machine; None where no word model is installed. Takes a second: load once per process."""
    model = find_word_model()
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


def _pruned(paths: list[_Path], beam: int) -> list[_Path]:
    """The best path of each history, at most `beam`."""
    best: dict[tuple[str, ...], _Path] = {}
    for path in paths:
        if path.history not in best or path.score > best[path.history].score:
            best[path.history] = path
    return sorted(best.values(), key=lambda path: -path.score)[:beam]


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
