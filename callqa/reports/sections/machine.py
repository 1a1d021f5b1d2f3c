"""九、自动预检表现: item by item how far the machine agrees with people, judged by blind cards alone (sampling.md §7)."""

from callqa.reports.cells import fixed, number, text
from callqa.reports.document import MISSING, Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.results import MIN_DOMAIN_CALLS, Results
from callqa.scoring.agreement import MIN_CALLS, PRESELECT_MIN
from callqa.scoring.trust import Figures, ItemTrust
from callqa.units import Ratio


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Table 9-1."""
    trusted = facts.trusted
    if not trusted.n_cards:
        return (Paragraph("本版评分标准还没有带机器预评的评分，无从比较。", Tone.MUTED),)
    told = Paragraph(
        f"按评分标准 {facts.rubric.label} 启用以来累计：带预评的评分 {trusted.n_cards} 份，其中盲评 {trusted.n_blind} 份。"
        "机器与人工逐通比对“是否扣分”；除“采纳率”外只用盲评卡，因为评其余各卡时已看到机器建议。"
    )
    return told, _items(facts)


def _items(facts: MonthFacts) -> Table:
    return Table(
        "9-1",
        "逐项：机器与人工",
        (
            Column("评分项", 2.2, "left"),
            Column("盲评 n", 0.7),
            Column("机器扣分", 0.7),
            Column("人工扣分", 0.7),
            Column("一致率", 0.8),
            Column("AC1", 0.7),
            Column("95% 区间", 1.3),
            Column("κ", 0.7),
            Column("查准率", 0.8),
            Column("95% 区间", 1.3),
            Column("查全率", 0.8),
            Column("采纳率", 1.3),
            Column("处置", 1.0),
        ),
        tuple(_row(facts, item) for item in facts.trusted.items),
        notes=(
            f"n 不足 {MIN_CALLS} 的为样本不足，只作提示；n ≥ {MIN_CALLS} 且 AC1、查准率都不低于 {PRESELECT_MIN:.2f} 的项才预选扣分。"
            f"n 不足 {MIN_DOMAIN_CALLS} 的不列各率。",
            "区间为以通话为单位重抽样的自助法区间；“不可估”是样本内没有差异，不等于有把握。"
            "扣分极少时一致率与 AC1 会很高，须同时看查准率、查全率。",
        ),
    )


def _row(facts: MonthFacts, item: ItemTrust) -> tuple[Cell, ...]:
    table, found = item.blind.table, item.blind.agreement
    enough = found.n >= MIN_DOMAIN_CALLS
    verdict = "预选" if item.may_preselect else "提示" if found.enough else "样本不足"
    return (
        text(f"{item.item_id} {facts.rubric.item(item.item_id).title}"),
        number(found.n),
        number(table.both + table.first_only),
        number(table.both + table.second_only),
        _figure(found.observed if enough else None),
        _figure(found.ac1 if enough else None),
        _interval(item.blind, "ac1") if enough else Cell(MISSING),
        _figure(found.kappa if enough else None),
        _figure(found.precision if enough else None),
        _interval(item.blind, "precision") if enough else Cell(MISSING),
        _figure(found.recall if enough else None),
        text(f"{Ratio(item.accepted, item.decided).percent(0)}（{item.accepted}/{item.decided}）"),
        Cell(verdict, tone=Tone.GOOD if item.may_preselect else Tone.MUTED),
    )


def _figure(value: float | None) -> Cell:
    return text("" if value is None else _minus(fixed(value, 2)))


def _interval(figures: Figures, name: str) -> Cell:
    if getattr(figures.agreement, name) is None:
        return Cell(MISSING)
    found = figures.intervals.get(name)
    if found is None or found[0] == found[1]:
        return Cell("不可估")
    low, high = (_minus(fixed(value, 2)) for value in found)
    return Cell(f"{low} 至 {high}")


def _minus(printed: str) -> str:
    return printed.replace("-", "−")
