"""Which word model homophone repair uses: the file of the setting, else the one that a Debian package brings; optional.

Debian's `libime-data-language-model` has a trigram model of 165 000 Chinese words. Without a file, or with one that cannot be
used, there is no repair and everything else works.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from callqa.errors import WordModelError
from callqa.transcribe.ngrams import Float, Ints, Trigrams, read_trigrams

log = logging.getLogger(__name__)

USUAL_PLACES: Final = tuple(
    Path(folder) / "libime" / "zh_CN.lm"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/share")
)


class WordModel(Protocol):
    """How likely a word is after the two before it. Words have numbers: their places in `words`; 0 is any unknown word."""

    @property
    def name(self) -> str:
        """For the transcript's options: file and hash."""

    @property
    def words(self) -> Sequence[str]:
        """Every word the model knows, by number; marks of its own begin with `<`."""

    def scores(self, before: Ints, words: Ints) -> Float:
        """float32 (k, n): log10 probability of each of n words after each of k pairs of words (k, 2), -1 being none."""


@dataclass(frozen=True, slots=True)
class FileModel:
    """WordModel over a file."""

    path: Path
    trigrams: Trigrams

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name} {self.trigrams.sha256[:12]}"

    @property
    def words(self) -> Sequence[str]:
        return self.trigrams.words

    def scores(self, before: Ints, words: Ints) -> Float:
        return self.trigrams.scores(before, words)


def locate_word_model(wanted: Path | None = None) -> Path | None:
    """The file that is used: the wanted one, there or not, else the first of the usual places that exists."""
    return wanted or next((place for place in USUAL_PLACES if place.is_file()), None)


def load_word_model(path: Path) -> WordModel:
    """Read the file, which takes a fifth of a second. Raise WordModelError, in Chinese."""
    return FileModel(path, read_trigrams(path))


def find_word_model(wanted: Path | None = None) -> WordModel | None:
    """The word model of this machine; None without one, or, with a line in the log, where it cannot be used."""
    path = locate_word_model(wanted)
    if path is None:
        return None
    try:
        return load_word_model(path)
    except WordModelError as e:
        log.error("%s；不做同音修正，其余照常", e)
        return None
