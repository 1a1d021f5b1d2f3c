"""Registrar for the seats (RFC 3261 §10): which phone is where, with digest; and the digest door for their calls.

A seat may have several contacts. Phones are reached at the address they registered from (NAT). A wrong password is
answered 403, later each time, and told as a fault; nothing is ever locked. Bindings can be saved and restored, so that phones ring
again right after a restart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

from callqa.desk import DeskSeat
from callqa.errors import ProtocolError
from callqa.sip.budget import Door
from callqa.sip.calls.routing import Target
from callqa.sip.core import Core
from callqa.sip.events import Address, SeatRegistered, SeatUnregistered
from callqa.sip.legs.dialog import address_of
from callqa.sip.legs.timers import Alarm
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.auth import Credentials, DigestServer, Verdict, parse_credentials
from callqa.sip.wire.headers import NameAddr, parse_name_addr, parse_number, parse_uri
from callqa.sip.wire.hop import Transport, hop, transport_of
from callqa.sip.wire.message import Request

EXPIRES_LEAST_S, EXPIRES_USUAL_S, EXPIRES_MOST_S = 60, 600, 3600
CONTACTS_MOST = 8  # of one seat
_ANY_S = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of one seat. expires_at: the caller's monotonic seconds. instance: +sip.instance or ""."""

    extension: str
    contact: str
    source: Address
    call_id: str
    cseq: int
    expires_at: float
    instance: str = ""


class SavedBinding(TypedDict):
    """A binding as JSON; expires_at_ms is wall time, UTC."""

    extension: str
    contact: str
    host: str
    port: int
    call_id: str
    cseq: int
    instance: str
    expires_at_ms: int
    transport: NotRequired[str]  # UDP where it is missing


class Registrar:
    """Bindings of all seats."""

    def __init__(self, core: Core, digest: DigestServer, door: Door) -> None:
        self._core = core
        self._digest = digest
        self._door = door
        self._sources: dict[Address, str] = {}
        self._bindings: dict[str, tuple[Binding, ...]] = {}
        self._targets: dict[str, tuple[Target, ...]] | None = None  # of the bindings as they stand
        self._alarm: Alarm | None = None

    # -- the digest door --------------------------------------------------------------------------------------------

    def authenticate(self, t: Transaction, source: Address, now: float) -> DeskSeat | None:
        """The seat whose credentials a request carries; None when it was answered 401 or 403 here."""
        given = self._credentials(t.request)
        if given is None:
            self._challenge(t, now, stale=False)
            return None
        if not self._digest.takes(given.algorithm):
            text = f"分机 {given.user[:32]} 的话机用 {given.algorithm} 认证，设置 sip.digest_algorithms 不接受；请换话机或改设置"
            self._core.fault(now, text, source)
            self._refuse_later(t, self._door.wrong_password(source, now), now)
            return None
        seat = next((s for s in self._core.desk.seats if s.extension == given.user), None)
        known = None if seat is None else seat.ha1_md5 if given.algorithm == "MD5" else seat.ha1_sha256
        verdict = self._digest.check(given, t.request.method, known, now)
        if verdict is Verdict.STALE:
            self._challenge(t, now, stale=True)
            return None
        if verdict is Verdict.WRONG or seat is None:
            self._core.fault(now, f"分机 {given.user[:32]} 的密码不对，或没有这个分机", source)
            self._refuse_later(t, self._door.wrong_password(source, now), now)
            return None
        return seat

    def _refuse_later(self, t: Transaction, after_s: float, now: float) -> None:
        def refuse(at: float) -> None:
            self._core.transactions.reply(t, 403, at, to_tag=self._core.tokens())

        if after_s:
            self._core.timers.at(now + after_s, refuse)
        else:
            refuse(now)

    def _credentials(self, request: Request) -> Credentials | None:
        for value in (*request.headers.all("Authorization"), *request.headers.all("Proxy-Authorization")):
            try:
                found = parse_credentials(value)
            except ProtocolError:
                continue
            if found.realm == self._core.desk.realm:
                return found
        return None

    def _challenge(self, t: Transaction, now: float, *, stale: bool) -> None:
        self._digest.forget_old(now)
        challenges = self._digest.challenges(self._core.desk.realm, now, stale=stale)
        fields = tuple(("WWW-Authenticate", str(c)) for c in challenges)
        self._core.transactions.reply(t, 401, now, to_tag=self._core.tokens(), fields=fields)

    # -- REGISTER ---------------------------------------------------------------------------------------------------

    def receive(self, t: Transaction, source: Address, now: float) -> None:
        """Handle a REGISTER."""
        seat = self.authenticate(t, source, now)
        if seat is None:
            return
        request, answer = t.request, self._core.transactions.reply
        if request.to.uri.user != seat.extension:
            answer(t, 403, now, to_tag=self._core.tokens())
            self._core.fault(now, f"分机 {seat.extension} 试图注册成 {request.to.uri.user[:32]}", source)
            return
        try:
            status = self._apply(request, seat.extension, source, now)
        except ProtocolError:
            status = 400
        if status != 200:
            least = (("Min-Expires", str(EXPIRES_LEAST_S)),) if status == 423 else ()
            answer(t, status, now, to_tag=self._core.tokens(), fields=least)
            return
        contacts = tuple(
            ("Contact", f"<{b.contact}>;expires={max(0, round(b.expires_at - now))}")
            for b in self._bindings.get(seat.extension, ())
        )
        answer(t, 200, now, to_tag=self._core.tokens(), fields=contacts)

    def _apply(self, request: Request, extension: str, source: Address, now: float) -> int:
        """Change the bindings as asked; all or nothing. Returns the status."""
        header = request.headers.first("Expires")
        usual_s = parse_number(header, "Expires", _ANY_S) if header else None
        values = request.headers.all("Contact")
        before = self._bindings.get(extension, ())
        if "*" in values:
            if len(values) != 1 or usual_s != 0:
                return 400
            self._set(extension, (), now)
            return 200
        after = before
        newest: Binding | None = None
        for contact in (parse_name_addr(v) for v in values):
            expires_s = _expires_s(contact, usual_s)
            if 0 < expires_s < EXPIRES_LEAST_S:
                return 423
            same = [b for b in after if _same(b, contact)]
            if any(b.call_id == request.call_id and b.cseq >= request.cseq.number for b in same):
                return 500  # out of order, RFC 3261 §10.3 step 7
            after = tuple(b for b in after if b not in same)
            if expires_s:
                instance = contact.param("+sip.instance") or ""
                until = now + min(expires_s, EXPIRES_MOST_S)
                newest = Binding(
                    extension, str(contact.uri), source, request.call_id, request.cseq.number, until, instance
                )
                after = (*after, newest)
        if values:
            # A softphone that makes up a new contact at every start would lock itself out: the oldest gives way.
            self._set(extension, after[-CONTACTS_MOST:], now)
            self._follow(before, request, source)
        if newest is not None:
            self._core.emit(SeatRegistered(extension, now, newest.contact, source, round(newest.expires_at - now)))
        return 200

    def _follow(self, before: tuple[Binding, ...], request: Request, source: Address) -> None:
        """A phone whose NAT gave it another port in mid-call is spoken to there from now on."""
        left = {b.source for b in before if b.call_id == request.call_id and b.source != source}
        for leg in self._core.legs.values():
            if leg.dialog.behind_nat and leg.dialog.observed in left:
                leg.dialog.observed = source

    def _set(self, extension: str, bindings: tuple[Binding, ...], now: float) -> None:
        had = self._bindings.pop(extension, ())
        if bindings:
            self._bindings[extension] = bindings
        elif had:
            self._core.emit(SeatUnregistered(extension, now))
        self._sources = {b.source: e for e, bs in self._bindings.items() for b in bs}
        self._targets = None
        if self._alarm is not None:
            self._alarm.cancel()
        soonest = min((b.expires_at for bs in self._bindings.values() for b in bs), default=None)
        self._alarm = self._core.timers.at(soonest, self._expire) if soonest is not None else None

    def _expire(self, now: float) -> None:
        self._alarm = None
        for extension, bindings in list(self._bindings.items()):
            left = tuple(b for b in bindings if b.expires_at > now)
            if left != bindings:
                self._set(extension, left, now)

    # -- for the others ---------------------------------------------------------------------------------------------

    def contacts(self) -> Mapping[str, tuple[Target, ...]]:
        """Where each registered seat can be rung."""
        if self._targets is None:
            self._targets = {e: tuple(Target(b.contact, b.source, e) for b in bs) for e, bs in self._bindings.items()}
        return self._targets

    def seat_at(self, source: Address) -> str | None:
        """The seat registered from exactly this address."""
        return self._sources.get(source)

    def is_registered(self, extension: str) -> bool:
        """Whether a seat has a contact."""
        return extension in self._bindings

    def stream_closed(self, address: Address) -> None:
        """Phones of a closed connection are tried at their Contact until they register again."""
        for extension, bindings in self._bindings.items():
            self._bindings[extension] = tuple(
                replace(b, source=_address_of(b.contact) or b.source) if b.source == address else b for b in bindings
            )
        self._sources = {b.source: e for e, bs in self._bindings.items() for b in bs}
        self._targets = None

    def keep_only(self, extensions: frozenset[str], now: float) -> None:
        """Drop the bindings of seats that no longer exist."""
        for extension in [e for e in self._bindings if e not in extensions]:
            self._set(extension, (), now)

    def save(self, now: float, wall_ms: int) -> tuple[SavedBinding, ...]:
        """All bindings as JSON-able values; wall_ms: the wall time at `now`."""
        return tuple(
            SavedBinding(
                extension=b.extension, contact=b.contact, host=b.source[0], port=b.source[1], call_id=b.call_id,
                cseq=b.cseq, instance=b.instance, expires_at_ms=wall_ms + round((b.expires_at - now) * 1000),
                transport=transport_of(b.source),
            )
            for bs in self._bindings.values()
            for b in bs
        )  # fmt: skip

    def restore(self, saved: Iterable[SavedBinding], now: float, wall_ms: int) -> None:
        """Take back what `save` gave; what has expired, is of no seat, or unreadable, is left out."""
        seats = self._core.extensions
        for s in saved:
            try:
                until = now + min((int(s["expires_at_ms"]) - wall_ms) / 1000, float(EXPIRES_MOST_S))
                parse_uri(str(s["contact"]))
                host, port, transport = str(s["host"]), int(s["port"]), Transport(s.get("transport", "UDP"))
                # Connections do not outlive us: such a phone is tried at its Contact until it registers again.
                gone = _address_of(str(s["contact"])) if transport is not Transport.UDP else None
                binding = Binding(
                    str(s["extension"]), str(s["contact"]), gone or hop(host, port, transport), str(s["call_id"]),
                    int(s["cseq"]), until, str(s["instance"]),
                )  # fmt: skip
            except (KeyError, TypeError, ValueError, OverflowError, ProtocolError):
                continue
            if binding.extension not in seats or until <= now:
                continue
            self._set(binding.extension, (*self._bindings.get(binding.extension, ()), binding), now)
            self._core.emit(SeatRegistered(binding.extension, now, binding.contact, binding.source, round(until - now)))


def _address_of(contact: str) -> Address | None:
    try:
        return address_of(parse_uri(contact))
    except ProtocolError:
        return None


def _expires_s(contact: NameAddr, usual_s: int | None) -> int:
    given = contact.param("expires")
    if given is not None:
        return parse_number(given, "expires", _ANY_S)
    return EXPIRES_USUAL_S if usual_s is None else usual_s


def _same(binding: Binding, contact: NameAddr) -> bool:
    instance = contact.param("+sip.instance") or ""
    return binding.contact == str(contact.uri) or bool(instance and binding.instance == instance)
