"""The chapters of the monthly report, one row each: a new chapter is a new row and a new file."""

from collections.abc import Callable
from dataclasses import dataclass

from callqa.reports.document import Block
from callqa.reports.facts import MonthFacts
from callqa.reports.results import Results
from callqa.reports.sections import (
    agents,
    appeals,
    appendix,
    assessment,
    cases,
    coverage,
    improving,
    items,
    machine,
    matching,
    overall,
    raters,
    running,
    summary,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter: its key, Chinese number and title, and what makes its blocks."""

    key: str
    number: str
    title: str
    build: Callable[[MonthFacts, Results], tuple[Block, ...]]


SECTIONS = (
    Section("summary", "一", "摘要", summary.build),
    Section("coverage", "二", "抽检工作概况", coverage.build),
    Section("overall", "三", "总体质量结果", overall.build),
    Section("agents", "四", "坐席结果", agents.build),
    Section("items", "五", "评分项分析", items.build),
    Section("cases", "六", "致命项与不合格个案", cases.build),
    Section("matching", "七", "录音、工单、流程一致性检查", matching.build),
    Section("running", "八", "运行指标", running.build),
    Section("machine", "九", "自动预检表现", machine.build),
    Section("raters", "十", "评分一致性", raters.build),
    Section("appeals", "十一", "申诉", appeals.build),
    Section("case_studies", "十二", "典型案例", improving.build_cases),
    Section("improving", "十三", "问题分析与改进", improving.build_actions),
    Section("assessment", "十四", "考核与奖罚", assessment.build),
    Section("appendix", "十五", "附件", appendix.build),
)
