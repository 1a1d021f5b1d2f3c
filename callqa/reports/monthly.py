"""《月度质检报告》: MonthFacts → MonthlyReport. Pure; the chapters come from the registry in sections/."""

from callqa.periods import say_instant
from callqa.reports.appeals import Verdict
from callqa.reports.attachments import build_attachments
from callqa.reports.document import UNFILLED, Chapter, MonthlyReport, Paragraph, Table
from callqa.reports.facts import MonthFacts
from callqa.reports.results import build_results
from callqa.reports.sections import SECTIONS
from callqa.reports.sections.cases import unchecked


def build(facts: MonthFacts) -> MonthlyReport:
    """Build the report; the same facts always give the same report."""
    results = build_results(facts)
    chapters = tuple(Chapter(s.key, s.number, s.title, s.build(facts, results)) for s in SECTIONS)
    made_at = say_instant(facts.made_at_ms)
    return MonthlyReport(
        title=f"{facts.month.label}{facts.hotline_name}月度质检报告",
        month=str(facts.month),
        month_label=facts.month.label,
        report_no=facts.report_no,
        version=facts.version,
        demo=facts.sample.demo,
        hotline_name=facts.hotline_name,
        organisation=facts.organisation,
        cover=_cover(facts, made_at),
        rubric_label=facts.rubric.label,
        frame_hash=facts.sample.frame_hash,
        made_at=made_at,
        chapters=chapters,
        attachments=build_attachments(facts),
        blockers=_blockers(facts, chapters),
        made_at_ms=facts.made_at_ms,
    )


def _cover(facts: MonthFacts, made_at: str) -> tuple[tuple[str, str], ...]:
    month = facts.month
    last_day = (month.end_ms - month.start_ms) // 86_400_000
    return (
        ("报告期", f"{month.label}1日至{month.label}{last_day}日"),
        ("编制单位", facts.organisation),
        ("编制人（班长）", facts.prepared_by),
        ("报告编号", facts.report_no),
        ("版本", f"第 {facts.version} 版（草稿）"),
        ("评分标准", facts.rubric.label),
        ("生成时间", made_at),
        ("密级", "内部"),
    )


def _blockers(facts: MonthFacts, chapters: tuple[Chapter, ...]) -> tuple[str, ...]:
    """What must be done before the report can be made final."""
    found = []
    open_calls = len(facts.sample.sampled) - len(facts.sample.scored)
    if open_calls:
        found.append(f"样本中还有 {open_calls} 通未提交评分")
    blocks = [block for chapter in chapters for block in chapter.blocks]
    unfilled = sum(isinstance(b, Paragraph) and b.text == UNFILLED for b in blocks) + sum(
        cell.text == UNFILLED for b in blocks if isinstance(b, Table) for row in b.rows for cell in row
    )
    if unfilled:
        found.append(f"还有 {unfilled} 处文字待补充")
    if unchecked(facts):
        found.append(f"还有 {unchecked(facts)} 条疑似致命提示未核实")
    waiting = sum(fatal.waits for _, score in facts.sample.scored for fatal in score.fatals)
    if waiting:
        found.append(f"还有 {waiting} 条致命项认定待第二人确认")
    undecided = facts.appeals.ended(Verdict.OPEN)
    if undecided:
        found.append(f"还有 {undecided} 次申诉待裁定")
    return tuple(found)
