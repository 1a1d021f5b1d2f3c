"""The word model file: the same answers as KenLM to the last bit; whatever is not such a file is refused in words."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callqa.errors import WordModelError
from callqa.transcribe import language
from callqa.transcribe.ngrams import MAX_FILE_BYTES, NO_WORD, UNKNOWN, Trigrams, read_trigrams
from tests.transcribe.word_models import SMALL_WORD_MODEL

DATA = SMALL_WORD_MODEL.parent
VALUES: dict[str, dict[str, Any]] = json.loads((DATA / "values.json").read_text(encoding="utf-8"))
SMALL = SMALL_WORD_MODEL.read_bytes()


def debian_model() -> Path:
    """The file of Debian's package. Skip where it is absent; in the CI its absence fails the test."""
    place = next((place for place in language.USUAL_PLACES if place.is_file()), None)
    if place is not None:
        return place
    if os.environ.get("CALLQA_TESTS_REQUIRE_ALL") == "1":
        pytest.fail("libime-data-language-model is required here and not installed")
    pytest.skip("libime-data-language-model is not installed")


def answers(model: Trigrams, cases: list[list[str]]) -> list[np.float32]:
    """log10 probability of the last word of each after those before it."""
    numbers = {word: n for n, word in enumerate(model.words)}
    told = []
    for case in cases:
        earlier, last, word = [NO_WORD] * (3 - len(case)) + [numbers.get(word, UNKNOWN) for word in case]
        told.append(model.scores(np.array([[earlier, last]]), np.array([word]))[0, 0])
    return told


def check_values(model: Trigrams, values: list[tuple[list[str], float]]) -> None:
    told = answers(model, [case for case, _ in values])
    wrong = [
        (case, value, float(ours))
        for (case, value), ours in zip(values, told, strict=True)
        if ours != np.float32(value)
    ]
    assert not wrong


def test_known_ngrams_backoffs_and_unknown_words_have_the_values_of_kenlm() -> None:
    check_values(read_trigrams(SMALL_WORD_MODEL), VALUES["small"]["values"])


def test_every_word_after_every_two_words_has_the_value_of_kenlm() -> None:
    model = read_trigrams(SMALL_WORD_MODEL)
    n = len(model.words)
    assert (n, len(model.bigrams), len(model.trigrams)) == (70, 266, 186)
    pairs = [(NO_WORD, NO_WORD), *((NO_WORD, v) for v in range(n)), *((u, v) for u in range(n) for v in range(n))]
    scores = model.scores(np.array(pairs), np.arange(n))
    assert hashlib.sha256(scores.astype("<f4").tobytes()).hexdigest() == VALUES["small"]["all_scores_sha256"]


def test_debians_model_has_the_values_of_kenlm() -> None:
    model = read_trigrams(debian_model())
    assert len(model.words) > 100_000
    if model.sha256 != VALUES["debian"]["sha256"]:
        pytest.skip("the file of another Debian release, of which no values are known")
    assert (len(model.words), len(model.bigrams), len(model.trigrams)) == (164_887, 1_983_152, 634_213)
    check_values(model, VALUES["debian"]["values"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad_hash_table.lm", "“哈希表”"),
        ("bad_plain_trie.lm", "“字典树”"),
        ("bad_plain_pointers.lm", "“量化的字典树”"),
        ("bad_unfinished.lm", "没有写完"),
        ("bad_arpa.lm", "ARPA"),
        ("none.lm", "读不了"),
        (".", "读不了"),
    ],
)
def test_another_file_is_refused_by_what_it_is(name: str, said: str) -> None:
    with pytest.raises(WordModelError, match=said) as caught:
        read_trigrams(DATA / name)
    assert str(DATA / name) in str(caught.value)


def changed(at: int, value: bytes) -> bytes:
    return SMALL[:at] + value + SMALL[at + len(value) :]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "不是 KenLM"),
        (changed(49, b"4"), "别的版本"),
        (changed(88, b"\2"), "2 元模型"),
        (changed(96, b"\x63"), "第 99 种"),
        (changed(100, b"\0"), "没有词"),
        (changed(108, b"\xff" * 8), "词数"),
        (changed(116, b"\0" * 8), "词数"),
        (changed(116, b"\x0b\x02"), "指针表"),
        (SMALL[:-1], "词不合理"),
        (SMALL + b"x\0", "词不合理"),
        (SMALL[: len(SMALL) // 2], "不完整"),
    ],
)
def test_a_damaged_file_is_refused_by_what_is_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "m.lm"
    path.write_bytes(data)
    with pytest.raises(WordModelError, match=said):
        read_trigrams(path)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.lm"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(WordModelError, match="上限"):
        read_trigrams(path)


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@example([(719, 255)])
def test_a_file_with_wrong_bytes_is_refused_or_answers(
    tmp_path_factory: pytest.TempPathFactory, wrong: list[tuple[int, int]]
) -> None:
    data = bytearray(SMALL)
    for at, value in wrong:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "wrong.lm"
    path.write_bytes(data)
    try:
        model = read_trigrams(path)
    except WordModelError:
        return
    scores = model.scores(np.array([[NO_WORD, NO_WORD], [3, 5], [NO_WORD, 9]]), np.arange(len(model.words)))
    assert scores.shape == (3, 70) and not np.isnan(scores).any()


@pytest.mark.parametrize("end", range(0, len(SMALL), 37))
def test_a_file_cut_short_is_refused(tmp_path: Path, end: int) -> None:
    path = tmp_path / "m.lm"
    path.write_bytes(SMALL[:end])
    with pytest.raises(WordModelError):
        read_trigrams(path)


def test_the_file_of_the_setting_comes_before_the_usual_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(language, "USUAL_PLACES", (tmp_path / "none.lm", SMALL_WORD_MODEL))
    wanted = DATA / "bad_arpa.lm"
    assert language.locate_word_model() == SMALL_WORD_MODEL
    assert language.locate_word_model(wanted) == wanted


def test_a_wanted_file_that_cannot_be_used_means_no_model_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert language.find_word_model(DATA / "bad_hash_table.lm") is None
    assert "哈希表" in caplog.text and "不做同音修正，其余照常" in caplog.text
