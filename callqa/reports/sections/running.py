"""八、运行指标: the contract's figures with both of their numbers, and the calls of every day and hour."""

from collections.abc import Sequence

from callqa.periods import from_ms
from callqa.reports.cells import number, percent, state, text
from callqa.reports.document import MISSING, Block, Cell, Column, Figure, FigureKind, Series, Table
from callqa.reports.facts import CallFact, MonthFacts
from callqa.reports.kpi import Kpi, build_kpis, is_short_abandon
from callqa.reports.results import Results
from callqa.units import Ratio

DAY_MS = 86_400_000
_WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 8-1 and 8-2 with its heat map, figure 8-1."""
    return _contract(facts), _chart(facts), _days(facts), _hours(facts)


def _contract(facts: MonthFacts) -> Table:
    now = build_kpis(facts.month, facts.calls, facts.tickets, as_of_ms=facts.made_at_ms)
    before = build_kpis(facts.month.previous(), facts.previous_calls, facts.previous_tickets)
    return Table(
        "8-1",
        "合同指标",
        (
            Column("指标", 1.4, "left"),
            Column("分子", 0.8),
            Column("分母", 0.8),
            Column("本月值", 0.9),
            Column("目标", 0.9),
            Column("达标", 0.9),
            Column("上月", 1.5),
            Column("口径", 3.2, "left"),
        ),
        tuple(_contract_row(kpi, before[code]) for code, kpi in now.items()),
        notes=("全数统计，不是抽样；期内到期而报告生成时尚未到期的工单，两边都不计。",),
    )


def _contract_row(kpi: Kpi, before: Kpi) -> tuple[Cell, ...]:
    target = "" if kpi.target is None else f"{'' if kpi.target == 1 else '≥ '}{percent(float(kpi.target), 0)}"
    earlier = f"{before.ratio.percent()}（{before.ratio.numerator}/{before.ratio.denominator}）"
    return (
        text(kpi.label),
        number(kpi.ratio.numerator),
        number(kpi.ratio.denominator),
        text(kpi.ratio.percent()),
        text(target),
        state(kpi.state),
        text(earlier if before.ratio.denominator else MISSING),
        text(kpi.definition),
    )


def _by_day(facts: MonthFacts) -> list[list[CallFact]]:
    """The month's calls by day of the month."""
    days: list[list[CallFact]] = [[] for _ in range((facts.month.end_ms - facts.month.start_ms) // DAY_MS)]
    for call in facts.calls:
        days[(call.started_at_ms - facts.month.start_ms) // DAY_MS].append(call)
    return days


def _days(facts: MonthFacts) -> Table:
    days = _by_day(facts)
    rows = [_day_row(f"{facts.month.month}月{day}日", calls) for day, calls in enumerate(days, 1)]
    rows.append(_day_row("合计", facts.calls))
    return Table(
        "8-2",
        "话务量",
        (
            Column("日期", 1.0),
            Column("呼入"),
            Column("接通"),
            Column("放弃"),
            Column("其中 5 秒内"),
            Column("未接"),
            Column("接通率"),
            Column("呼出"),
            Column("平均振铃（秒）"),
        ),
        tuple(rows),
        total_rows=1,
        notes=("放弃：诉求人先挂；未接：无人接、忙、占线。平均振铃只计接通且振铃时长已知的呼入。测试与内部通话不计。",),
    )


def _day_row(label: str, calls: Sequence[CallFact]) -> tuple[Cell, ...]:
    inbound = [call for call in calls if call.direction == "inbound"]
    answered = [call for call in inbound if call.outcome == "answered"]
    abandoned = [call for call in inbound if call.outcome == "abandoned"]
    rang = [call.ring_ms for call in answered if call.ring_ms is not None]
    return (
        text(label),
        number(len(inbound)),
        number(len(answered)),
        number(len(abandoned)),
        number(sum(map(is_short_abandon, abandoned))),
        number(len(inbound) - len(answered) - len(abandoned)),
        text(Ratio(len(answered), len(inbound)).percent()),
        number(len(calls) - len(inbound)),
        number(sum(rang) / len(rang) / 1000 if rang else None, 1),
    )


def _chart(facts: MonthFacts) -> Figure:
    days = _by_day(facts)
    inbound = [[call for call in calls if call.direction == "inbound"] for calls in days]
    return Figure(
        "8-1",
        "日话务量（呼入）",
        FigureKind.BARS,
        tuple(str(day) for day in range(1, len(days) + 1)),
        (
            Series("呼入", tuple(float(len(calls)) for calls in inbound)),
            Series("接通", tuple(float(sum(c.outcome == "answered" for c in calls)) for calls in inbound)),
        ),
        unit="通",
        minimum=0,
    )


def _hours(facts: MonthFacts) -> Table:
    """Inbound calls by weekday and hour; the deepest colour where most called."""
    counts = [[0] * 24 for _ in _WEEKDAYS]
    for call in facts.calls:
        if call.direction == "inbound":
            at = from_ms(call.started_at_ms)
            counts[at.weekday()][at.hour] += 1
    most = max(map(max, counts))
    rows = tuple(
        (text(name), *(_heat(count, most) for count in hours)) for name, hours in zip(_WEEKDAYS, counts, strict=True)
    )
    return Table(
        "8-2附",
        "小时 × 星期（呼入通数）",
        (Column("星期", 1.4), *(Column(str(hour), 0.8) for hour in range(24))),
        rows,
        notes=("列为 0–23 时；橙红的时段来电多。",),
    )


def _heat(count: int, most: int) -> Cell:
    cell = number(count)
    return Cell(cell.text, cell.kind, cell.number, heat=round(1 - count / most, 3) if most else None)
