"""Commit, reveal and keep to a draw 承诺、揭示、递补 (docs/domain/sampling.md §3.1 steps 3-6, §3.2).

Two parties hand in hashes, then the strings behind them; the seed and the sample follow from the frozen frame alone.
The discipline of §3.2 is enforced here: one reveal, reserves only for three reasons and in order. 作废: usecases/void_frame.py.
"""

import re
from enum import StrEnum

from sqlmodel import Session, col, select

from callqa.errors import StateError
from callqa.scoring.plan import quotas_of
from callqa.scoring.sampling import Draw, check_nonce, commitment, derive_seed, draw, parse_frame
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries import sampling as queries
from callqa.store.tables import Evaluation, SampleEntry, SamplingFrame
from callqa.usecases.blind import commit_blind


class ReserveReason(StrEnum):
    """The only reasons to take a reserve (§3.2)."""

    UNPLAYABLE = "recording_unplayable"  # 录音无法播放
    ATTRIBUTION = "attribution_corrected"  # 归属更正
    NOT_ELIGIBLE = "framed_by_mistake"  # 误入框


RESERVE_REASON_LABELS = {
    ReserveReason.UNPLAYABLE: "录音无法播放",
    ReserveReason.ATTRIBUTION: "归属更正",
    ReserveReason.NOT_ELIGIBLE: "误入框",
}
SIDE_LABELS = {"a": "甲方（班长）", "b": "乙方（采购人）"}


def commit(db: Database, frame_id: int, *, side: str, value: str, actor: str, now_ms: int) -> SamplingFrame:
    """Take one party's commitment (64 hex digits). The second one moves the frame to `committed`."""
    clean = value.strip().lower()
    if side not in SIDE_LABELS:
        raise StateError(f"承诺方“{side}”不存在，应为 a 或 b")
    if not re.fullmatch(r"[0-9a-f]{64}", clean):
        raise StateError("承诺值应是 64 位十六进制（SHA-256），请检查是否误把随机串本身交了上来")
    with db.write() as session:
        frame = frame_of(session, frame_id)
        if frame.state != "frozen":
            raise StateError(f"抽样框处于“{STATE_LABELS[frame.state]}”，不能再提交承诺")
        if (frame.commit_a if side == "a" else frame.commit_b) is not None:
            raise StateError(f"{SIDE_LABELS[side]}已经提交过承诺，不能更换")
        if clean in (frame.commit_a, frame.commit_b):
            raise StateError("两份承诺相同：双方须各用自己的随机串")
        if any(clean in (old.commit_a, old.commit_b) for old in queries.frames_of(session, frame.month)):
            raise StateError(
                "这份承诺值本月作废的抽样框用过：旧随机串可能已经公开，请换一个新的"
            )  # who knows one picks the other
        if side == "a":
            frame.commit_a, frame.commit_a_by = clean, actor
        else:
            frame.commit_b, frame.commit_b_by = clean, actor
        if frame.commit_a and frame.commit_b:
            frame.state, frame.committed_at_ms = "committed", now_ms
        session.add(frame)
        detail = {
            "side": side,
            "commit": clean,
            "frame_hash": frame.frame_hash,
            "plan_hash": frame.plan_hash,
            "n": frame.counts.get("frame"),
        }
        audit.append(
            session, actor=actor, action="sampling.commit", subject=str(frame_id), detail=detail, now_ms=now_ms
        )
    return frame


def reveal(db: Database, frame_id: int, *, nonce_a: str, nonce_b: str, actor: str, now_ms: int) -> Draw:
    """Check both strings against their commitments, derive the seed, draw, and store sample and reserves; once only."""
    first, second = check_nonce(nonce_a), check_nonce(nonce_b)
    with db.read() as session:
        frame = frame_of(session, frame_id)
    _check_reveal(frame, first, second)
    seed = derive_seed(frame.frame_hash, frame.plan_hash, first, second)
    result = draw(parse_frame(frame.frame_text), quotas_of(frame.plan_json), seed)
    with db.write() as session:
        frame = frame_of(session, frame_id)
        _check_reveal(frame, first, second)  # somebody may have revealed or voided it meanwhile
        frame.state, frame.nonce_a, frame.nonce_b, frame.seed = "revealed", first, second, seed
        frame.revealed_at_ms, frame.revealed_by = now_ms, actor
        session.add(frame)
        session.add_all(_entry(frame_id, result, index) for index in range(len(result.entries)))
        detail = {
            "seed": seed,
            "nonce_a": first,
            "nonce_b": second,
            "sample": [one.call_id for one in result.sample],
            "reserves": [one.call_id for one in result.reserves],
            "by_one_person": queries.committed_by_one(frame),
        }
        audit.append(
            session, actor=actor, action="sampling.reveal", subject=str(frame_id), detail=detail, now_ms=now_ms
        )
        commit_blind(session, frame, actor=actor, now_ms=now_ms)
    return result


def use_reserve(
    db: Database, frame_id: int, call_id: str, *, reason: ReserveReason, actor: str, now_ms: int
) -> SampleEntry | None:
    """Replace a sampled call by the next reserve of its agent and stratum.

    Returns the reserve, or None when there is none left: then n_h is one less (§3.2). A scored call is not replaced.
    """
    with db.write() as session:
        if frame_of(session, frame_id).state != "revealed":
            raise StateError("抽样尚未揭示，不能启用递补")
        entries = queries.entries_of(session, frame_id)
        entry = next((e for e in entries if e.call_id == call_id), None)
        if entry is None or not queries.in_sample(entry):
            raise StateError(f"通话 {call_id} 不在本次样本中，或已被递补替换")
        scored = session.exec(
            select(Evaluation).where(
                Evaluation.call_id == call_id,
                Evaluation.kind == "first",
                col(Evaluation.status).in_(queries.DONE_STATUSES),
            )
        ).first()
        if scored is not None:
            raise StateError(f"通话 {call_id} 已提交评分，不能再用递补替换")
        place = (entry.agent_no, entry.stratum)
        reserve = next((e for e in entries if (e.agent_no, e.stratum) == place and e.state == "unused"), None)
        entry.state, entry.reason = "replaced", reason.value
        entry.replaced_by = reserve.call_id if reserve else None
        session.add(entry)
        if reserve is not None:
            reserve.state = "used"
            session.add(reserve)
        detail = {"call_id": call_id, "reason": reason.value, "replaced_by": entry.replaced_by}
        audit.append(
            session, actor=actor, action="sampling.reserve", subject=str(frame_id), detail=detail, now_ms=now_ms
        )
    return reserve


STATE_LABELS = {"frozen": "已冻结", "committed": "已承诺", "revealed": "已揭示", "void": "已作废"}


def frame_of(session: Session, frame_id: int) -> SamplingFrame:
    """The frame of that number, void or not. Raise StateError where there is none."""
    frame = session.get(SamplingFrame, frame_id)
    if frame is None:
        raise StateError(f"没有编号为 {frame_id} 的抽样框")
    return frame


def _check_reveal(frame: SamplingFrame, nonce_a: str, nonce_b: str) -> None:
    if frame.state == "revealed":
        raise StateError("该抽样框已经揭示过一次，不能重复抽取")
    if frame.state != "committed":
        raise StateError(f"抽样框处于“{STATE_LABELS[frame.state]}”，双方提交承诺后才能揭示")
    for side, nonce, promised in (("a", nonce_a, frame.commit_a), ("b", nonce_b, frame.commit_b)):
        if commitment(nonce) != promised:
            raise StateError(f"{SIDE_LABELS[side]}的随机串与承诺值不符，请核对是否多了或少了字符")


def _entry(frame_id: int, result: Draw, index: int) -> SampleEntry:
    one = result.entries[index]
    return SampleEntry(
        frame_id=frame_id,
        call_id=one.call_id,
        agent_no=one.agent_no,
        stratum=one.stratum.value,
        rank=one.rank,
        kind=one.kind.value,
        position=one.position,
        state="open" if one.kind == "sample" else "unused",
    )
