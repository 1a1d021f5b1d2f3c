"""The month of tests/builders.py with enough recordings to sample from, frozen and drawn with a small plan."""

from pathlib import Path

from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.scoring.sampling import commitment
from callqa.store.db import Database
from callqa.store.tables import Call, SamplingFrame
from callqa.usecases.draw import commit, reveal
from callqa.usecases.freeze import freeze
from tests.builders import add_month

MONTH = Month(2026, 11)
NONCE_A, NONCE_B = "leader-keeps-this-1", "client-keeps-this-2"
SCORECARDS = Path(__file__).resolve().parent.parent / "scorecards"


def small_plan() -> str:
    """The default plan with one risky, one call-back and two normal calls an agent, so that reserves remain."""
    text = (SCORECARDS / "sampling.yaml").read_text(encoding="utf-8")
    small = text.replace(
        "quota_per_agent: {risk: 3, callback: 2, normal: 5}", "quota_per_agent: {risk: 1, callback: 1, normal: 2}"
    )
    assert small != text
    return small


def add_scorecards(folder: Path) -> None:
    """An installation's scorecards: the small plan, the rubric, the assessment rules, the independent verifier."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sampling.yaml").write_text(small_plan(), encoding="utf-8")
    for name in ("rubric.yaml", "assessment.yaml", "verify_draw.py"):
        (folder / name).write_bytes((SCORECARDS / name).read_bytes())


def add_drawable_month(session: Session, recordings: Path, now_ms: int) -> Call:
    """`add_month`, its plain calls recorded (as rows; only the showpiece has a file). Returns the showpiece."""
    show = add_month(session, recordings, now_ms)
    for call in session.exec(select(Call).where(col(Call.recording_status) == "pending")):
        call.recording_status, call.recording_sha256 = (
            "ok",
            f"{len(call.call_id):02x}" + call.call_id.encode().hex()[:62],
        )
        session.add(call)
    return show


def draw_month(
    db: Database, *, now_ms: int, plan: str = "", leader: str = "shift_leader", client: str = "client_supervisor"
) -> SamplingFrame:
    """Freeze the month so far (with the small plan unless another is given), commit and reveal."""
    frame = freeze(db, MONTH, plan or small_plan(), actor=leader, allow_partial=True, now_ms=now_ms)
    assert frame.id is not None
    commit(db, frame.id, side="a", value=commitment(NONCE_A), actor=leader, now_ms=now_ms + 1)
    commit(db, frame.id, side="b", value=commitment(NONCE_B), actor=client, now_ms=now_ms + 2)
    reveal(db, frame.id, nonce_a=NONCE_A, nonce_b=NONCE_B, actor=leader, now_ms=now_ms + 3)
    with db.read() as session:
        drawn = session.get(SamplingFrame, frame.id)
        assert drawn is not None
        return drawn
