"""十、评分一致性: calibration sessions, and the leader's blind second look at own scores (sampling.md §7)."""

from callqa.periods import say_short
from callqa.reports.cells import fixed, number, ratio_text, signed, text
from callqa.reports.document import MISSING, Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.results import Results
from callqa.reports.trusted import Calibrated, DisputedItem, RaterPair
from callqa.scoring.agreement import MIN_CALLS
from callqa.scoring.trust import ScoreAgreement
from callqa.units import Ratio

WITHIN_TARGET = 0.90  # share of calls within five points that a session should reach


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 10-1 and 10-2."""
    return _sessions(facts), _again(facts)


def _sessions(facts: MonthFacts) -> Table:
    rows = tuple(_row(facts, session, pair) for session in facts.trusted.sessions for pair in session.pairs)
    return Table(
        "10-1",
        "校准",
        (
            Column("场次", 1.6, "left"),
            Column("公布", 1.0),
            Column("两人", 1.4),
            Column("通话数", 0.7),
            Column("平均绝对分差", 0.9),
            Column("|差| ≤ 5 分", 1.2),
            Column("平均差与界限", 1.7),
            Column("致命判定一致", 1.2),
            Column("分歧最大三项（AC1）", 2.4, "left"),
            Column("结论", 0.9),
        ),
        rows,
        notes=(
            "本月通话的校准，比对已公布的才列；分差为前者减后者，界限为 Bland–Altman 95% 界限，不足 2 通不算。",
            f"AC1 后为以通话为单位重抽样的 95% 区间；不足 {MIN_CALLS} 通的样本不足，样本内没有差异或通数太少的不列区间。",
            "达到：五分以内不少于 90%，且致命判定全部一致。校准的评分不进入其他各章。",
        ),
    )


def _row(facts: MonthFacts, session: Calibrated, pair: RaterPair) -> tuple[Cell, ...]:
    scores = pair.scores
    lowest = "；".join(
        f"{one.item_id} {facts.rubric.item(one.item_id).title} {_minus(one.ac1)}（{_behind(one)}）"
        for one in session.lowest
    )
    return (
        text(session.title),
        text(say_short(session.opened_at_ms)),
        text(f"{pair.first} — {pair.second}"),
        number(scores.n),
        number(scores.mean_absolute, 1),
        text(_share(scores.within_5, scores.n)),
        text(_difference(scores)),
        text(_share(scores.fatal_agreed, scores.n)),
        text(lowest or "各项都一致"),
        _verdict(scores),
    )


def _behind(item: DisputedItem) -> str:
    """What an AC1 rests on: its interval, the calls, and whether they are enough."""
    parts = [f"{_minus(item.interval[0])} 至 {_minus(item.interval[1])}"] if item.interval is not None else []
    parts.append(f"n = {item.n}")
    return "，".join(parts if item.n >= MIN_CALLS else [*parts, "样本不足"])


def _minus(value: float) -> str:
    return fixed(value, 2).replace("-", "−")


def _verdict(scores: ScoreAgreement) -> Cell:
    if scores.within_5 is None or scores.fatal_agreed is None:
        return Cell(MISSING)
    reached = scores.within_5 >= WITHIN_TARGET and scores.fatal_agreed == 1
    return Cell("达到" if reached else "未达到", tone=Tone.GOOD if reached else Tone.WARN)


def _again(facts: MonthFacts) -> Block:
    scores = facts.trusted.again
    if scores is None or not scores.n:
        return Paragraph("表 10-2 本人盲评复测：还没有完成的复测（首评满 14 天后进行）。", Tone.MUTED)
    return Table(
        "10-2",
        "本人盲评复测",
        (
            Column("复测通数"),
            Column("平均绝对分差"),
            Column("|差| ≤ 5 分", 1.3),
            Column("平均差与界限", 1.8),
            Column("致命判定一致", 1.3),
        ),
        (
            (
                number(scores.n),
                number(scores.mean_absolute, 1),
                text(_share(scores.within_5, scores.n)),
                text(_difference(scores)),
                text(_share(scores.fatal_agreed, scores.n)),
            ),
        ),
        notes=("截至生成时的全部复测；差为首评减复测。",),
    )


def _share(share: float | None, n: int) -> str:
    return "" if share is None else ratio_text(Ratio(round(share * n), n))


def _difference(scores: ScoreAgreement) -> str:
    if scores.mean_difference is None:
        return ""
    if scores.limits is None:
        return signed(scores.mean_difference)
    low, high = (signed(limit) for limit in scores.limits)
    return f"{signed(scores.mean_difference)}（{low} 至 {high}）"
