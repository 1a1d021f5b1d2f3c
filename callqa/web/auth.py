"""Signing in and out, and one's own password."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response

from callqa.errors import CallqaError
from callqa.usecases import accounts, sessions
from callqa.web.deps import (
    SESSION_COOKIE,
    DbDep,
    NowDep,
    PersonDep,
    SettingsDep,
    find_person,
    own_path,
    page,
    redirect,
    require,
    state_of,
)
from callqa.web.flash import set_flash
from callqa.web.navigation import NavItem

router = APIRouter()
NAV: tuple[NavItem, ...] = ()

HOUR_MS = 3_600_000


@router.get("/login")
def login_form(request: Request, next: str = "/") -> Response:
    """The sign-in page; somebody signed in already goes on."""
    if find_person(request) is not None:
        return redirect(own_path(next))
    return page(request, "auth/login.html", next=own_path(next), username="", error="")


@router.post("/login")
def login(
    request: Request,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    username: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",
) -> Response:
    """Open a session, or say in words why not."""
    brake = state_of(request).brake
    username = username.strip()
    client = request.client.host if request.client else ""

    def refused(error: str, status: int) -> Response:
        return page(request, "auth/login.html", status_code=status, next=own_path(next), username=username, error=error)

    wait_ms = brake.wait_ms(username, client, now_ms)
    if wait_ms:
        return refused(f"密码连续输错多次，请等 {(wait_ms + 999) // 1000} 秒再试", 429)
    signed_in = sessions.sign_in(
        db,
        username=username,
        password=password,
        user_agent=request.headers.get("user-agent", ""),
        lifetime_ms=settings.web.session_hours * HOUR_MS,
        now_ms=now_ms,
    )
    if signed_in is None:
        brake.failed(username, client, now_ms)
        return refused("用户名或密码不对；忘记密码请找管理员重设", 401)
    brake.succeeded(username, client)
    response = redirect("/account/password" if signed_in.must_change_password else own_path(next))
    response.set_cookie(
        SESSION_COOKIE,
        signed_in.token,
        max_age=settings.web.session_hours * 3600,
        httponly=True,
        samesite="lax",
        secure=settings.web.secure_cookie,
        path="/",
    )
    if signed_in.failures_before:
        set_flash(
            response, f"上次登录以来，有 {signed_in.failures_before} 次输错密码的尝试；若不是您，请改密码", "warning"
        )
    return response


@router.post("/logout")
def logout(request: Request, db: DbDep, now_ms: NowDep) -> Response:
    """End the session. Works without one too."""
    token = request.cookies.get(SESSION_COOKIE)
    if token:
        sessions.sign_out(db, token=token, now_ms=now_ms)
    response = redirect("/login")
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


@router.get("/account/session", dependencies=[require("account.own")])
def who_is_here(person: PersonDep) -> Response:
    """The account's number, for pages that ask before they send what was typed (static/kept.js); a redirect when nobody is."""
    return PlainTextResponse(str(person.account_id), headers={"Cache-Control": "no-store"})


@router.get("/account/password", dependencies=[require("account.own")])
def password_form(request: Request) -> Response:
    """The form to change one's own password."""
    return page(request, "auth/password.html", error="")


@router.post("/account/password", dependencies=[require("account.own")])
def password_change(
    request: Request,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    old: Annotated[str, Form(max_length=1024)] = "",
    new: Annotated[str, Form(max_length=1024)] = "",
    again: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Change it; other sessions of the account end."""
    try:
        if new != again:
            raise CallqaError("两次输入的新密码不一样")
        accounts.change_password(
            db,
            account_id=person.account_id,
            old=old,
            new=new,
            keep_token_sha256=person.session.token_sha256,
            now_ms=now_ms,
        )
    except CallqaError as e:
        return page(request, "auth/password.html", status_code=400, error=str(e))
    return redirect("/", "密码已修改；其他设备上的登录已退出")
