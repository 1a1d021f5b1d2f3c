"""The hall 坐席大厅 as one call sees it: which seats are free, where a number is reached, whose leg a dialog is, which calls
are one seat's. Holds no state of its own but what each seat's last call was.
"""

from collections.abc import Collection, Mapping

from callqa.sip.calls.bridge import BridgeCall
from callqa.sip.calls.call import Call
from callqa.sip.calls.routing import Refusal, Target, outbound_targets
from callqa.sip.calls.talk import Talk
from callqa.sip.core import Core
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.registrar import Registrar
from callqa.sip.transfers.refer import Replaces
from callqa.sip.trunks import Trunks

LAST_CALL_KEPT_S = 600.0  # how long after its end a call can still be marked from the phone


class Exchange:
    """Of one user agent. calls: all in progress by call_id."""

    def __init__(self, core: Core, registrar: Registrar, trunks: Trunks, calls: Mapping[str, Call]) -> None:
        self._core = core
        self._registrar = registrar
        self._trunks = trunks
        self._calls = calls
        self._last: dict[str, tuple[str, float]] = {}  # extension -> (call_id, when it was over)

    # -- who is where -----------------------------------------------------------------------------------------------

    def busy(self) -> frozenset[str]:
        """Seats that talk, or are calling out themselves; a seat that only rings is not busy."""
        return frozenset([e for c in self._bridged() for e in c.seats])

    def reach(self, number: str) -> tuple[Target, ...] | Refusal:
        """Where a dialled extension or number is reached."""
        if number not in self._core.extensions:
            return outbound_targets(self._core.desk, number, self._trunks.is_up)
        if number in self.busy():
            return Refusal(486, f"分机 {number} 正在通话")
        return self._registrar.contacts().get(number) or Refusal(480, f"分机 {number} 的话机没有注册")

    def free_phones(self, extensions: Collection[str]) -> tuple[Target, ...]:
        """Where those of the seats ring that are registered and not busy."""
        contacts, busy = self._registrar.contacts(), self.busy()
        return tuple(t for e in extensions if e not in busy for t in contacts.get(e, ()))

    def manned_but(self, extension: str | None) -> tuple[str, ...]:
        """Seats that somebody signed in to, without one."""
        return tuple(s.extension for s in self._core.desk.seats if s.agent_no and s.extension != extension)

    def speaks_for(self, extension: str, source: Address) -> bool:
        """Whether a seat is registered from the host that a message comes from."""
        return any(t.peer[0] == source[0] for t in self._registrar.contacts().get(extension, ()))

    # -- dialogs and calls ------------------------------------------------------------------------------------------

    def leg_named(self, named: Replaces) -> Leg | None:
        """Our leg of a dialog. Some phones write the two tags the wrong way round; both must fit either way."""
        for ours, theirs in _both_ways(named):
            leg = self._core.legs.get((named.call_id, ours))
            if leg is not None and theirs in leg.remote_tags:
                return leg
        return None

    def was_ours(self, named: Replaces) -> bool:
        """Whether a dialog of that name has been and is over."""
        return any(self._core.has_ended(named.call_id, *tags) for tags in _both_ways(named))

    def ringing_with(self, leg: Leg) -> BridgeCall | None:
        """The call that a seat's phone rings for by that leg."""
        calls = (c for c in self._calls.values() if isinstance(c, BridgeCall) and not c.over)
        return next((c for c in calls if leg.seat_extension is not None and leg in c.ringing.legs), None)

    def to_pick_up(self, extension: str, at: str | None) -> BridgeCall | None:
        """The call that rings longest at a colleague's phone, or at one's own; at: at that extension only. None where nothing
        rings but what the seat itself has dialled."""
        found = [
            c
            for c in self._calls.values()
            if isinstance(c, BridgeCall) and not c.over and c.caller.seat_extension != extension
            if (at in c.ringing.seats if at is not None else c.ringing.seats)
        ]
        return min(found, key=lambda c: c.begun, default=None)

    def call_of(self, leg: Leg) -> Talk | None:
        """The bridged call that a leg belongs to."""
        return next((c for c in self._bridged() if leg in (c.caller, c.callee)), None)

    def calls_of(self, extension: str) -> list[Talk]:
        """Answered calls that a seat's phone is in, oldest first."""
        found = [c for c in self._bridged() if c.answered and extension in c.seats]
        return sorted(found, key=lambda c: c.begun)

    def seat_taken(self, by: Talk | None, extension: str, now: float) -> None:
        """A seat answered one call: the others stop ringing it."""
        for call in self._bridged():
            if call is not by:
                call.seat_taken(extension, now)

    def _bridged(self) -> list[Talk]:
        return [c for c in self._calls.values() if isinstance(c, Talk)]

    # -- the last call ----------------------------------------------------------------------------------------------

    def left(self, call: Call, extension: str, now: float) -> None:
        """A seat is out of a call."""
        self._last[extension] = (call.call_id, now)

    def markable(self, extension: str, now: float) -> str | None:
        """The call that a mark from this seat is meant for: the one it talks in, else the one it was in last."""
        talking = [c for c in self.calls_of(extension) if not c.held_by(extension)] or self.calls_of(extension)
        if talking:
            return talking[-1].call_id
        call_id, at = self._last.get(extension, ("", now))
        return call_id if call_id and now - at <= LAST_CALL_KEPT_S else None


def _both_ways(named: Replaces) -> tuple[tuple[str, str], tuple[str, str]]:
    return (named.to_tag, named.from_tag), (named.from_tag, named.to_tag)
