"""七、录音、工单、流程一致性检查: what the machine compared and what people made of it, times of the process, recordings lost.

Counted whole, so no intervals; only the precision in 7-2 rests on a part and says how sure it is.
"""

from collections.abc import Callable, Sequence

from callqa.periods import from_ms, say_short
from callqa.reports.cells import fixed, number, percent, ratio, text
from callqa.reports.document import MISSING, Block, Cell, Column, Figure, FigureKind, Paragraph, Series, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.matching import ByHand, CheckCount, Kept, KeptCall, Step, completeness, process_steps, say_span
from callqa.reports.results import Results
from callqa.scoring.agreement import MIN_CALLS
from callqa.scoring.statistics import wilson

_LATE_LISTED = 20
_SPANS_LISTED = 6
NOBODY, NO_SEAT = "未归属", "席位不明"


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 7-1 to 7-4, figures 7-1 and 7-2."""
    steps = process_steps(facts.matching.tickets, facts.matching.limits, facts.month, facts.made_at_ms)
    return (
        Paragraph(
            "表 7-1 是机器对全部通话与工单的比对，只是线索，须听录音核实，不作扣分与考核的依据；表 7-2 是评分人对其中抽检通话的核实。"
            "各数是全数统计，不是抽样，故不给区间。保密件及其工单不比对。",
            Tone.MUTED,
        ),
        _compared(facts),
        _differences(facts.matching.checks),
        _by_hand(facts.matching.by_hand),
        _steps(steps),
        _spread(steps),
        _recordings(facts),
    )


def build_list(facts: MonthFacts) -> Table:
    """Every difference of 7-1 for the spreadsheet."""
    rows = tuple(
        (text(check.label), text(one.call_id), text(one.ticket_no), text(one.words))
        for check in facts.matching.checks
        for one in check.differing
    )
    columns = (Column("检查项", 1.4), Column("录音编号", 1.8), Column("工单号", 1.4), Column("机器发现", 4.0, "left"))
    return Table("附表7-1", "不一致清单", columns, rows, notes=("机器发现，须听录音核实。",))


def _compared(facts: MonthFacts) -> Table:
    notes = [
        "不一致率 = 不一致 ÷（一致 + 不一致），无法判定的不计入分母。“无法判定”包括没有转写、没有听到该要素、识别不可靠、关联待确认。",
        "地点、时间、联系电话、事项类别、满意度按评分标准里与工单比对的规则；联系电话未在通话中报出、但与来电号码相同的算一致。"
        "没有来电号码的工单可能不是电话受理，有工单无录音一项算无法判定。重复诉求只列 30 日内同事项、同号码或同地点的工单。",
    ]
    lacking = [check.label for check in facts.matching.checks if not check.has_rule and check.due]
    if lacking:
        notes.append(f"本月所用评分标准没有比对{'、'.join(lacking)}的规则，应比对的全部列为无法判定。")
    if not facts.matching.n_tickets:
        notes.append("本月没有导入工单，通话是否漏建工单无从判定。")
    if facts.matching.from_ms is not None:
        notes.append(f"录音自 {say_short(facts.matching.from_ms)} 起，此前受理的工单不比对。")
    return Table(
        "7-1",
        "全量比对（机器）",
        (
            Column("检查项", 1.6, "left"),
            Column("应比对"),
            Column("一致"),
            Column("不一致"),
            Column("无法判定"),
            Column("不一致率", 1.4),
        ),
        tuple(_compared_row(check) for check in facts.matching.checks),
        notes=tuple(notes),
    )


def _compared_row(check: CheckCount) -> tuple[Cell, ...]:
    calls = tuple(dict.fromkeys(one.call_id for one in check.differing if one.call_id))
    wrong = len(check.differing)
    return (
        text(check.label),
        number(check.due),
        number(check.same),
        number(wrong, tone=Tone.WARN if wrong else Tone.NONE, calls=calls),
        number(check.undecided),
        ratio(check.rate),
    )


def _differences(checks: tuple[CheckCount, ...]) -> Figure:
    known = [check for check in checks if check.due]
    return Figure(
        "7-1",
        "各检查项不一致与无法判定",
        FigureKind.BARS,
        tuple(check.label for check in known),
        (
            Series("不一致（机器）", tuple(float(len(check.differing)) for check in known)),
            Series("无法判定", tuple(float(check.undecided) for check in known)),
        ),
        unit="件",
        minimum=0,
    )


def _by_hand(rows: tuple[ByHand, ...]) -> Table:
    return Table(
        "7-2",
        "抽检核实（人工）",
        (
            Column("检查项", 1.6, "left"),
            Column("抽检数"),
            Column("机器提示不一致", 1.2),
            Column("确认不一致"),
            Column("不认可"),
            Column("未表态"),
            Column("机器查准率", 1.4),
            Column("95% 区间", 1.6),
        ),
        tuple(_by_hand_row(row) for row in rows),
        notes=(
            "抽检数：随机样本中已评分、且机器对该项作出判断的通话。确认与不认可取自评分卡上对该项机器建议的采纳与驳回；"
            "盲评卡不显示机器建议，列为未表态。查准率 = 确认 ÷（确认 + 不认可）。",
            "有工单无录音、重复诉求未关联、回访记录无通话没有录音可听，评分卡上无从核实，不列。",
            f"已核实不足 {MIN_CALLS} 条的不作推断。只看机器指出的，说明不了它漏掉多少（见第九章查全率）。",
        ),
    )


def _by_hand_row(row: ByHand) -> tuple[Cell, ...]:
    silent = row.pointed_out - row.confirmed - row.refused
    return (
        text(row.label),
        number(row.compared),
        number(row.pointed_out),
        number(row.confirmed),
        number(row.refused),
        number(max(0, silent)),
        ratio(row.precision),
        _precision_interval(row),
    )


def _precision_interval(row: ByHand) -> Cell:
    share = row.precision.value
    if share is None:
        return Cell(MISSING)
    if row.precision.denominator < MIN_CALLS:
        return Cell("样本不足，不作推断", tone=Tone.MUTED)
    low, high = wilson(share, row.precision.denominator)
    return Cell(f"{percent(low)}–{percent(high)}")


def _steps(steps: tuple[Step, ...]) -> Table:
    return Table(
        "7-3",
        "流程时限",
        (
            Column("环节", 0.7),
            Column("口径", 2.0, "left"),
            Column("时限", 1.1),
            Column("件数", 0.7),
            Column("按时", 0.7),
            Column("超时", 0.7),
            Column("用时不明", 0.8),
            Column("按时率", 1.8),
            Column("用时中位数", 1.0),
            Column("最长用时", 1.0),
            Column("超时工单号", 2.6, "left"),
        ),
        tuple(_step_row(step) for step in steps),
        notes=(
            "时限取自评分标准的环节用时规则（办结用各工单的办理时限），标准没有规定的不判按时与否。"
            "用时不明：工单缺起止时间之一，除办结外不判。办结的件数、按时与表 8-1 及时办结率相同。",
            f"超时工单号由久到近列前 {_LATE_LISTED} 件；至今未办结的在最前。",
        ),
    )


def _step_row(step: Step) -> tuple[Cell, ...]:
    judged = len(step.judged)
    longest = step.longest
    seen = judged or len(step.tickets)
    return (
        text(step.label),
        text(step.definition),
        text(step.limit_words or ("未规定" if step.noted else "")),
        number(seen if step.noted else None),
        number(step.on_time.numerator if judged else None),
        number(len(step.late) if judged else None, tone=Tone.WARN if step.late else Tone.NONE),
        number(step.untimed if step.noted else None),
        ratio(step.on_time) if step.noted else Cell("无数据", tone=Tone.MUTED),
        text("" if step.median_ms is None else say_span(step.median_ms)),
        text("" if longest is None or longest.spent_ms is None else say_span(longest.spent_ms)),
        text(_late_words(step)),
    )


def _late_words(step: Step) -> str:
    shown = [one.ticket_no for one in step.late if not one.secret]
    parts = [" ".join(shown[:_LATE_LISTED])] if shown else []
    if len(shown) > _LATE_LISTED:
        parts.append(f" 等 {len(shown)} 件")
    hidden = len(step.late) - len(shown)
    if hidden:
        parts.append(f"（另有保密件 {hidden} 件）")
    return "".join(parts)


def _spread(steps: tuple[Step, ...]) -> Figure:
    known = [(step, step.shares) for step in steps if step.shares is not None]
    shares = [shares for _, shares in known if shares is not None]
    printed = [tuple(float(fixed(100 * share)) for share in one) for one in shares]
    counted = (f"{step.label}（{sum(one.share is not None for one in step.tickets)} 件）" for step, _ in known)
    return Figure(
        "7-2",
        "各环节用时占时限的比例（点为中位数，线为四分位）",
        FigureKind.FOREST,
        tuple(counted),
        (
            Series(
                "用时占时限",
                tuple(middle for _, middle, _ in printed),
                tuple(low for low, _, _ in printed),
                tuple(high for _, _, high in printed),
            ),
        ),
        unit="%",
        reference=100.0 if known else None,
        reference_label="时限" if known else "",
        minimum=0,
        notes=("各环节用时长短悬殊，故以时限的百分比比较；超过 100% 为超时。不足 4 件或没有时限的环节不画。",),
    )


def _recordings(facts: MonthFacts) -> Table:
    calls = facts.matching.kept
    rows = [_kept_rows("坐席", NOBODY, calls, lambda c: c.agent_no, facts.agent_label)]
    rows.append(_kept_rows("席位", NO_SEAT, calls, lambda c: c.seat, str))
    total = _kept_row("合计", "全部", completeness(calls))
    return Table(
        "7-4",
        "录音完整性",
        (
            Column("按", 0.6),
            Column("坐席 / 席位", 1.1),
            Column("接通通话", 0.8),
            Column("有录音", 0.8),
            Column("损坏", 0.7),
            Column("缺失", 0.7),
            Column("整理中", 0.7),
            Column("完整率", 1.4),
            Column("缺失时段", 3.4, "left"),
        ),
        (*(row for group in rows for row in group), total),
        total_rows=1,
        notes=(
            "完整率 = 有录音 ÷（接通 − 整理中）；测试与内部通话不计。同一通按坐席、席位各列一次。"
            "缺失时段：接连缺失或损坏、其间没有一通录成的，为首末两通的开始时间。合计行的时段中间没有任何一通录成，宜查录音服务当时是否停机。",
            "交换机有而本系统没有的通话不在本表，见“话单核对”。",
        ),
    )


def _kept_rows(
    kind: str, unknown: str, calls: Sequence[KeptCall], key: Callable[[KeptCall], str], label: Callable[[str], str]
) -> list[tuple[Cell, ...]]:
    """A row for each value of the key, the unknown one last."""
    names = sorted({key(call) for call in calls}, key=lambda name: (name == "", name))
    return [
        _kept_row(kind, label(name) if name else unknown, completeness(c for c in calls if key(c) == name))
        for name in names
    ]


def _kept_row(kind: str, name: str, kept: Kept) -> tuple[Cell, ...]:
    return (
        text(kind),
        text(name),
        number(kept.calls),
        number(kept.ok),
        number(kept.corrupt, tone=Tone.BAD if kept.corrupt else Tone.NONE),
        number(kept.missing, tone=Tone.BAD if kept.missing else Tone.NONE),
        number(kept.pending),
        ratio(kept.complete),
        text(_spans_words(kept)),
    )


def _spans_words(kept: Kept) -> str:
    parts = [_span_words(*span) for span in kept.spans[:_SPANS_LISTED]]
    if len(kept.spans) > _SPANS_LISTED:
        parts.append(f"等 {len(kept.spans)} 段")
    if kept.hidden:
        parts.append(f"另有保密件 {kept.hidden} 通")
    return "；".join(parts)


def _span_words(first_ms: int, last_ms: int, calls: int) -> str:
    if calls == 1:
        return say_short(first_ms)
    same_day = from_ms(first_ms).date() == from_ms(last_ms).date()
    end = f"{from_ms(last_ms):%H:%M}" if same_day else say_short(last_ms)
    return f"{say_short(first_ms)}–{end}（{calls} 通）"
