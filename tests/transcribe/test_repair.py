"""Homophone repair with a small word model, so that every likelihood is in view."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.speech import Repair
from callqa.transcribe import language
from callqa.transcribe.homophones import index_words, near, readings, sound_twins
from callqa.transcribe.language import load_word_model
from callqa.transcribe.repair import NUMBER_CHARS, Repaired, build_repairer, load_repairer, placed
from callqa.transcribe.vocabulary import Vocabulary, parse_vocabulary
from tests.transcribe.test_ngrams import debian_model
from tests.transcribe.word_models import SMALL_WORD_MODEL, UNLIKELY, Unigrams

REPAIRER = build_repairer(Unigrams())


def packaged_vocabulary() -> Vocabulary:
    return parse_vocabulary((Path(__file__).parents[2] / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))


def test_a_likelier_word_of_the_same_sound_is_written_and_marked() -> None:
    assert REPAIRER.repair("您好,水污热线", [0.6] * 7) == Repaired("您好,水务热线", ((4, 5),))


def test_a_likely_text_stays() -> None:
    assert REPAIRER.repair("您好,水务热线", [0.2] * 7) == Repaired("您好,水务热线")


def test_a_sound_that_the_telephone_band_blurs_counts_as_alike() -> None:
    assert "zhi" in near("zi") and "zi" in near("zhi")
    assert "min" in near("ming") and "nan" in near("lan")


def test_what_the_engine_is_sure_of_needs_more_to_be_changed() -> None:
    repairer = build_repairer(Unigrams(), Vocabulary({"雾": UNLIKELY + 1.5}, ""))
    assert repairer.repair("务", [0.0]).text == "雾"
    assert repairer.repair("务", [1.0]).text == "务"


def test_a_number_neither_changes_nor_arises() -> None:
    likely_numbers = Vocabulary({"十": 0.0, "四十": 0.0, "一": 0.0}, "")
    repairer = build_repairer(Unigrams(), likely_numbers)
    assert repairer.repair("是,四四一", [0.0] * 5) == Repaired("是,四四一")


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("买一码", "满意码"),  # 满意 as a small model hears it
        ("第一码", "第一码"),
        ("买一号", "买一号"),  # counts something
        ("买一3", "买一3"),
        ("二一码", "二一码"),
        ("十买一码", "十满意码"),
    ],
)
def test_a_lone_one_that_counts_nothing_may_be_part_of_a_vocabulary_word(written: str, becomes: str) -> None:
    repairer = build_repairer(Unigrams(), Vocabulary({"满意": -3.0, "意": -0.1, "弟意": -0.1}, ""))
    assert repairer.repair(written, [0.2] * len(written)).text == becomes


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("工单尾号零零三要。", "工单尾号零零三幺。"),
        ("七七八六四五三要九零", "七七八六四五三幺九零"),
        ("电话是要8971563027吗", "电话是幺8971563027吗"),
        ("电话是要897-156-3027", "电话是幺897-156-3027"),
        ("需要18971563027", "需要18971563027"),  # eleven digits already
        ("我要110", "我要110"),
        ("八零一要登记", "八零一要登记"),  # goes on with a word
        ("零三要。", "零三要。"),
    ],
)
def test_yao_among_digits_is_a_one(written: str, becomes: str) -> None:
    repaired = REPAIRER.repair(written, [0.9] * len(written))
    assert repaired.text == becomes
    assert all(written[first:last] == "要" for first, last in repaired.changed), "and it is marked"


def test_a_vocabulary_word_is_found_though_the_model_does_not_know_it() -> None:
    repairer = build_repairer(Unigrams(), Vocabulary({"路灯亮": -4.2}, ""))
    assert repairer.repair("露灯量", [0.5] * 3) == Repaired("路灯亮", ((0, 1), (2, 3)))
    assert repairer.options == (("repair", "unigrams"), ("vocabulary", "none"))


def test_words_of_the_vocabulary_that_sound_alike_never_replace_each_other(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody hears whether 三阳路 or 山阳路 was said: what the engine wrote stays, and the log says so once."""
    repairer = build_repairer(Unigrams(), Vocabulary({"三阳路": -1.0, "山阳路": -1.0, "路灯亮": -1.0}, ""))
    assert repairer.twins == (("三阳路", "山阳路"),) and "三阳路／山阳路" in caplog.text
    for written in ("三阳路", "山阳路"):
        assert repairer.repair(written, [0.0] * 3).text == written
    assert repairer.repair("山羊路", [0.5] * 3).text == "山羊路", "neither is chosen"
    assert repairer.repair("露灯量", [0.5] * 3).text == "路灯亮"


@pytest.mark.slow
def test_no_word_of_the_packaged_vocabulary_is_taken_for_another() -> None:
    """Streets, districts and words of the service as they are written, alone and inside each other, stay what they are."""
    vocabulary = packaged_vocabulary()
    assert not sound_twins(vocabulary.words)
    repairer = build_repairer(load_word_model(debian_model()), vocabulary)
    changed = {word: repairer.repair(word, [0.8] * len(word)).text for word in vocabulary.words}
    assert not {word: text for word, text in changed.items() if word != text}
    sentences = [
        "您好水务热线",
        "漏水点在后湖大道",
        "丁字桥路和丁字桥",
        "古田路和古田二路",
        "江汉区江汉路",
        "汉阳区汉阳大道",
    ]
    for sentence in sentences:
        assert repairer.repair(sentence, [0.8] * len(sentence)).text == sentence


@given(st.text(alphabet="水污务时是十一二3A,。 您好热线", max_size=24), st.floats(0, 1))
def test_length_numbers_and_everything_but_han_stay(text: str, probability: float) -> None:
    repaired = REPAIRER.repair(text, [probability] * len(text))
    assert len(repaired.text) == len(text)
    for old, new in zip(text, repaired.text, strict=True):
        if old in NUMBER_CHARS or not "\u4e00" <= old <= "\u9fff":
            assert old == new
    changed = {n for first, last in repaired.changed for n in range(first, last)}
    assert changed == {n for n in range(len(text)) if text[n] != repaired.text[n]}


def test_repairs_are_placed_in_the_punctuated_text() -> None:
    assert placed(Repaired("您好 水务热线", ((4, 5),), 0, "您好 水污热线"), "您好，水务热线。") == (Repair(4, 5, "污"),)
    assert placed(Repaired("您好水务", ((3, 4),), 0, "您好水污"), "您好，水务。") == (Repair(4, 5, "污"),)
    broken = placed(Repaired("你好水务", ((0, 3),), 0, "泥号税务"), "你好，水务。")
    assert broken == (Repair(0, 2, "泥号"), Repair(3, 4, "税")), "a stretch may be cut by punctuation"


def test_repairs_that_cannot_be_placed_mark_the_whole_text() -> None:
    assert placed(Repaired("水务热线", ((1, 2),), 0, "水污热线"), "水务。") == (Repair(0, 3, "水污热线"),)


def test_a_character_has_its_readings_and_others_none() -> None:
    assert readings("水")[0] == "shui"
    assert {"zhong", "chong"} <= set(readings("重"))
    assert readings("A") == ()


def test_words_are_found_under_every_reading() -> None:
    index = index_words(["重复", "太长的词语不进来"])
    assert index.words(("chong", "fu")) == ("重复",)
    assert not index.words(("tai", "chang"))


def test_without_a_word_model_there_is_no_repairer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(language, "USUAL_PLACES", (tmp_path / "zh_CN.lm",))
    assert load_repairer() is None


def test_a_word_model_from_a_file_repairs() -> None:
    """Its random n-grams hold 热线, whose second character the engine got wrong."""
    repairer = load_repairer(word_model=SMALL_WORD_MODEL)
    assert repairer is not None
    assert repairer.repair("热县", [0.2, 0.2]).text == "热线"
    assert dict(repairer.options)["repair"].startswith("words/small.lm ")


def test_the_longest_texts_are_repaired_in_bounded_time() -> None:
    text = "水污热线您好是时" * 60
    assert len(REPAIRER.repair(text, [0.5] * len(text)).text) == len(text)


def test_the_packaged_vocabulary_is_readable() -> None:
    vocabulary = packaged_vocabulary()
    assert len(vocabulary.words) > 200
    assert not any(set(word) <= NUMBER_CHARS for word in vocabulary.words)
