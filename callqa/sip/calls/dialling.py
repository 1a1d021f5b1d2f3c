"""Our INVITE to a seat phone or through a trunk: who it says calls, what it carries, with which account."""

from callqa.sip.calls.call import Call
from callqa.sip.calls.routing import Target
from callqa.sip.core import Core
from callqa.sip.legs.asking import account_of
from callqa.sip.legs.leg import Leg, LegOwner
from callqa.sip.trunks import domain
from callqa.sip.wire.headers import quote
from callqa.sip.wire.sdp import Codecs
from callqa.units import Channel


def outgoing_leg(
    core: Core,
    owner: LegOwner,
    call: Call,
    channel: Channel,
    target: Target,
    port: int,
    codecs: Codecs,
    shown: str = "",
) -> Leg:
    """The leg to a target, not dialled yet; `leg.dial(leg.sdp(leg.codecs), now)` sends its INVITE.

    shown: the number in From where it is not the caller's (networks refuse numbers that are not ours); his is the name then.
    """
    f, trunk = call.facts, target.trunk
    name, number = quote(f.from_number or "未知号码"), shown or f.from_number or "anonymous"
    caller = f"{name} <{core.uri(target.peer, number)}>"
    called = f"<{core.uri(target.peer, target.seat_extension)}>" if target.seat_extension else f"<{target.uri}>"
    fields: tuple[tuple[str, str | None], ...] = (
        ("X-Ticket-Id", call.ticket_hint), ("User-to-User", call.user_to_user),
    )  # fmt: skip
    if trunk is not None and trunk.username:  # the account calls; the number goes beside it
        caller = f"{quote(f.from_number)} <sip:{trunk.username}@{domain(trunk)}>"
        fields += (("P-Preferred-Identity", f"<sip:{f.from_number}@{domain(trunk)}>" if f.from_number else None),)
    routes = core.service_routes(trunk.name) if trunk is not None else ()
    fields = (*(("Route", r) for r in routes), *fields)
    leg = Leg.outgoing(
        core, owner, channel, port, target=target.uri, peer=target.peer, caller=caller, called=called, fields=fields,
        forwards=min(max(0, f.forwards - 1), 70),  # RFC 7332: a call that comes round to us again and again ends
    )  # fmt: skip
    leg.authorise = account_of(core, trunk)
    leg.codecs = codecs
    leg.keyring.wanted = trunk.media_encryption if trunk is not None else core.desk.routing.seat_encryption
    leg.seat_extension = target.seat_extension
    leg.dialog.behind_nat = target.seat_extension is not None
    return leg
