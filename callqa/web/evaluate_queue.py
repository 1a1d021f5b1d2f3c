"""The scoring queue as shown and exported. Pure."""

from collections.abc import Collection, Iterable, Sequence
from statistics import fmean, median
from typing import Any

from callqa.periods import say_instant
from callqa.scoring.evaluation import STATUS_LABELS, Status
from callqa.scoring.plan import STRATUM_LABELS, Stratum
from callqa.store.queries.evaluate import QueueRow
from callqa.usecases.blind import RescoreDue
from callqa.web.format import agent_label, call_type_label, points

QUEUE_HEAD = (
    "序",
    "录音编号",
    "通话开始",
    "坐席",
    "类型",
    "层",
    "抽取方式",
    "时长秒",
    "机器建议",
    "状态",
    "质量分",
    "最终分",
)


def only(rows: Sequence[QueueRow], state: str) -> list[QueueRow]:
    """The rows of one state, open or done; any other word gives all."""
    return [row for row in rows if state not in ("open", "done") or row.is_done == (state == "done")]


def progress_of(done: Sequence[QueueRow]) -> dict[str, Any]:
    """How the scoring goes: plain mean of the quality scores, and how long a call takes against its length."""
    scores = [
        row.evaluation.quality_score for row in done if row.evaluation and row.evaluation.quality_score is not None
    ]
    elapsed = [row.evaluation.elapsed_ms for row in done if row.evaluation and row.evaluation.elapsed_ms]
    lengths = [row.call.duration_ms for row in done if row.call.duration_ms]
    return {
        "mean_quality": fmean(scores) if scores else None,
        "median_elapsed_ms": int(median(elapsed)) if elapsed else None,
        "median_duration_ms": int(median(lengths)) if lengths else None,
    }


def first_scorer(rows: Iterable[QueueRow], due: RescoreDue) -> int | None:
    """Who gave the first score that a re-score tests; None where the queue shows another month."""
    return next((row.author_id for row in rows if row.call.call_id == due.call.call_id), None)


def queue_cells(rows: Iterable[QueueRow], hidden: Collection[str] = ()) -> list[tuple[object, ...]]:
    """The exported cells of each row. What the machine suggests is shown with the score, not before; scores that a blind
    re-score tests (`hidden`) are left out."""
    return [
        (
            row.position,
            row.call.call_id,
            say_instant(row.call.started_at_ms),
            agent_label(row.call.agent_no, row.agent_name),
            call_type_label(row.call.call_type),
            STRATUM_LABELS[Stratum(row.entry.stratum)],
            "递补" if row.entry.kind == "reserve" else "随机",
            (row.call.duration_ms or 0) // 1000,
            row.suggestions if row.is_done else "",
            STATUS_LABELS[Status(row.evaluation.status)] if row.evaluation else "未评",
            *_scores(row, row.call.call_id in hidden),
        )
        for row in rows
    ]


def _scores(row: QueueRow, hidden: bool) -> tuple[str, str]:
    if hidden or not row.is_done or row.evaluation is None:
        return "", ""
    return points(row.evaluation.quality_score), points(row.evaluation.final_score)
