"""From stored evaluations to files: the same numbers everywhere, a new version each time, and only what depends changes."""

import io
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import docx
import openpyxl
import pytest
from sqlmodel import select

from callqa.errors import StateError
from callqa.periods import Month
from callqa.reports import monthly, render_pdf
from callqa.reports.document import Cards, CellKind, Figure, MonthlyReport, Paragraph, Table, from_json
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.sampling import entries_of
from callqa.store.tables import (
    Account,
    AuditEntry,
    Call,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    ReportRow,
    ReportText,
    SamplingFrame,
)
from callqa.usecases.draw import ReserveReason, use_reserve
from callqa.usecases.publish_report import publish_report
from callqa.usecases.report_facts import ReportHead, gather
from tests.reports.builders import HOUR, MonthMaker, a_call, add_people, evaluate_call
from tests.reports.pdf_text import pdf_pages, unspaced
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
NOW = MONTH.end_ms + 20 * 24 * HOUR


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of two sampled and scored months of three agents; tests copy it."""
    folder = tmp_path_factory.mktemp("month")
    db = make_database(folder)
    agents = add_people(db, 3)
    for one in (MONTH.previous(), MONTH):
        maker = MonthMaker(db, one, agents, calls_per_agent=40)
        maker.fill()
        maker.evaluate(maker.sample())
    db.dispose()
    return folder / "callqa.db"


@pytest.fixture
def db(month: Path, tmp_path: Path) -> Database:
    path = tmp_path / "copy.db"
    path.write_bytes(month.read_bytes())
    return Database(f"sqlite:///{path}")


def publish(db: Database, folder: Path, now_ms: int = NOW) -> ReportRow:
    return publish_report(
        db,
        MONTH,
        exports_dir=folder,
        actor="banzhang",
        now_ms=now_ms,
        hotline_name="水务热线",
        organisation="市水务局服务热线中心",
    )


def report_of(row: ReportRow) -> MonthlyReport:
    return from_json(row.values)


def built(db: Database) -> MonthlyReport:
    """The report's values without its files, where a test needs no more."""
    head = ReportHead(NOW, "SWZJ-202610-01", 1, "水务热线", "市水务局服务热线中心", "何静")
    with db.read() as session:
        facts = gather(session, MONTH, head)
    return monthly.build(facts)


def table_of(report: MonthlyReport, no: str) -> Table:
    return next(t for t in (*report.tables(), *report.attachments) if t.no == no)


def rows_of(report: MonthlyReport, no: str) -> dict[str, list[str]]:
    """A table's rows by their second cell for 4-1, by their first elsewhere."""
    key = 1 if no in ("4-1", "附件1") else 0
    return {row[key].text: [cell.text for cell in row] for row in table_of(report, no).rows}


def test_files_and_stored_values_belong_together(db: Database, tmp_path: Path) -> None:
    row = publish(db, tmp_path)
    assert [Path(f["name"]).name for f in row.files] == [
        "2026年10月水务热线月度质检报告.docx",
        "2026年10月水务热线月度质检报告.xlsx",
        "2026年10月水务热线月度质检报告.pdf",
    ]
    for one in row.files:
        data = (tmp_path / one["name"]).read_bytes()
        assert (sha256(data).hexdigest(), len(data)) == (one["sha256"], one["bytes"])
    assert not list(tmp_path.rglob("*.part"))
    with db.read() as session:
        stored = session.get(ReportRow, row.id)
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "report.publish")).one()
        assert audit.verify(session) == []
    assert stored.values == row.values and entry.detail["files"] == row.files and entry.subject == row.report_no


def test_every_table_has_the_same_text_in_every_format(db: Database, tmp_path: Path) -> None:
    row = publish(db, tmp_path)
    report = report_of(row)
    document = docx.Document(io.BytesIO((tmp_path / row.files[0]["name"]).read_bytes()))
    words = {tuple(cell.text for cell in r.cells) for table in document.tables for r in table.rows}
    book = openpyxl.load_workbook(tmp_path / row.files[1]["name"])
    for table in report.tables():
        for cells in table.rows:
            assert tuple(cell.text for cell in cells) in words, f"table {table.no} in DOCX"
    pages = pdf_pages((tmp_path / row.files[2]["name"]).read_bytes(), tmp_path)
    for table in report.tables():
        for cells in table.rows:
            assert any(unspaced("".join(cell.text for cell in cells)) in page for page in pages), f"{table.no} in PDF"
    for table in (*report.tables(), *report.attachments):
        sheet = next(s for s in book.worksheets if s.title.startswith(f"{table.no} "))
        printed = [[as_printed(cell) for cell in line] for line in sheet.iter_rows()]
        for cells in table.rows:
            assert [cell.text for cell in cells] in [line[: len(cells)] for line in printed], (
                f"table {table.no} in XLSX"
            )


def test_pdf_says_all_that_the_report_says_and_again_the_same(db: Database, tmp_path: Path) -> None:
    row = publish(db, tmp_path)
    report = report_of(row)
    data = (tmp_path / row.files[2]["name"]).read_bytes()
    assert render_pdf.render(report) == data  # from the stored values, at any later time
    words = "".join(pdf_pages(data, tmp_path))
    texts = [f"{label}{value}" for label, value in report.cover]
    for chapter in report.chapters:
        texts.append(f"{chapter.number}、{chapter.title}")
        for block in chapter.blocks:
            if isinstance(block, Cards):
                texts += [text for card in block.cards for text in (card.title, card.value, *card.lines, card.target)]
            elif isinstance(block, Paragraph):
                texts.append(f"{block.label}：{block.text}" if block.label else block.text)
            elif isinstance(block, Figure):
                texts += [block.caption, *block.notes]
            else:
                texts += [f"表{block.no}{block.title}", *(f"注：{note}" for note in block.notes)]
    assert len(texts) > 100 and [text for text in texts if unspaced(text) not in words] == []


def as_printed(cell: object) -> str:
    """What a spreadsheet shows of a cell with our few number formats."""
    value, form = cell.value, cell.number_format  # type: ignore[attr-defined]
    if not isinstance(value, int | float):
        return value or ""
    decimals = len(form.rstrip("%").partition(".")[2])
    exact = Decimal(str(value)) * (100 if form.endswith("%") else 1)
    return f"{exact:.{decimals}f}{'%' if form.endswith('%') else ''}"


def test_closing_in_time_is_the_same_number_in_both_chapters(db: Database) -> None:
    report = built(db)
    kpi = rows_of(report, "8-1")["及时办结率"]
    step = rows_of(report, "7-3")["办结"]
    assert (step[4], step[3]) == (kpi[1], kpi[2]) and int(kpi[2]) > 0


def test_number_cells_hold_the_number_they_print(db: Database) -> None:
    for table in built(db).tables():
        for cell in (c for r in table.rows for c in r):
            if cell.kind is CellKind.NUMBER:
                assert float(cell.text) == cell.number
            elif cell.kind is CellKind.PERCENT and cell.number is not None:
                assert float(cell.text.rstrip("%")) == pytest.approx(cell.number * 100)


def test_one_changed_score_changes_what_depends_on_it_and_nothing_else(db: Database) -> None:
    before = built(db)
    with db.write() as session:
        frame = session.exec(select(SamplingFrame).where(SamplingFrame.month == str(MONTH))).one()
        normal = [e for e in entries_of(session, frame.id) if (e.agent_no, e.stratum) == ("802", "normal")]
        scored = session.exec(select(Evaluation).where(Evaluation.call_id == normal[0].call_id)).one()
        item = session.exec(
            select(EvaluationItem).where(EvaluationItem.evaluation_id == scored.id, EvaluationItem.item_id == "S1.2")
        ).one()
        item.points = 0.0 if item.points else 5.0
        scored.quality_score = 55.5
        scored.final_score, scored.grade = 55.5, "failed"
        session.add_all([item, scored])
    after = built(db)
    # the team, the agent, the item, the call and the lists of failed calls change
    assert rows_of(after, "3-1")["质量分（不含否决）"] != rows_of(before, "3-1")["质量分（不含否决）"]
    assert rows_of(after, "5-1")["S1.2"] != rows_of(before, "5-1")["S1.2"]
    assert rows_of(after, "附件1")[scored.call_id] != rows_of(before, "附件1")[scored.call_id]
    assert scored.call_id in [r[1].text for r in table_of(after, "6-2").rows]
    old, new = rows_of(before, "4-1"), rows_of(after, "4-1")
    changed = next(key for key in new if key.startswith("802"))
    assert old[changed] != new[changed]
    # what does not depend on it stays: coverage, strata, draw, other calls, other items' own figures
    for no in ("2-1", "2-2", "2-4"):
        assert rows_of(after, no) == rows_of(before, no)
    untouched = {k: v for k, v in rows_of(before, "附件1").items() if k != scored.call_id}
    assert untouched.items() <= rows_of(after, "附件1").items()
    own = slice(0, 8)  # number to mean deduction; the shares of the total do depend
    for item_id, cells in rows_of(before, "5-1").items():
        if item_id != "S1.2":
            assert rows_of(after, "5-1")[item_id][own] == cells[own]
    # other agents: everything but tier and interval, which pool the variance over the team
    for agent, cells in old.items():
        if agent != changed:
            kept = [i for i in range(len(cells)) if i not in (0, 5, 13)]
            assert [new[agent][i] for i in kept] == [cells[i] for i in kept]
    # and the month before is the same in both
    assert [r[3] for r in rows_of(after, "3-1").values()] == [r[3] for r in rows_of(before, "3-1").values()]


def test_publishing_again_makes_a_new_version_beside_the_old(db: Database, tmp_path: Path) -> None:
    first, second = publish(db, tmp_path), publish(db, tmp_path, NOW + 60_000)
    assert (second.version, second.report_no) == (2, "SWZJ-202610-02")
    keep = {"chapters", "attachments", "blockers"}
    assert {k: first.values[k] for k in keep} == {k: second.values[k] for k in keep}
    assert all((tmp_path / one["name"]).is_file() for one in (*first.files, *second.files))


def test_hand_summed_means_agree(db: Database) -> None:
    """The agent's mean from the attachment and table 2-2 by hand."""
    report = built(db)
    strata = {row[0].text: [cell.text for cell in row] for row in table_of(report, "2-2").rows}
    details = table_of(report, "附件1")
    place = {column.label: i for i, column in enumerate(details.columns)}
    for agent, cells in rows_of(report, "4-1").items():
        total = weight = Decimal(0)
        for stratum, at in (("风险", 1), ("回访", 4), ("普通", 7)):
            scores = [
                Decimal(row[place["质量分"]].text)
                for row in details.rows
                if row[place["工号"]].text == agent and row[place["层"]].text == stratum
            ]
            size = Decimal(strata[agent][at])
            if scores:
                total += size * sum(scores) / len(scores)
                weight += size
        assert abs(total / weight - Decimal(cells[4])) <= Decimal("0.0500001")


def test_texts_of_the_leader_fill_their_places(db: Database) -> None:
    with db.write() as session:
        session.add(
            ReportText(
                month=str(MONTH), slot="summary.comment", text="夜班积水来电集中。", written_by="x", written_at_ms=0
            )
        )
    report = built(db)
    assert any(getattr(b, "text", "") == "夜班积水来电集中。" for b in report.chapters[0].blocks)
    assert any("待补充" in blocker for blocker in report.blockers)


def test_a_replaced_call_leaves_and_its_reserve_enters(db: Database) -> None:
    with db.write() as session:
        frame = session.exec(select(SamplingFrame).where(SamplingFrame.month == str(MONTH))).one()
        entry = next(e for e in entries_of(session, frame.id) if (e.agent_no, e.stratum) == ("801", "normal"))
        scored = session.exec(select(Evaluation).where(Evaluation.call_id == entry.call_id)).one()
        scored.status = "draft"
        session.add(scored)
    reserve = use_reserve(db, frame.id, entry.call_id, reason=ReserveReason.UNPLAYABLE, actor="banzhang", now_ms=NOW)
    assert reserve is not None
    with db.write() as session:
        evaluate_call(session, session.get(Call, reserve.call_id), reserve, {"S1.1": {"a": 1}})
    report = built(db)
    listed = rows_of(report, "附件1")
    assert entry.call_id not in listed and listed[reserve.call_id][9] == "递补"
    coverage = next(cells for agent, cells in rows_of(report, "2-1").items() if agent.startswith("801"))
    assert coverage[-3] == "1" and coverage[-5:-3] == ["10", "10"]


def test_a_sample_scored_in_part_says_so(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    maker = MonthMaker(db, MONTH, add_people(db, 2), calls_per_agent=12)
    maker.fill()
    frame_id = maker.sample()
    empty = built(db)
    assert "尚无已提交的评分" in "".join(getattr(b, "text", "") for b in empty.chapters[0].blocks)
    maker.evaluate(frame_id, share=0.3)
    report = built(db)
    assert any("未提交评分" in blocker for blocker in report.blockers)
    assert rows_of(report, "3-1")["质量分（不含否决）"][3] == "—"


def test_a_demo_is_marked_in_every_format(tmp_path: Path) -> None:
    """Two calls only, as in the demonstration: nothing is inferred, nothing breaks."""
    db = make_database(tmp_path)
    add_people(db, 2)
    with db.write() as session:
        session.add_all([a_call("C1", MONTH, "801", demo=True), a_call("C2", MONTH, "802", demo=True)])
    maker = MonthMaker(db, MONTH, ["801", "802"])
    frame_id = maker.sample(demo=True)
    maker.evaluate(frame_id)
    row = publish(db, tmp_path)
    assert row.demo
    document = docx.Document(tmp_path / row.files[0]["name"])
    assert "演示数据" in document.sections[-1].header.paragraphs[0].text
    book = openpyxl.load_workbook(tmp_path / row.files[1]["name"])
    assert all("演示数据" in (sheet.oddHeader.left.text or "") for sheet in book.worksheets)
    assert all("演示数据" in page for page in pdf_pages((tmp_path / row.files[2]["name"]).read_bytes(), tmp_path))
    cells = next(v for k, v in rows_of(report_of(row), "4-1").items() if k.startswith("801"))
    assert cells[5] == "全检"


def test_a_month_without_a_sample_has_no_report(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    add_people(db, 1)
    with pytest.raises(StateError, match="还没有抽取样本"):
        publish(db, tmp_path)


def test_a_finding_that_its_second_person_refused_is_told_and_counts_nowhere(db: Database) -> None:
    """It does not wait for anybody either: it is no open matter of the report."""
    with db.write() as session:
        frame = session.exec(select(SamplingFrame).where(SamplingFrame.month == str(MONTH))).one()
        calls = [e.call_id for e in entries_of(session, frame.id or 0)]
        scored = session.exec(select(Evaluation).where(Evaluation.call_id.in_(calls))).first()  # type: ignore[attr-defined]
        assert scored is not None and scored.id is not None
        finding = FatalFinding(
            evaluation_id=scored.id, fatal_id="F2", at_ms=3000, words="挂机", confirmed_by=scored.evaluator_id
        )
        session.add(finding)
        session.flush()
        others = select(Account.id).where(Account.id != scored.evaluator_id)
        finding_id, second = finding.id, session.exec(others).first()
    before = built(db)
    assert [row[10].text for row in table_of(before, "6-1").rows] == ["待确认"]
    assert any("待第二人确认" in line for line in before.blockers)
    with db.write() as session:
        refused = session.get(FatalFinding, finding_id)
        assert refused is not None and second is not None
        refused.refused_by, refused.refused_at_ms, refused.refusal = second, NOW, "没有听到"
    after = built(db)
    (told,) = [row[10].text for row in table_of(after, "6-1").rows]
    assert told.endswith("不认可，不计入") and not any("待第二人确认" in line for line in after.blockers)
    marked = [row for row in table_of(after, "附件1").rows if any("F2（不认可）" in cell.text for cell in row)]
    assert len(marked) == 1
