"""Chapter 11 of the report: a small made month whose answers and appeals are counted by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.periods import Month
from callqa.reports import monthly
from callqa.reports.appeals import MIN_SHARE, MonthAppeals
from callqa.reports.document import MonthlyReport
from callqa.reports.sections.appeals import small_share, spread
from callqa.scoring.evaluation import Outcome
from callqa.store.db import Database
from callqa.store.tables import Account, Appeal, ConfidentialCall, ConfidentialReader, Evaluation, FatalFinding
from callqa.units import Ratio
from callqa.usecases import appeal, evaluate, review, second_person
from callqa.usecases.appeal import Ruling
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput, FatalInput
from callqa.usecases.report_facts import ReportHead, gather
from tests.reports.builders import DAY, HOUR, LEADER, SUPERVISOR, MonthMaker, a_call, add_people
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
RELEASED = MONTH.end_ms + 2 * DAY
NOW = MONTH.end_ms + 20 * DAY
AGENTS = {"801": 11, "802": 12}
CALLS = {f"C{number}": "801" if number < 5 else "802" for number in range(1, 10)}
GIVEN = EvaluationInput(
    not_applicable=frozenset(),
    deductions={"S1.1": {"b": DeductionInput(note="没听清工号")}, "S3.2": {"a": DeductionInput(1, 20_000, "未复述")}},
    fatals=(),
)
RUDE = EvaluationInput(frozenset(), {}, (FatalInput("F1", 5_000, "你烦不烦"),))
TAKEN_BACK = Ruling(Outcome.REVISED, "听得清")
STANDS = Ruling(Outcome.UPHELD, "没有复述")


class Story:
    """The month's scores by call, changed by the people they belong to."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ids: dict[str, int] = {}

    def score(self, call_id: str, given: EvaluationInput) -> None:
        now = MONTH.end_ms + DAY
        self.ids[call_id] = evaluate.open_evaluation(self.db, call_id, evaluator_id=LEADER, now_ms=now)
        evaluate.submit(self.db, self.ids[call_id], given, version=1, account_id=LEADER, now_ms=now + HOUR)

    def appeal(self, call_id: str, *items: str, at_ms: int) -> None:
        reasons = dict.fromkeys(items, f"{call_id} 我复述过，在 0:25，电话 13812345678")
        appeal.appeal(self.db, self.ids[call_id], reasons, now_ms=at_ms, **self._as_agent(call_id))

    def withdraw(self, call_id: str, at_ms: int) -> None:
        appeal.withdraw(self.db, self.ids[call_id], now_ms=at_ms, **self._as_agent(call_id))

    def acknowledge(self, call_id: str, at_ms: int) -> None:
        appeal.acknowledge(self.db, self.ids[call_id], now_ms=at_ms, **self._as_agent(call_id))

    def decide(self, call_id: str, rulings: dict[str, Ruling], at_ms: int) -> None:
        with self.db.read() as session:
            query = select(Appeal).where(Appeal.evaluation_id == self.ids[call_id], Appeal.state == "open")
            by_id = {row.id or 0: rulings[row.item_id] for row in session.exec(query)}
        version = self._as_agent(call_id)["version"]
        appeal.decide(self.db, self.ids[call_id], by_id, version=version, account_id=SUPERVISOR, now_ms=at_ms)

    def confirm_fatal(self, call_id: str) -> None:
        with self.db.read() as session:
            query = select(FatalFinding.id).where(FatalFinding.evaluation_id == self.ids[call_id])
            finding_id = session.exec(query).one()
        second_person.confirm_fatal(self.db, finding_id or 0, account_id=SUPERVISOR, now_ms=MONTH.end_ms + DAY + HOUR)

    def _as_agent(self, call_id: str) -> dict[str, int]:
        with self.db.read() as session:
            row = session.get(Evaluation, self.ids[call_id])
            assert row is not None
            return {"version": row.version, "account_id": AGENTS[CALLS[call_id]]}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Nine calls: eight scores released, six appealed, four of these decided, one withdrawn, one waiting for too long."""
    db = make_database(tmp_path)
    add_people(db, 2)
    with db.write() as session:
        for agent_no, account_id in AGENTS.items():
            name = f"seat{agent_no}"
            session.add(
                Account(
                    id=account_id, username=name, display_name=name, role="agent", password_hash="x", agent_no=agent_no
                )
            )
        for number, (call_id, agent_no) in enumerate(CALLS.items()):
            session.add(a_call(call_id, MONTH, agent_no, started_at_ms=MONTH.start_ms + DAY + number * HOUR))
        session.flush()
        session.add(ConfidentialCall(call_id="C9", reason="领导交办", marked_by=LEADER, marked_at_ms=1))
        session.flush()
        session.add_all(ConfidentialReader(call_id="C9", account_id=n) for n in (LEADER, SUPERVISOR, AGENTS["802"]))
    MonthMaker(db, MONTH, list(AGENTS)).sample()
    told = Story(db)
    for call_id in CALLS:
        told.score(call_id, RUDE if call_id == "C4" else GIVEN)
    told.confirm_fatal("C4")
    ids = [told.ids[call_id] for call_id in CALLS if call_id != "C8"]
    review.release(db, ids, account_id=LEADER, answer_days=5, now_ms=RELEASED)
    told.acknowledge("C1", RELEASED + HOUR)
    told.appeal("C2", "S1.1", "S3.2", at_ms=RELEASED + DAY)
    told.decide("C2", {"S1.1": TAKEN_BACK, "S3.2": STANDS}, RELEASED + 3 * DAY)
    told.appeal("C3", "S3.2", at_ms=RELEASED + DAY)
    told.decide("C3", {"S3.2": STANDS}, RELEASED + 2 * DAY)
    told.appeal("C4", "F1", at_ms=RELEASED + 2 * DAY)
    told.decide("C4", {"F1": TAKEN_BACK}, RELEASED + 10 * DAY)
    told.appeal("C5", "S1.1", at_ms=RELEASED + DAY)
    told.withdraw("C5", RELEASED + 2 * DAY)
    told.appeal("C6", "S1.1", at_ms=RELEASED + 2 * DAY)
    told.appeal("C9", "S3.2", at_ms=RELEASED + DAY)
    told.decide("C9", {"S3.2": STANDS}, RELEASED + 2 * DAY)
    review.lapse_due(db, now_ms=RELEASED + 7 * DAY)
    yield told
    db.dispose()


def built(db: Database, now_ms: int = NOW) -> MonthlyReport:
    head = ReportHead(now_ms, "SWZJ-202610-01", 1, "水务热线", "市水务局服务热线中心", "何静")
    with db.read() as session:
        return monthly.build(gather(session, MONTH, head))


def rows(report: MonthlyReport, no: str) -> list[list[str]]:
    table = next(t for t in (*report.tables(), *report.attachments) if t.no == no)
    return [[cell.text for cell in row] for row in table.rows]


def figures(report: MonthlyReport) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(report, "11-2")}


def test_the_month_counted_by_hand(story: Story) -> None:
    assert figures(built(story.db)) == {
        "已发布评分（份）": "8",
        "本人确认": "12.5%（1/8）",
        "逾期视为确认": "25.0%（2/8）",
        "等待答复（份）": "0",
        "待裁定（份）": "1",
        "裁定定稿（份）": "4",
        "提出过申诉的评分": "75.0%（6/8）",
        "申诉": "6 次 / 7 项",
        "结论：改判（次）": "1/4",
        "结论：部分改判（次）": "1/4",
        "结论：维持（次）": "2/4",
        "撤回（次）": "1",
        "按项改判率": "40.0%（2/5）",
        "裁定用时（天）": "中位数 1.5（n = 4：1.0、1.0、2.0、8.0）",
        "裁定超期（次）": "40.0%（2/5）",
        "评分人本人裁定（次）": "0/4",
        "质量分变化": "中位数 0.0（n = 4：0.0、0.0、0.0、+1.0）",
        "最终分变化": "中位数 +0.5（n = 4：0.0、0.0、+1.0、+100.0）",
    }


def test_each_appeal_stands_with_what_it_changed(story: Story) -> None:
    found = {(row[0], row[2][:4]): row for row in rows(built(story.db), "11-1")}
    assert len(found) == 7
    partly, stands = found["C2", "S1.1"], found["C2", "S3.2"]
    assert (partly[5], partly[6], partly[7]) == ("孙澜", "改判", "4.0 → 5.0")
    assert partly[8] == stands[8] and "→" in partly[8] and (stands[6], stands[7]) == ("维持", "0.0")
    fatal = next(row for (call_id, _), row in found.items() if call_id == "C4")
    assert fatal[2].startswith("F1 ") and fatal[6:] == ["改判", "撤销", "100.0", "0.0 → 100.0", "8.0"]
    assert found["C5", "S1.1"][6:] == ["已撤回", "—", "—", "—", "—"]
    assert found["C6", "S1.1"][5:] == ["—", "待裁定", "—", "—", "—", "—"]


def test_items_add_up_to_the_appeals(story: Story) -> None:
    by_item = {row[0].split()[0]: row[1:] for row in rows(built(story.db), "11-3")}
    assert by_item["S1.1"] == ["3", "1", "0", "1", "1", "1/1", "+1.0"]
    assert by_item["S3.2"] == ["3", "0", "3", "0", "0", "0/3", "—"]
    assert by_item["F1"] == ["1", "1", "0", "0", "0", "1/1", "—"]


def test_a_confidential_call_is_counted_and_not_told(story: Story) -> None:
    report = built(story.db)
    (secret,) = [row for row in rows(report, "11-1") if row[0] == "保密件"]
    assert secret[3:5] == ["—", "—"] and secret[6] == "维持"
    assert "C9" not in str(rows(report, "11-1")) and "13812345678" not in str(report)


def test_the_details_of_a_call_name_what_became_of_its_appeal(story: Story) -> None:
    report = built(story.db)
    table = next(t for t in report.attachments if t.no == "附件1")
    said = {row[1].text: row[-1].text for row in table.rows}
    assert {said[c] for c in ("C1", "C7", "C8")} == {"—"}
    assert [said[c] for c in ("C2", "C3", "C4", "C5", "C6")] == ["部分改判", "维持", "改判", "撤回", "待裁定"]
    assert "还有 1 次申诉待裁定" in report.blockers


def test_deciding_one_more_appeal_changes_what_depends_on_it_and_nothing_else(story: Story) -> None:
    before = built(story.db)
    story.decide("C6", {"S1.1": STANDS}, RELEASED + 6 * DAY)
    after = built(story.db)
    old, new = figures(before), figures(after)
    assert {label: new[label] for label in new if new[label] != old[label]} == {
        "待裁定（份）": "0",
        "裁定定稿（份）": "5",
        "结论：改判（次）": "20.0%（1/5）",
        "结论：部分改判（次）": "20.0%（1/5）",
        "结论：维持（次）": "60.0%（3/5）",
        "按项改判率": "33.3%（2/6）",
        "裁定用时（天）": "中位数 2.0（n = 5，1.0 至 8.0）",
        "裁定超期（次）": "20.0%（1/5）",
        "评分人本人裁定（次）": "0.0%（0/5）",
        "质量分变化": "中位数 0.0（n = 5，0.0 至 +1.0）",
        "最终分变化": "中位数 0.0（n = 5，0.0 至 +100.0）",
    }
    changed = [a for a, b in zip(rows(after, "11-1"), rows(before, "11-1"), strict=True) if a != b]
    assert [row[0] for row in changed] == ["C6"]
    changed = [a for a, b in zip(rows(after, "11-3"), rows(before, "11-3"), strict=True) if a != b]
    assert [row[0][:4] for row in changed] == ["S1.1"]
    for no in ("2-1", "3-1", "4-1", "5-1", "6-1", "6-2"):
        assert rows(after, no) == rows(before, no)
    assert not any("申诉待裁定" in line for line in after.blockers)


def test_a_window_that_has_just_ended_counts_as_lapsed_before_the_calendar_says_so(story: Story) -> None:
    with story.db.write() as session:
        row = session.get(Evaluation, story.ids["C7"])
        assert row is not None
        row.status, row.answered_at_ms, row.answered_by_lapse = "released", None, False
        session.add(row)
        due = row.answer_due_at_ms or 0
    for now_ms, lapsed, waiting in ((due - 1, "12.5%（1/8）", "1"), (due, "25.0%（2/8）", "0")):
        got = figures(built(story.db, now_ms))
        assert (got["逾期视为确认"], got["等待答复（份）"]) == (lapsed, waiting)


def test_nothing_released_is_no_share_of_anything(story: Story) -> None:
    assert (
        small_share(Ratio(0, 0)) == "—（0/0）"
        and small_share(Ratio(1, MIN_SHARE - 1)) == "1/4"
        and small_share(Ratio(1, MIN_SHARE)) == "20.0%（1/5）"
    )
    assert MonthAppeals().days == () and spread((), str) == "—"
    empty = rows(built(story.db), "11-2")
    assert {row[2] for row in empty} == {"—"}, "no released score in the month before"


def test_nobody_consents_by_silence_to_a_confidential_score(story: Story) -> None:
    with story.db.write() as session:
        row = session.get(Evaluation, story.ids["C7"])
        assert row is not None
        row.status, row.answered_at_ms, row.answered_by_lapse = "released", None, False
        session.add_all([row, ConfidentialCall(call_id="C7", reason="领导交办", marked_by=LEADER, marked_at_ms=1)])
    got = figures(built(story.db))
    assert (got["逾期视为确认"], got["等待答复（份）"]) == ("12.5%（1/8）", "1")
