"""Which seats ring for an inbound caller, and what becomes of one for whom none is free."""

import pytest

from callqa.desk import Desk, DeskRouting
from callqa.sip.calls.queue import HANDOVER_S, Seeker, share_all, share_singly
from callqa.sip.calls.routing import seats_in_order
from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallOverflowed,
    CallQueued,
    CallStarted,
    CallUnanswered,
    MediaChanged,
    PromptStarted,
    PromptStopped,
    SipFault,
)
from callqa.units import Channel
from tests.sip.simulated import TRUNK, Network, SimPhone, desk, ringing_hotline, seat

OUTSIDE = "13900001111"


def hotline(*extensions: str, **routing: object) -> tuple[Network, SimPhone, list[SimPhone]]:
    """A network whose desk has these seats, all signed in, and these settings."""
    names = extensions or ("8001", "8002")
    made = desk(*(seat(e, f"A{e}") for e in names))
    net = Network(made.model_copy(update={"routing": made.routing.model_copy(update=routing)}))
    trunk, phones = ringing_hotline(net, *names)
    net.run(1)
    return net, trunk, phones


def reload(net: Network, **routing: object) -> None:
    old = net.ua._new_calls.snapshot
    net.ua.set_desk(
        old.model_copy(
            update={"number": old.number + 1, "routing": DeskRouting(**{**old.routing.model_dump(), **routing})}
        ),
        net.now,
    )
    net.flush()


def invites(*phones: SimPhone) -> list[int]:
    return [len(p.requests("INVITE")) for p in phones]


def prompts(net: Network) -> list[str]:
    """What was started to be played."""
    return [e.prompt for e in net.of(PromptStarted)]


def over(net: Network, prompt: str, nth: int = -1) -> None:
    """The process says that a prompt has been played."""
    net.ua.prompt_over([e for e in net.of(PromptStarted) if e.prompt == prompt][nth].call_id, prompt, net.now)
    net.run(0.1)


def talk(net: Network, trunk: SimPhone, phone: SimPhone, seconds: float) -> None:
    """A whole call at one phone."""
    leg = trunk.call("12345")
    net.run(0.5)
    phone.answer()
    net.run(seconds)
    trunk.hang_up(leg)
    net.run(1)


def busy(net: Network, phone: SimPhone, trunk: SimPhone) -> None:
    """The seat calls somebody."""
    phone.call("13700000000")
    net.run(0.5)
    trunk.answer()
    net.run(0.5)
    assert phone.log[-1] == "answered"


# -- who rings ----------------------------------------------------------------------------------------------------------


def test_shares_of_all():
    three = ("1", "2", "3")
    assert share_all(three, [Seeker(), Seeker()], queued=False) == [three, three]
    assert share_all(("1",), [Seeker(), Seeker()], queued=True) == [("1",), ()]
    assert share_all(("1",), [Seeker(), Seeker(rings=("1",))], queued=True) == [("1",), ("1",)], "what rings goes on"
    assert share_all(("1", "2"), [Seeker(declined=frozenset({"1"})), Seeker()], queued=True) == [("2",), ("1", "2")]
    assert share_all(("2",), [Seeker(rings=("1",))], queued=True) == [("1", "2")], "one that became free joins in"
    assert share_all((), [Seeker()], queued=False) == [()]
    refused = Seeker(rings=("1",), declined=frozenset({"2"}))  # 1 has another call by now and 2 did not want him
    assert share_all(("2",), [refused, Seeker()], queued=True) == [("1",), ("2",)]


def test_single_shares():
    free = ("1", "2")
    assert share_singly(free, [Seeker(), Seeker(), Seeker()]) == [("1",), ("2",), ()]
    assert share_singly(free, [Seeker(rings=("1",), tried=frozenset("1"))]) == [("1",)]
    assert share_singly(free, [Seeker(rings=("1",), tried=frozenset("1"), time_over=True)]) == [("2",)]
    again = Seeker(rings=("2",), tried=frozenset("12"), time_over=True)
    assert share_singly(free, [again]) == [("1",)], "the round begins again"
    assert share_singly(("2",), [again]) == [("2",)], "nobody else: it rings on"
    both = [Seeker(rings=("1",), tried=frozenset("1"), time_over=True), Seeker()]
    assert share_singly(free, both) == [("2",), ("1",)], "the seat it leaves is the next caller's"
    assert share_singly(free, [Seeker(declined=frozenset("1"))]) == [("2",)]
    first = Seeker(declined=frozenset("2"))
    assert share_singly(free, [first, Seeker(rings=("1",), time_over=True)]) == [("1",), ("2",)], (
        "and the other way round"
    )


def test_order_of_seats():
    made = Desk(number=1, seats=tuple(seat(e) for e in ("1", "2", "3", "4")))
    order = {"ring_strategy": "fixed", "seat_order": ("3", "9", "2", "3")}
    fixed = made.model_copy(update={"routing": DeskRouting(**order)})
    assert seats_in_order(fixed, ("1", "2", "3", "4"), {}) == ("3", "2", "1", "4")
    idle = made.model_copy(update={"routing": DeskRouting(ring_strategy="longest_idle")})
    assert seats_in_order(idle, ("1", "2", "3"), {"1": 30.0, "2": 10.0, "3": 30.0}) == ("2", "1", "3")
    assert seats_in_order(made, ("4", "1"), {}) == ("4", "1")


def test_fixed_order_rings_one_seat_at_a_time_each_for_its_time():
    net, trunk, phones = hotline(
        "8001", "8002", "8003", ring_strategy="fixed", seat_order=("8002", "8003"), ring_each_s=10
    )
    one, two, three = phones
    trunk.call("12345")
    net.run(9)
    assert invites(*phones) == [0, 1, 0]
    net.run(2)
    assert two.log == ["cancelled"] and invites(*phones) == [0, 1, 1]
    net.run(10)
    assert three.log == ["cancelled"] and invites(*phones) == [1, 1, 1]
    net.run(9.5)
    assert one.log == ["cancelled"] and trunk.log == ["180", "refused 480"], "30 s of ring time-out are over"
    assert net.of(CallUnanswered)[0].reason == "无人接听"
    net.settle()


def test_the_round_begins_again_until_the_ring_time_is_over():
    net, trunk, (one, two) = hotline(ring_strategy="fixed", ring_each_s=5, ring_timeout_s=18)
    trunk.call("12345")
    net.run(17)
    assert invites(one, two) == [2, 2]
    two.answer()
    net.run(1)
    assert net.of(CallAnswered)[0].seat_extension == "8002"
    trunk.hang_up()
    net.settle()


def test_longest_idle_is_rung_first_and_a_call_makes_one_the_last():
    net, trunk, phones = hotline("8001", "8002", "8003", ring_strategy="longest_idle")
    one, two, three = phones
    talk(net, trunk, one, 3)  # all idle since the same moment: in the desk's order
    assert invites(*phones) == [1, 0, 0]
    talk(net, trunk, two, 3)
    assert invites(*phones) == [1, 1, 0]
    busy(net, three, trunk)
    three.hang_up()  # a call of his own counts too
    net.run(1)
    trunk.call("12345")
    net.run(1)
    assert invites(*phones) == [2, 1, 0], "8001 has been idle longest now"
    trunk.hang_up()
    net.settle()


def test_signing_in_makes_a_seat_the_last():
    net, trunk, (one, two) = hotline(ring_strategy="longest_idle")
    one.call("*12")
    net.run(1)
    one.call("*118001")
    net.run(1)
    trunk.call("12345")
    net.run(1)
    assert invites(one, two) == [0, 1]
    trunk.hang_up()
    net.settle()


def test_two_callers_get_two_seats_and_a_third_is_busy():
    net, trunk, phones = hotline(ring_strategy="longest_idle")
    legs = [trunk.call("12345") for _ in range(2)]
    net.run(1)
    assert invites(*phones) == [1, 1]
    trunk.call("12345")
    net.run(1)
    assert trunk.log[-1] == "refused 486" and net.of(CallUnanswered)[0].reason == "全部占线"
    for leg in legs:
        trunk.hang_up(leg)
    net.settle()


@pytest.mark.parametrize("strategy", ["all", "longest_idle", "fixed"])
@pytest.mark.parametrize("status", [480, 486, 603])
def test_a_seat_that_does_not_want_is_left_out_of_this_call_only(strategy: str, status: int):
    net, trunk, (one, two) = hotline(ring_strategy=strategy, ring_each_s=5, queue_most=5)
    leg = trunk.call("12345")
    net.run(0.5)
    one.refuse(status)
    net.run(12)
    assert invites(one, two) == [1, 1], "and not rung again when the round begins anew"
    trunk.hang_up(leg)
    net.run(1)
    trunk.call("12345")
    net.run(6)
    assert invites(one, two)[0] == 2
    trunk.hang_up()
    net.settle()


def test_a_declined_call_stops_the_other_phone_of_the_seat_too():
    net = Network(desk(seat("8001")))
    phones = [SimPhone(net, (f"10.0.2.{i}", 5060), "8001") for i in (1, 2)]
    phones[1]._cseq = 100
    for phone in phones:
        assert phone.register() == 200
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("12345")
    net.run(0.5)
    phones[0].refuse(603)
    net.run(0.5)
    assert phones[1].log == ["cancelled"] and trunk.log[-1] == "refused 480"
    net.settle()


def test_one_that_becomes_free_while_it_rings_elsewhere_rings_too():
    net, trunk, (one, two) = hotline()
    busy(net, two, trunk)
    trunk.call("12345")
    net.run(1)
    assert invites(one, two) == [1, 0]
    two.hang_up()
    net.run(1)
    assert invites(one, two) == [1, 1]
    two.answer()
    net.run(1)
    assert one.log[-1] == "cancelled"
    trunk.hang_up()
    net.settle()


def test_a_new_strategy_stops_nothing_that_rings():
    net, trunk, (one, two) = hotline()
    trunk.call("12345")
    net.run(1)
    reload(net, ring_strategy="fixed", ring_timeout_s=60)
    net.run(1)
    assert one.log == [] and two.log == []
    two.answer()
    net.run(1)
    assert net.of(CallAnswered)
    trunk.hang_up()
    net.settle()


def test_a_seat_that_is_removed_while_it_rings_may_still_answer():
    net, trunk, (one, two) = hotline()
    trunk.call("12345")
    net.run(1)
    old = net.ua._new_calls.snapshot
    net.ua.set_desk(old.model_copy(update={"number": 2, "seats": old.seats[:1]}), net.now)
    net.run(1)
    two.answer()
    net.run(1)
    assert net.of(CallAnswered)[0].seat_extension == "8002" and one.log == ["cancelled"]
    trunk.hang_up()
    net.settle()


# -- the queue ----------------------------------------------------------------------------------------------------------


def night(**routing: object) -> tuple[Network, SimPhone, SimPhone, SimPhone]:
    """One agent, who talks; a trunk for him and one for everybody else."""
    net, trunk, (one,) = hotline("8001", queue_most=2, **routing)
    talking = trunk.call("12345")
    net.run(0.5)
    one.answer()
    net.run(1)
    trunk.first = talking  # type: ignore[attr-defined]
    return net, trunk, one, SimPhone(net, (TRUNK[0], 5070), "13500000000")


@pytest.mark.parametrize("strategy", ["all", "longest_idle", "fixed"])
def test_at_night_the_second_caller_waits_hears_his_place_and_music_and_is_next(strategy: str):
    net, trunk, one, other = night(ring_strategy=strategy)
    other.call("12345")
    net.run(1)
    assert set(other.log) == {"183 sdp"} and prompts(net) == ["position:1"]
    (queued,) = net.of(CallQueued)
    assert queued.position == 1
    assert [(c.state, c.position) for c in net.ua.calls()] == [("talking", None), ("queued", 1)]
    over(net, "position:1")
    assert prompts(net) == ["position:1", "music"] and net.of(PromptStarted)[-1].loop
    assert invites(one) == [1]
    trunk.hang_up(trunk.first)  # type: ignore[attr-defined]
    net.run(1)
    assert invites(one) == [2] and not net.of(PromptStopped), "music goes on while it rings"
    assert net.ua.calls()[0].state == "ringing"
    one.answer()
    net.run(1)
    assert set(other.log[:-1]) == {"183 sdp"} and other.log[-1] == "answered"
    names = net.names()
    assert names.index("PromptStopped") < len(names) - 1 - names[::-1].index("CallAnswered")
    assert net.of(CallAnswered)[-1].seat_extension == "8001"
    other.hang_up()
    net.settle()


def test_first_come_first_served_and_places_are_told_as_they_change():
    net, trunk, one, other = night()
    legs = [other.call("12345") for _ in range(2)]
    net.run(1)
    assert [(e.call_id, e.position) for e in net.of(CallQueued)] == [("CALL-2", 1), ("CALL-3", 2)]
    third = other.call("12345")
    net.run(1)
    assert "refused 486" in other.log and net.of(CallUnanswered)[0].reason == "全部占线"
    assert third not in other.core.legs.values()
    trunk.hang_up(trunk.first)  # type: ignore[attr-defined]
    net.run(0.5)
    assert [(e.call_id, e.position) for e in net.of(CallQueued)][2:] == [], "not before the first is served"
    one.answer()
    net.run(0.5)
    assert [(e.call_id, e.position) for e in net.of(CallQueued)][2:] == [("CALL-3", 1)]
    assert net.of(CallAnswered)[-1].call_id == "CALL-2"
    assert [(e.call_id, e.prompt) for e in net.of(PromptStarted)][-1] == ("CALL-3", "position:1")
    other.hang_up(legs[0])
    net.run(0.5)
    one.answer()
    net.run(0.5)
    assert net.of(CallAnswered)[-1].call_id == "CALL-3"
    other.hang_up(legs[1])
    net.settle()


def test_who_gives_up_in_the_queue_is_abandoned_there_and_the_next_moves_up():
    net, _, one, other = night(queue_announce=False)
    legs = [other.call("12345") for _ in range(2)]
    net.run(20)
    assert prompts(net) == ["music", "music"]
    other.hang_up(legs[0])
    net.run(1)
    (given_up,) = net.of(CallAbandoned)
    assert (given_up.call_id, given_up.reason) == ("CALL-2", "排队中挂机")
    assert other.responses("INVITE")[-1].status == 487
    assert [(e.call_id, e.position) for e in net.of(CallQueued)][2:] == [("CALL-3", 1)]
    other.hang_up(legs[1])
    one.hang_up()
    net.settle()


def test_too_long_a_wait_is_480():
    net, _, one, other = night(queue_wait_s=30)
    other.call("12345")
    net.run(29)
    assert set(other.log) == {"183 sdp"}
    net.run(2)
    assert other.log[-1] == "refused 480"
    assert (net.of(CallUnanswered)[0].reason, net.of(CallUnanswered)[0].sip_status) == ("排队超时", 480)
    one.hang_up()
    net.settle()


def test_a_shorter_wait_holds_from_its_reload_on_and_a_closed_queue_drops_nobody():
    net, _, one, other = night(queue_wait_s=300)
    other.call("12345")
    net.run(40)
    reload(net, queue_most=0, ring_strategy="fixed")
    net.run(1)
    assert set(other.log) == {"183 sdp"}
    reload(net, queue_wait_s=60)
    net.run(25)
    assert other.log[-1] == "refused 480"
    one.hang_up()
    net.settle()


def test_change_of_shift_does_not_throw_out_who_waits():
    net, _, one, other = night()
    other.call("12345")
    net.run(1)
    one.hang_up()
    net.run(1)
    assert invites(one) == [2]
    one.call("*12")
    net.run(HANDOVER_S - 5)
    assert "cancelled" in one.log and invites(one) == [2]
    one.call("*11802")
    net.run(1)
    assert set(other.log) == {"183 sdp"} and invites(one) == [3]
    one.answer([x for x in one.legs if x.called_us][-1])
    net.run(1)
    assert other.log[-1] == "answered"
    other.hang_up()
    net.settle()


def test_when_nobody_comes_back_who_waits_is_told():
    net, _, one, other = night()
    one.call("*12")
    net.run(1)
    other.call("12345")
    net.run(1)
    assert other.log[-1] == "refused 480" and net.of(CallUnanswered)[0].reason == "无席位签入", (
        "he would wait for nobody"
    )
    one.call("*11801")
    net.run(1)
    other.call("12345")
    net.run(1)
    one.call("*12")
    net.run(HANDOVER_S + 2)
    assert [e.reason for e in net.of(CallUnanswered)] == ["无席位签入"] * 2
    one.hang_up(next(x for x in one.legs if x.talks))
    net.settle()


def test_a_seat_that_rang_for_the_first_and_does_not_take_him_leaves_him_the_first():
    net, trunk, phones = hotline("8001", "8002", queue_most=5, ring_strategy="longest_idle")
    one, two = phones
    busy(net, two, trunk)
    talking = trunk.call("12345")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    legs = [other.call("12345") for _ in range(2)]
    net.run(1)
    trunk.hang_up(talking)
    net.run(1)
    one.refuse(486)
    net.run(1)
    assert [(c.state, c.position) for c in net.ua.calls() if c.position or c.state == "ringing"] == [
        ("queued", 1), ("ringing", None),
    ], "8001 rings for the second now: the first it refused"  # fmt: skip
    two.hang_up()
    net.run(1)
    assert invites(two) == [1], "the other seat is the first's"
    two.answer()
    net.run(1)
    assert net.of(CallAnswered)[-1].call_id == "CALL-3"
    for leg in legs:
        other.hang_up(leg)
    net.settle()


def test_stop_and_hang_up_reach_who_waits():
    net, _, _, other = night()
    other.call("12345")
    net.run(1)
    net.ua.hang_up("CALL-2", net.now)
    net.run(1)
    assert other.log[-1] == "refused 487"
    other.call("12345")
    net.run(1)
    net.ua.shut_down(net.now)
    net.run(1)
    assert other.log[-1] == "refused 503" and net.ua.settled()
    net.settle()


def test_a_caller_who_may_not_be_reminded_is_reminded_every_minute():
    net, _, one, other = night(queue_wait_s=600)
    other.call("12345")
    net.run(200)
    ringing = [r for r in other.responses("INVITE") if r.status == 183]
    assert len(ringing) >= 4 and len({r.body for r in ringing}) <= 2
    other.hang_up()
    one.hang_up()
    net.settle()


# -- overflow -----------------------------------------------------------------------------------------------------------


def outside(net: Network, trunk: SimPhone) -> None:
    """The trunk's answers to our own INVITE."""
    assert trunk.requests("INVITE")[-1].uri.startswith(f"sip:{OUTSIDE}@")


def test_nobody_signed_in_goes_to_the_number_outside_and_stays_inbound():
    net = Network(desk(seat("8001", None)))
    reload(net, overflow_number=OUTSIDE)
    trunk, _ = ringing_hotline(net, "8001")
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    other.call("12345")
    net.run(1)
    outside(net, trunk)
    invite = trunk.requests("INVITE")[-1]
    assert invite.from_.uri.user == "02784770000" and "13500000000" in (invite.headers.first("From") or "")
    assert (net.of(CallOverflowed)[0].number, net.of(CallOverflowed)[0].reason) == (OUTSIDE, "无席位签入")
    trunk.answer()
    net.run(1)
    assert other.log == ["180", "answered"]
    (answered,) = net.of(CallAnswered)
    assert answered.seat_extension is None and net.of(CallStarted)[0].direction == "inbound"
    assert {e.channel for e in net.of(MediaChanged)} == {Channel.AGENT, Channel.CITIZEN}
    trunk.hang_up()
    net.run(1)
    assert net.of(CallEnded)[0].hangup_party == "agent"
    net.settle()


def test_nobody_answering_goes_outside_with_its_early_media():
    net, trunk, (one, two) = hotline(overflow_number=OUTSIDE, ring_timeout_s=10)
    trunk.rings = False
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    other.call("12345")
    net.run(11)
    assert one.log == two.log == ["cancelled"]
    leg = trunk.legs[-1]
    leg.ring(183, leg.sdp(leg.codecs or trunk.codecs[:1], answering=leg.session), net.now)
    net.run(0.5)
    assert other.log == ["180", "183 sdp"]
    trunk.answer()
    net.run(1)
    assert other.log[-1] == "answered" and net.of(CallOverflowed)[0].reason == "无人接听"
    other.hang_up()
    net.settle()


def test_who_waited_too_long_goes_outside_and_a_failure_there_has_its_reason():
    net, trunk, one, other = night(queue_wait_s=30, overflow_number=OUTSIDE)
    other.call("12345")
    net.run(32)
    outside(net, trunk)
    assert net.of(CallOverflowed)[0].reason == "排队超时" and "ringback" in prompts(net)
    trunk.refuse(486)
    net.run(1)
    assert other.log[-1] == "refused 480"
    assert net.of(CallUnanswered)[0].reason == "溢出转接未接通：对方占线"
    one.hang_up()
    net.settle()


def test_caller_gives_up_while_the_number_outside_rings():
    net, trunk, _ = hotline(overflow_number=OUTSIDE, ring_timeout_s=5)
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    other.call("12345")
    net.run(8)
    other.hang_up()
    net.run(1)
    assert trunk.log[-1] == "cancelled" and net.of(CallAbandoned)[0].reason == "诉求人在接通前挂断"
    net.settle()


def test_a_number_outside_that_may_not_be_dialled_is_a_fault_and_the_caller_is_refused():
    net, _, _ = hotline(overflow_number="0018005551234", ring_timeout_s=5)
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    other.call("12345")
    net.run(8)
    assert other.log[-1] == "refused 480" and net.of(CallUnanswered)[0].reason == "无人接听"
    assert any("溢出号码" in e.text for e in net.of(SipFault))
    net.settle()


def test_all_busy_without_a_queue_is_486_even_with_a_number_outside():
    net, trunk, (one,) = hotline("8001", overflow_number=OUTSIDE)
    busy(net, one, trunk)
    other = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    other.call("12345")
    net.run(1)
    assert other.log == ["refused 486"]
    one.hang_up()
    net.settle()


def test_a_call_that_comes_round_has_fewer_forwards_each_time():
    net, trunk, (one, _) = hotline()
    trunk.call("12345")
    net.run(1)
    assert one.requests("INVITE")[0].headers.first("Max-Forwards") == "69"
    trunk.hang_up()
    net.settle()
