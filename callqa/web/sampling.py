"""抽检: freeze the frame, commit, reveal, see the draw, verify it, use a reserve. One month at a time."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response

from callqa.periods import Month
from callqa.scoring.sampling import commitment
from callqa.store.queries.sampling import committed_by_one, load_sampling_page
from callqa.usecases import draw
from callqa.usecases.freeze import freeze
from callqa.web.deps import DbDep, NavItem, NowDep, PageNotFound, PersonDep, SettingsDep, page, redirect, require

router = APIRouter(prefix="/sampling")
NAV = (NavItem("抽检", "/sampling", "sampling.view", "sample"),)

EXCLUSION_LABELS = {
    "test_call": "测试、演练通话",
    "internal_call": "分机互拨",
    "wrong_number": "骚扰、打错",
    "under_20s": "时长不足 20 秒",
}
GAP_LABELS = {"recording_missing": "有话单无录音", "recording_corrupt": "录音损坏", "attribution_unknown": "归属不明"}
STRATUM_LABELS = {"risk": "风险", "callback": "回访", "normal": "普通"}


@router.get("", dependencies=[require("sampling.view")])
def this_month(request: Request, now_ms: NowDep, month: str | None = None) -> Response:
    """The month asked for, or the present one."""
    return redirect(f"/sampling/{Month.parse(month) if month else Month.of(now_ms)}")


@router.get("/{month}", dependencies=[require("sampling.view")])
def month_page(request: Request, month: str, db: DbDep, now_ms: NowDep) -> Response:
    """Everything about a month's sample."""
    period = Month.parse(month)
    with db.read() as session:
        view = load_sampling_page(session, str(period), period.start_ms, period.end_ms)
    one_person = view.frame is not None and committed_by_one(view.frame)
    return page(
        request,
        "sampling/month.html",
        period=period,
        view=view,
        one_person=one_person,
        over=now_ms >= period.end_ms,
        exclusion_labels=EXCLUSION_LABELS,
        gap_labels=GAP_LABELS,
        stratum_labels=STRATUM_LABELS,
        reserve_reasons=draw.RESERVE_REASON_LABELS,
        state_labels=draw.STATE_LABELS,
    )


@router.post("/{month}/freeze", dependencies=[require("sampling.freeze")])
def freeze_month(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    settings: SettingsDep,
    now_ms: NowDep,
    partial: Annotated[str, Form()] = "",
) -> Response:
    """Freeze with the plan in scorecards/sampling.yaml."""
    plan = (settings.scorecards_dir / "sampling.yaml").read_text(encoding="utf-8")
    period = Month.parse(month)
    frame = freeze(
        db, period, plan, actor=person.username, demo=settings.demo, allow_partial=partial == "1", now_ms=now_ms
    )
    return redirect(f"/sampling/{period}", f"抽样框已冻结：{frame.counts['frame']} 通，哈希 {frame.frame_hash[:12]}")


@router.post("/{month}/commit", dependencies=[require("sampling.commit")])
def commit(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    frame_id: Annotated[int, Form()],
    side: Annotated[str, Form()],
    value: Annotated[str, Form()] = "",
    nonce: Annotated[str, Form()] = "",
) -> Response:
    """Take a commitment, or make it from the random string typed here (which is not kept)."""
    given = value.strip() or commitment(nonce.strip())
    draw.commit(db, frame_id, side=side, value=given, actor=person.username, now_ms=now_ms)
    return redirect(f"/sampling/{month}", "承诺已记入审计链；请保管好随机串，揭示时要原样交出")


@router.post("/{month}/reveal", dependencies=[require("sampling.reveal")])
def reveal(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    frame_id: Annotated[int, Form()],
    nonce_a: Annotated[str, Form()],
    nonce_b: Annotated[str, Form()],
) -> Response:
    """Check both strings and draw."""
    result = draw.reveal(
        db, frame_id, nonce_a=nonce_a.strip(), nonce_b=nonce_b.strip(), actor=person.username, now_ms=now_ms
    )
    return redirect(f"/sampling/{month}", f"已揭示并抽取样本 {len(result.sample)} 通")


@router.post("/{month}/reserve", dependencies=[require("sampling.reserve")])
def reserve(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    frame_id: Annotated[int, Form()],
    call_id: Annotated[str, Form()],
    reason: Annotated[draw.ReserveReason, Form()],
) -> Response:
    """Replace a drawn call by the next reserve."""
    used = draw.use_reserve(db, frame_id, call_id, reason=reason, actor=person.username, now_ms=now_ms)
    text = f"已启用递补 {used.call_id}" if used else "该层递补已用尽，样本减少一通"
    return redirect(f"/sampling/{month}", text)


@router.get("/{month}/frame.tsv", dependencies=[require("sampling.view")])
def frame_file(request: Request, month: str, db: DbDep) -> Response:
    """The frame file, byte for byte as hashed."""
    return _file(db, month, "frame_text", f"frame-{month}.tsv")


@router.get("/{month}/plan.json", dependencies=[require("sampling.view")])
def plan_file(request: Request, month: str, db: DbDep) -> Response:
    """The canonical plan, as hashed."""
    return _file(db, month, "plan_json", f"plan-{month}.json")


def _file(db: DbDep, month: str, column: str, name: str) -> Response:
    period = Month.parse(month)
    with db.read() as session:
        view = load_sampling_page(session, str(period), period.start_ms, period.end_ms)
    if view.frame is None:
        raise PageNotFound(f"{period.label}还没有冻结抽样框")
    return PlainTextResponse(
        getattr(view.frame, column), headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
