"""Callers who seek a seat, and which seats ring for whom 排队.

Rules: first come, first served, by the time of the call. Strategy `all`: every free seat rings for every caller; with a
queue, only for as many callers as seats are free, the others wait. `longest_idle` and `fixed`: one seat at a time rings for a
caller, `ring_each_s`, then the next; a seat rings for one caller only; after the last the round begins again, until `ring_timeout_s`
is over. A seat that is free and does not ring for him yet begins to as soon as it can. Nothing that rings is stopped by a change of
settings. Idle is a seat since its last call ended, or since somebody signed in or its phone registered, whichever was last.
Who waits keeps his place when everybody signs out for a moment (交接班), and when a seat that rang for him does not take the call.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from callqa.desk import Desk, DeskRouting
from callqa.sip.calls.inbound import SeatSearch
from callqa.sip.calls.routing import ALL_BUSY, NO_ANSWER, NOBODY, WAITED_TOO_LONG, Target, manned_seats, seats_in_order
from callqa.sip.core import Core
from callqa.sip.legs.timers import Alarm

HANDOVER_S = 60.0  # callers who wait are kept so long while nobody is signed in


@dataclass(frozen=True, slots=True)
class Seeker:
    """One caller, as far as it matters to which seats ring for him. rings: seats that do; time_over: his seat had its time."""

    rings: tuple[str, ...] = ()
    declined: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    time_over: bool = False


def share_all(free: Sequence[str], seekers: Sequence[Seeker], *, queued: bool) -> list[tuple[str, ...]]:
    """Every free seat for every caller, with a queue for the first so many as seats are free."""
    shared = []
    served = 0
    for seeker in seekers:
        wanted = seeker.rings
        if wanted or not queued or served < len(free):
            wanted += tuple(e for e in free if e not in wanted and e not in seeker.declined)
        served += any(e in free for e in wanted)
        shared.append(wanted)
    return shared


def share_singly(free: Sequence[str], seekers: Sequence[Seeker]) -> list[tuple[str, ...]]:
    """One seat for every caller, each for one only; free: in the order in which they are rung."""
    shared = [seeker.rings for seeker in seekers]
    for _ in range(2):  # the second time round for the seats that later callers left
        for i, seeker in enumerate(seekers):
            if shared[i] and (shared[i] != seeker.rings or not seeker.time_over):
                continue
            taken = {e for seats in shared for e in seats}
            possible = [e for e in free if e not in taken and e not in seeker.declined]
            untried = [e for e in possible if e not in seeker.tried]
            if possible:
                shared[i] = ((untried or possible)[0],)
    return shared


class Queue:
    """All callers who seek a seat. contacts, busy: where each seat's phones are, and which seats have a call; is_up: as
    `outbound_targets` has it. `serve` is to be called when `dirty`, and may be called at any time."""

    def __init__(
        self,
        core: Core,
        contacts: Callable[[], Mapping[str, tuple[Target, ...]]],
        busy: Callable[[], frozenset[str]],
        is_up: Callable[[str], bool],
    ) -> None:
        self.is_up = is_up
        self.dirty = False
        self._core = core
        self._contacts = contacts
        self._busy_now = busy
        self._searches: list[SeatSearch] = []
        self._idle_since: dict[str, float] = {}  # of the seats that are manned and have no call
        self._agents: dict[str, str | None] = {}
        self._seen: tuple[Desk, Mapping[str, tuple[Target, ...]]] | None = None  # of which `_manned` is
        self._manned: tuple[str, ...] = ()
        self._busy: frozenset[str] = frozenset()
        self._alarm: Alarm | None = None

    def touch(self) -> None:
        """Something changed that may concern those who wait."""
        self.dirty = True

    def join(self, search: SeatSearch) -> None:
        """One more seeks a seat."""
        self._searches.append(search)
        self._searches.sort(key=lambda s: s.arrived)
        self.dirty = True

    def leave(self, search: SeatSearch) -> None:
        """One less; harmless when he is not there."""
        if search in self._searches:
            self._searches.remove(search)
            self.dirty = True

    def serve(self, now: float) -> None:
        """Have the right seats ring, put into the queue or turn away whom no seat can ring for, tell places that changed."""
        self.dirty = False
        desk, contacts, busy = self._core.desk, self._contacts(), self._busy_now()
        changed = self._seen is None or self._seen[0] is not desk or self._seen[1] is not contacts
        if changed:
            self._seen, self._manned = (desk, contacts), manned_seats(desk, contacts)
        manned = self._manned
        if changed or busy != self._busy:
            self._busy = busy
            self._note_idle(desk, manned, busy, now)
        if not self._searches:
            return
        self._end_waits(desk.routing, now)
        ready = [s for s in self._searches if s.call.side.ready]
        free = seats_in_order(desk, [e for e in manned if e not in busy], self._idle_since)
        for search, seats in zip(ready, self._share(desk.routing, free, ready, now), strict=True):
            search.ring({e: contacts.get(e, ()) for e in seats}, now)
            if not seats:
                self._unserved(search, manned, busy, now)
        self._tell_places(now)
        self._set_alarm(desk.routing, now)

    def _note_idle(self, desk: Desk, manned: Collection[str], busy: Collection[str], now: float) -> None:
        agents = {s.extension: s.agent_no for s in desk.seats}
        before, self._idle_since = self._idle_since, {}
        for extension in manned:
            if extension in busy:
                continue
            same = extension in before and self._agents.get(extension) == agents[extension]
            self._idle_since[extension] = before[extension] if same else now
            if not same:  # back from a call, or somebody new: no longer the one that refused
                for search in self._searches:
                    search.declined.pop(extension, None)
        self._agents = agents

    @staticmethod
    def _share(
        routing: DeskRouting, free: Sequence[str], searches: Sequence[SeatSearch], now: float
    ) -> list[tuple[str, ...]]:
        seekers = [
            Seeker(
                s.ringing.seats,
                frozenset(s.declined),
                frozenset(s.tried),
                now >= s.seat_since + routing.ring_each_s,
            )
            for s in searches
        ]
        if routing.ring_strategy == "all":
            return share_all(free, seekers, queued=routing.queue_most > 0)
        return share_singly(free, seekers)

    def _end_waits(self, routing: DeskRouting, now: float) -> None:
        """End what took too long."""
        for search in list(self._searches):
            if search.rings_since is not None and search.ringing.legs:
                if now >= search.rings_since + routing.ring_timeout_s:
                    search.fail(NO_ANSWER, now)
            elif search.queued_since is not None and now >= search.queued_since + routing.queue_wait_s:
                search.fail(WAITED_TOO_LONG, now)

    def _unserved(self, search: SeatSearch, manned: Collection[str], busy: Collection[str], now: float) -> None:
        """No seat rings for him: he waits, if that is of any use, else he is told why."""
        waits = search.queued_since is not None
        if not manned:
            if search.unmanned_since is None:
                search.unmanned_since = now
            if not waits or now >= search.unmanned_since + HANDOVER_S:
                search.fail(NOBODY, now)
            return
        search.unmanned_since = None
        if all(e in search.declined and e not in busy for e in manned):
            search.fail(search.unserved(), now)
            return
        if waits:
            return
        most = self._core.desk.routing.queue_most
        rang = bool(search.tried)  # he was here before those who wait: a full queue is not full for him
        if not most or (not rang and sum(s.queued_since is not None for s in self._searches) >= most):
            search.fail(ALL_BUSY, now, rang=False)
        else:
            search.queued_since = search.call.since = now

    def _tell_places(self, now: float) -> None:
        waiting = [s for s in self._searches if s.queued_since is not None]
        for position, search in enumerate(waiting, 1):
            search.wait(position, now)

    def _set_alarm(self, routing: DeskRouting, now: float) -> None:
        """Look again when the next thing is over."""
        due: list[float] = []
        for s in self._searches:
            if s.ringing.legs:
                due.append((now if s.rings_since is None else s.rings_since) + routing.ring_timeout_s)
                due.append(s.seat_since + routing.ring_each_s)
            elif s.queued_since is not None:
                due.append(s.queued_since + routing.queue_wait_s)
                due += [s.unmanned_since + HANDOVER_S] if s.unmanned_since is not None else []
        if self._alarm is not None:
            self._alarm.cancel()
        coming = min((d for d in due if d > now), default=None)
        self._alarm = self._core.timers.at(coming, self._look_again) if coming is not None else None

    def _look_again(self, now: float) -> None:
        self._alarm = None
        self.dirty = True
