"""Chinese punctuation and simplified characters; no word changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.transcribe.wording import written


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("您好,请问有什么可以帮您?", "您好，请问有什么可以帮您？"),
        ("我已經為您登記了,", "我已经为您登记了。"),
        ("你好 我们家没有水了", "你好，我们家没有水了。"),
        ("您对本次服务满意吗", "您对本次服务满意吗？"),
        ("压力3.5公斤,12:30来", "压力3.5公斤，12:30来。"),
        ("号码是 138 7120 6358", "号码是138 7120 6358。"),
        (",对", "对。"),
        ("好的。。", "好的。"),
        ("好的,。行!", "好的。行！"),
        (",", ""),
        ("", ""),
        ("水\ufffd压", "水压。"),
    ],
)
def test_written(raw: str, text: str) -> None:
    assert written(raw) == text


@given(st.text(alphabet="水压低了吗,.?! 123，。", max_size=30))
def test_writing_twice_changes_nothing_and_keeps_the_words(raw: str) -> None:
    once = written(raw)
    assert written(once) == once
    assert [c for c in once if c.isalnum()] == [c for c in raw if c.isalnum()]
