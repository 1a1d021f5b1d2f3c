"""Two calls of one seat: asking a colleague, joining both far ends, three at once; and a call picked up by another phone."""

import pytest

from callqa.sip.events import (
    CallAnswered,
    CallEnded,
    CallLinked,
    CallStarted,
    CallTransferred,
    CallUnanswered,
    HangupParty,
    MediaChanged,
    MediaClosed,
    MediaOpened,
    PartyKnown,
    SipFault,
)
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.wire.sdp import MediaDirection
from callqa.units import Channel
from tests.sip.simulated import UA, Network, SimPhone, desk, ringing_hotline, seat

NUMBERS = ("8001", "8002", "8003")
PCMU = (0, "PCMU/8000")


def hall() -> tuple[Network, SimPhone, list[SimPhone]]:
    net = Network(desk(*(seat(e, e) for e in NUMBERS)))
    trunk, phones = ringing_hotline(net, *NUMBERS)
    return net, trunk, phones


def consulting(answered: bool = True) -> tuple[Network, SimPhone, list[SimPhone], Leg, Leg]:
    """8001 has a citizen on hold and asks 8002."""
    net, trunk, phones = hall()
    one, two, _ = phones
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    first = one.legs[-1]
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(1)
    second = one.call("8002")
    net.run(1)
    if answered:
        two.answer()
        net.run(1)
        assert second.talks and first.talks
    return net, trunk, phones, first, second


def ended(net: Network) -> list[tuple[str, HangupParty | None]]:
    return [(e.call_id, e.hangup_party) for e in net.of(CallEnded)]


# -- a call between seats ------------------------------------------------------------------------------------------------


def test_a_seat_calls_another_seat():
    net, _, (one, two, three) = hall()
    one.call("8002")
    net.run(1)
    invite = two.requests("INVITE")[0]
    assert invite.from_.uri.user == "8001" and not three.requests("INVITE")
    two.answer()
    net.run(1)
    (started,) = net.of(CallStarted)
    assert (started.from_number, started.to_number, started.seat_extension) == ("8001", "8002", "8001")
    assert net.of(CallAnswered)[0].seat_extension == "8001", "his call, not the callee's"
    assert {s.extension: s.busy for s in net.ua.seats()} == {"8001": True, "8002": True, "8003": False}
    three.call("8002")
    net.run(1)
    assert three.log[-1] == "refused 486"
    two.hang_up()
    net.run(1)
    assert ended(net)[0][1] is HangupParty.CITIZEN, "the far side of an outbound call"
    net.settle()


def test_all_phones_of_a_seat_ring_and_one_that_declines_stops_no_other():
    net, _, (one, two, _) = hall()
    softphone = SimPhone(net, ("10.0.2.22", 5060), "8002")
    assert softphone.register() == 200
    one.call("8002")
    net.run(1)
    two.refuse(486)
    net.run(1)
    softphone.answer()
    net.run(1)
    assert one.legs[-1].talks
    one.hang_up()
    net.settle()


def test_a_seat_that_is_not_there_or_unknown_is_refused():
    net, _, (one, two, _) = hall()
    two.register(0)
    one.call("8002")
    net.run(1)
    one.call("8009")
    net.run(1)
    assert one.log == ["refused 480", "refused 403"]
    assert [e.reason for e in net.of(CallUnanswered)] == ["分机 8002 的话机没有注册", "号码“8009”不在拨号方案内"]
    net.settle()


# -- attended transfer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_on", ["first", "second"])
def test_both_far_ends_are_joined_and_the_seat_leaves(asked_on: str):
    net, trunk, (one, two, _), first, second = consulting()
    told = len(trunk.got)
    on, other = (first, second) if asked_on == "first" else (second, first)
    one.refer_to_dialog(on, other, "8002" if asked_on == "first" else "13871206358")
    net.run(1)
    citizens, consult = (e.call_id for e in net.of(CallStarted))
    (moved,) = net.of(CallTransferred)
    assert (moved.call_id, moved.kind, moved.to, moved.seat_extension, moved.by) == (
        citizens,
        "attended",
        "8002",
        "8002",
        "8001",
    )
    assert one.answers[-1].status == 202 and one.told == ["100 Trying", "200 OK"]
    assert ended(net) == [(consult, HangupParty.AGENT)]
    assert first.state is LegState.GONE and second.state is LegState.GONE and two.legs[-1].talks
    assert len(trunk.got) == told, "nothing was asked of the citizen"
    opened = net.of(MediaOpened)[-1]
    assert (opened.call_id, opened.channel) == (citizens, Channel.AGENT)
    assert f"m=audio {opened.local_port} ".encode() in two.requests("INVITE")[-1].body, (
        "the colleague's phone was told the port"
    )
    names = [(type(e).__name__, e.call_id) for e in net.events if isinstance(e, MediaOpened | MediaClosed)]
    assert names[-2:] == [("MediaOpened", citizens), ("MediaClosed", consult)]
    assert {(e.call_id, e.other_call_id) for e in net.of(CallLinked)} == {(citizens, consult), (consult, citizens)}
    (view,) = net.ua.calls()
    assert (view.call_id, view.seat_extension, view.state) == (citizens, "8002", "talking")
    two.hang_up()
    net.run(1)
    assert ended(net)[-1] == (citizens, HangupParty.AGENT) and trunk.log[-1] == "ended"
    net.settle()


def test_a_phone_may_hang_up_both_calls_at_once():
    net, trunk, (one, two, _), first, second = consulting()
    one.refer_to_dialog(first, second, "8002")
    one.hang_up(first)
    one.hang_up(second)
    net.run(1)
    assert net.of(CallTransferred) and len(net.of(CallEnded)) == 1 and trunk.legs[-1].talks and two.legs[-1].talks
    trunk.hang_up()
    net.run(1)
    assert ended(net)[-1][1] is HangupParty.CITIZEN and two.log[-1] == "ended"
    net.settle()


def test_a_citizen_is_joined_with_an_expert_outside():
    net, trunk, (one, *_) = hall()
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    first = one.legs[-1]
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(1)
    second = one.call("13900001111")
    net.run(1)
    trunk.answer()
    net.run(1)
    one.refer_to_dialog(first, second, "13900001111")
    net.run(1)
    (moved,) = net.of(CallTransferred)
    assert (moved.to, moved.seat_extension) == ("13900001111", None) and not any(s.busy for s in net.ua.seats())
    trunk.hang_up(trunk.legs[0])
    net.run(1)
    assert trunk.legs[-1].state is LegState.GONE
    net.settle()


def test_the_citizen_changes_his_law_for_a_colleague_who_speaks_the_other():
    net, trunk, (one, two, _) = hall()
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    first = one.legs[-1]
    second = one.call("8002")
    net.run(1)
    two.answer(codecs=(PCMU,))
    net.run(1)
    assert second.codecs == (PCMU,)
    two.legs[-1].recode = trunk.legs[-1].recode = lambda leg, wanted, done, now: done(wanted, now)
    one.refer_to_dialog(first, second, "8002")
    net.run(1)
    assert net.of(CallTransferred), "the colleague is offered the citizen's law first, and may have it"
    told = {}
    for e in net.events:
        if isinstance(e, MediaOpened | MediaChanged) and e.call_id == net.of(CallTransferred)[0].call_id:
            told[e.channel] = e.codecs[0]
    assert told[Channel.CITIZEN] == told[Channel.AGENT] == two.legs[-1].codecs[0]
    trunk.hang_up()
    net.settle()


def test_a_colleague_whose_phone_takes_no_reinvite_leaves_both_calls_as_they_were():
    net, trunk, (one, two, _), first, second = consulting()
    two.legs[-1].codecs = ()  # answers 488
    one.refer_to_dialog(first, second, "8002")
    net.run(3)
    assert one.told[-1] == "488 Not Acceptable Here" and not net.of(CallTransferred) and not net.of(CallEnded)
    assert first.talks and second.talks and trunk.legs[-1].talks and len(net.ports.out) == 4
    one.hang_up(second)
    net.run(1)
    one.hang_up(first)
    net.settle()


def test_when_that_fails_and_he_has_hung_up_the_citizen_goes_back_to_him():
    net, trunk, (one, two, _), first, second = consulting()
    two.legs[-1].codecs = ()
    one.refer_to_dialog(first, second, "8002")
    one.hang_up(first)
    one.hang_up(second)
    net.run(1)
    consult = net.of(CallStarted)[1].call_id
    assert ended(net) == [(consult, HangupParty.AGENT)] and two.log[-1] == "ended"
    one.answer()
    net.run(1)
    assert one.legs[-1].talks and trunk.legs[-1].talks and len(net.ua.calls()) == 1
    trunk.hang_up()
    net.settle()


@pytest.mark.parametrize("who", ["citizen", "colleague"])
def test_a_far_end_that_hangs_up_in_between(who: str):
    net, trunk, (one, two, _), first, second = consulting()
    one.refer_to_dialog(first, second, "8002")
    net.run(0.011)  # our re-INVITE is with the colleague, his answer on the way
    (trunk if who == "citizen" else two).hang_up()
    net.run(2)
    citizens, consult = (e.call_id for e in net.of(CallStarted))
    if who == "citizen":
        assert (citizens, HangupParty.CITIZEN) in ended(net)
    else:
        assert (consult, HangupParty.CITIZEN) in ended(net) or net.of(CallTransferred)
    for leg in (first, second):
        one.hang_up(leg)
    net.settle()
    assert len(net.of(CallEnded)) == len(net.of(MediaClosed)) == 2


def test_a_consult_call_that_still_rings_gives_way():
    """Some phones let their agent press the key twice at once: REFER names a dialog nobody has answered."""
    net, trunk, (one, two, _), first, second = consulting(answered=False)
    one.refer_to_dialog(first, second, "8002")
    net.run(1)
    assert [e.reason for e in net.of(CallUnanswered)] == ["坐席改为直接转接"]
    two.answer()
    net.run(1)
    assert [(e.kind, e.to) for e in net.of(CallTransferred)] == [("blind", "8002")] and two.legs[-1].talks
    trunk.hang_up()
    net.settle()


def test_only_his_own_calls_can_be_joined():
    net, trunk, (one, two, three), first, second = consulting()
    theirs = two.legs[-1]
    trunk.call("12345")
    net.run(1)
    three.answer()
    net.run(1)
    mine = three.legs[-1]
    three.refer_to_dialog(mine, theirs, "8001")
    net.run(1)
    assert three.answers[-1].status == 403 and "不是这个分机的" in net.of(SipFault)[-1].text
    one.refer_to_dialog(first, first, "8001")
    net.run(1)
    assert one.answers[-1].status == 403
    one.within(first, "REFER", ("Refer-To", "<sip:8002@10.0.0.1?Replaces=nothing%3Bto-tag%3Da%3Bfrom-tag%3Db>"))
    net.run(1)
    assert one.answers[-1].status == 403 and not net.of(CallTransferred)
    for leg in (first, second):
        one.hang_up(leg)
    three.hang_up()
    net.settle()


def test_tags_the_wrong_way_round_are_understood():
    net, trunk, (one, *_), first, second = consulting()
    d = second.dialog
    named = f"{d.call_id}%3Bto-tag%3D{d.local_tag}%3Bfrom-tag%3D{d.remote_tag}".replace("@", "%40")
    one.within(first, "REFER", ("Refer-To", f"<sip:8002@{UA[0]}?Replaces={named}>"))
    net.run(1)
    assert net.of(CallTransferred)
    trunk.hang_up()
    net.settle()


# -- three at once -------------------------------------------------------------------------------------------------------


def test_a_conference_that_the_phone_mixes_is_noted_in_both_calls():
    net, _trunk, (one, *_), first, second = consulting()
    assert not net.of(PartyKnown)
    one.reinvite(MediaDirection.SENDRECV, first)
    net.run(5)
    citizens, consult = (e.call_id for e in net.of(CallStarted))
    assert {(e.call_id, e.address, e.side) for e in net.of(PartyKnown)} == {
        (citizens, "8002", Channel.AGENT), (consult, "13871206358", Channel.AGENT),
    }  # fmt: skip
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(1)
    one.reinvite(MediaDirection.SENDRECV, first)
    net.run(5)
    assert len(net.of(PartyKnown)) == 2, "told once"
    one.hang_up(first)
    one.hang_up(second)
    net.settle()


def test_swapping_two_calls_is_no_conference():
    net, _trunk, (one, *_), first, second = consulting()
    one.reinvite(MediaDirection.SENDRECV, first)
    net.run(0.5)
    one.reinvite(MediaDirection.SENDONLY, second)
    net.run(5)
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(0.5)
    one.reinvite(MediaDirection.SENDRECV, second)
    net.run(5)
    assert not net.of(PartyKnown)
    one.hang_up(first)
    one.hang_up(second)
    net.settle()


# -- INVITE with Replaces ------------------------------------------------------------------------------------------------


def replaces(leg: Leg, more: str = "") -> tuple[str, str]:
    """As whoever knows that phone's dialog would name it to us."""
    d = leg.dialog
    return "Replaces", f"{d.call_id};to-tag={d.remote_tag};from-tag={d.local_tag}{more}"


def talking() -> tuple[Network, SimPhone, list[SimPhone], Leg]:
    net, trunk, phones = hall()
    trunk.call("12345")
    net.run(1)
    phones[0].answer()
    net.run(1)
    return net, trunk, phones, phones[0].legs[-1]


def test_another_seat_picks_up_a_call():
    net, trunk, (one, two, _), leg = talking()
    new = two.call("8001", replaces(leg))
    net.run(1)
    assert new.talks and leg.state is LegState.GONE and one.log[-1] == "ended"
    (moved,) = net.of(CallTransferred)
    assert (moved.kind, moved.to, moved.seat_extension, moved.by) == ("attended", "8002", "8002", "8001")
    assert len(net.of(CallStarted)) == 1 and net.ua.calls()[0].seat_extension == "8002"
    trunk.hang_up()
    net.run(1)
    assert two.log[-1] == "ended"
    net.settle()


def test_the_same_seat_moves_its_call_to_its_other_phone():
    net, trunk, (one, *_), leg = talking()
    softphone = SimPhone(net, ("10.0.2.22", 5060), "8001")
    assert softphone.register() == 200
    softphone.call("8001", replaces(leg))
    net.run(1)
    assert softphone.legs[-1].talks and one.log[-1] == "ended" and not net.of(CallTransferred)
    softphone.hang_up()
    net.run(1)
    assert trunk.log[-1] == "ended"
    net.settle()


@pytest.mark.parametrize(
    ("value", "status"),
    [("none;to-tag=a;from-tag=b", 481), ("none", 400), ("early", 486), ("citizen", 481)],
)
def test_what_cannot_be_picked_up(value: str, status: int):
    net, trunk, (one, two, _), leg = talking()
    field = ("Replaces", value)
    if value == "early":
        field = replaces(leg, ";early-only")
    elif value == "citizen":
        field = replaces(trunk.legs[-1])
    two.call("8001", field)
    net.run(1)
    assert two.log[-1] == f"refused {status}" and leg.talks and one.legs[-1] is leg
    trunk.hang_up()
    net.settle()


def test_a_stranger_or_a_trunk_picks_up_nothing():
    net, trunk, (_one, *_), leg = talking()
    thief = SimPhone(net, ("10.9.9.9", 5060), "thief")
    thief.call("8001", replaces(leg))
    calls = len(net.ua.calls())
    trunk.call("12345", replaces(leg))
    net.run(1)
    assert thief.log == ["refused 403"] and leg.talks and len(net.ua.calls()) == calls + 1, "an ordinary call"
    assert not net.of(CallTransferred)
    trunk.hang_up()
    trunk.hang_up(trunk.legs[0])
    net.settle()


def test_a_newcomer_who_speaks_another_law_is_refused():
    net, trunk, (_one, two, _), leg = talking()
    two.call("8001", replaces(leg), codecs=(PCMU,))
    net.run(1)
    assert two.log[-1] == "refused 488" and leg.talks and len(net.ports.out) == 2
    trunk.hang_up()
    net.settle()


# -- encrypted phones ----------------------------------------------------------------------------------------------------


def keys_of(net: Network, channel: Channel) -> list[bool]:
    """Of each port that was opened on that side of the citizen's call: whether it has keys now."""
    citizens = net.of(CallStarted)[0].call_id
    state: dict[int, bool] = {}
    port = 0
    for e in net.events:
        if isinstance(e, MediaOpened | MediaChanged) and e.call_id == citizens and e.channel is channel:
            port = e.local_port if isinstance(e, MediaOpened) else port
            state[port] = e.terms.keys is not None
    return list(state.values())


def encrypted_hall() -> tuple[Network, SimPhone, list[SimPhone], Leg]:
    plain = desk(*(seat(e, e) for e in NUMBERS))
    routing = plain.routing.model_copy(update={"seat_encryption": "optional"})
    net = Network(plain.model_copy(update={"routing": routing}))
    trunk, phones = ringing_hotline(net, *NUMBERS)
    trunk.call("12345")
    net.run(1)
    phones[0].answer()
    net.run(1)
    return net, trunk, phones, phones[0].legs[-1]


def test_each_phone_has_keys_of_its_own_in_a_blind_transfer():
    net, trunk, (one, two, _), leg = encrypted_hall()
    one.refer(leg, "8002")
    net.run(1)
    two.answer()
    net.run(1)
    assert keys_of(net, Channel.AGENT) == [True, True] and keys_of(net, Channel.CITIZEN) == [False]
    lines = [e.terms.keys for e in net.events if isinstance(e, MediaOpened | MediaChanged) and e.terms.keys]
    assert lines[0] != lines[-1]
    trunk.hang_up()
    net.settle()


def test_a_colleagues_phone_stays_encrypted_when_it_joins_the_citizen():
    net, trunk, (one, two, _), first = encrypted_hall()
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(1)
    second = one.call("8002")
    net.run(1)
    two.answer()
    net.run(1)
    one.refer_to_dialog(first, second, "8002")
    net.run(1)
    assert net.of(CallTransferred) and b"a=crypto:" in two.requests("INVITE")[-1].body
    assert keys_of(net, Channel.AGENT) == [True, True]
    trunk.hang_up()
    net.settle()
