"""Word sequences and their likelihood, from an n-gram model in KenLM's binary format; optional.

The only file that uses kenlm. Debian's `libime-data-language-model` brings a trigram model of 165 000 Chinese words, which
is found without a setting. Without package or file `find_word_model` returns None and everything else works.
"""

import importlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

log = logging.getLogger(__name__)

USUAL_PLACES: Final = tuple(
    Path(folder) / "libime" / "zh_CN.lm"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/share")
)
_FIRST_WORD: Final = b"<unk>\x00"  # KenLM appends its vocabulary, ended by zero bytes, with <unk> at the head


class WordModel(Protocol):
    """How likely a word is after the two before it. A state is opaque; equal histories give interchangeable states."""

    @property
    def name(self) -> str:
        """For the transcript's options: file and version."""

    def words(self) -> Iterable[str]:
        """Every word the model knows."""

    def begin(self) -> Any:
        """State before any word."""

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """log10 probability of `word` in `state`, and the state after it."""


class KenlmModel:
    """WordModel over the kenlm package."""

    def __init__(self, kenlm: Any, path: Path) -> None:
        self._kenlm = kenlm
        self._path = path
        self._model = kenlm.Model(str(path))

    @property
    def name(self) -> str:
        return f"{self._path.parent.name}/{self._path.name} {self._path.stat().st_size}"

    def words(self) -> Iterator[str]:
        data = self._path.read_bytes()
        for word in data[data.rfind(_FIRST_WORD) :].split(b"\0"):
            if word and not word.startswith(b"<"):
                yield word.decode("utf-8", "replace")

    def begin(self) -> Any:
        state = self._kenlm.State()
        self._model.NullContextWrite(state)
        return state

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        after = self._kenlm.State()
        return self._model.BaseScore(state, word, after), after


def find_word_model(places: Sequence[Path] | None = None) -> WordModel | None:
    """The first model (of the usual places when None) that can be read; None without one or without the kenlm package."""
    path = next((place for place in places or USUAL_PLACES if place.is_file()), None)
    if path is None:
        return None
    try:
        kenlm = importlib.import_module("kenlm")
    except ImportError:
        log.info("word model %s is there, but the kenlm package is not; homophones stay as heard", path)
        return None
    try:
        return KenlmModel(kenlm, path)
    except (OSError, RuntimeError) as e:
        log.warning("word model %s cannot be read: %s", path, e)
        return None
