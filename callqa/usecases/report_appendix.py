"""Gather the appendices of a report: the rubric as published, the month's data gaps, the changes of submitted scores."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from sqlmodel import Session

from callqa.periods import Month, from_ms
from callqa.privacy import mask_text
from callqa.reports.appendix import Appendix, ChangeFact, GapFact
from callqa.reports.matching import KeptCall, completeness
from callqa.store.queries import report as reports
from callqa.store.queries import report_appendix as queries
from callqa.store.queries.confidential import confidential_ids
from callqa.store.tables import Call, EvaluationRevision, RubricVersion

DAY_MS = 86_400_000
_NO_RECORDING = "不进抽样框，不能评分、转写与比对；表 2-1 列为框缺口"
_NO_TICKET = "表 7-1 里该时段的来电一律无法判定是否漏建工单；第八章工单类指标只含已导入的"
_UNREAD = "涉及的通话或事件可能不在本报告各数之内"


def gather_appendix(
    session: Session,
    month: Month,
    calls: Mapping[str, Call],
    kept: Sequence[KeptCall],
    names: Mapping[int, str],
    rubric_hash: str,
    *,
    demo: bool,
    now_ms: int,
) -> Appendix:
    """calls: the month's, by call_id; kept: those of them that count in table 7-4; names: of accounts."""
    row = session.get(RubricVersion, rubric_hash)
    return Appendix(
        rubric_text=row.source if row else "",
        gaps=(
            *_recordings(kept),
            *_tickets(session, month, kept, now_ms),
            *_unattributed(kept),
            *_unheard(session, month),
            *_faults(session, month),
        ),
        changes=_changes(session, month, calls, names, demo=demo),
    )


def _recordings(kept: Sequence[KeptCall]) -> list[GapFact]:
    """Runs of lost recordings over all seats; one alone is a call's trouble, several on end may be a recorder that stood."""
    found = completeness(kept)
    gaps = [
        GapFact(
            "录音缺失或损坏",
            first_ms,
            last_ms,
            n,
            "其间没有一通录成，宜查录音服务是否停机" if n > 1 else "单独一通",
            _NO_RECORDING,
        )
        for first_ms, last_ms, n in found.spans
    ]
    if found.hidden:
        gaps.append(GapFact("录音缺失或损坏", None, None, found.hidden, "保密件", _NO_RECORDING))
    if found.pending:
        gaps.append(GapFact("录音整理中", None, None, found.pending, "生成报告时还没有整理完", _NO_RECORDING))
    return gaps


def _tickets(session: Session, month: Month, kept: Sequence[KeptCall], now_ms: int) -> list[GapFact]:
    """Runs of days with calls and not one ticket accepted, and rows that imports refused."""
    have = {from_ms(at).date() for at in queries.accepted_moments(session, month.start_ms, month.end_ms)}
    called: dict[int, int] = {}
    for call in kept:
        day = (call.started_at_ms - month.start_ms) // DAY_MS
        called[day] = called.get(day, 0) + 1
    gaps: list[GapFact] = []
    run: list[int] = []
    for day in sorted(called):
        if from_ms(month.start_ms + day * DAY_MS).date() not in have:
            run.append(day)
            continue
        gaps += _without_tickets(month, run, called)
        run = []
    gaps += _without_tickets(month, run, called)
    refused = [row for row in queries.imports_between(session, month.start_ms, now_ms) if row.errors]
    if refused:
        n = sum(len(row.errors) for row in refused)
        words = f"{len(refused)} 次导入有看不懂的单元格（导入记录里逐条写明）"
        gaps.append(GapFact("工单导入有误", None, None, n, words, "这些单元格没有进入工单，相关比对列为无法判定"))
    return gaps


def _without_tickets(month: Month, days: Sequence[int], called: Mapping[int, int]) -> list[GapFact]:
    """A run of days, from the first instant to the last."""
    if not days:
        return []
    from_day_ms = month.start_ms + days[0] * DAY_MS
    to_day_ms = month.start_ms + (days[-1] + 1) * DAY_MS - 1
    n = sum(called[day] for day in days)
    return [GapFact("工单未导入", from_day_ms, to_day_ms, n, "有通话，没有一件受理的工单", _NO_TICKET)]


def _unattributed(kept: Sequence[KeptCall]) -> list[GapFact]:
    n = sum(not call.agent_no for call in kept)
    effect = "不进抽样框与坐席各表；表 2-1 列为归属不明"
    return [GapFact("归属不明", None, None, n, "没有签入与排班可依", effect)] if n else []


def _unheard(session: Session, month: Month) -> list[GapFact]:
    n = queries.recorded_without_transcript(session, month.start_ms, month.end_ms)
    effect = "没有机器预评与建议；表 7-1 里靠转写的各项列为无法判定"
    return [GapFact("没有转写", None, None, n, "有录音，还没有转写", effect)] if n else []


def _faults(session: Session, month: Month) -> list[GapFact]:
    """What the worker could not take in; the entry in the chain holds the sentence."""
    secret = confidential_ids(session)
    return [
        GapFact("入库有误", row.at_ms, row.at_ms, None, mask_text(str(row.detail.get("message", ""))), _UNREAD)
        for row in queries.faults_noted(session, month.start_ms, month.end_ms)
        if not any(call_id in f"{row.subject} {row.detail}" for call_id in secret)
    ]


def _changes(
    session: Session, month: Month, calls: Mapping[str, Call], names: Mapping[int, str], *, demo: bool
) -> tuple[ChangeFact, ...]:
    done = reports.done_evaluations(session, month.start_ms, month.end_ms)
    by_id = {e.id: e for e in done.values() if e.id is not None and (demo or not calls[e.call_id].demo)}
    secret = confidential_ids(session)
    found = []
    for evaluation_id, rows in queries.revised(session, list(by_id)).items():
        call_id = by_id[evaluation_id].call_id
        agent_no = calls[call_id].agent_no or ""
        found += [_change(call_id, agent_no, before, after, names, secret) for before, after in pairwise(rows)]
    return tuple(sorted(found, key=lambda change: (change.at_ms, change.call_label)))


def _change(
    call_id: str,
    agent_no: str,
    before: EvaluationRevision,
    after: EvaluationRevision,
    names: Mapping[int, str],
    secret: Collection[str],
) -> ChangeFact:
    hidden = call_id in secret
    return ChangeFact(
        call_label="保密件" if hidden else call_id,
        agent_no=agent_no,
        at_ms=after.at_ms,
        kind=after.kind,
        by=names.get(after.by_account_id, str(after.by_account_id)),
        reason="" if hidden else mask_text(after.reason),
        quality=(before.quality_score, after.quality_score),
        final=(before.final_score, after.final_score),
    )
