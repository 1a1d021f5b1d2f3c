"""人员与席位: seats and sign-ins, agents, roster; accounts. The lines are in `lines`."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response

from callqa.errors import CallqaError, ImportFileError
from callqa.periods import from_ms
from callqa.store.queries import people as queries
from callqa.usecases import accounts, people
from callqa.usecases.import_roster import import_roster
from callqa.usecases.leave import leave
from callqa.web import lines, phones, routing
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require
from callqa.web.listing import read_day
from callqa.web.navigation import NavItem
from callqa.web.permissions import ROLE_LABELS
from callqa.web.phones import show_sheet
from callqa.web.uploads import read_upload

router = APIRouter()
router.include_router(lines.router)
router.include_router(routing.router)
router.include_router(phones.router)
NAV = (NavItem("人员与席位", "/people", "people.view", "people", group="管理"),)


@router.get("/people", dependencies=[require("people.view")])
def people_page(request: Request, db: DbDep, now_ms: NowDep, date: str = "") -> Response:
    """Seats with who sits there, agents, the roster of a day, the last sign-ins."""
    day = date or from_ms(now_ms).date().isoformat()
    start_ms, end_ms = read_day(day)
    with db.read() as session:
        context: dict[str, Any] = {
            "seats": queries.list_seats(session),
            "agents": queries.list_agents(session),
            "logins": queries.recent_logins(session),
            "roster": queries.roster_between(session, start_ms, end_ms),
        }
    return page(request, "people/people.html", tab="people", day=day, **context)


@router.post("/people/agents", dependencies=[require("people.edit")])
def agent_add(
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    agent_no: Annotated[str, Form(max_length=32)],
    name: Annotated[str, Form(max_length=64)],
) -> Response:
    """Register an agent, or correct a name."""
    try:
        people.add_agent(db, agent_no=agent_no, name=name, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    return redirect("/people", f"已登记 {agent_no.strip()} {name.strip()}")


@router.post("/people/agents/{agent_no}/active", dependencies=[require("people.edit")])
def agent_active(
    agent_no: str,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    active: Annotated[bool, Form()],
) -> Response:
    """Switch an agent off (who is signed out) or on again."""
    people.set_agent_active(
        db, agent_no=agent_no, active=active, actor=person.username, now_ms=now_ms, desk_path=settings.desk_path
    )
    return redirect("/people", f"工号 {agent_no} 已{'启用' if active else '停用'}")


@router.post("/people/agents/{agent_no}/leave", dependencies=[require("people.edit")])
def agent_leave(
    agent_no: str,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    left_on: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Somebody leaves: account, sessions and seat sign-in end at once; calls and scores stay."""
    try:
        ended = leave(db, agent_no, left_on=left_on, actor=person.username, now_ms=now_ms, desk_path=settings.desk_path)
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    accounts_ended = f"，账号 {'、'.join(ended)} 已停用" if ended else ""
    return redirect("/people", f"工号 {agent_no} 已办离职{accounts_ended}，登录与签入已结束；通话和评分都保留")


@router.post("/people/seats", dependencies=[require("people.edit")])
def seat_add(
    request: Request,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    extension: Annotated[str, Form(max_length=32)],
    label: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    """Add a seat, or give its phone a new password; the set-up sheet with the password is shown this once."""
    password = accounts.random_password()
    extension = extension.strip()
    try:
        people.add_seat(
            db,
            extension=extension,
            label=label.strip(),
            password=password,
            actor=person.username,
            now_ms=now_ms,
            desk_path=settings.desk_path,
        )
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    return show_sheet(request, db, settings, extension=extension, label=label.strip(), password=password)


@router.post("/people/seats/{extension}/active", dependencies=[require("people.edit")])
def seat_active(
    extension: str,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    active: Annotated[bool, Form()],
) -> Response:
    """Retire a seat that nobody is signed in at, or bring it back."""
    try:
        people.set_seat_active(
            db, extension=extension, active=active, actor=person.username, now_ms=now_ms, desk_path=settings.desk_path
        )
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    return redirect("/people", f"席位 {extension} 已{'启用' if active else '停用'}")


@router.post("/people/roster", dependencies=[require("people.edit")])
def roster_import(
    request: Request, person: PersonDep, db: DbDep, now_ms: NowDep, file: Annotated[UploadFile, File()]
) -> Response:
    """Import a roster; refused rows are listed."""
    try:
        name, data = read_upload(file)
        result = import_roster(db, file_name=name, data=data, actor=person.username, now_ms=now_ms)
    except ImportFileError as e:
        return redirect("/people", str(e), "danger")
    if not result.errors:
        done = f"排班已导入：新增 {result.rows_new}，更新 {result.rows_changed}，不变 {result.rows_same}，撤销 {result.rows_removed}"
        return redirect("/people", done)
    return page(request, "people/roster_result.html", tab="people", result=result, file_name=name)


# ---- accounts ----


@router.get("/people/accounts", dependencies=[require("accounts.manage")])
def accounts_page(request: Request, db: DbDep) -> Response:
    """All accounts and the form for a new one."""
    with db.read() as session:
        found, names = queries.list_accounts(session), queries.agent_names(session)
    return page(request, "people/accounts.html", tab="accounts", accounts=found, agents=names, roles=ROLE_LABELS)


@router.post("/people/accounts", dependencies=[require("accounts.manage")])
def account_add(
    request: Request,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    username: Annotated[str, Form(max_length=64)],
    display_name: Annotated[str, Form(max_length=64)],
    role: Annotated[str, Form()],
    agent_no: Annotated[str, Form()] = "",
) -> Response:
    """Make an account with a random password, shown this once and to be changed at first sign-in."""
    password = accounts.random_password()
    new = accounts.NewAccount(
        username=username, display_name=display_name, role=role, password=password, agent_no=agent_no or None
    )
    try:
        accounts.create_account(db, new, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/people/accounts", str(e), "danger")
    return _password_sheet(request, username.strip(), password)


@router.post("/people/accounts/{account_id}/reset", dependencies=[require("accounts.manage")])
def account_reset(request: Request, account_id: int, person: PersonDep, db: DbDep, now_ms: NowDep) -> Response:
    """Give somebody a new random password, shown this once."""
    password = accounts.random_password()
    accounts.set_password(db, account_id=account_id, password=password, actor=person.username, now_ms=now_ms)
    with db.read() as session:
        username = next(a.username for a in queries.list_accounts(session) if a.id == account_id)
    return _password_sheet(request, username, password)


@router.post("/people/accounts/{account_id}/active", dependencies=[require("accounts.manage")])
def account_active(
    account_id: int, person: PersonDep, db: DbDep, now_ms: NowDep, active: Annotated[bool, Form()]
) -> Response:
    """Switch an account off, which ends its sessions, or on."""
    try:
        if active:
            accounts.activate(db, account_id=account_id, actor=person.username, now_ms=now_ms)
        else:
            accounts.deactivate(db, account_id=account_id, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/people/accounts", str(e), "danger")
    return redirect("/people/accounts", "账号已启用" if active else "账号已停用，其登录已全部退出")


def _password_sheet(request: Request, username: str, password: str) -> Response:
    return page(
        request,
        "people/password_sheet.html",
        status_code=201,
        tab="accounts",
        account_name=username,
        password=password,
    )
