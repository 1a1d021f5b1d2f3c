"""抽检: freeze the frame, commit, reveal, see the draw, verify it, use a reserve, make it void. One month at a time.

The files and the repeated draw are those of the frame in force, or of the one that `frame` names: void ones stay for ever.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response

from callqa.errors import CallqaError, StateError
from callqa.periods import Month
from callqa.refusals import os_reason
from callqa.scoring.plan import EXCLUSION_LABELS, GAP_LABELS, STRATUM_LABELS
from callqa.scoring.sampling import check_nonce, commitment
from callqa.store.queries.confidential import hidden_from
from callqa.store.queries.report import accounts
from callqa.store.queries.sampling import SamplingPage, chosen_frame, committed_by_one, entries_of, load_sampling_page
from callqa.store.tables import SamplingFrame
from callqa.usecases import draw
from callqa.usecases.blind import blind_calls
from callqa.usecases.freeze import freeze
from callqa.usecases.verify_draw import draw_lines, verify_draw
from callqa.usecases.void_frame import agree_void, ask_void, drafts_of, drop_void, why_not_void
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, SettingsDep, get_person, page, redirect, require
from callqa.web.navigation import NavItem

router = APIRouter(prefix="/sampling")
NAV = (NavItem("抽检", "/sampling", "sampling.view", "sample", group="质检"),)

VERIFIER = "verify_draw.py"
_VOID_DONE = {
    "ask": "已提请作废，等第二人在本页确认；确认之前一切照旧",
    "agree": "抽样框已作废，全部记录留在“作废的抽样框”里；请重新冻结，双方用新的随机串承诺",
    "drop": "作废提请已撤销，抽样框照旧有效",
}


@router.get("", dependencies=[require("sampling.view")])
def this_month(request: Request, now_ms: NowDep, month: str | None = None) -> Response:
    """The month asked for, or the present one."""
    return redirect(f"/sampling/{Month.parse(month) if month else Month.of(now_ms)}")


@router.get("/{month}", dependencies=[require("sampling.view")])
def month_page(request: Request, month: str, db: DbDep, now_ms: NowDep) -> Response:
    """Everything about a month's sample."""
    return _month_page(request, db, Month.parse(month), now_ms)


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
    period = Month.parse(month)
    try:
        plan = (settings.scorecards_dir / "sampling.yaml").read_text(encoding="utf-8")
    except OSError as e:
        return _month_page(
            request, db, period, now_ms, problem=f"读不到抽检方案 scorecards/sampling.yaml（{os_reason(e)}）"
        )
    try:
        frame = freeze(
            db, period, plan, actor=person.username, demo=settings.demo, allow_partial=partial == "1", now_ms=now_ms
        )
    except CallqaError as e:
        return _month_page(request, db, period, now_ms, problem=str(e))
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
    try:
        given = value.strip() or commitment(check_nonce(nonce))
        draw.commit(db, frame_id, side=side, value=given, actor=person.username, now_ms=now_ms)
    except StateError as e:
        typed = {f"nonce_{side}": nonce, f"value_{side}": value}
        return _month_page(request, db, Month.parse(month), now_ms, problem=str(e), typed=typed)
    return redirect(f"/sampling/{month}", "承诺已记入审计链；请保管好随机串，揭示时要原样交出")


@router.post("/{month}/reveal", dependencies=[require("sampling.reveal")])
def reveal(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    frame_id: Annotated[int, Form()],
    nonce_a: Annotated[str, Form()] = "",
    nonce_b: Annotated[str, Form()] = "",
) -> Response:
    """Check both strings and draw."""
    try:
        result = draw.reveal(db, frame_id, nonce_a=nonce_a, nonce_b=nonce_b, actor=person.username, now_ms=now_ms)
    except StateError as e:
        typed = {"nonce_a": nonce_a, "nonce_b": nonce_b}
        return _month_page(request, db, Month.parse(month), now_ms, problem=str(e), typed=typed)
    return redirect(f"/sampling/{month}", f"已揭示并抽取样本 {len(result.sample)} 通")


@router.post("/{month}/verify", dependencies=[require("sampling.view")])
def verify(
    request: Request, month: str, db: DbDep, now_ms: NowDep, frame_id: Annotated[int | None, Form()] = None
) -> Response:
    """Repeat the draw and say whether it agrees with what is stored."""
    period = Month.parse(month)
    found = verify_draw(db, str(period), frame_id)
    if found.differences:
        return _month_page(request, db, period, now_ms, problem="重算结果与记录不符：" + "；".join(found.differences))
    return redirect(
        f"/sampling/{period}",
        f"已用抽样框、方案和两个随机串重算：样本 {found.n_sample} 通、递补 {found.n_reserves} 通，与记录逐通相同",
    )


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
    try:
        used = draw.use_reserve(db, frame_id, call_id, reason=reason, actor=person.username, now_ms=now_ms)
    except StateError as e:
        return _month_page(request, db, Month.parse(month), now_ms, problem=str(e))
    text = f"已启用递补 {used.call_id}" if used else "该层递补已用尽，样本减少一通"
    return redirect(f"/sampling/{month}", text)


@router.post("/{month}/void", dependencies=[require("sampling.void")])
def void(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    frame_id: Annotated[int, Form()],
    act: Annotated[Literal["ask", "agree", "drop"], Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """作废: one person asks with a reason, another agrees; either may drop it before."""
    who = person.username
    try:
        if act == "ask":
            ask_void(db, frame_id, reason=reason, actor=who, now_ms=now_ms)
        elif act == "agree":
            agree_void(db, frame_id, actor=who, now_ms=now_ms)
        else:
            drop_void(db, frame_id, actor=who, now_ms=now_ms)
    except CallqaError as e:
        typed = {"void_reason": reason}
        return _month_page(request, db, Month.parse(month), now_ms, problem=str(e), typed=typed)
    return redirect(f"/sampling/{month}", _VOID_DONE[act])


@router.get("/{month}/frame.tsv", dependencies=[require("sampling.view")])
def frame_file(month: str, db: DbDep, frame: int | None = None) -> Response:
    """The frame file, byte for byte as hashed."""
    return _attachment(_frozen(db, month, frame).frame_text, _name("frame", month, frame, "tsv"))


@router.get("/{month}/plan.json", dependencies=[require("sampling.view")])
def plan_file(month: str, db: DbDep, frame: int | None = None) -> Response:
    """The canonical plan, as hashed."""
    return _attachment(_frozen(db, month, frame).plan_json, _name("plan", month, frame, "json"))


@router.get("/{month}/draw.tsv", dependencies=[require("sampling.view")])
def draw_file(month: str, db: DbDep, frame: int | None = None) -> Response:
    """The stored draw, as the independent verifier prints it."""
    drawn = _frozen(db, month, frame)
    if drawn.seed is None or drawn.id is None:
        raise PageNotFound("抽样还没有揭示，没有样本文件")
    with db.read() as session:
        entries = list(entries_of(session, drawn.id))
    return _attachment(draw_lines(drawn, entries), _name("draw", month, frame, "tsv"))


@router.get("/{month}/verify_draw.py", dependencies=[require("sampling.view")])
def verifier_file(month: str, settings: SettingsDep) -> Response:
    """The independent verifier: a script that shares no code with us."""
    path = settings.scorecards_dir / VERIFIER
    if not path.is_file():
        raise PageNotFound(f"scorecards 文件夹里没有 {VERIFIER}；请从安装包里补回")
    return _attachment(path.read_text(encoding="utf-8"), VERIFIER)


def _frozen(db: DbDep, month: str, frame_id: int | None) -> SamplingFrame:
    period = Month.parse(month)
    with db.read() as session:
        frame = chosen_frame(session, str(period), frame_id)
    if frame is None:
        missing = "还没有冻结抽样框" if frame_id is None else f"没有编号为 {frame_id} 的抽样框"
        raise PageNotFound(f"{period.label}{missing}")
    return frame


def _name(what: str, month: str, frame_id: int | None, ending: str) -> str:
    return f"{what}-{month}.{ending}" if frame_id is None else f"{what}-{month}-{frame_id}.{ending}"


def _load(db: DbDep, period: Month) -> SamplingPage:
    with db.read() as session:
        return load_sampling_page(session, str(period), period.start_ms, period.end_ms)


def _attachment(text: str, name: str) -> Response:
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _month_page(
    request: Request,
    db: DbDep,
    period: Month,
    now_ms: int,
    *,
    problem: str = "",
    typed: dict[str, str] | None = None,
) -> Response:
    view = _load(db, period)
    person = get_person(request)
    with db.read() as session:
        hidden = hidden_from(session, person.account_id)
        names = {account.username: account.display_name for account in accounts(session).values()}
        shown = view.frame is not None and view.frame.blind_revealed_at_ms is not None
        blind = blind_calls(session, view.frame) if shown and view.frame is not None else ()
        no_void = why_not_void(session, view.frame) if view.frame is not None else ""
        drafts = len(drafts_of(session, view.frame.id)) if view.frame is not None and view.frame.id is not None else 0
    return page(
        request,
        "sampling/month.html",
        status_code=409 if problem else 200,
        period=period,
        view=view,
        names=names,
        blind_calls=blind,
        no_void=no_void,
        drafts=drafts,
        one_person=view.frame is not None and committed_by_one(view.frame),
        over=now_ms >= period.end_ms,
        problem=problem,
        typed=typed or {},
        exclusion_labels=EXCLUSION_LABELS,
        gap_labels=GAP_LABELS,
        stratum_labels=STRATUM_LABELS,
        hidden=hidden,
        reserve_reasons=draw.RESERVE_REASON_LABELS,
        state_labels=draw.STATE_LABELS,
        side_labels=draw.SIDE_LABELS,
    )
