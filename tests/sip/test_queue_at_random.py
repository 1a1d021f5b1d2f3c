"""Days of a small hotline drawn at random: callers, agents, losses and new settings in any order, judged by what must always hold."""

import random

import pytest

from callqa.desk import DeskRouting
from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallQueued,
    CallStarted,
    CallUnanswered,
    MediaClosed,
    PromptStarted,
    PromptStopped,
)
from callqa.sip.legs.leg_owner import LegState
from tests.sip.simulated import TRUNK, Network, SimPhone, desk, ringing_hotline, seat

SEATS = ("8001", "8002", "8003")
OUTSIDE = "13900001111"
STATUSES = (480, 486, 603)


class Day:
    """One day. Every step is one thing that somebody does, then time passes."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        made = desk(*(seat(e, f"A{e}") for e in SEATS))
        self.net = Network(made.model_copy(update={"routing": self.routing()}))
        self.trunk, self.phones = ringing_hotline(self.net, *SEATS)
        self.citizens = [SimPhone(self.net, (TRUNK[0], 5070 + 2 * i), f"1350000000{i}") for i in range(6)]
        self.loss = 0.0
        self.net.lose = lambda data, a, b: self.dice.random() < self.loss
        self.number = 1
        self.told_over = 0

    def routing(self) -> DeskRouting:
        d = self.dice
        return DeskRouting(
            hotline_number="02784770000",
            ring_timeout_s=d.choice((5, 20, 45)),
            ring_strategy=d.choice(("all", "longest_idle", "fixed")),
            ring_each_s=d.choice((5, 10)),
            seat_order=tuple(d.sample(SEATS, 2)),
            queue_most=d.choice((0, 1, 4)),
            queue_wait_s=d.choice((10, 60, 300)),
            queue_announce=d.random() < 0.5,
            overflow_number=d.choice(("", OUTSIDE)),
            notice=d.choice(("", "notice.wav")),
            early_prompts=d.random() < 0.5,
        )

    def step(self) -> None:
        d, net = self.dice, self.net
        what = d.choice(("call", "call", "answer", "answer", "answer", "hang up", "give up", "refuse", "out", "reload", "sign", "loss", "over", "over"))  # fmt: skip
        phone, citizen = d.choice(self.phones), d.choice(self.citizens)
        ringing = [x for x in phone.legs if x.called_us and x.state is LegState.EARLY]
        if what == "call":
            late = d.random() < 0.1
            fields = (("Require", "100rel"),) if d.random() < 0.2 else ()
            citizen.call("12345", *fields, sdp=b"" if late else None)
        elif what == "answer" and ringing:
            phone.answer(ringing[-1])
        elif what == "refuse" and ringing:
            ringing[-1].refuse(d.choice(STATUSES), net.now)
        elif what == "hang up":
            self.end(phone, lambda x: x.state is not LegState.EARLY)
        elif what == "give up":
            self.end(citizen, lambda x: True)
        elif what == "out":
            phone.call("13700000000")
        elif what == "reload":
            self.number += 1
            old = net.ua._new_calls.snapshot
            net.ua.set_desk(old.model_copy(update={"number": self.number, "routing": self.routing()}), net.now)
        elif what == "sign":
            phone.call(d.choice(("*12", f"*11{phone.user}")))
        elif what == "loss":
            self.loss = d.choice((0.0, 0.0, 0.1, 0.3))
        elif what == "over":
            self.tell_over()
        if self.trunk.legs and d.random() < 0.3 and self.trunk.legs[-1].state is LegState.EARLY:
            (self.trunk.answer if d.random() < 0.6 else lambda: self.trunk.refuse(486))()
        net.flush()
        net.run(d.choice((0.003, 0.02, 0.5, 3.0, 12.0)))
        self.check()

    def end(self, phone: SimPhone, which: object) -> None:
        legs = [x for x in phone.core.legs.values() if x in phone.legs and which(x)]  # type: ignore[operator]
        if legs:
            self.dice.choice(legs).end(self.net.now)

    def tell_over(self) -> None:
        """The process says of some prompt, perhaps one of long ago, that it has been played."""
        once = [e for e in self.net.of(PromptStarted) if not e.loop]
        if once:
            event = self.dice.choice(once[-4:])
            self.net.ua.prompt_over(event.call_id, event.prompt, self.net.now)

    def check(self) -> None:
        """What must hold at every moment."""
        net = self.net
        calls = net.ua.calls()
        places = [c.position for c in calls if c.position is not None]
        assert len(places) == len(set(places)), "two at one place"
        queue = [s for s in net.ua._queue._searches if s.queued_since is not None]
        assert [s.position for s in queue] == list(range(1, len(queue) + 1))
        assert [s.arrived for s in queue] == sorted(s.arrived for s in queue), "first come, first served"
        singly = net.ua._new_calls.snapshot.routing.ring_strategy != "all"
        free = {s.extension for s in net.ua.seats() if s.registered and s.agent_no and not s.busy and not s.ringing}
        for search in net.ua._queue._searches:
            idle = free - set(search.declined)
            ready = search.call.side.ready
            assert search.ringing.legs or not idle or not ready, f"{idle} idle while somebody waits"
            if singly and len(search.ringing.seats) > 1:
                assert search.ringing.seats, "left over from another strategy"

    def finish(self) -> None:
        """Everybody goes home; then every call must have exactly one end, and each what belongs to it."""
        net = self.net
        self.loss = 0.0
        for phone in (*self.citizens, *self.phones, self.trunk):
            for leg in list(phone.core.legs.values()):
                if leg in phone.legs:
                    leg.end(net.now)
        net.flush()
        for _ in range(6):  # whoever rings still may be answered by nobody
            net.run(100)
            for call in net.ua.calls():
                net.ua.hang_up(call.call_id, net.now)
            net.flush()
        net.settle()
        started = [e.call_id for e in net.of(CallStarted)]
        ends = [e.call_id for kind in (CallEnded, CallUnanswered, CallAbandoned) for e in net.of(kind)]
        assert sorted(ends) == sorted(started) == sorted(e.call_id for e in net.of(MediaClosed))
        answered = [e.call_id for e in net.of(CallAnswered)]
        assert sorted(answered) == sorted(e.call_id for e in net.of(CallEnded)), (
            "answered is what is ended, and only that"
        )
        for event in (*net.of(CallAnswered), *net.of(CallAbandoned), *net.of(CallUnanswered)):
            w = event.waited
            assert w.queued_ms >= 0 and w.notice_ms >= 0
            assert (w.position is not None) == any(q.call_id == event.call_id for q in net.of(CallQueued))
        for call_id in answered:
            self.silent_at_answer(call_id)

    def silent_at_answer(self, call_id: str) -> None:
        playing = False
        for event in self.net.events:
            if getattr(event, "call_id", None) != call_id:
                continue
            if isinstance(event, PromptStarted | PromptStopped):
                playing = isinstance(event, PromptStarted)
            if isinstance(event, CallAnswered):
                assert not playing, "music goes on after the answer"
                return


@pytest.mark.parametrize("seed", range(60))
def test_a_day_of_the_hotline(seed: int):
    day = Day(seed)
    for _ in range(60):
        day.step()
    day.finish()
