# ruff: noqa: T201  run as a script it says what it wrote
"""Which strings of four Han characters the reference calls hold, without their text.

    python -m tests.transcribe.reference_grams DIR

DIR holds the reference of every call (D*.json, `turns` with exact `text`). For each call tests/data/words/reference_grams.txt
gets a line `NAME NUMBER` and then the first 32 bits of the SHA-256 (UTF-8, no salt) of each run of four Han characters of a turn,
punctuation left out, in hexadecimal and in order of value, those of all calls together. 32 bits: a word list of 10,000 other
strings meets one of 3,000 by chance in less than one case of 100.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Set
from pathlib import Path

from callqa.text import is_han

HASHES = Path(__file__).parents[1] / "data" / "words" / "reference_grams.txt"
LENGTH = 4
_PER_LINE = 12


def grams(text: str) -> set[str]:
    """All strings of four Han characters that follow each other, whatever stands between them."""
    han = "".join(filter(is_han, text))
    return {han[i : i + LENGTH] for i in range(len(han) - LENGTH + 1)}


def hashed(gram: str) -> str:
    return hashlib.sha256(gram.encode()).hexdigest()[:8]


def grams_of_call(path: Path) -> set[str]:
    turns = json.loads(path.read_text(encoding="utf-8"))["turns"]
    return set().union(*(grams(turn["text"]) for turn in turns))


def read_hashes(path: Path = HASHES) -> tuple[dict[str, int], frozenset[str]]:
    """(call -> number of its strings, the hashes of all calls' strings)."""
    calls: dict[str, int] = {}
    hashes: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("D"):
            name, number = line.split()
            calls[name] = int(number)
        else:
            hashes |= set(line.split())
    return calls, frozenset(hashes)


def lifted(words: Iterable[str], hashes: Set[str], public: Iterable[str]) -> dict[str, set[str]]:
    """Word -> its strings of four characters that the references hold and no public term does."""
    terms = "\n".join(public)
    found = {word: {gram for gram in grams(word) if hashed(gram) in hashes and gram not in terms} for word in words}
    return {word: strings for word, strings in found.items() if strings}


def main(folder: Path) -> None:
    calls = {path.stem: grams_of_call(path) for path in sorted(folder.glob("D*.json"))}
    values = sorted({hashed(gram) for each in calls.values() for gram in each})
    lines = [f"{name} {len(each)}" for name, each in calls.items()]
    lines += [" ".join(values[i : i + _PER_LINE]) for i in range(0, len(values), _PER_LINE)]
    HASHES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{HASHES}: {len(values)} strings of {len(calls)} calls")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
