"""Doubt: one case for each reason, and none for good text."""

import pytest

from callqa.speech import Span, Speaker
from callqa.transcribe.engine import Word
from callqa.transcribe.guard import Doubt, Heard, asks_again, choose, doubts
from callqa.transcribe.vocabulary import ROLE_PROMPTS, leaks_prompt


def heard(
    text: str, seconds: float, *, p: float = 0.9, no_speech: float = 0.0, ratio: float = 1.0, prompt: str = ""
) -> Heard:
    words = tuple(Word(c, 0, 0, p) for c in text)
    return Heard(Span(0, int(seconds * 1000)), words, no_speech, ratio, prompt)


GOOD = "您好请问有什么可以帮您"


def test_good_text_has_no_doubt() -> None:
    assert doubts(heard(GOOD, 2.5)) == ()


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (heard("", 1), Doubt.EMPTY),
        (heard("，。", 1), Doubt.EMPTY),
        (heard("您好", 4), Doubt.COVERAGE),
        (heard(GOOD * 3, 2), Doubt.RATE),
        (heard(GOOD, 1.2), Doubt.FAST),
        (heard("我知道我知道我知道我知道我知道我知道", 4), Doubt.REPEATS),
        (heard(GOOD, 2.5, ratio=2.6), Doubt.COMPRESSION),
        (heard(GOOD, 2.5, no_speech=0.9, p=0.3), Doubt.NO_SPEECH),
        (heard(GOOD, 2.5, p=0.5), Doubt.PROBABILITY),
        (heard("thank you very much", 3), Doubt.FOREIGN),
        (heard("感谢观看", 1), Doubt.INVENTED),
    ],
)
def test_each_reason(case: Heard, reason: Doubt) -> None:
    assert reason in doubts(case)


def test_a_phone_number_with_equal_digits_is_no_loop() -> None:
    assert doubts(heard("电话是八八八八八八八八", 3)) == ()
    assert doubts(heard("电话是13888888888", 4)) == ()


def test_a_long_hum_of_one_character_is_no_gap_in_coverage_when_short() -> None:
    assert doubts(heard("嗯", 1.2)) == ()


def test_somewhat_unlikely_words_are_marked_but_not_worth_a_second_decode() -> None:
    somewhat = heard(GOOD, 2.5, p=0.62)
    assert doubts(somewhat) == (Doubt.PROBABILITY,) and not asks_again(somewhat)
    assert asks_again(heard(GOOD, 2.5, p=0.4)) and asks_again(heard("", 1))


def test_choose_prefers_fewer_doubts_then_likelier_words() -> None:
    loop, fair, better = heard("我知道" * 6, 4, p=0.99), heard(GOOD, 4, p=0.6), heard(GOOD, 4, p=0.8)
    assert choose([loop, fair, better]) is better
    assert choose([fair, heard(GOOD, 4, p=0.6)]) is fair


def test_a_prompt_read_aloud_is_an_invention() -> None:
    prompt = ROLE_PROMPTS[Speaker.AGENT]
    assert leaks_prompt("好的，停水、漏水、爆管、水压、水质。", prompt)
    assert not leaks_prompt("我家停水了，水压也低，请登记工单。", prompt)
    assert Doubt.INVENTED in doubts(heard("停水漏水爆管水压水质水表", 4, prompt=prompt))


@pytest.mark.parametrize("speaker", list(Speaker))
def test_prompts_hold_no_figure_greeting_or_full_width_comma(speaker: Speaker) -> None:
    prompt = ROLE_PROMPTS[speaker]
    assert not any(c in prompt for c in "0123456789零一二三四五六七八九十幺，")
    assert not any(word in prompt for word in ("您好", "你好", "再见", "感谢", "工号", "先生", "女士"))
