"""Who is rung and where calls go: pure functions of the desk, the registrations and who is busy."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from callqa.desk import Desk, DeskTrunk
from callqa.matching import ABROAD, canonical_number
from callqa.sip.events import Address
from callqa.sip.wire.hop import Transport, hop
from callqa.sip.wire.sdes import Encryption


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere an INVITE goes. seat_extension: None for a trunk."""

    uri: str
    peer: Address
    seat_extension: str | None = None
    trunk: DeskTrunk | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not put through. reason: Chinese."""

    status: int
    reason: str


NOBODY = Refusal(480, "无席位签入")
ALL_BUSY = Refusal(486, "全部占线")
NO_ANSWER = Refusal(480, "无人接听")
TRUNK_SILENT_S = 4.0  # with another to try: not even 100 Trying, the trunk is away
_TRUNK_STATUSES = frozenset({401, 403, 407, 408})
_NOISE = re.compile(r"[\s().-]")
_NUMBER = re.compile(r"\+?[0-9]+")  # what stands behind ; or ? is matched by no rule, so it is never sent
_MEANS_ABROAD = re.compile(r"\^?(00|\\\+)(?![?*{])")  # a pattern; `\+?1\d{10}` only allows for a plus


def is_trunks_fault(status: int) -> bool:
    """Whether a refusal is the trunk's, so that another may help; what the far end itself says (busy, no such number) stands."""
    return status in _TRUNK_STATUSES or 500 <= status < 600


NO_CODEC = Refusal(488, "没有共同的语音编码")
NO_PORT = Refusal(503, "没有空闲的媒体端口")
WAITED_TOO_LONG = Refusal(480, "排队超时")


def manned_seats(desk: Desk, contacts: Mapping[str, Sequence[Target]]) -> tuple[str, ...]:
    """Every seat that somebody signed in to and that has a phone, in the desk's order."""
    return tuple(s.extension for s in desk.seats if s.agent_no and contacts.get(s.extension))


def seats_in_order(desk: Desk, seats: Sequence[str], idle_since: Mapping[str, float]) -> tuple[str, ...]:
    """Seats in the order in which the desk's strategy wants them rung; where it does not say, as they came."""
    routing = desk.routing
    if routing.ring_strategy == "longest_idle":
        return tuple(sorted(seats, key=lambda e: idle_since.get(e, 0.0)))
    if routing.ring_strategy == "fixed":
        place = {
            e: i for i, e in enumerate(reversed(routing.seat_order))
        }  # a seat named twice counts where first named
        return tuple(sorted(seats, key=lambda e: -place.get(e, -1)))
    return tuple(seats)


def outbound_targets(
    desk: Desk, dialled: str, is_up: Callable[[str], bool] = lambda name: True
) -> tuple[Target, ...] | Refusal:
    """The trunks for a dialled number, one after the other: those of the first dial rule that matches it as dialled or in
    canonical form, the ones that are up first. What is sent is what was matched. A number abroad needs a rule that begins
    with 00 or \\+: `\\d+` and `0\\d{9,11}` were not written with 00853 in mind."""
    number = _NOISE.sub("", dialled)
    canonical = canonical_number(number) if _NUMBER.fullmatch(number) else ""
    abroad = canonical.startswith(ABROAD)
    trunks = {t.name: t for t in desk.trunks}
    for rule in desk.dial_plan if canonical else ():
        if abroad and not _MEANS_ABROAD.match(rule.pattern):
            continue
        sent = next((n for n in (number, canonical) if _matches(rule.pattern, n)), None)
        if sent is None:
            continue
        found = [trunks[n] for n in dict.fromkeys((rule.trunk, *rule.then)) if n in trunks and trunks[n].host]
        if not found:
            return Refusal(503, f"中继“{rule.trunk}”没有呼出地址，请在中继设置里填写")
        usable = [t for t in found if is_address(t.host)]
        if not usable:
            host = found[0].host
            return Refusal(503, f"中继“{found[0].name}”的呼出地址“{host}”不是 IP 地址，请在中继设置里改成 IP 地址")
        if number == "0" + canonical:
            sent = number  # 长途冠码: a landline's network wants it before a mobile of another city
        return tuple(_outbound(t, sent) for t in sorted(usable, key=lambda t: not is_up(t.name)))
    if abroad:
        return Refusal(403, f"国际号码“{dialled}”不在拨号方案内（只有以 00 或 \\+ 开头的规则放行国际号码）")
    return Refusal(403, f"号码“{dialled}”不在拨号方案内")


def _outbound(trunk: DeskTrunk, number: str) -> Target:
    host = f"[{trunk.host}]" if ":" in trunk.host else trunk.host
    uri = f"sip:{trunk.prefix}{number}@{host}:{trunk.port}{_uri_params(trunk)}"
    return Target(uri, trunk_address(trunk), None, trunk)


def trunk_address(trunk: DeskTrunk) -> Address:
    """Where a trunk's requests are sent."""
    return hop(trunk.host, trunk.port, Transport(trunk.transport.upper()))


def certificate_names(desk: Desk, peer: Address) -> tuple[str, ...]:
    """The names of which the certificate of a TLS peer must hold one: the domain of its trunk, its IP address."""
    trunk = next((t for t in desk.trunks if is_address(t.host) and trunk_address(t) == peer), None)
    trunk = trunk or find_trunk(desk, peer[0])
    domain = trunk.domain if trunk is not None else ""
    if domain.startswith("["):
        domain = domain[1:].partition("]")[0]
    elif domain.count(":") == 1:  # with a port
        domain = domain.partition(":")[0]
    return tuple(dict.fromkeys(n for n in (domain, peer[0]) if n))


def _uri_params(trunk: DeskTrunk) -> str:
    return "" if trunk.transport == "udp" else f";transport={trunk.transport}"


def _matches(pattern: str, number: str) -> bool:
    try:
        return re.fullmatch(pattern, number) is not None
    except (re.error, OverflowError, RecursionError):
        return False  # a rule that is no pattern lets nothing through


def is_address(host: str) -> bool:
    """There is no DNS here: a look-up would hold up every packet of every call."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def find_trunk(desk: Desk, host: str) -> DeskTrunk | None:
    """The trunk whose allow-list holds an IP address (single addresses or networks like 10.0.0.0/24), or that we are
    registered at there."""
    return next(
        (t for t in desk.trunks if (t.register_here and t.host == host) or any(_covers(a, host) for a in t.addresses)),
        None,
    )


def encryption_at(desk: Desk, host: str) -> Encryption:
    """How much media encryption is wanted of a peer: the trunk's setting, or the one for all seats."""
    trunk = find_trunk(desk, host)
    return trunk.media_encryption if trunk is not None else desk.routing.seat_encryption


def addresses_around(desk: Desk, host: str) -> tuple[str, ...]:
    """The addresses and networks of the trunk that a host is of: its media may come from another machine there."""
    for trunk in desk.trunks:
        around = (*trunk.addresses, *((trunk.host,) if trunk.host else ()))
        if any(_covers(address, host) for address in around):
            return around
    return ()


def _covers(allowed: str, host: str) -> bool:
    if "/" not in allowed:
        return allowed == host
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return False
