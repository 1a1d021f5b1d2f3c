"""Patterns that a sentence could keep busy for ever are refused, those that people write are not."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import RubricError
from callqa.scoring.patterns import why_endless
from tests.scoring.scenes import rubric_with


@pytest.mark.parametrize(
    "pattern",
    [
        "(好+)+吗",
        "(好*)*吗",
        "((好|的)+)+吗",
        "(?:.{0,9}好)+吗",
        "(好?的?)+吗",
        "(好|好好)+吗",
        "(.|好)*吗",
        "(((.|好)))*吗",
        "(((.|[^吗]|[^吗]))*)吗",
        "([好的]|好)+吗",
        "(好|好)+吗",
        "(?P<a>好+){2,}吗",
        "(好{1,9}){1,50}吗",
        ".*.*吗",
        ".+[^啊]*吗",
        "(a.*)(b.*)(c.*)(d.*)(e.*)(f.*)(g.*)吗",
    ],
)
def test_refused(pattern: str) -> None:
    assert why_endless(pattern)
    with pytest.raises(RubricError, match="可能算不完") as refused:
        rubric_with(f'{{id: S1.1-1, op: regex, params: {{pattern: "{pattern}"}}, on_hit: {{suggest: a}}}}')
    assert refused.value.line > 0
    with pytest.raises(RubricError, match="not_pattern"):
        rubric_with(
            f'{{id: S1.1-1, op: regex, params: {{pattern: "好", not_pattern: "{pattern}"}}, on_hit: {{suggest: a}}}}'
        )


@pytest.mark.parametrize(
    "pattern",
    [
        "(电话|号码)(是不是|是)?[0-9]{7,}.{0,12}(吗|对吧|是吧)",
        "没听(清|见|明白)|听不(清|见|到)|你说(的)?(是)?什么",
        "上次.*反映.*没有.*人",
        "(非常|很|太)+不满意",
        "(非常)+.*满意",
        "(?:嗯|啊){2,}",
        "[)(|+]+吗",
        r"\(好+\)+吗",
        "(好)+?吗",
        "(好++)*吗",
        "(好{2}){3}",
        "好{,3}吗",
        "",
    ],
)
def test_left_alone(pattern: str) -> None:
    re.compile(pattern)
    assert why_endless(pattern) == ""


pieces = st.recursive(
    st.sampled_from(["好", "的", ".", "[好的]", "[^吗]", r"\d"]),
    lambda inner: st.builds(
        lambda parts, join, mark: "(" + join.join(parts) + ")" + mark,
        st.lists(st.builds(str.__add__, inner, st.sampled_from(["", "", "?", "{0,3}", "+"])), min_size=1, max_size=3),
        st.sampled_from(["", "|"]),
        st.sampled_from(["", "", "?", "+", "*", "{2,5}"]),
    ),
    max_leaves=6,
)


def compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(pieces.filter(compiles), st.sampled_from(["好", "好的", "的"]))
def test_what_is_let_through_comes_to_an_end(pattern: str, said: str) -> None:
    """On a sentence that nearly matches (吗 never comes), longer by a character each time: one that doubles takes two seconds of
    processor for 22 characters, and is told before it takes for ever."""
    if why_endless(pattern):
        return
    asked = re.compile(pattern + "吗")
    for n in range(4, 23):
        began = time.process_time()
        asked.search((said * n)[:n])
        assert time.process_time() - began < 0.5, f"{pattern}: {n} characters"
