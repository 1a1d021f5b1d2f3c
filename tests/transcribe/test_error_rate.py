"""How the benchmark counts errors: by hand-made examples, and the fast distance against the slow one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.error_rate import Errors, count_errors, distance, error_rate, interval, number_in_words, read_out
from callqa.matching import edit_distance
from callqa.text import simplified

simplified("後")  # zhconv leaves its dictionary file open the first time; this knows

SAID = [
    {"speaker": "agent", "start": 3.0, "text": "工号八零一。"},
    {"speaker": "agent", "start": 1.0, "text": "您好，"},
    {"speaker": "citizen", "start": 2.0, "text": "幺三八"},
]


@given(st.text("水务热线一二三A", max_size=30), st.text("水务热线一二三A", max_size=30))
def test_the_distance_is_levenshteins(a: str, b: str) -> None:
    assert distance(a, b) == edit_distance(a, b)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "零"), (7, "七"), (10, "十"), (12, "十二"), (20, "二十"), (108, "一百零八"), (110, "一百一十"), (1008, "一千零八"),
        (1080, "一千零八十"), (20_300, "二万零三百"), (102_000, "十万二千"), (25_000_060, "二千五百万零六十"), (50_000, "五万"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_people_do(number: int, words: str) -> None:
    assert number_in_words(number) == words


@pytest.mark.parametrize(
    ("heard", "said", "reads"),
    [
        ("801", "八零一", "八零一"),
        ("12栋", "十二栋", "十二栋"),
        ("138 7120-63", "一三八七一二零六三", "一三八七一二零六三"),
        ("百分之3.5", "百分之三点五", "百分之三点五"),
        ("30%", "百分之三十", "百分之三十"),
        ("３樓，OK", "三楼ok", "三楼OK"),
        ("0087", "零零八七", "零零八七"),
    ],
)
def test_figures_take_the_reading_that_was_said(heard: str, said: str, reads: str) -> None:
    assert read_out(heard, said) == reads


def test_wrong_missing_and_added_characters_count_by_speaker() -> None:
    heard = [
        {"speaker": "agent", "start": 1.1, "text": "你好。"},
        {"speaker": "agent", "start": 3.1, "text": "公号801啊"},
    ]
    assert count_errors("D", SAID, heard) == [Errors("D", "agent", 3, 7), Errors("D", "citizen", 3, 3)]


def test_the_rate_is_over_all_characters_and_the_interval_over_calls() -> None:
    rows = [Errors("A", "agent", 1, 10), Errors("B", "agent", 3, 10), Errors("B", "citizen", 0, 0)]
    assert error_rate(rows) == 0.2
    assert interval(rows) == (0.1, 0.3)
    assert error_rate([]) is None and interval([]) is None
