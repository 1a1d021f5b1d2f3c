"""What every page needs: the person, the database, the clock, rendering, redirecting with a message.

Handlers stay short: parse the form, call one use case, then `page(...)` or `redirect(...)`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment

from callqa import __version__
from callqa.config import Settings
from callqa.errors import PermissionDenied
from callqa.store.db import Database
from callqa.store.queries import confidential
from callqa.store.queries.call_page import find_call
from callqa.store.queries.deletions import find_deletion
from callqa.store.tables import Call
from callqa.usecases.deleted import say_deleted
from callqa.usecases.note_access import note_access
from callqa.usecases.sessions import SessionAccount, SignInBrake, find_session
from callqa.usecases.show_private import is_shown
from callqa.web.flash import FLASH_COOKIE, read_flash, set_flash
from callqa.web.navigation import NavItem, grouped
from callqa.web.permissions import PERMISSIONS, ROLE_LABELS, Role, allowed
from callqa.web.playable import BeepedRecordings, PlayNotes
from callqa.web.rubrics import RubricCache
from callqa.web.words import RenderedWords

SESSION_COOKIE = "callqa_session"
MOST_ROW_ID = 2_147_483_647  # PostgreSQL's integer
# What may be asked of a deleted call: its pages tell what stays (GET), who may open it can still be said.
SHOWS_DELETED = frozenset({"calls.view", "evaluate.view", "evaluate.own", "evaluate.score", "trust.view"})
BESIDE_DELETION = frozenset({"confidential.mark", "calls.delete", "calls.hold"})
BESIDE_THE_CONTENT = frozenset({"live.pause_own"})  # the seat's own recording goes on or rests; nothing is shown


@dataclass(slots=True)
class WebState:
    """What the web process holds; one object in `app.state.callqa`."""

    settings: Settings
    db: Database
    templates: Environment
    clock: Callable[[], int]
    nav: tuple[NavItem, ...]
    brake: SignInBrake = field(default_factory=SignInBrake)
    beeped: BeepedRecordings = field(default_factory=BeepedRecordings)
    plays: PlayNotes = field(default_factory=PlayNotes)
    words: RenderedWords = field(default_factory=RenderedWords)
    rubrics: RubricCache = field(default_factory=RubricCache)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is looking at the page."""

    session: SessionAccount

    @property
    def account_id(self) -> int:
        return self.session.account_id

    @property
    def username(self) -> str:
        return self.session.username

    @property
    def display_name(self) -> str:
        return self.session.display_name

    @property
    def role(self) -> str:
        return self.session.role

    @property
    def role_label(self) -> str:
        return ROLE_LABELS[Role(self.session.role)]

    @property
    def own_agent_no(self) -> str | None:
        """None: sees everybody's calls. Otherwise the only 工号 whose calls this person may see ("" = none)."""
        return None if self.can("calls.view_all") else (self.session.agent_no or "")

    def can(self, permission: str) -> bool:
        """Whether the person's role has the permission."""
        return allowed(self.session.role, permission)

    def must_own(self, agent_no: str | None) -> None:
        """Raise PermissionDenied unless the person may see what belongs to this agent."""
        if self.own_agent_no is not None and (not agent_no or agent_no != self.own_agent_no):
            raise PermissionDenied("这通电话不是您接打的；坐席只能查看自己的通话")


class SignInNeeded(Exception):
    """Nobody is signed in; the page is shown again after signing in."""


class PasswordChangeNeeded(Exception):
    """The password was given by somebody else and must be changed first."""


class PageNotFound(Exception):
    """What the address names does not exist. The text says what and what to do."""


class CallDeleted(Exception):
    """The content of what the address names was deleted. The text says when and why."""


def state_of(request: Request) -> WebState:
    """The web process's own things."""
    state: WebState = request.app.state.callqa
    return state


def get_db(request: Request) -> Database:
    return state_of(request).db


def get_settings(request: Request) -> Settings:
    return state_of(request).settings


def get_now_ms(request: Request) -> int:
    """This request's time, the same for everything it does."""
    if not hasattr(request.state, "now_ms"):
        request.state.now_ms = state_of(request).clock()
    now_ms: int = request.state.now_ms
    return now_ms


def find_person(request: Request) -> Person | None:
    """Who the request's cookie belongs to, looked up once a request."""
    if not hasattr(request.state, "person"):
        token = request.cookies.get(SESSION_COOKIE)
        found = find_session(get_db(request), token=token, now_ms=get_now_ms(request)) if token else None
        request.state.person = Person(found) if found else None
    person: Person | None = request.state.person
    return person


def get_person(request: Request) -> Person:
    """The signed-in person whose password is their own. Raise SignInNeeded or PasswordChangeNeeded."""
    person = find_person(request)
    if person is None:
        raise SignInNeeded
    if person.session.must_change_password and request.url.path not in ("/account/password", "/logout"):
        raise PasswordChangeNeeded
    return person


def require(permission: str) -> Any:
    """A route dependency: `dependencies=[require("calls.listen")]`; others get the 403 page."""
    if permission not in PERMISSIONS:
        raise KeyError(f"permission {permission!r} is not in web/permissions.py")

    def check(request: Request) -> None:
        person = get_person(request)
        _refuse_impossible_ids(request)
        if not person.can(permission):
            raise PermissionDenied("您的角色不能使用这一功能；需要时请联系管理员")
        if permission not in BESIDE_THE_CONTENT:
            _must_be_named(request, person)
            _must_be_there(request, permission)

    check.permission = permission  # type: ignore[attr-defined]  # read by the test that no route lacks one
    return Depends(check)


def _refuse_impossible_ids(request: Request) -> None:
    """Raise PageNotFound where a row's number in the address is larger than any database keeps one: no query can be asked for it."""
    for name, value in request.path_params.items():
        text = str(value)
        is_number = (name.endswith("_id") or name == "version") and text.isascii() and text.isdigit()
        if is_number and (len(text) > 10 or int(text) > MOST_ROW_ID):
            raise PageNotFound("没有这一条；请从列表进入。")


def still_may(request: Request, permission: str) -> Callable[[], bool]:
    """Whether the person of a request that goes on for long still may: signed in, the right kept, the call not confidential.
    Asks the database each time; to be called in a thread."""
    token, state = request.cookies.get(SESSION_COOKIE, ""), state_of(request)

    def ask() -> bool:
        found = find_session(state.db, token=token, now_ms=state.clock())
        if found is None or found.must_change_password or not allowed(found.role, permission):
            return False
        try:
            _must_be_named(request, Person(found))
        except PermissionDenied:
            return False
        return True

    return ask


def _must_be_named(request: Request, person: Person) -> None:
    """Raise PermissionDenied where the address names a confidential call, or a score of one, and the person was not named.

    Asked on every route, so that a new page cannot forget it. An opening is written to the audit chain.
    """
    state = state_of(request)
    with state.db.read() as session:
        call_id = _call_named(request, session)
        readers = confidential.readers_of(session, call_id) if call_id else None
    if call_id is None or readers is None:
        return
    if person.account_id not in readers:
        raise PermissionDenied("这是保密件，只有指定的人可以查看；需要时请找班长或采购人监督员")
    if state.plays.is_new(person.session.token_sha256, f"confidential {call_id}", get_now_ms(request)):
        note_access(
            state.db,
            actor=person.username,
            action="confidential.view",
            subject=call_id,
            detail={"path": request.url.path},
            now_ms=get_now_ms(request),
        )


def _must_be_there(request: Request, permission: str) -> None:
    """Raise CallDeleted where the address asks for content of a deleted call, or would change something about it."""
    reads = request.method in ("GET", "HEAD") and permission in SHOWS_DELETED
    if reads or permission in BESIDE_DELETION:
        return
    with get_db(request).read() as session:
        call_id = _call_named(request, session)
        deletion = find_deletion(session, call_id) if call_id else None
    if deletion is not None:
        raise CallDeleted(say_deleted(deletion))


def _call_named(request: Request, session: Any) -> str | None:
    """The call that the address is about, itself or by its score."""
    named = request.path_params
    if not {"call_id", "evaluation_id", "finding_id"} & set(named):
        return None
    call_id: str | None = named.get("call_id") or confidential.call_behind(
        session, evaluation_id=_number(named.get("evaluation_id")), finding_id=_number(named.get("finding_id"))
    )
    return call_id


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 12 else None


PersonDep = Annotated[Person, Depends(get_person)]
DbDep = Annotated[Database, Depends(get_db)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
NowDep = Annotated[int, Depends(get_now_ms)]


def load_own_call(db: Database, person: Person, call_id: str) -> Call:
    """A call that the person may see. Raise PageNotFound or PermissionDenied."""
    with db.read() as session:
        call = find_call(session, call_id)
    if call is None:
        raise PageNotFound("没有这通电话。")
    person.must_own(call.agent_no)
    return call


def page(request: Request, template: str, status_code: int = 200, **context: Any) -> HTMLResponse:
    """Render a template with what base.html needs: person, can, nav, flash, settings, now_ms."""
    state = state_of(request)
    person: Person | None = getattr(request.state, "person", None)
    flash = read_flash(request.cookies.get(FLASH_COOKIE, ""))
    html = state.templates.get_template(template).render(
        {
            "request": request,
            "person": person,
            "can": person.can if person else (lambda permission: False),
            "nav": grouped(item for item in state.nav if person and person.can(item.permission)),
            "waiting_at": lambda item: _count(state.db, item),
            "flash": flash,
            "settings": state.settings,
            "now_ms": get_now_ms(request),
            "deletion_of": lambda call: _say_deletion(state.db, call),
            "shown_private": lambda call_id: _is_shown(request, person, call_id),
            "version": __version__,
            **context,
        }
    )
    response = HTMLResponse(html, status_code=status_code, headers={"Cache-Control": "private, no-store"})
    if flash and not is_fragment(request):
        response.delete_cookie(FLASH_COOKIE)
    return response


def _count(db: Database, item: NavItem) -> int:
    """How much waits at an entry of the navigation; asked for by base.html only, not by fragments."""
    if item.counter is None:
        return 0
    with db.read() as session:
        return item.counter(session)


def _say_deletion(db: Database, call: Call) -> str:
    """When and why a call's content was deleted; "" where it is there."""
    if call.deleted_at_ms is None:
        return ""
    with db.read() as session:
        deletion = find_deletion(session, call.call_id)
    return say_deleted(deletion) if deletion else "这通电话的内容已经删除"


def _is_shown(request: Request, person: Person | None, call_id: str) -> bool:
    """Whether the address carries this person's own fresh note of looking at the call's private numbers."""
    number = request.query_params.get("shown", "")
    if (
        person is None
        or not person.can("calls.private")
        or not (number.isascii() and number.isdigit() and len(number) < 16)
    ):
        return False
    return is_shown(get_db(request), call_id, int(number), actor=person.username, now_ms=get_now_ms(request))


def is_fragment(request: Request) -> bool:
    """Whether a page asks for a piece of itself (static/app.js)."""
    return "x-piece" in request.headers


def redirect(url: str, message: str = "", kind: str = "success") -> Response:
    """POST-redirect-GET, with a message that the next page shows once. url: a path of our own."""
    response = RedirectResponse(url, status_code=303)
    if message:
        set_flash(response, message, kind)
    return response


def own_path(target: str, fallback: str = "/") -> str:
    """`target` when it is a path on this site, else `fallback`: no redirect to somewhere else."""
    if not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target or "\n" in target:
        return fallback
    return target


def login_url(request: Request) -> str:
    """Where to sign in, remembering the page that was asked for."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET" or wanted == "/":
        return "/login"
    return f"/login?next={quote(wanted, safe='/')}"
