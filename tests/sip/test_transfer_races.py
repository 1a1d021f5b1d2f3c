"""Whoever hangs up, cancels or declines at whatever moment of a transfer: each call ends once, nothing is left behind, and no
citizen is dropped who did not hang up himself. Messages take 5 ms; the moments are swept in finer steps."""

import pytest

from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallStarted,
    CallTransferred,
    CallUnanswered,
    MediaClosed,
    MediaOpened,
)
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.wire.sdp import MediaDirection
from tests.sip.simulated import Network, SimPhone, desk, ringing_hotline, seat
from tests.sip.test_attended import consulting

MOMENTS_MS = [1, 4, 6, 9, 11, 14, 16, 19, 21, 26, 31, 41]


def each_call_ended_once(net: Network) -> None:
    calls = [e.call_id for e in net.of(CallStarted)]
    over = [e.call_id for e in net.events if isinstance(e, CallEnded | CallUnanswered | CallAbandoned)]
    assert sorted(over) == sorted(calls)
    assert sorted(e.call_id for e in net.of(MediaClosed)) == sorted(calls)
    answered = {e.call_id for e in net.of(CallAnswered)}
    assert {e.call_id for e in net.of(CallEnded)} == answered
    ends = {e.call_id: i for i, e in enumerate(net.events) if isinstance(e, MediaClosed)}
    assert all(ends[e.call_id] > i for i, e in enumerate(net.events) if isinstance(e, MediaOpened))


def end_all(net: Network, *phones: SimPhone) -> None:
    """Everybody hangs up whatever he has."""
    for phone in phones:
        for leg in phone.legs:
            if leg.state in (LegState.CONFIRMED, LegState.EARLY):
                leg.end(net.now)
    net.flush()


def talks(phone: SimPhone) -> list[Leg]:
    return [leg for leg in phone.legs if leg.talks]


@pytest.mark.parametrize("how", ["answers", "declines"])
@pytest.mark.parametrize("who", ["agent", "citizen", "new one"])
def test_blind(who: str, how: str):
    for ms in MOMENTS_MS:
        net = Network(desk(seat("8001", "801"), seat("8002", "802")))
        trunk, (one, two) = ringing_hotline(net)
        trunk.call("12345")
        net.run(1)
        one.answer()
        net.run(1)
        leg = one.legs[-1]
        one.refer(leg, "8002")
        net.run(0.1)
        if how == "answers":
            two.answer()
        else:
            two.refuse(486)
        net.run(ms / 1000)
        {"agent": one, "citizen": trunk, "new one": two}[who].hang_up()
        net.run(3)
        if who == "agent" and how == "declines":
            assert talks(trunk) and one.legs[-1] is not leg, f"{ms} ms: he is called back"
            one.answer()
            net.run(1)
            assert talks(one), f"{ms} ms"
        elif who == "agent":
            assert talks(trunk) and talks(two), f"{ms} ms"
        elif who == "citizen":
            assert not talks(one) and not talks(two), f"{ms} ms"
        elif how == "answers":
            assert not talks(two), f"{ms} ms"
        else:
            assert talks(trunk) and talks(one), f"{ms} ms"
        end_all(net, one, two, trunk)
        net.settle()
        each_call_ended_once(net)


@pytest.mark.parametrize("loss", [b"NOTIFY", b"SIP/2.0 202", b"REFER", b"BYE", b"INVITE"])
def test_blind_with_the_first_of_a_message_lost(loss: bytes):
    net = Network(desk(seat("8001", "801"), seat("8002", "802")))
    trunk, (one, two) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    lost: list[bytes] = []

    def lose(data: bytes, _a: object, _b: object) -> bool:
        if data.startswith(loss) and not lost:
            lost.append(data)
            return True
        return False

    net.lose = lose
    one.refer(one.legs[-1], "8002")
    net.run(2)
    two.answer()
    net.run(5)
    assert talks(trunk) and talks(two) and not talks(one) and lost
    trunk.hang_up()
    net.settle()
    each_call_ended_once(net)


@pytest.mark.parametrize("who", ["agent, first call", "agent, both", "agent, consult", "citizen", "colleague"])
def test_attended(who: str):
    for ms in MOMENTS_MS:
        net, trunk, (one, two, three), first, second = consulting()
        one.refer_to_dialog(first, second, "8002")
        net.run(ms / 1000)
        gone = {
            "agent, first call": [first], "agent, both": [first, second], "agent, consult": [second],
            "citizen": [trunk.legs[-1]], "colleague": [two.legs[-1]],
        }[who]  # fmt: skip
        for leg in gone:
            leg.end(net.now)
        net.run(3)
        if who.startswith("agent"):
            before_it_was_read = ms < 5
            assert talks(trunk) or before_it_was_read, f"{ms} ms"
            assert talks(two) or before_it_was_read, f"{ms} ms"
        elif who == "colleague" and talks(one):
            assert talks(trunk), f"{ms} ms: he has his citizen still"
        end_all(net, one, two, three, trunk)
        net.run(5)
        end_all(net, one, two, three, trunk)
        net.settle()
        each_call_ended_once(net)


def test_attended_while_the_colleague_holds_and_resumes():
    """Our re-INVITE and his cross: 491, and again."""
    for ms in MOMENTS_MS:
        net, trunk, (one, two, _), first, second = consulting()
        one.refer_to_dialog(first, second, "8002")
        net.run(ms / 1000)
        two.reinvite(MediaDirection.SENDONLY)
        net.run(8)
        two.reinvite(MediaDirection.SENDRECV)
        net.run(8)
        assert talks(trunk) and talks(two) and net.of(CallTransferred) and len(net.ua.calls()) == 1, f"{ms} ms"
        end_all(net, one, two, trunk)
        net.run(5)
        end_all(net, one, two, trunk)
        net.settle()
        each_call_ended_once(net)


def test_two_seats_transfer_to_each_other():
    net = Network(desk(*(seat(e, e) for e in ("8001", "8002"))))
    trunk, (one, two) = ringing_hotline(net)
    for phone in (one, two):
        trunk.call("12345")
        net.run(0.5)
        phone.answer()
        net.run(1)
    one.refer(one.legs[-1], "8002")
    two.refer(two.legs[-1], "8001")
    net.run(1)
    assert one.answers[-1].status == two.answers[-1].status == 486, "both talk"
    assert len(talks(trunk)) == 2
    end_all(net, one, two)
    net.settle()
    each_call_ended_once(net)
