"""没听到不等于没说: words lost in a gap, or spoken and not read, just where a place is counted from."""

from dataclasses import replace
from pathlib import Path

import pytest

from callqa.scoring.facts import CallFacts
from callqa.scoring.operators.finding import State
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import score
from callqa.speech import Gap, GapKind, Span
from callqa.units import Channel
from tests.scoring.scenes import call, run_check

ROOT = Path(__file__).parents[2]
GREETING = "a 0-5 您好，武汉水务热线，工号八零幺为您服务。"
LATE = call("a 7-11 是的，请问在什么位置？", "c 12-18 汉阳大道，我家停水了。", "a 20-24 好的，这就登记。")


def agent_gap(start_s: float, end_s: float, kind: GapKind = GapKind.NO_MEDIA) -> tuple[Gap, ...]:
    return (Gap(Channel.AGENT, Span(round(start_s * 1000), round(end_s * 1000)), kind),)


def state(check: str, facts: CallFacts) -> State:
    return run_check(check, facts).results[0].state


SCOPED = "op: keyword_any, role: agent, scope: {from: %s, unit: %s, within: %s}, params: {words: [%s]}"


@pytest.mark.parametrize(
    ("origin", "unit", "within", "gap", "expected"),
    [
        ("start", "s", 15, (0, 6.5), "not_checked"),  # the line was one-way at first: the greeting was lost
        ("start", "s", 2, (30, 40), "miss"),  # a gap that lies elsewhere
        ("start", "ratio", 0.2, (0, 6.5), "not_checked"),
        ("start", "utt", 1, (0, 6.5), "not_checked"),
        ("start", "utt", 1, (12, 18), "miss"),
        ("start", "utt", 9, (30, 40), "not_checked"),  # there are only two: a third may be lost anywhere after them
        ("end", "utt", 1, (30, 40), "not_checked"),  # the last words heard are not the last ones said
        ("end", "utt", 1, (0, 6.5), "miss"),
        ("end", "utt", 9, (0, 6.5), "not_checked"),
        ("answer", "s", 15, (0, 6.5), "not_checked"),
    ],
)
def test_what_was_lost_before_the_first_or_after_the_last_words_heard(
    origin: str, unit: str, within: float, gap: tuple[float, float], expected: str
) -> None:
    facts = replace(LATE, gaps=agent_gap(*gap))
    assert state(SCOPED % (origin, unit, within, "水务热线"), facts) == expected
    assert state(SCOPED % (origin, unit, within, "水务热线"), LATE) is State.MISS


def test_the_default_rubric_accuses_nobody_of_a_greeting_that_was_lost() -> None:
    rubric = parse_rubric((ROOT / "scorecards" / "rubric.yaml").read_text(encoding="utf-8"))

    def accused(facts: CallFacts) -> set[str]:
        return {s.check_id for s in score(rubric, facts).suggestions if s.item_id == "S1.1"}

    assert {"S1.1-1", "S1.1-2", "S1.1-3", "S1.1-4"} <= accused(LATE)
    assert accused(replace(LATE, gaps=agent_gap(0, 6.5))) == set()


def test_speech_without_text_before_the_first_utterance_is_not_left_out_of_a_count() -> None:
    assert LATE.transcript is not None
    speech = (LATE.transcript.speech[0], (Span(1000, 5000), *LATE.transcript.speech[1]))
    facts = replace(LATE, transcript=replace(LATE.transcript, speech=speech))
    assert state(SCOPED % ("start", "utt", 1, "水务热线"), facts) is State.NOT_CHECKED
    assert state(SCOPED % ("end", "utt", 1, "水务热线"), facts) is State.MISS


SHIRKED = call(GREETING, "c 6-10 你们怎么还不来？", "a 11-14 这个不归我们管。", "c 40-44 喂？", "a 46-48 再说吧。")
AROUND = (
    "all: [{op: keyword_any, role: agent, params: {lexicon: taboo_shirk}, as: it}, "
    "{not: {op: keyword_any, role: agent, params: {words: [帮您转]}, anchor: it, where: %s, within: {utt: %d}}}]"
)


@pytest.mark.parametrize(
    ("where", "count", "gap", "expected"),
    [
        ("after", 1, (15, 38), "not_checked"),  # between the anchor and the next words heard
        ("after", 1, (50, 58), "hit"),
        ("after", 3, (50, 58), "not_checked"),  # only two are heard: the third may be lost
        ("after", 2, (50, 58), "hit"),
        ("after", 3, (0, 9), "hit"),
        ("before", 1, (0, 4), "hit"),
        ("before", 3, (5, 6), "not_checked"),
        ("around", 9, (50, 58), "not_checked"),
    ],
)
def test_what_was_lost_beside_an_anchor(where: str, count: int, gap: tuple[float, float], expected: str) -> None:
    assert state(AROUND % (where, count), replace(SHIRKED, gaps=agent_gap(*gap))) == expected
    assert state(AROUND % (where, count), SHIRKED) is State.HIT


def test_a_place_shows_where_was_searched_not_where_words_may_be_lost() -> None:
    (suggestion,) = run_check(SCOPED % ("start", "s", 10, "水务热线"), LATE).suggestions
    assert (suggestion.evidence[0].start_ms, suggestion.evidence[0].end_ms) == (7_000, 17_000)
