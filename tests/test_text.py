"""Mandarin text forms: one form for spoken and written numbers, and a way back to the original."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.text import (
    digits_of,
    normalised,
    normalised_with_positions,
    simplified,
    speech_chars,
    spoken_with_positions,
    syllables,
)


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("工号八零幺为您服务", "工号801为您服务"),
        ("两个小时内", "2个小时内"),
        ("二十四小时之内", "24小时之内"),
        ("十二栋二单元", "12栋2单元"),
        ("一百一十二街坊", "112街坊"),
        ("一百零五块", "105块"),
        ("三千五百吨", "3500吨"),
        ("三栋一单元，六零二", "3栋1单元602"),
        ("一万二千三百", "12300"),
        ("二零二六年十一月九号", "2026年11月9号"),
        ("百分之九十五", "95%"),
        ("百分之百解决", "100%解决"),
        ("三点五吨", "3.5吨"),
        ("上午一点", "上午1点"),
        ("第二次", "第2次"),
        ("拨打幺幺零", "拨打110"),
        ("3,000元", "3000元"),
    ],
)
def test_numbers_spoken_and_written_come_to_one_form(spoken: str, written: str) -> None:
    assert normalised(spoken) == normalised(written)
    assert any(char.isdigit() for char in normalised(spoken))


@pytest.mark.parametrize(
    "text",
    [
        "一下",
        "一起",
        "一直",
        "早一点",
        "万一",
        "万松园",
        "百步亭花园",
        "千万不要",
        "十分感谢",
        "统一",
        "两三天",
        "四五天了",
        "七八个",
    ],
)
def test_words_that_only_look_like_numbers_stay(text: str) -> None:
    assert normalised(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("那个，我想问那个地方，嗯，啊", "我想问那个地方"),
        ("呃，额，余额不足", "余额不足"),
        ("那个那个水管", "那个水管"),
        ("臺灣　１２３", "台湾123"),
        ("您好，OK吗？", "您好ok吗"),
        ("", ""),
        ("，。？", ""),
    ],
)
def test_fillers_and_punctuation_go_conservatively(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_simplified_keeps_chinese_punctuation_and_the_particle() -> None:
    assert simplified("著急，聯繫您？著名") == "着急，联系您？著名"


def test_positions_lead_back_to_the_original() -> None:
    original = "好的，工號八零幺，十二栋"
    form = normalised_with_positions(original)
    start = form.text.index("801")
    assert original[slice(*form.original_span(start, start + 3))] == "八零幺"
    start = form.text.index("12栋")
    assert original[slice(*form.original_span(start, start + 3))] == "十二栋"
    assert form.original_span(3, 3)[0] == form.original_span(3, 3)[1]


@settings(max_examples=200)
@given(st.text(alphabet="零一二两三十百千万幺点第个栋天，。 那嗯a9%.臺灣ﬁ́", max_size=25))
def test_positions_are_in_order_and_inside_the_original(text: str) -> None:
    for form in (normalised_with_positions(text), spoken_with_positions(text)):
        assert len(form.text) == len(form.positions)
        last = 0
        for start, end in form.positions:
            assert 0 <= start < end <= len(text)
            assert start >= last
            last = start


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_normalising_any_text_is_total(text: str) -> None:
    form = normalised_with_positions(text)
    assert len(form.text) == len(form.positions)
    digits_of(text)
    assert len(syllables(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("幺三八七，一二零 6358", "13871206358"),
        ("我看一下，尾号零零三幺", "0031"),
        ("十二栋", "12"),
        ("一，三，八", "138"),
        ("两", ""),
    ],
)
def test_digits_of(text: str, digits: str) -> None:
    assert digits_of(text) == digits


def test_syllables_are_toneless_and_read_in_their_word() -> None:
    assert syllables("复述1k银行") == ("fu", "shu", "1", "k", "yin", "hang")
    assert syllables("女士") == syllables("女式")


def test_speech_chars_counts_digits_and_latin_words() -> None:
    assert speech_chars("您好，801号 OK wifi！") == 2 + 3 + 1 + 2
