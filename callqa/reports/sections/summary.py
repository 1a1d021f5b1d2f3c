"""一、摘要: nine cards, the automatic sentence, the leader's own words."""

from collections.abc import Sequence

from callqa.reports.cells import fixed, interval_text, percent, ratio_text, signed
from callqa.reports.document import MISSING, UNFILLED, Block, Card, Cards, Paragraph, Tone
from callqa.reports.facts import MonthFacts, MonthSample
from callqa.reports.kpi import MET, MISSED, NO_DATA, Kpi, build_kpis
from callqa.reports.results import (
    CRITICAL_LABELS,
    Measure,
    Results,
    comparable,
    is_fatal,
    item_hit,
    passes,
    ratio_where,
    team_quality,
    without_critical,
)
from callqa.reports.sections.items import ranked_losses
from callqa.scoring.statistics import Basis, Estimate, difference, is_significant
from callqa.units import Ratio

TICKET_MATCH_ITEM = "S6.2"  # 录音与工单一致
PASS_TARGET = 0.95  # 内控
COMMENT_SLOT = "summary.comment"


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Cards first, then the facts in one sentence, then what the leader makes of them."""
    written = facts.texts.get(COMMENT_SLOT)
    return (
        Cards((*_quality_cards(facts, results), *_running_cards(facts))),
        Paragraph(sentence(facts, results)),
        *_cautions(facts.sample, results.quality),
        Paragraph(written or UNFILLED, Tone.NONE if written else Tone.WARN, COMMENT_SLOT, "班长说明"),
    )


def sentence(facts: MonthFacts, results: Results) -> str:
    """The month in one paragraph of facts."""
    sample = facts.sample
    framed, n = len(sample.calls), len(sample.scored)
    parts = [
        f"本月接通 {sample.counts.get('connected', 0)} 通，抽样框 {framed} 通，"
        f"抽检 {n} 通（抽样比 {Ratio(n, framed).percent()}）。"
    ]
    team = results.quality
    if team.value is None:
        return parts[0] + "尚无已提交的评分。"
    parts.append(f"团队质量分 {fixed(team.value)}（{_interval_words(team)}），{change_words(facts)}。")
    fatals = [fatal for _, score in sample.scored for fatal in score.confirmed_fatals]
    if fatals:
        titles = sorted({f.fatal_id for f in fatals})
        named = "、".join(facts.rubric.fatal(fatal_id).title for fatal_id in titles)
        parts.append(f"确认致命项 {len(fatals)} 起，涉及{named}。")
    else:
        parts.append("抽检样本中确认致命项 0 起。")
    losses = [loss for loss in ranked_losses(sample) if loss.points > 0]
    if losses:
        top = losses[:3]
        total = sum(loss.points for loss in losses)
        named = "、".join(facts.rubric.item(loss.item_id).title for loss in top)
        counted = {1: "一项", 2: "两项", 3: "三项"}[len(top)]
        parts.append(f"扣分最多的{counted}为{named}，合计占总扣分 {percent(sum(t.points for t in top) / total)}。")
    return "".join(parts)


def change_words(facts: MonthFacts) -> str:
    """环比 in words: the change and whether it is significant, or why there is none."""
    old = facts.past(facts.month.previous())
    if old is None:
        return "无上月数据，不作环比"
    if not comparable(facts.sample, old):
        return "评分标准已换版，不作环比"
    delta = difference(team_quality(facts.sample), team_quality(old))
    if delta.value is None:
        return "无上月数据，不作环比"
    significant = is_significant(delta)
    words = {True: "变化显著", False: "变化不显著", None: "不作推断"}[significant]
    return f"环比 {signed(delta.value)} 分（{words}）"


def _interval_words(estimate: Estimate) -> str:
    if estimate.basis is Basis.INTERVAL:
        return f"95% 区间 {interval_text(estimate)}"
    return estimate.notes[0] if estimate.notes else MISSING


def _cautions(sample: MonthSample, team: Estimate) -> tuple[Paragraph, ...]:
    """What a reader must know before quoting a number."""
    found = []
    open_calls = len(sample.sampled) - len(sample.scored)
    if open_calls:
        found.append(f"样本中尚有 {open_calls} 通未提交评分，以下结果随评分进度变化。")
    found += [f"团队质量分注：{note}。" for note in team.notes if team.basis is Basis.INTERVAL or note != team.notes[0]]
    if sample.partial:
        found.append("抽样框冻结时本月尚未结束，结果只代表冻结时刻之前的通话。")
    if sample.drawing.by_one_person:
        found.append("本次抽样的两串随机数由同一人提交：未经双方承诺。")
    return tuple(Paragraph(text, Tone.MUTED) for text in found)


def _quality_cards(facts: MonthFacts, results: Results) -> tuple[Card, ...]:
    sample = facts.sample
    team = results.quality
    value = MISSING if team.value is None else fixed(team.value)
    fatals = [score for _, score in sample.scored if score.confirmed_fatals]
    fatal_count = sum(len(score.confirmed_fatals) for score in fatals)
    return (
        Card("团队质量分", value, (_interval_words(team), change_words(facts))),
        _rate_card(sample, "合格率", passes(facts.rubric), PASS_TARGET, "≥ 95%（内控）"),
        Card(
            "致命项（确认）",
            f"{fatal_count} 起" if sample.scored else MISSING,
            (f"致命率 {_share_words(sample, is_fatal)}", f"样本 {len(fatals)}/{len(sample.scored)} 通"),
        ),
        Card(
            "关键差错准确率",
            " / ".join(_value(ratio_where(sample, without_critical(facts.rubric, code))) for code in CRITICAL_LABELS),
            (
                " / ".join(CRITICAL_LABELS.values()),
                *(_critical_line(facts, code) for code in CRITICAL_LABELS),
            ),
        ),
        _rate_card(sample, "录音—工单一致率", _not(item_hit(TICKET_MATCH_ITEM)), None, ""),
    )


def _critical_line(facts: MonthFacts, critical: str) -> str:
    free = [v for v in _values(facts.sample, without_critical(facts.rubric, critical)) if v]
    return f"{CRITICAL_LABELS[critical]} {ratio_text(Ratio(len(free), len(facts.sample.scored)))}"


def _rate_card(sample: MonthSample, title: str, measure: Measure, target: float | None, words: str) -> Card:
    estimate = ratio_where(sample, measure)
    values = _values(sample, measure)
    state = ""
    if target is not None:
        state = NO_DATA if estimate.value is None else (MET if estimate.value >= target else MISSED)
    return Card(
        title,
        _value(estimate),
        (
            f"95% 区间 {interval_text(estimate, percentage=True)}"
            if estimate.basis is Basis.INTERVAL
            else (estimate.notes[0] if estimate.notes else MISSING),
            f"样本 {sum(bool(v) for v in values)}/{len(values)} 通（加权）",
        ),
        state,
        words,
    )


def _running_cards(facts: MonthFacts) -> tuple[Card, ...]:
    now = build_kpis(facts.month, facts.calls, facts.tickets, as_of_ms=facts.made_at_ms)
    before = build_kpis(facts.month.previous(), facts.previous_calls, facts.previous_tickets)
    codes = ("answer_rate", "on_time_close_rate", "callback_rate", "satisfaction_rate")
    return tuple(_kpi_card(now[code], before[code]) for code in codes)


def _kpi_card(kpi: Kpi, before: Kpi) -> Card:
    counted = f"{kpi.ratio.numerator}/{kpi.ratio.denominator}"
    earlier = f"上月 {before.ratio.percent()}" if before.ratio.denominator else "无上月数据"
    target = f"{'≥ ' if kpi.target != 1 else ''}{percent(float(kpi.target), 0)}" if kpi.target is not None else ""
    return Card(kpi.label, kpi.ratio.percent(), (counted, earlier), kpi.state, target)


def _value(estimate: Estimate) -> str:
    return MISSING if estimate.value is None else percent(estimate.value)


def _share_words(sample: MonthSample, measure: Measure) -> str:
    estimate = ratio_where(sample, measure)
    if estimate.value is None:
        return MISSING
    return f"{percent(estimate.value)}（{interval_text(estimate, percentage=True)}）"


def _values(sample: MonthSample, measure: Measure) -> Sequence[float]:
    found = (measure(call, score) for call, score in sample.scored)
    return [value for value in found if value is not None]


def _not(measure: Measure) -> Measure:
    return lambda call, score: None if (value := measure(call, score)) is None else 1 - value
