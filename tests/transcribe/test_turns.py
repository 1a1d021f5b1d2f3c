"""Who spoke when, against the exact times of 13 calls: dead air, interruptions and the starts of turns, from voice activity alone.

Nine of the recordings are not here: of them tests/data/calls/speech.json has the times that the detector gave
(`bench/turns.py --write`). The sound of the other four comes with the demonstration; there the detector itself runs, and it must
still say what is stored.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.timing import (
    SIDES,
    Events,
    Listener,
    Turns,
    compared,
    figures,
    heard_turns,
    listen,
    percentile_90,
    read_line,
    reference_turns,
    start_deviations_s,
)
from callqa.audiofile import Audio, g711_table
from callqa.scoring.facts import CallFacts
from callqa.scoring.operators.finding import State
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import score
from callqa.speech import Span, Transcript, Utterance
from callqa.units import CallType, Direction
from tests.scoring.reference_calls import DATA, MADE

RUBRIC = parse_rubric((Path(__file__).parents[2] / "scorecards" / "rubric.yaml").read_text("utf-8"))
SOUNDS = Path(__file__).parents[2] / "callqa" / "demo" / "calls"
STORED = {name: read_line(line) for name, line in json.loads((DATA / "speech.json").read_text("utf-8")).items()}
ALL_WELL = {"dead_air_missed": 0, "dead_air_extra": 0, "interruptions_missed": 0, "interruptions_extra": 0}


def test_dead_air_and_interruptions_are_all_found_and_none_beside_and_turns_start_where_they_do() -> None:
    found = figures(list(STORED.values()))
    assert len(STORED) == 13 and (found["dead_air_planted"], found["interruptions_planted"]) == (1, 3)
    assert ALL_WELL.items() <= found.items() and found["turns_missed"] == 0
    assert found["turn_start_p90_s"] is not None and found["turn_start_p90_s"] <= 0.25


@pytest.mark.parametrize("name", STORED)
def test_in_each_call_alone_too(name: str) -> None:
    found = figures([STORED[name]])
    assert ALL_WELL.items() <= found.items() and found["turns_missed"] == 0
    assert found["turn_start_p90_s"] is not None and found["turn_start_p90_s"] <= 0.25


@pytest.mark.parametrize("name", STORED)
def test_the_rubric_says_the_same_of_them(name: str) -> None:
    """Its checks of 抢话 and of silence, on the times that were heard and not a word of text."""
    reference, heard = STORED[name]
    duration_ms = 1000 + max(span.end_ms for spans in heard.speech for span in spans)
    utterances = tuple(
        Utterance(n, speaker, span, "", "", 0.0, reliable=False)
        for n, (span, speaker) in enumerate(
            sorted((span, speaker) for speaker, spans in zip(SIDES, heard.speech, strict=True) for span in spans)
        )
    )
    transcript = Transcript(utterances, heard.speech, duration_ms, MADE)
    results = score(RUBRIC, CallFacts(CallType.INBOUND, Direction.INBOUND, duration_ms, transcript)).results
    asked = {"S2.1-1": reference.interruptions, "S2.1-2": reference.interruptions, "S2.3-4": reference.dead_air}
    hit = {result.check_id for result in results if result.state is State.HIT}
    assert hit & asked.keys() == {check for check, events in asked.items() if events}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["D01", "D03", "D04", "D13"])
def test_the_detector_still_says_what_is_stored(name: str) -> None:
    """The demonstration has the calls in mu-law: a level moves by a hundredth of a dB and an edge by a frame at most."""
    pytest.importorskip("faster_whisper", reason="the detector comes with faster-whisper")
    reference, stored = STORED[name]
    heard = listen(sound(name), Listener())
    assert figures([(reference, heard)])["turns_missed"] == 0
    assert (heard.dead_air, heard.interruptions) == ((), ())
    for now, then in zip(heard.speech, stored.speech, strict=True):
        assert len(now) == len(then)
        assert all(
            abs(a.start_ms - b.start_ms) <= 20 and abs(a.end_ms - b.end_ms) <= 20
            for a, b in zip(now, then, strict=True)
        )


@pytest.mark.parametrize("name", ["D01", "D02", "D03", "D04", "D13"])
def test_the_stored_times_of_the_references_are_theirs(name: str) -> None:
    turns = json.loads((DATA / f"{name}.json").read_text("utf-8"))["turns"]
    assert reference_turns(turns) == STORED[name][0]


def sound(name: str) -> Audio:
    sides = [np.frombuffer((SOUNDS / f"{name}.{side}.ul").read_bytes(), np.uint8) for side in ("citizen", "agent")]
    return Audio(g711_table("ulaw")[np.stack(sides, axis=1)], 8000)


def test_what_is_not_heard_and_what_is_heard_beside_is_counted() -> None:
    one, other, third = Span(0, 1000), Span(5000, 6000), Span(9000, 9500)
    assert compared([one, other], [Span(900, 1500), third]) == Events(planted=2, missed=1, extra=1)
    reference = Turns(((one, other), (third,)), (), ())
    heard = heard_turns([Span(300, 1000)], [Span(8900, 9600)])
    assert start_deviations_s(reference, heard) == [0.3, float("inf"), 0.1]
    assert percentile_90([0.3, float("inf"), 0.1]) is None and percentile_90([0.3] + [0.1] * 10) == 0.1


def test_events_follow_from_when_both_spoke() -> None:
    told = heard_turns([Span(0, 5000), Span(20_000, 21_000)], [Span(3500, 6000), Span(20_500, 21_400)])
    assert told.dead_air == (Span(6000, 20_000),) and told.interruptions == (Span(3500, 6000),)
