"""What we ask inside a dialog, and the account it is asked with: a trunk that challenges our UPDATE, re-INVITE, PRACK or BYE
as it did our INVITE (RFC 3261 §22.2: a UAS or proxy may challenge any request but ACK and CANCEL) gets the request once more
with credentials. Nothing is sent with credentials before it was asked for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.desk import DeskTrunk
from callqa.sip.calls.routing import find_trunk
from callqa.sip.core import Core
from callqa.sip.events import Address
from callqa.sip.legs.dialog import Dialog
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.trunks import credentials
from callqa.sip.wire.message import Request, Response

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg

Authorise = Callable[[Response, Request], tuple[str, str] | None]
Answered = Callable[[Response, Address, float], None]
CHALLENGED = frozenset({401, 407})


def account_of(core: Core, trunk: DeskTrunk | None) -> Authorise | None:
    """Answers a trunk's challenges; None where it has no account."""
    if trunk is None or not trunk.username:
        return None
    return lambda response, request: credentials(trunk, response, request.method, request.uri, core.tokens())


def account_at(core: Core, host: str) -> Authorise | None:
    """The same for whoever calls us from there."""
    return account_of(core, find_trunk(core.desk, host))


def ask(
    leg: "Leg",
    request: Request,
    now: float,
    *,
    fork: Dialog | None = None,
    on_response: Answered | None = None,
    on_timeout: Callable[[float], None] | None = None,
) -> None:
    """Send a request of the leg's dialog, and once more with the account of its trunk where that is asked for.

    request: without Via, its CSeq number the newest of the dialog. fork: the dialog that it belongs to, where that is not
    the leg's own. on_response gets a challenge only where it stands.
    """
    dialog = fork or leg.dialog

    def send(what: Request, at: float, answered: Answered | None) -> None:
        hop = dialog.next_hop
        leg.core.transactions.request(what, hop, leg.core.local(hop), at, on_response=answered, on_timeout=on_timeout)

    def first(response: Response, source: Address, at: float) -> None:
        made = _answer(leg, response, request) if response.status in CHALLENGED else None
        if made is None:
            then(response, source, at)
            return
        leg.dialog.local_cseq = number = max(leg.dialog.local_cseq, dialog.local_cseq) + 1
        headers = request.headers.replaced("CSeq", f"{number} {request.method}").plus(made)
        send(Request(request.method, request.uri, headers, request.body), at, then)

    def then(response: Response, source: Address, at: float) -> None:
        if response.status in CHALLENGED:
            leg.core.fault(
                at,
                f"对端 {source[0]} 对通话中的请求要求认证（{request.method} {response.status}），没有它认可的账号；"
                "请检查中继的用户名、密码与认证域",
                source,
            )
        if on_response is not None:
            on_response(response, source, at)

    send(request, now, first)


def _answer(leg: "Leg", response: Response, request: Request) -> tuple[str, str] | None:
    """Credentials, unless the leg has ended meanwhile: then only its BYE still matters."""
    if leg.authorise is None or (leg.state is LegState.GONE and request.method != "BYE"):
        return None
    return leg.authorise(response, request)
