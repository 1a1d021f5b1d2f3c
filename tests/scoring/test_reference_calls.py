"""The default rubric on five reference calls: planted defects are found, clean calls are left alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from callqa.scoring.criteria import Level
from callqa.scoring.lexicon import SoundRule, find_word, near_syllable
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import CheckOutcome, score
from tests.scoring.reference_calls import DATA, load_base_transcript, load_call, transcript_json

RUBRIC = parse_rubric((Path(__file__).parents[2] / "scorecards" / "rubric.yaml").read_text(encoding="utf-8"))


def outcome_of(name: str) -> CheckOutcome:
    return score(RUBRIC, load_call(DATA, name).facts)


def base_outcome_of(name: str) -> CheckOutcome:
    """With what Whisper base made of the sound, garbled words and all."""
    transcript = load_base_transcript(DATA / "base" / f"{name}.json")
    return score(RUBRIC, replace(load_call(DATA, name).facts, transcript=transcript))


def preselected(outcome: CheckOutcome) -> set[str]:
    return {f"{s.item_id}.{s.option_code or s.fatal_id}" for s in outcome.suggestions if s.level is Level.PRESELECT}


@pytest.mark.parametrize("name", ["D01", "D02", "D13"])
def test_clean_calls_keep_all_points(name: str) -> None:
    outcome = outcome_of(name)
    assert preselected(outcome) == set()
    assert outcome.auto_score == 100 and not outcome.suspected_fatal


def test_a_missing_greeting_is_found() -> None:
    outcome = outcome_of("D03")
    assert preselected(outcome) == {"S1.1.e"}
    greeting = next(s for s in outcome.suggestions if s.option_code == "e")
    assert greeting.evidence[0].quote.startswith("喂，说吧，什么事？")


def test_a_missing_closing_and_rating_invitation_are_found() -> None:
    outcome = outcome_of("D04")
    assert {"S1.4.a", "S1.4.b"} <= preselected(outcome)
    assert any(s.item_id == "S1.4" and s.option_code == "d" for s in outcome.suggestions)


@pytest.mark.parametrize("name", ["D01", "D02", "D13"])
def test_clean_calls_keep_all_points_with_base(name: str) -> None:
    outcome = base_outcome_of(name)
    assert not outcome.suggestions and outcome.auto_score == 100


def test_a_missing_greeting_is_found_with_base() -> None:
    """喂，说吧，什么事 came out as 为说把什么事; no greeting sounds like that."""
    assert preselected(base_outcome_of("D03")) == {"S1.1.e"}


def test_a_missing_closing_is_found_with_base() -> None:
    """嗯，行 came out as 那先, unreliable."""
    outcome = base_outcome_of("D04")
    assert preselected(outcome) == {"S1.4.a", "S1.4.b"}
    assert "识别不可靠" in next(s for s in outcome.suggestions if s.option_code == "b").reason


def test_a_hazard_that_was_not_heard_clearly_is_not_declared_absent() -> None:
    """人行道都淹了 came out as 都演练: the item about hazards stays, unchecked."""
    outcome = base_outcome_of("D04")
    assert "S5.2" not in outcome.not_applicable
    assert not [s for s in outcome.suggestions if s.item_id == "S5.2"]


@pytest.mark.parametrize("name", ["D01", "D02", "D03", "D04", "D13"])
def test_transcripts_survive_their_file(name: str, tmp_path: Path) -> None:
    transcript = load_base_transcript(DATA / "base" / f"{name}.json")
    (tmp_path / "again.json").write_text(transcript_json(transcript), encoding="utf-8")
    assert load_base_transcript(tmp_path / "again.json") == transcript


@pytest.mark.parametrize("name", ["D01", "D02", "D03", "D04", "D13"])
def test_every_suggestion_quotes_the_call(name: str) -> None:
    call = load_call(DATA, name)
    assert call.facts.transcript is not None
    everything = " ".join(u.text for u in call.facts.transcript.utterances)
    for suggestion in outcome_of(name).suggestions:
        assert suggestion.evidence, suggestion
        for evidence in suggestion.evidence:
            assert 0 <= evidence.start_ms <= evidence.end_ms <= call.facts.duration_ms
            if evidence.channel is not None and evidence.quote:
                assert all(part.rstrip("…") in everything for part in evidence.quote.split(" "))


@pytest.mark.parametrize(
    ("word", "text", "strict", "found"),
    [
        ("水务热线", "这里是水雾热线", False, True),
        ("水务热线", "这里是水雾热现场", False, True),  # xian, xian
        ("感谢您的来电", "赶谢您的来店", False, True),
        ("感谢您的来电", "感谢您的来天再见", False, False),  # dian is not tian
        ("不归我们管", "不归我们广", True, False),
        ("不归我们管", "不归我们广", False, True),
        ("工号", "公司", False, False),
        ("淹", "烟", False, False),
        ("工号801", "工号八零幺", False, True),
    ],
)
def test_matching_by_sound(word: str, text: str, strict: bool, found: bool) -> None:
    assert (find_word(word, text, SoundRule(), strict=strict) is not None) is found


def test_near_syllables() -> None:
    assert near_syllable("shi", "si") and near_syllable("xing", "xin") and near_syllable("nan", "lan")
    assert not near_syllable("guan", "gan")
