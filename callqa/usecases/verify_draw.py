"""Repeat a revealed draw from what is stored of it, and compare it entry by entry (docs/domain/sampling.md §3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from callqa.errors import StateError
from callqa.scoring.plan import hash_of
from callqa.scoring.sampling import Draw, commitment, verify
from callqa.store.db import Database
from callqa.store.queries import sampling as queries
from callqa.store.tables import SampleEntry, SamplingFrame


@dataclass(frozen=True, slots=True)
class Verification:
    """What repeating the draw showed. differences: in words, empty when everything agrees."""

    seed: str
    n_sample: int
    n_reserves: int
    differences: tuple[str, ...]


def verify_draw(db: Database, month: str, frame_id: int | None = None) -> Verification:
    """Repeat the month's draw, or that of one of its frames, void ones too. Raise StateError where nothing has been revealed."""
    with db.read() as session:
        frame = queries.chosen_frame(session, month, frame_id)
        entries = queries.entries_of(session, frame.id) if frame is not None and frame.id is not None else []
    if frame is None or frame.nonce_a is None or frame.nonce_b is None:
        raise StateError("抽样还没有揭示，没有可核对的样本")
    again = verify(frame.frame_text, frame.plan_json, frame.nonce_a, frame.nonce_b)
    differences = (*_hash_differences(frame, again), *_entry_differences(entries, again))
    return Verification(again.seed, len(again.sample), len(again.reserves), differences)


def draw_lines(frame: SamplingFrame, entries: Sequence[SampleEntry]) -> str:
    """The stored draw as scorecards/verify_draw.py prints it, so that the two can be compared line by line."""
    head = [
        ("frame_hash", frame.frame_hash),
        ("plan_hash", frame.plan_hash),
        ("commit_a", frame.commit_a),
        ("commit_b", frame.commit_b),
        ("seed", frame.seed),
    ]
    return _lines(head, [(e.agent_no, e.stratum, e.kind, e.position, e.call_id, e.rank) for e in entries])


def repeated_lines(frame_text: str, plan_json: str, nonce_a: str, nonce_b: str) -> str:
    """Repeat a draw from the published files alone, in the lines of `draw_lines`. Raise RubricError for a wrong file."""
    again = verify(frame_text, plan_json, nonce_a, nonce_b)
    head = [
        ("frame_hash", hash_of(frame_text)),
        ("plan_hash", hash_of(plan_json)),
        ("commit_a", commitment(nonce_a)),
        ("commit_b", commitment(nonce_b)),
        ("seed", again.seed),
    ]
    rows = [(one.agent_no, one.stratum, one.kind.value, one.position, one.call_id, one.rank) for one in again.entries]
    return _lines(head, rows)


def _lines(head: Sequence[tuple[str, str | None]], rows: Sequence[tuple[object, ...]]) -> str:
    return "".join("\t".join(str(value) for value in row) + "\n" for row in [*head, *rows])


def _hash_differences(frame: SamplingFrame, again: Draw) -> list[str]:
    pairs = [
        ("抽样框哈希", frame.frame_hash, hash_of(frame.frame_text)),
        ("方案哈希", frame.plan_hash, hash_of(frame.plan_json)),
        ("甲方承诺", frame.commit_a, commitment(frame.nonce_a or "")),
        ("乙方承诺", frame.commit_b, commitment(frame.nonce_b or "")),
        ("种子", frame.seed, again.seed),
    ]
    return [f"{name}不符：记录为 {stored}，重算为 {made}" for name, stored, made in pairs if stored != made]


def _entry_differences(entries: Sequence[SampleEntry], again: Draw) -> list[str]:
    stored = {(e.call_id, e.kind, e.position, e.rank) for e in entries}
    made = {(one.call_id, one.kind.value, one.position, one.rank) for one in again.entries}
    missing = [f"{call_id} 应被抽中而记录里没有" for call_id, *_ in sorted(made - stored)]
    return missing + [f"{call_id} 在记录里而重算没有抽中" for call_id, *_ in sorted(stored - made)]
