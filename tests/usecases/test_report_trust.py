"""Chapters 8 to 10 of the report: the hotline's running figures, the machine against people, the raters against each other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from callqa.reports.kpi import build_kpis
from callqa.store.db import Database
from callqa.store.queries.evaluate import find_evaluation
from callqa.store.tables import Call, CheckRun, Evaluation, SuggestionRow, TranscriptRow
from callqa.usecases import second_look
from callqa.usecases.case_study import add_case
from callqa.usecases.coaching import Step, follow_up, open_action
from callqa.usecases.confidential import mark_confidential
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput
from callqa.usecases.report_facts import ReportHead, gather
from tests.reports.builders import DAY, HOUR, LEADER, RUBRIC_HASH, SUPERVISOR, a_call
from tests.usecases.test_report_appeals import MONTH, NOW, Story, built, rows
from tests.usecases.test_report_appeals import story as story

UNHURT = EvaluationInput(frozenset(), {})
NO_NUMBER = EvaluationInput(frozenset(), {"S1.1": {"b": DeductionInput(note="没听清工号")}})  # one point of 100
SILENT = EvaluationInput(
    frozenset(), {"S3.2": {"a": DeductionInput(1, 20_000, "未复述")}, **NO_NUMBER.deductions}
)  # six


@pytest.fixture
def judged(story: Story) -> Iterator[Story]:
    """Blind cards of C1, C2, C3, C5, C6, C7: the leader deducted on S1.1 and S3.2 of each; the machine would on S1.1 of four."""
    with story.db.write() as session:
        for place, call_id in enumerate(("C1", "C2", "C3", "C5", "C6", "C7")):
            transcript = TranscriptRow(
                call_id=call_id, version=1, engine="x", model_sha256="0" * 64, recording_sha256="", duration_ms=1,
                speech=[[], []], mean_confidence=0.9, created_at_ms=1,
            )  # fmt: skip
            session.add(transcript)
            session.flush()
            run = CheckRun(
                call_id=call_id, transcript_id=transcript.id or 0, rubric_hash=RUBRIC_HASH, created_at_ms=NOW - DAY
            )
            session.add(run)
            session.flush()
            if place < 4:
                session.add(
                    SuggestionRow(
                        check_run_id=run.id or 0, call_id=call_id, check_id="S1.1-1", item_id="S1.1", option_code="b",
                        level="preselect", points=1, reason="没有报工号",
                    )
                )  # fmt: skip
            card = session.get(Evaluation, story.ids[call_id])
            assert card is not None
            card.check_run_id, card.blind = run.id, True
            session.add(card)
    yield story


def calibrate(db: Database, scores: dict[str, tuple[EvaluationInput, EvaluationInput]]) -> None:
    raters = (LEADER, SUPERVISOR)
    session_id = second_look.create_session(db, "十月校准", list(scores), raters, account_id=LEADER, now_ms=NOW - DAY)
    for call_id, given in scores.items():
        for rater, card in zip(raters, given, strict=True):
            opened = second_look.open_calibration_card(db, session_id, call_id, account_id=rater, now_ms=NOW - DAY)
            with db.read() as session:
                view = find_evaluation(session, opened)
                assert view is not None
            version = view.evaluation.version
            second_look.submit_second_look(db, opened, card, version=version, account_id=rater, now_ms=NOW - HOUR)
    second_look.open_comparison(db, session_id, account_id=LEADER, now_ms=NOW - HOUR)


def test_the_machine_is_judged_by_blind_cards_and_few_give_no_rates(judged: Story) -> None:
    found = {row[0].split()[0]: row[1:] for row in rows(built(judged.db), "9-1")}
    # machine 4, person 6 of 6: a = 4, c = 2, so P_o = 4/6, precision 1, recall 4/6; AC1 with pi = (4/6 + 1) / 2
    pi = (4 / 6 + 1) / 2
    ac1 = (4 / 6 - 2 * pi * (1 - pi)) / (1 - 2 * pi * (1 - pi))
    own = found["S1.1"]
    assert own[:3] == ["6", "4", "6"] and own[3] == "0.67" and own[4] == f"{ac1:.2f}"
    assert own[7] == "1.00" and own[8] == "不可估" and own[9] == "0.67" and own[-1] == "样本不足"
    assert found["S3.2"][:3] == ["6", "0", "6"] and found["S3.2"][7] == "—"
    with judged.db.write() as session:
        for call_id in ("C1", "C2"):
            card = session.get(Evaluation, judged.ids[call_id])
            assert card is not None
            card.blind = False
            session.add(card)
    few = {row[0].split()[0]: row[1:] for row in rows(built(judged.db), "9-1")}["S1.1"]
    assert few[0] == "4" and few[3:10] == ["—"] * 7


def test_raters_are_compared_call_by_call(story: Story) -> None:
    calibrate(story.db, {"C1": (UNHURT, UNHURT), "C2": (NO_NUMBER, UNHURT), "C3": (UNHURT, SILENT)})
    ((title, _, two, n, apart, within, difference, fatal, lowest, verdict),) = rows(built(story.db), "10-1")
    assert (title, two, n) == ("十月校准", "何静 — 孙澜", "3")
    # 0, −1 and +6 points apart: mean of the absolute 7/3, mean 5/3
    assert (apart, within, fatal, verdict) == ("2.3", "66.7%（2/3）", "100.0%（3/3）", "未达到")
    assert difference.startswith("+1.7（−5.8 至 +9.1）") and lowest.startswith("S1.1 ") and "S3.2 " in lowest
    assert lowest.count("（n = 3，样本不足）") == 2  # three calls are too few for an interval
    assert not any(table.no == "10-2" for table in built(story.db).tables())


def test_what_raters_differ_on_has_an_interval_by_call(story: Story) -> None:
    given = {f"C{n}": (NO_NUMBER if n < 3 else UNHURT, UNHURT) for n in (1, 2, 3, 5, 6, 7)}
    calibrate(story.db, given)
    lowest = rows(built(story.db), "10-1")[0][8]
    # 2 of 6 calls apart, both by one rater: P_o 4/6, pi 1/6, AC1 (2/3 - 5/18) / (1 - 5/18)
    found = re.fullmatch(r"S1\.1 \S+ 0\.54（(\S+) 至 (\S+)，n = 6，样本不足）", lowest)
    assert found is not None, lowest
    low, high = (float(each.replace("−", "-")) for each in found.groups())
    assert -1 <= low < 0.54 < high <= 1


def test_running_figures_are_those_of_the_cards_and_days_add_up(story: Story) -> None:
    with story.db.write() as session:
        session.add(a_call("M1", MONTH, None, outcome="abandoned", ring_ms=3000, started_at_ms=MONTH.end_ms - HOUR))
        session.add(a_call("M2", MONTH, None, outcome="unanswered", ring_ms=9000, started_at_ms=MONTH.end_ms - HOUR))
        session.add(a_call("O1", MONTH, "801", direction="outbound", call_type="callback"))
        session.add(a_call("T1", MONTH, "801", excluded_as="test_call"))
        assert session.get(Call, "M1") is not None
    report = built(story.db)
    with story.db.read() as session:
        facts = gather(session, MONTH, ReportHead(NOW, "x", 1, "x", "x", "x"))
    kpis = build_kpis(facts.month, facts.calls, facts.tickets, as_of_ms=NOW)
    for row, kpi in zip(rows(report, "8-1"), kpis.values(), strict=True):
        assert row[:4] == [kpi.label, str(kpi.ratio.numerator), str(kpi.ratio.denominator), kpi.ratio.percent()]
    *days, total = rows(report, "8-2")
    assert len(days) == 31 and days[-1][1:6] == ["2", "0", "1", "1", "1"] and days[-1][6] == "0.0%"
    assert total[1:8] == ["11", "9", "1", "1", "1", "81.8%", "1"]
    assert [sum(int(day[place]) for day in days) for place in (1, 2, 3, 4, 5, 7)] == [11, 9, 1, 1, 1, 1]
    assert sum(int(count) for row in rows(report, "8-2附") for count in row[1:]) == 11


def test_cases_and_actions_are_those_of_the_month_and_what_is_left_of_earlier_ones(story: Story) -> None:
    common = {"account_id": LEADER, "now_ms": NOW}
    for call_id, kind in (("C1", "problem"), ("C2", "exemplary"), ("C3", "problem")):
        add_case(
            story.db, call_id, kind=kind, title=f"{call_id} 的要点", lesson="复述门牌", item_id="S3.2",
            excerpt="坐席：请讲。\n诉求人：在路口。", **common,
        )  # fmt: skip
    mark_confidential(story.db, "C3", reason="领导交办", readers=[], live_socket=Path("/nowhere"), **common)
    for month, text in ((MONTH, "逐条复述"), (MONTH.previous(), "班前练习")):
        action = open_action(story.db, month=month, text=text, due_on="2026-11-30", item_id="S3.2", **common)
    follow_up(story.db, action, Step.NOTE, "已练两次", **common)
    report = built(story.db)
    assert [row[:2] for row in rows(report, "12-1")] == [["优秀", "C2"], ["问题", "C1"]]
    assert rows(report, "12-1")[0][4] == "坐席：请讲。　诉求人：在路口。"
    (own,), (earlier,) = rows(report, "13-1"), rows(report, "13-2")
    # all but C4 lost points on S3.2, and so did they after the appeals
    assert own[1:3] == ["逐条复述", "全班"] and own[7:] == ["88.9%（8/9）", "—"]
    assert earlier[1] == "班前练习" and earlier[6:] == ["已练两次", "—", "88.9%（8/9）"]
    causes = [b for c in report.chapters for b in c.blocks if getattr(b, "slot", "") == "improve.causes"]
    assert [b.text for b in causes] == ["（待补充）"]
