"""Chapter fourteen from rows to cells: guards, evidence with its second person, shifts, what the leader noted."""

from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.reports import monthly
from callqa.reports.assessed import noted_times
from callqa.reports.document import MonthlyReport, Paragraph, Table, from_json
from callqa.scoring.assessment_text import parse_assessment
from callqa.store.db import Database
from callqa.store.tables import (
    CaseStudy,
    ConfidentialCall,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    ReportText,
    RosterEntry,
    SeatLogin,
    Ticket,
)
from callqa.usecases.publish_report import publish_report
from callqa.usecases.report_assessment import FoundRules, find_rules
from callqa.usecases.report_facts import ReportHead, gather
from tests.reports.builders import DAY, HOUR, LEADER, RUBRIC_HASH, SUPERVISOR, MonthMaker, add_people
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
NOW = MONTH.end_ms + 20 * DAY
TEXT = (Path(__file__).parents[2] / "scorecards" / "assessment.yaml").read_text(encoding="utf-8")
SMALL = TEXT.replace("min_samples: 20", "min_samples: 5").replace("window_months: 3", "window_months: 1")
STRICT = SMALL.replace(
    "coefficient: 1.", "coefficient: 0."
)  # every grade takes away, so that all deductions are listed


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One month of two agents, sampled and scored, everything final; tests copy it."""
    folder = tmp_path_factory.mktemp("month")
    db = make_database(folder)
    maker = MonthMaker(db, MONTH, add_people(db, 2), calls_per_agent=40)
    maker.fill()
    maker.evaluate(maker.sample())
    with db.write() as session:
        for row in session.exec(select(Evaluation)):
            row.status, row.released_at_ms, row.answered_at_ms = "finalized", NOW - 9 * DAY, NOW - 8 * DAY
            row.answer_days, row.finalized_at_ms = 5, NOW - 7 * DAY
            session.add(row)
        for ticket in session.exec(select(Ticket)):
            ticket.accepted_by_agent_no = "801"
            session.add(ticket)
        session.exec(RosterEntry.__table__.delete())  # type: ignore[attr-defined]
    db.dispose()
    return folder / "callqa.db"


@pytest.fixture
def db(month: Path, tmp_path: Path) -> Database:
    path = tmp_path / "copy.db"
    path.write_bytes(month.read_bytes())
    return Database(f"sqlite:///{path}")


def built(db: Database, rules: str = SMALL) -> MonthlyReport:
    head = ReportHead(NOW, "SWZJ-202610-01", 1, "水务热线", "市水务局服务热线中心", "何静")
    with db.read() as session:
        facts = gather(session, MONTH, head, FoundRules(parse_assessment(rules), ""))
    return monthly.build(facts)


def table(report: MonthlyReport, no: str) -> Table:
    return next(t for t in report.tables() if t.no == no)


def cells(report: MonthlyReport, no: str, agent_no: str) -> dict[str, str]:
    """One agent's row by the heads."""
    found = table(report, no)
    row = next(row for row in found.rows if row[0].text.startswith(agent_no))
    return {column.label: cell.text for column, cell in zip(found.columns, row, strict=True)}


def own(session: Session, agent_no: str) -> list[Evaluation]:
    from callqa.store.tables import Call

    return list(
        session.exec(
            select(Evaluation)
            .join(Call, col(Call.call_id) == col(Evaluation.call_id))
            .where(Call.agent_no == agent_no)
            .order_by(col(Evaluation.id))
        )
    )


def test_final_scores_give_a_grade_and_the_parts_without_data_say_so(db: Database) -> None:
    row = cells(built(db), "14-1", "802")
    assert row["等级"] in ("优秀", "良好", "合格", "不合格") and float(row["综合分"]) > 0
    # No ticket was accepted by 802 and there is no roster: 0.10 + 0.10 + 0.05 go to quality.
    assert "满意率、流程及时、出勤无足够数据" in row["依据"]
    quality, tickets = float(row["质检分"]), row["工单合格率"]
    clean, all_ = map(int, tickets[tickets.index("（") + 1 : -1].split("/"))
    by_hand = 0.85 * quality + 0.15 * 100 * clean / all_ + float(row["加减分"].replace("−", "-"))
    assert abs(float(row["综合分"]) - by_hand) <= 0.0501


def test_one_score_that_is_not_final_holds_the_agent_back(db: Database) -> None:
    with db.write() as session:
        score = own(session, "801")[0]
        score.status = "acknowledged"
        session.add(score)
    report = built(db)
    held = cells(report, "14-1", "801")
    assert held["奖罚金额或措施"] == "还有 1 份评分未定稿，暂不考核"
    assert held["综合分"] == held["等级"] == held["绩效系数"] == "—"
    assert cells(report, "14-1", "802")["等级"] != "—"
    assert not any(row[0].text.startswith("801") for row in table(report, "14-3").rows)


def test_too_few_samples_are_only_coached(db: Database) -> None:
    row = cells(built(db, SMALL.replace("min_samples: 5", "min_samples: 20")), "14-1", "801")
    assert row["奖罚金额或措施"] == "样本不足（10/20 通），仅辅导" and row["等级"] == "—"


def test_a_single_month_is_no_window_of_three(db: Database) -> None:
    row = cells(built(db, SMALL.replace("window_months: 1", "window_months: 3")), "14-1", "801")
    assert row["奖罚金额或措施"] == "可比数据只有 1 个月（须 3 个月），不作奖罚"


def add_fatal(db: Database, *, second: int | None = SUPERVISOR, secret: bool = False) -> str:
    """A fatal finding of the customers' kind in 801's first score; returns the call."""
    with db.write() as session:
        score = own(session, "801")[0]
        session.add(
            FatalFinding(
                evaluation_id=score.id or 0, fatal_id="F2", at_ms=21_000, words="挂断", confirmed_by=LEADER,
                second_confirmed_by=second, second_confirmed_at_ms=NOW if second else None,
            )
        )  # fmt: skip
        if secret:
            session.add(ConfidentialCall(call_id=score.call_id, reason="举报", marked_by=LEADER, marked_at_ms=NOW))
        return score.call_id


def fatal_rows(report: MonthlyReport) -> list[list[str]]:
    return [[c.text for c in row] for row in table(report, "14-3").rows if row[4].text == "致命项"]


def test_a_confirmed_fatal_finding_takes_ten_points_and_stands_with_both_people(db: Database) -> None:
    before = {row[1]: row for row in fatal_rows(built(db))}
    call_id = add_fatal(db)
    report = built(db)
    (row,) = [row for row in fatal_rows(report) if row[1] not in before]
    assert row[1:3] == [call_id, "0:21"] and row[3].startswith("F2 ") and row[5] == "孙澜"
    assert cells(report, "14-1", "801")["致命项"] == str(len(before) + 1)


def test_without_its_second_person_a_finding_counts_nothing(db: Database) -> None:
    before = cells(built(db), "14-1", "801")
    add_fatal(db, second=None)
    assert cells(built(db), "14-1", "801") == before


def test_of_a_confidential_call_neither_number_nor_place_is_told(db: Database) -> None:
    call_id = add_fatal(db, secret=True)
    report = built(db)
    assert call_id not in str(table(report, "14-3"))
    assert ["保密件", "保密"] in [row[1:3] for row in fatal_rows(report)]


def test_a_second_card_that_finds_the_same_fault_is_the_second_confirmation(db: Database) -> None:
    report = built(db, STRICT)
    assert all(cells(report, "14-1", agent)["绩效系数"] == "暂缓" for agent in ("801", "802"))
    first = next(row for row in table(report, "14-3").rows if row[5].text == "缺")
    call_id, item_id = first[1].text, first[3].text.split(" ")[0]
    with db.write() as session:
        for place, evaluator in enumerate((LEADER, SUPERVISOR)):  # the leader's own second card confirms nothing
            card = Evaluation(
                call_id=call_id, kind=f"calibration:1:{evaluator}", rubric_hash=RUBRIC_HASH, evaluator_id=evaluator,
                status="submitted", opened_at_ms=NOW,
            )  # fmt: skip
            session.add(card)
            session.flush()
            points = 0.0 if place or evaluator == LEADER else 5.0
            session.add(EvaluationItem(evaluation_id=card.id or 0, item_id=item_id, max_points=5.0, points=points))
    found = [
        row[5].text
        for row in table(built(db, STRICT), "14-3").rows
        if (row[1].text, row[3].text.split(" ")[0]) == (call_id, item_id)
    ]
    assert set(found) == {"孙澜"}


def test_shifts_with_a_sign_in_or_a_call_were_attended(db: Database) -> None:
    at = MONTH.start_ms
    with db.write() as session:
        for day in range(4):  # at three in the morning of the first days nobody called by chance of the seed
            start = at + day * DAY + 180 * 60_000
            session.add(RosterEntry(agent_no="801", shift="night", start_at_ms=start, end_at_ms=start + 1))
        session.add(SeatLogin(seat_extension="8001", agent_no="801", started_at_ms=at, ended_at_ms=at + 2 * DAY))
        session.add(RosterEntry(agent_no="801", shift="day", start_at_ms=at - HOUR, end_at_ms=at))  # September's
    assert cells(built(db), "14-1", "801")["出勤"] == "50.0%（2/4）"


def test_what_the_leader_noted_adds_and_a_case_adds(db: Database) -> None:
    before = cells(built(db), "14-1", "802")
    with db.write() as session:
        words = "表扬 3：来信三封\nvalid_complaint 1：某日\n说他好"
        slot = "assess.802.noted"
        session.add(ReportText(month=str(MONTH), slot=slot, text=words, written_by="banzhang", written_at_ms=NOW))
        call_id = own(session, "802")[0].call_id
        session.add(
            CaseStudy(
                call_id=call_id, kind="exemplary", title="x", lesson="y", added_by=LEADER, added_at_ms=NOW
            )
        )  # fmt: skip
    report = built(db)
    after = cells(report, "14-1", "802")
    as_number = [float(row["加减分"].replace("−", "-")) for row in (before, after)]
    assert as_number[1] - as_number[0] == 6.0  # three letters are capped at 4, the case adds 2
    noted = cells(report, "14-2", "802")
    assert noted["计入"] == "经核实的书面或电话表扬 3 次 +4.0"
    assert noted["看不懂，未计"] == "valid_complaint 1：某日；说他好"


def test_notes_are_read_line_by_line() -> None:
    rules = parse_assessment(TEXT)
    assert noted_times(rules, "") == ({}, ())
    assert noted_times(rules, "praise 1：甲\n表扬×2：乙") == ({"praise": 3}, ())
    assert noted_times(rules, "表扬 1：") == ({}, ("表扬 1：",))  # no ground, no points
    assert noted_times(rules, "fatal_customer 1：甲")[0] == {}
    assert noted_times(rules, "exemplary_case 1：甲")[0] == {}


def test_the_months_before_are_read_from_their_reports(db: Database, tmp_path: Path) -> None:
    (tmp_path / "assessment.yaml").write_text(SMALL, encoding="utf-8")
    row = publish_report(
        db, MONTH, exports_dir=tmp_path, actor="banzhang", now_ms=NOW, hotline_name="水务热线", organisation="",
        scorecards_dir=tmp_path,
    )  # fmt: skip
    grade = cells(from_json(row.values), "14-1", "801")["等级"]
    from callqa.usecases.report_assessment import _past_grades

    with db.read() as session:
        past = _past_grades(session, MONTH.next(), parse_assessment(SMALL), demo=False)
    assert past["801"] == (grade, None)


def test_without_rules_or_with_bad_ones_the_chapter_says_so_and_the_report_is_made(
    db: Database, tmp_path: Path
) -> None:
    assert "没有考核规则 scorecards/assessment.yaml" in find_rules(tmp_path).problem
    (tmp_path / "assessment.yaml").write_text(TEXT.replace("min: 95", "min: 高"), encoding="utf-8")
    row = publish_report(
        db, MONTH, exports_dir=tmp_path, actor="banzhang", now_ms=NOW, hotline_name="水务热线", organisation="",
        scorecards_dir=tmp_path,
    )  # fmt: skip
    chapter = next(c for c in from_json(row.values).chapters if c.key == "assessment")
    (told,) = chapter.blocks
    assert isinstance(told, Paragraph) and "不能用" in told.text and "第 " in told.text
    (tmp_path / "assessment.yaml").write_bytes("标题".encode("gbk"))
    assert "UTF-8" in find_rules(tmp_path).problem
