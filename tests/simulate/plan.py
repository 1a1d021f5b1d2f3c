"""One story, drawn from its seed: who calls whom when, the weather, and what goes wrong."""

import random
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from tests.simulate.network import Weather
from tests.simulate.process import seeded
from tests.simulate.wider import Wide, widened

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Hold:
    """After so many seconds of talk one side holds the call, and resumes it."""

    after_s: float
    by_caller: bool
    direction: str
    for_s: float


@dataclass(frozen=True, slots=True)
class CallPlan:
    """answer_after_s: None = nobody does. gives_up_s: the caller cancels so long after his INVITE. talk_s: from the answer."""

    at_s: float
    inbound: bool
    seat: int
    answer_after_s: float | None
    gives_up_s: float | None
    refuse: int
    talk_s: float
    ends: Literal["caller", "callee", "both"]
    holds: tuple[Hold, ...] = ()
    two_answer: bool = False
    new_stream_after_s: float | None = None
    jump: int = 0
    vanish_after_s: float | None = None  # the caller's line is dead
    speaks: bool = True
    pauses: tuple[float, float] | None = None  # the seat's phone pauses the recording: after the answer, for so long
    transfer: "TransferPlan | None" = None
    consult: "ConsultPlan | None" = None
    session: bool = False  # no call to us but a recording session (RFC 7866) of one

    def rings_s(self, ring_timeout_s: float) -> float:
        """From the INVITE to the end, if all goes as planned."""
        if self.answer_after_s is not None:
            return self.answer_after_s + self.talk_s
        return ring_timeout_s if self.gives_up_s is None else self.gives_up_s


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """Blind, by the seat's phone. to: extension. answer_after_s: None = the new one lets it ring."""

    after_s: float
    to: str
    answer_after_s: float | None
    leaves_at_once: bool


@dataclass(frozen=True, slots=True)
class ConsultPlan:
    """The seat's phone holds the citizen, asks a colleague, and joins both (attended transfer). answer_after_s: None = the
    colleague lets it ring. joins_after_s: of their talk; None = it only asks, and goes back to the citizen."""

    after_s: float
    to: str
    answer_after_s: float | None
    joins_after_s: float | None
    leaves_at_once: bool


@dataclass(frozen=True, slots=True)
class BlowPlan:
    at_s: float
    power: bool
    in_operation: int | None  # killed in the so manieth file operation after at_s
    back_after_s: float


@dataclass(frozen=True, slots=True)
class Trouble:
    at_s: float
    for_s: float
    errno: int
    where: str


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    seats: int = 2
    calls: tuple[CallPlan, ...] = ()
    weather: Weather = field(default_factory=Weather)
    law: str = "alaw"
    mode: Literal["bridge", "answer"] = "bridge"
    ring_timeout_s: int = 5
    saved_registrations: bool = True
    wall_start_s: int = 36_000
    disk_in_order: bool = True
    slow_disk: float = 0.02
    busy_ports: bool = False
    blow: BlowPlan | None = None
    second_blow: BlowPlan | None = None
    trouble: Trouble | None = None
    steps: tuple[tuple[float, int], ...] = ()  # (when, seconds) of the wall clock
    hostile: int = 0  # packets
    child_dies: float = 0.0
    queue_most: int = 0
    strategy: str = "all"
    pause_allowed: bool = False
    stops_at_s: float | None = None  # SIGTERM in the middle of things, and a new start
    wide: Wide = field(default_factory=Wide)

    @property
    def last_s(self) -> float:
        """When the last call has ended, if all goes as planned."""
        return max((c.at_s + c.rings_s(self.ring_timeout_s) for c in self.calls), default=0.0)


def draw(seed: int) -> Plan:
    """The story of a seed."""
    return widened(plain(seed))


def plain(seed: int) -> Plan:
    """The story of a seed without what wider.py adds."""
    rng = seeded(seed, "plan")
    chance = rng.random
    ring_s = rng.choice((5, 6, 8))
    calls = tuple(_call(rng, ring_s) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
    plan = Plan(
        seed,
        seats=rng.choice((1, 2, 2, 3)),
        calls=calls,
        weather=_weather(rng),
        law=rng.choice(("alaw", "alaw", "ulaw", "both")),
        mode="answer" if chance() < 0.12 else "bridge",
        ring_timeout_s=ring_s,
        saved_registrations=chance() < 0.8,
        wall_start_s=rng.choice((36_000, 36_000, 36_000, 86_397, 57_597)),  # UTC and Shanghai midnights too
        disk_in_order=chance() < 0.6,
        slow_disk=rng.choice((0.0, 0.02, 0.2)),
        busy_ports=chance() < 0.1,
    )
    changes: dict[str, object] = {}
    end_s = plan.last_s
    kind = chance()
    if kind < 0.4:
        power = kind < 0.18
        changes["blow"] = _blow(rng, end_s, power)
        if chance() < 0.25:
            changes["second_blow"] = _blow(rng, end_s + 3, chance() < 0.5, after=end_s)
    elif kind < 0.55:
        changes["trouble"] = Trouble(
            rng.uniform(0, end_s), rng.choice((0.3, 1.0, 3.0, 8.0)), rng.choice((28, 28, 30, 5)),
            rng.choice(("", "", "spool", "journal", "2026/")),
        )  # fmt: skip
    elif kind < 0.62:
        changes["stops_at_s"] = rng.uniform(0.2, end_s)
    if chance() < 0.12:
        changes["steps"] = tuple(
            (rng.uniform(0, end_s), rng.choice((-7200, -30, -2, 2, 45, 90_000))) for _ in range(rng.choice((1, 2)))
        )
    if chance() < 0.25:
        changes["hostile"] = rng.choice((3, 12, 40))
    if chance() < 0.1:
        changes["child_dies"] = rng.choice((0.2, 0.6))
    return _with_extras(_changed(plan, changes))


def _with_extras(plan: Plan) -> Plan:
    """Queue, pauses and transfers for some stories, drawn apart so that all the rest of a story stays as it was."""
    rng = seeded(plan.seed, "extras")
    changes: dict[str, object] = {}
    if rng.random() < 0.25:
        changes["queue_most"] = rng.choice((1, 2, 5))
        changes["seats"] = rng.choice((1, 1, 2))
        changes["strategy"] = rng.choice(("all", "longest_idle", "fixed"))
    if rng.random() < 0.25:
        changes["pause_allowed"] = rng.random() < 0.85
        changes["calls"] = tuple(
            _changed(c, {"pauses": (c.talk_s * rng.uniform(0, 0.8), rng.choice((0.1, 0.4, 1.0, 9.0)))})
            if rng.random() < 0.7
            else c
            for c in plan.calls
        )
    elif plan.mode == "bridge" and rng.random() < 0.25:
        changes["seats"] = 3
        changes["calls"] = tuple(
            _changed(c, {"transfer": _transfer(rng, c)}) if c.inbound and c.answer_after_s is not None else c
            for c in plan.calls
        )
    if not changes and rng.random() < 0.2:
        changes["calls"] = tuple(
            _changed(
                c,
                {
                    "session": True,
                    "inbound": True,
                    "holds": (),
                    "gives_up_s": None,
                    "ends": "caller",
                    "answer_after_s": 0.0,
                },
            )
            if rng.random() < 0.7
            else c
            for c in plan.calls
        )
    return _changed(plan, changes)


def _transfer(rng: random.Random, call: CallPlan) -> TransferPlan:
    answer_after_s = rng.choice((0.0, 0.3, 1.0)) if rng.random() < 0.75 else None
    others = [f"800{1 + i}" for i in range(3) if i != call.seat]
    to = rng.choice((*others, *others, *others, "8009"))
    return TransferPlan(call.talk_s * rng.uniform(0.1, 0.8), to, answer_after_s, rng.random() < 0.5)


def _changed(plan: P, changes: dict[str, object]) -> P:
    return replace(plan, **changes)  # type: ignore[type-var]


def _blow(rng: random.Random, end_s: float, power: bool, after: float = 0.0) -> BlowPlan:
    return BlowPlan(
        rng.uniform(after, end_s + 0.4),
        power,
        rng.randint(1, 30) if rng.random() < 0.4 else None,
        rng.uniform(0.3, 3.0),
    )


def _call(rng: random.Random, ring_s: int) -> CallPlan:
    chance = rng.random
    answered = chance() < 0.78
    talk_s = rng.choice((0.05, 0.4, 0.9, 1.3, 2.2, 3.1)) * rng.uniform(0.8, 1.2)
    holds: tuple[Hold, ...] = ()
    if answered and chance() < 0.25:
        at = talk_s * rng.uniform(0.1, 0.6)
        holds = (Hold(at, chance() < 0.5, rng.choice(("sendonly", "inactive")), rng.uniform(0.05, 0.8)),)
        if chance() < 0.3:
            holds = (*holds, Hold(at + rng.uniform(0.0, 0.3), chance() < 0.5, "sendonly", 0.2))
    return CallPlan(
        at_s=rng.choice((0.0, 0.0, 0.3, 1.0)) + chance() * 0.4,
        inbound=chance() < 0.7,
        seat=rng.randrange(3),
        answer_after_s=rng.choice((0.0, 0.02, 0.2, 0.8)) * (0.5 + chance()) if answered else None,
        gives_up_s=rng.choice((0.0, 0.05, 0.3, 1.0)) * (0.5 + chance()) if (not answered and chance() < 0.6)
        or (answered and chance() < 0.07) else None,
        refuse=rng.choice((0, 0, 486, 480, 603)),
        talk_s=talk_s,
        ends=rng.choice(("caller", "callee", "callee", "both")),
        holds=holds,
        two_answer=chance() < 0.1,
        new_stream_after_s=talk_s * chance() if chance() < 0.1 else None,
        jump=rng.choice((0, 4_000, 16_000, -4_000, -16_000, 1 << 30, 1 << 31, 1_600)) if chance() < 0.1 else 0,
        vanish_after_s=talk_s * chance() if chance() < 0.04 else None,
        speaks=chance() > 0.03,
    )  # fmt: skip


def _weather(rng: random.Random) -> Weather:
    kind = rng.random()
    delay_ns = rng.choice((200_000, 2_000_000, 15_000_000))
    if kind < 0.35:
        return Weather(delay_ns=delay_ns)
    if kind < 0.6:
        return Weather(rtp_loss=0.02, rtp_double=0.01, delay_ns=delay_ns, jitter_ns=5_000_000, late=0.02)
    if kind < 0.85:
        return Weather(
            sip_loss=rng.choice((0.02, 0.1)), sip_double=0.05, rtp_loss=0.05, rtp_double=0.02, delay_ns=delay_ns,
            jitter_ns=12_000_000, late=0.02,
        )  # fmt: skip
    return Weather(
        sip_loss=0.25,
        sip_double=0.1,
        rtp_loss=0.15,
        rtp_double=0.05,
        delay_ns=delay_ns,
        jitter_ns=20_000_000,
        late=0.05,
    )
