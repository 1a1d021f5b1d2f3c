"""十四、考核与奖罚: what the installation's rules make of final scores. Held back wherever a guard is not met; nothing invented."""

from decimal import Decimal

from callqa.reports.appeals import Answer
from callqa.reports.assessed import agent_facts, noted_times, slot_of
from callqa.reports.cells import fixed, number, ratio_text, signed, text
from callqa.reports.document import MISSING, Block, Cell, CellKind, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.results import AgentResult, Results
from callqa.scoring.assessment import PART_LABELS, AgentFacts, Assessed, AssessmentRules, Part, assess
from callqa.units import Ratio

NO, AGENT, GRADE = "14-1", "工号", "等级"  # read again by the months that follow
_EVIDENCE_LISTED = 30
_NOTHING_NOTED = "无"
Judged = tuple[tuple[AgentFacts, Assessed], ...]


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 14-1 to 14-3; one sentence where there are no rules."""
    rules = facts.assessing.rules
    if rules is None:
        return (Paragraph(facts.assessing.problem, Tone.MUTED),)
    judged = tuple((one, assess(rules, one)) for one in agent_facts(facts, results, rules))
    return (
        Paragraph(
            f"考核规则：{rules.title}（{rules.rules_hash[:8]}）。只采用已定稿的评分：连续 {rules.window_months} 个月可比，"
            f"窗口内抽检不少于 {rules.min_samples} 通且全部定稿，否则不作奖罚、仅辅导。名次不作依据；档次须差异显著才算。"
            "扣减后工资不得低于法定最低标准。",
            Tone.MUTED,
        ),
        _table(facts, results, rules, judged),
        _noted(facts, rules),
        _evidence(facts, judged),
    )


def _table(facts: MonthFacts, results: Results, rules: AssessmentRules, judged: Judged) -> Table:
    own = {result.agent_no: result for result in results.agents}
    notes = [
        f"综合分 = {' + '.join(f'{PART_LABELS[part]} × {weight}' for part, weight in rules.weights)} + 加减分，"
        f"封顶 {rules.max_score}。质检分为窗口内合并的质量分（不含否决）；满意率、流程及时、出勤为本月。",
        f"没有数据的分项（满意率为有效评价少于 {rules.min_ratings} 个），权重并入质检，见“依据”。"
        "满意率与流程及时（建单、交办）按工单受理人；出勤为有签入或接听的排班班次。",
        "金额取自考核规则，规则没有写的为“—”。暂缓：扣减须每条依据都有录音编号、时间点、评分项与第二确认，缺一即不执行。",
        "等级连续数月的措施按以前各月最新一版报告的本表；那时没有考核的月份不算。",
    ]
    return Table(
        NO,
        "坐席量化考核",
        (
            Column(AGENT, 0.9),
            Column("质检分", 0.7),
            Column("合格率", 0.8),
            Column("致命项", 0.6),
            Column("工单合格率", 1.1),
            Column("满意率", 1.1),
            Column("流程及时", 1.1),
            Column("出勤", 1.0),
            Column("加减分", 0.7),
            Column("综合分", 0.7),
            Column(GRADE, 0.7),
            Column("绩效系数", 0.7),
            Column("奖罚金额或措施", 1.8, "left"),
            Column("依据", 2.0, "left"),
            Column("本人确认", 1.2),
        ),
        tuple(_row(facts, own[one.agent_no], one, found) for one, found in judged if one.agent_no in own),
        notes=tuple(notes),
    )


def _row(facts: MonthFacts, result: AgentResult, one: AgentFacts, found: Assessed) -> tuple[Cell, ...]:
    band = found.band
    held = bool(found.held)
    return (
        text(facts.agent_label(one.agent_no)),
        number(None if one.quality is None else float(one.quality), 1),
        text(_percent(result)),
        number(one.fatals, tone=Tone.BAD if one.fatals else Tone.NONE),
        *(
            text(ratio_text(one.rates[part]))
            for part in (Part.TICKETS, Part.SATISFACTION, Part.PROCESS, Part.ATTENDANCE)
        ),
        text("" if held else signed(float(found.adjusted))),
        number(None if found.composite is None else float(found.composite), 1),
        text(band.label if band else ""),
        text(
            "暂缓" if found.on_hold else f"{band.coefficient}" if band else "",
            Tone.WARN if found.on_hold else Tone.NONE,
        ),
        Cell(_consequence(found), tone=Tone.MUTED if held else Tone.WARN if found.on_hold else Tone.NONE),
        text(_grounds(one, found)),
        text(_answers(facts, one.agent_no)),
    )


def _percent(result: AgentResult) -> str:
    return MISSING if result.passed.value is None else f"{fixed(100 * result.passed.value)}%"


def _consequence(found: Assessed) -> str:
    if found.held:
        return found.held
    parts = []
    if found.on_hold:
        parts.append(f"暂缓：{found.lacking} 条依据不全")
    elif found.band is not None and found.band.amount is not None:
        parts.append(f"{_money(found.band.amount)} 元")
    parts += found.measures
    return "；".join(parts) or MISSING


def _money(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else '−' if amount < 0 else ''}{abs(amount)}"


def _grounds(one: AgentFacts, found: Assessed) -> str:
    parts = [f"抽检 {one.due} 通（{one.window} 个月）"]
    if found.merged:
        parts.append(f"{'、'.join(PART_LABELS[part] for part in found.merged)}无足够数据，权重并入质检")
    if one.evidence and not found.held:
        parts.append(f"扣分 {len(one.evidence)} 条")
    return "；".join(parts)


def _answers(facts: MonthFacts, agent_no: str) -> str:
    """How the agent answered the month's released scores: `8/10 本人确认`, what lapsed or waits behind it."""
    answers = facts.assessing.answers.get(agent_no, ())
    if not answers:
        return MISSING
    said = Ratio(sum(answer is Answer.ACKNOWLEDGED for answer in answers), len(answers))
    parts = [f"{said.numerator}/{said.denominator} 份"]
    lapsed = sum(answer is Answer.LAPSED for answer in answers)
    waiting = sum(answer in (Answer.WAITING, Answer.APPEALED) for answer in answers)
    parts += [f"逾期视为确认 {lapsed}"] if lapsed else []
    parts += [f"未答复 {waiting}"] if waiting else []
    return "，".join(parts)


def _noted(facts: MonthFacts, rules: AssessmentRules) -> Table:
    rows = []
    for agent_no in facts.sample.agents:
        words = facts.texts.get(slot_of(agent_no), "")
        times, unread = noted_times(rules, words)
        counted = [a for a in rules.adjustments if times.get(a.code)]
        rows.append(
            (
                text(facts.agent_label(agent_no)),
                Cell(words or _NOTHING_NOTED, CellKind.FILL, slot=slot_of(agent_no)),
                text(
                    "；".join(f"{a.label} {times[a.code]} 次 {signed(float(a.total(times[a.code])))}" for a in counted)
                ),
                text("；".join(unread), Tone.WARN),
            )
        )
    adds = "、".join(a.label for a in rules.adjustments if a.points > 0 and a.code != "exemplary_case")
    return Table(
        "14-2",
        "加分登记",
        (
            Column("坐席", 0.8),
            Column("班长登记", 3.0, "left"),
            Column("计入", 2.4, "left"),
            Column("看不懂，未计", 1.6, "left"),
        ),
        tuple(rows),
        notes=(
            f"每行一项，写“项目 次数：依据”，例如“表扬 1：11月6日来信”。可登记：{adds or '无'}。入选优秀案例取自案例库。"
            "扣分不在此登记：须评分或认定致命项并经第二人确认。",
        ),
    )


def _evidence(facts: MonthFacts, judged: Judged) -> Table:
    rows = []
    for one, found in judged:
        if found.held:
            continue
        takes_away = found.band is not None and found.band.takes_away
        listed = [each for each in one.evidence if takes_away or not each.points]
        for each in listed[:_EVIDENCE_LISTED]:
            rows.append(
                (
                    text(facts.agent_label(one.agent_no)),
                    text(each.call_label),
                    text(each.at),
                    text(each.item),
                    text(each.points or "致命项"),
                    text(each.second) if each.second else Cell("缺", tone=Tone.WARN),
                )
            )
    return Table(
        "14-3",
        "扣分依据",
        (
            Column("坐席", 0.8),
            Column("录音编号", 1.6),
            Column("时间点", 0.7),
            Column("评分项", 2.4, "left"),
            Column("扣分", 0.7),
            Column("第二确认", 1.2),
        ),
        tuple(rows),
        notes=(
            "第二确认：致命项的第二确认人；扣分项为维持原判的申诉裁定人，或另一人在复评、校准中对同一通同一项也扣了分。"
            f"致命项都列；扣分项只列绩效系数低于 1 或罚款的坐席，每人最多 {_EVIDENCE_LISTED} 条，全部见附件 1。",
        ),
    )
