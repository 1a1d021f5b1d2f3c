"""Words that may stand behind a garbled text: what stays possible, what does not. Patterns read as things people say."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.scoring.hearing import HALF, LIKE, Trust, anything, hidden_in, likeness, n_spoken, room, sought, unlikeness
from callqa.scoring.spellings import MAX_SPELLINGS, spellings

PHRASES = (
    "您好",
    "工号",
    "水务热线",
    "感谢您的来电",
    "请问还有其他需要反映吗",
    "让您久等了",
    "不满意",
    "我跟您核对一下",
)
# Words of another kind than any of PHRASES, with none of their sounds beside each other.
UNRELATED = ("大家绕着走", "洗澡都不成", "前天夜里塌", "一座破桥")
SYLLABLES = (
    "ma",
    "mai",
    "man",
    "gong",
    "guo",
    "hao",
    "fu",
    "shui",
    "re",
    "ren",
    "qiang",
    "xiang",
    "ni",
    "yi",
    "er",
    "zhi",
)
LIKE_CHARS = {
    "您": "你",
    "好": "耗",
    "工": "公",
    "水": "谁",
    "热": "认",
    "谢": "些",
    "满": "买",
    "吗": "嘛",
    "核": "合",
}


def may_hide(word: str, text: str, trust: Trust, duration_ms: int = 60_000) -> bool:
    return hidden_in((sought(word),), text, duration_ms, trust) is not None


def spoken_ms(text: str) -> int:
    return 200 * n_spoken(text)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("shi", "si", 0),
        ("nan", "lan", 0),
        ("man", "mai", LIKE),
        ("qiang", "xiang", LIKE),
        ("ni", "yi", LIKE),
        ("gong", "guo", LIKE),
        ("ren", "re", LIKE),
        ("ting", "ping", HALF),
        ("dian", "dui", HALF),
        ("yi", "shi", 1),  # the vowel of shi is another one
        ("ma", "shui", 1),
    ],
)
def test_unlikeness(a: str, b: str, expected: float) -> None:
    assert unlikeness(a, b) == unlikeness(b, a) == expected


@given(st.sampled_from(SYLLABLES), st.sampled_from(SYLLABLES))
def test_unlikeness_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert unlikeness(a, b) == unlikeness(b, a)
    assert 0 <= unlikeness(a, b) <= 1 and unlikeness(a, a) == 0


def test_likeness_names_the_place() -> None:
    found = likeness(sought("让您久等了"), "弟姐，要您走等了弟姐")
    assert "弟姐，要您走等了弟姐"[found.start : found.end] == "要您走等了"
    assert likeness(sought("工号801"), "公号八零幺").score == 1
    assert likeness(sought("您好"), "").score == 0 and likeness(sought("，。"), "您好").score == 0


@given(st.sampled_from(PHRASES), st.text("大家绕着走的路边", max_size=8), st.text("一座破桥", max_size=8))
def test_a_spoken_phrase_is_possible_in_any_company(phrase: str, before: str, after: str) -> None:
    text = before + phrase + after
    for trust in (Trust.CLEAR, Trust.DOUBTFUL):
        assert may_hide(phrase, text, trust, spoken_ms(text))


@given(st.sampled_from(PHRASES), st.data())
def test_noise_keeps_a_spoken_phrase_possible(phrase: str, data: st.DataObject) -> None:
    """Half of the syllables written as something like them, and a third as anything: a doubtful text may still be it."""
    chars = list(phrase)
    for place in data.draw(st.sets(st.integers(0, len(chars) - 1), max_size=len(chars) // 2)):
        chars[place] = LIKE_CHARS.get(chars[place], chars[place])
    for place in data.draw(st.sets(st.integers(0, len(chars) - 1), max_size=len(chars) // 3)):
        chars[place] = data.draw(st.sampled_from("大家绕着走"))
    text = "".join(chars)
    assert may_hide(phrase, text, Trust.DOUBTFUL, spoken_ms(text))


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("text", UNRELATED)
def test_unrelated_text_hides_nothing(phrase: str, text: str) -> None:
    for trust in (Trust.CLEAR, Trust.DOUBTFUL):
        assert not may_hide(phrase, text, trust, spoken_ms(text))


@pytest.mark.parametrize("word", ["您好", "你好", "早上好", "下午好", "水务热线", "工号", "号话务员", "号为您服务"])
def test_a_rude_opening_hides_no_greeting(word: str) -> None:
    """喂，说吧，什么事 as an engine wrote it."""
    assert not may_hide(word, "为说把什么事。", Trust.DOUBTFUL, 1100)


@given(st.sampled_from(PHRASES), st.text(max_size=30), st.integers(0, 5000), st.sampled_from(Trust))
def test_too_short_a_stretch_has_no_room(phrase: str, text: str, duration_ms: int, trust: Trust) -> None:
    if room(duration_ms) < n_spoken(phrase):
        assert not may_hide(phrase, text, trust, duration_ms)


def test_room() -> None:
    assert [room(ms) for ms in (0, 100, 500, 1000)] == [0, 1, 4, 8]


def test_what_cannot_be_read_is_judged_by_length() -> None:
    assert may_hide("再见", "大家", Trust.UNREADABLE, 300)
    assert not may_hide("感谢来电", "大家", Trust.UNREADABLE, 300)
    assert hidden_in(anything(2), "大家", 300, Trust.UNREADABLE) is not None
    assert hidden_in(anything(2), "大家", 300, Trust.CLEAR) is None


def test_clear_text_may_be_unlike_in_one_of_many_syllables() -> None:
    assert may_hide("我复述一下", "对不起，我附适一下", Trust.CLEAR)
    assert not may_hide("请问您对", "请问您贵姓", Trust.CLEAR)


def test_clear_text_with_no_syllable_the_same_is_another_word() -> None:
    assert may_hide("满意", "买一", Trust.CLEAR)
    assert not may_hide("满意", "买你", Trust.CLEAR)
    assert may_hide("满意", "买你", Trust.DOUBTFUL, 500)


def test_a_doubtful_text_shorter_than_its_speech_leaves_room() -> None:
    assert may_hide("满意", "延。", Trust.DOUBTFUL, 700)
    assert not may_hide("满意", "延。", Trust.DOUBTFUL, 350)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("电话是|号码", ["电话是", "号码"]),
        ("(电话|号码)(是|给我)?吗", ["电话吗", "电话是吗", "电话给我吗", "号码吗", "号码是吗", "号码给我吗"]),
        ("来电的?号码", ["来电号码"]),
        ("[点号]钟?前", ["点前"]),
        ("是.{0,6}女士", ["是女士"]),
        ("号码[0-9]{7,}吗", ["号码…吗"]),
        ("^(好|行)$", ["好", "行"]),
        ("第[二2-3]次", ["第二次"]),
        (r"\d+号", ["…号"]),
        ("(?:转|派)给", ["转给", "派给"]),
        ("喂{2}", ["喂喂"]),
    ],
)
def test_spellings(pattern: str, said: list[str]) -> None:
    found = spellings(pattern)
    assert found is not None and [each.text for each in found] == said


@pytest.mark.parametrize(
    "pattern",
    [
        r"电话(?=是)",
        r"(.)\1",
        "电话(是",
        "[a-z]是",
        "a{x}",
        ".*",
        "(一|二|三|四|五|六|七)" * 4,
        "电话)",
        "是{99}",
        r"\w电",
    ],
)
def test_a_pattern_that_nobody_can_say(pattern: str) -> None:
    assert spellings(pattern) is None


def test_readings_come_from_the_word() -> None:
    found = spellings("银行|行人")
    assert found is not None
    assert [[set(sound.readings) for sound in each.sounds] for each in found] == [
        [{"yin"}, {"hang"}],
        [{"xing"}, {"ren"}],
    ]


def test_gaps_of_a_pattern_are_free() -> None:
    wanted = spellings("是.{0,6}女士")
    assert wanted is not None
    assert likeness(wanted[0], "请问是黄小燕女是吗").score == 1
    assert likeness(wanted[0], "请问是您吗").score <= HALF


@settings(max_examples=200)
@given(st.text("电话是吗(|)[]{}.?*+0-9,\\d^$", max_size=24))
def test_spellings_are_total_and_bounded(pattern: str) -> None:
    found = spellings(pattern)
    assert found is None or len(found) <= MAX_SPELLINGS


@given(
    st.lists(st.sampled_from(["电话", "号码", "尾号", "回复"]), min_size=1, max_size=4, unique=True),
    st.text("是给", max_size=2),
)
def test_every_spelling_matches_its_pattern(words: list[str], tail: str) -> None:
    pattern = f"({'|'.join(words)}){tail}"
    found = spellings(pattern)
    assert found is not None and len(found) == len(words)
    assert all(re.fullmatch(pattern, each.text) for each in found)
