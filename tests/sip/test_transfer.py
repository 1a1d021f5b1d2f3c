"""转接: what becomes of the call, of the phone that asked and of the one that is rung, whatever happens in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.events import (
    CallAnswered,
    CallEnded,
    CallQueued,
    CallStarted,
    CallTransferred,
    CallUnanswered,
    HangupParty,
    MediaChanged,
    MediaClosed,
    MediaOpened,
    PromptStarted,
    PromptStopped,
    SipFault,
)
from callqa.sip.legs.leg import LegState
from callqa.sip.transfers.refer import Replaces, parse_refer, parse_replaces
from callqa.sip.transfers.transfer import TRANSFERS_MOST
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request, parse_message
from callqa.sip.wire.sdp import MediaDirection
from callqa.units import Channel
from tests.sip.simulated import UA, Network, SimPhone, desk, ringing_hotline, seat

PCMA, PCMU = (8, "PCMA/8000"), (0, "PCMU/8000")


def connected(net, *extensions):
    """A citizen talks with the first of the seats."""
    trunk, phones = ringing_hotline(net, *(extensions or ("8001", "8002")))
    trunk.call("12345")
    net.run(1)
    phones[0].answer()
    net.run(1)
    assert phones[0].legs[-1].talks
    return trunk, phones


def outcome(net):
    return [(type(e).__name__, e.hangup_party) for e in net.of(CallEnded)]


# -- blind ---------------------------------------------------------------------------------------------------------------


def test_a_blind_transfer_moves_the_seats_side_and_leaves_the_citizen_alone():
    net = Network()
    trunk, (one, two) = connected(net)
    leg = one.legs[-1]
    got = len(trunk.got)
    one.refer(leg, "8002")
    net.run(1)
    assert one.answers[-1].status == 202 and one.told == ["100 Trying", "180 Ringing"]
    assert [r.headers.first("Event") for r in one.notified] == ["refer", "refer"]
    assert all(r.headers.first("Content-Type") == "message/sipfrag;version=2.0" for r in one.notified)
    assert two.requests("INVITE")[-1].from_.uri.user == "13871206358", "he sees who calls"
    assert [(e.prompt, e.channel, e.loop) for e in net.of(PromptStarted)] == [("music", Channel.CITIZEN, True)]
    two.answer()
    net.run(1)
    (moved,) = net.of(CallTransferred)
    assert (moved.kind, moved.to, moved.seat_extension, moved.by) == ("blind", "8002", "8002", "8001")
    assert one.told[-1] == "200 OK"
    assert one.notified[-1].headers.first("Subscription-State") == "terminated;reason=noresource"
    assert one.log[-1] == "ended" and two.legs[-1].talks
    assert len(net.of(PromptStopped)) == 1 and len(trunk.got) == got, "nothing was asked of the citizen's side"
    opened = [e for e in net.of(MediaOpened) if e.channel is Channel.AGENT]
    assert len(opened) == 2 and opened[0].local_port != opened[1].local_port
    (view,) = net.ua.calls()
    assert (view.seat_extension, view.state) == ("8002", "talking")
    assert {s.extension: s.busy for s in net.ua.seats()} == {"8001": False, "8002": True}
    trunk.hang_up()
    net.run(1)
    assert two.log[-1] == "ended" and outcome(net) == [("CallEnded", HangupParty.CITIZEN)]
    assert len(net.of(CallStarted)) == len(net.of(CallAnswered)) == len(net.of(MediaClosed)) == 1
    net.settle()


def test_the_new_one_can_hang_up_hold_and_transfer_on():
    net = Network(desk(*(seat(e, e) for e in ("8001", "8002", "8003"))))
    trunk, (one, two, three) = connected(net, "8001", "8002", "8003")
    one.refer(one.legs[-1], "8002")
    net.run(1)
    two.answer()
    net.run(1)
    two.reinvite(MediaDirection.SENDONLY)
    net.run(1)
    assert two.answers[-1].status == 200 and net.of(MediaChanged)[-1].held
    two.refer(two.legs[-1], "8003")
    net.run(1)
    three.answer()
    net.run(1)
    assert [e.seat_extension for e in net.of(CallTransferred)] == ["8002", "8003"]
    assert net.ua.calls()[0].state == "talking", "the hold of him who left is over"
    three.hang_up()
    net.run(1)
    assert trunk.log[-1] == "ended" and outcome(net) == [("CallEnded", HangupParty.AGENT)]
    net.settle()


def test_a_second_refer_of_a_dialog_is_told_apart():
    net = Network()
    _, (one, two) = connected(net)
    leg = one.legs[-1]
    for _ in range(2):
        one.refer(leg, "8002")
        net.run(1)
        two.refuse(486)
        net.run(5)
    assert one.told == ["100 Trying", "180 Ringing", "486 Busy Here"] * 2
    assert [r.headers.first("Event") for r in one.notified][2:4] == ["refer", f"refer;id={leg.dialog.local_cseq}"]
    one.hang_up()
    net.settle()


@pytest.mark.parametrize("how", ["refused", "silent", "no codec"])
def test_a_transfer_that_fails_leaves_the_call_where_it_was(how: str):
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(1)
    if how == "refused":
        two.refuse(603)
    elif how == "no codec":
        two.answer(codecs=((9, "G722/8000"),))
    net.run(40)
    assert (
        one.told[-1]
        == {"refused": "603 Decline", "silent": "408 Request Timeout", "no codec": "488 Not Acceptable Here"}[how]
    )
    assert one.legs[-1].talks and trunk.legs[-1].talks and not net.of(CallTransferred)
    assert len(net.of(PromptStopped)) == 1 and len(net.ports.out) == 2
    one.refer(one.legs[-1], "8002")
    net.run(1)
    assert one.answers[-1].status == 202, "he may try again"
    one.hang_up()
    trunk.hang_up()
    net.settle()


def test_a_phone_may_hang_up_after_its_refer():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.05)
    one.hang_up()
    net.run(2)
    assert not net.of(CallEnded) and trunk.legs[-1].talks
    assert not {s.extension: s.busy for s in net.ua.seats()}["8001"], "he can take the next call"
    gone = net.of(MediaChanged)[-1]
    assert (gone.channel, gone.held, gone.remote) == (Channel.AGENT, True, None), "the citizen waits"
    assert net.ua.calls()[0].state == "held"
    two.answer()
    net.run(1)
    assert net.of(CallTransferred)[0].seat_extension == "8002" and net.ua.calls()[0].state == "talking"
    two.hang_up()
    net.run(1)
    assert outcome(net) == [("CallEnded", HangupParty.AGENT)]
    net.settle()


@pytest.mark.parametrize("moment", ["before the failure", "just after it"])
def test_who_transferred_and_hung_up_is_called_back(moment: str):
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    if moment == "before the failure":
        one.hang_up()
        net.run(0.5)
        two.refuse(486)
    else:
        two.refuse(486)
        net.run(0.5)
        one.hang_up()
    net.run(1)
    assert len(one.requests("INVITE")) == 2 and not net.of(CallEnded)
    assert one.requests("INVITE")[-1].from_.uri.user == "13871206358"
    one.answer()
    net.run(1)
    assert trunk.legs[-1].talks and one.legs[-1].talks and not net.of(CallTransferred)
    assert net.of(PromptStarted) and len(net.of(PromptStopped)) == len(net.of(PromptStarted))
    net.run(10)
    trunk.hang_up()
    net.run(1)
    assert outcome(net) == [("CallEnded", HangupParty.CITIZEN)]
    net.settle()


def test_an_agent_who_hangs_up_later_than_by_habit_ends_the_call():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    two.refuse(486)
    net.run(5)
    one.hang_up()
    net.run(1)
    assert outcome(net) == [("CallEnded", HangupParty.AGENT)] and trunk.log[-1] == "ended"
    net.settle()


def test_when_he_does_not_take_it_back_everybody_rings_until_somebody_does():
    net = Network(desk(*(seat(e, e) for e in ("8001", "8002", "8003"))))
    trunk, (one, two, three) = connected(net, "8001", "8002", "8003")
    rung = len(three.requests("INVITE"))
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    one.hang_up()
    two.refuse(486)
    net.run(10)
    assert len(three.requests("INVITE")) == rung, "he alone rings first"
    net.run(15)
    assert len(three.requests("INVITE")) == rung + 1
    one.refuse(486)
    two.refuse(486)
    three.refuse(486)
    net.run(5)
    assert len(three.requests("INVITE")) == rung + 2, "and again"
    three.answer()
    net.run(1)
    assert net.of(CallTransferred)[-1].seat_extension == "8003" and trunk.legs[-1].talks
    three.hang_up()
    net.settle()


def test_a_call_nobody_takes_back_ends_with_a_fault():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    one.hang_up()
    two.refuse(486)
    one.rings = two.rings = False
    net.run(400)
    assert outcome(net) == [("CallEnded", HangupParty.NETWORK)] and trunk.log[-1] == "ended"
    assert "没有席位接回" in net.of(SipFault)[-1].text
    net.settle()


@pytest.mark.parametrize("when", ["rings", "talks", "called back"])
def test_a_citizen_may_hang_up_at_any_moment(when: str):
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    if when == "talks":
        two.answer()
    elif when == "called back":
        one.hang_up()
        two.refuse(486)
        net.run(0.5)
    trunk.hang_up()
    net.run(1)
    assert outcome(net) == [("CallEnded", HangupParty.CITIZEN)]
    assert two.log[-1] in ("cancelled", "ended") or when == "called back"
    if when == "rings":
        assert one.told[-1].startswith("487")
    net.settle()


def test_an_answer_that_crosses_the_citizens_bye_leaves_nobody_behind():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    two.answer()
    trunk.hang_up()
    net.settle()
    assert outcome(net) == [("CallEnded", HangupParty.CITIZEN)]
    assert two.legs[-1].state is LegState.GONE and one.legs[-1].state is LegState.GONE


def test_bye_of_both_sides_while_it_rings():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    one.hang_up()
    trunk.hang_up()
    net.settle()
    assert two.log[-1] == "cancelled" and outcome(net) == [("CallEnded", HangupParty.CITIZEN)]


def test_lost_notifies_change_nothing():
    net = Network()
    trunk, (one, two) = connected(net)
    net.lose = lambda data, a, b: data.startswith(b"NOTIFY")
    one.refer(one.legs[-1], "8002")
    net.run(1)
    two.answer()
    net.run(3)
    assert net.of(CallTransferred) and one.log[-1] == "ended" and not one.notified
    trunk.hang_up()
    net.settle()


@pytest.mark.parametrize("status", [481, 405])
def test_a_phone_that_wants_no_notify_gets_one_only(status: int):
    net = Network()
    trunk, (one, two) = connected(net)
    one.notify_status = status
    one.refer(one.legs[-1], "8002")
    net.run(1)
    two.answer()
    net.run(1)
    assert one.told == ["100 Trying"] and one.log[-1] == "ended" and net.of(CallTransferred)
    trunk.hang_up()
    net.settle()


def test_without_a_subscription_nothing_is_told():
    """RFC 4488."""
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002", ("Refer-Sub", "false"), ("Require", "norefersub"))
    net.run(1)
    assert (one.answers[-1].status, one.answers[-1].headers.first("Refer-Sub")) == (202, "false")
    two.answer()
    net.run(0.1)
    assert not one.notified and one.log[-1] == "ended" and net.of(CallTransferred)
    trunk.hang_up()
    net.settle()


def test_a_number_outside_goes_through_the_dial_plan_and_its_trunk():
    net = Network()
    trunk, (one, _two) = connected(net)
    one.refer(one.legs[-1], "139-0000-1111")
    net.run(1)
    invite = trunk.requests("INVITE")[-1]
    assert invite.uri.startswith("sip:13900001111@") and invite.from_.uri.user == "02784770000", "our number is shown"
    trunk.answer()
    net.run(1)
    (moved,) = net.of(CallTransferred)
    assert (moved.to, moved.seat_extension) == ("13900001111", None)
    assert one.log[-1] == "ended" and net.ua.calls()[0].seat_extension == "8001", "his call, whoever speaks now"
    assert not any(s.busy for s in net.ua.seats())
    trunk.hang_up(trunk.legs[0])
    net.run(1)
    assert trunk.log[-1] == "ended"
    net.settle()


def test_a_second_trunk_is_tried():
    first = desk()
    spare = first.trunks[0].model_copy(update={"name": "备用", "addresses": ("10.0.1.2",), "host": "10.0.1.2"})
    rule = first.dial_plan[0].model_copy(update={"then": ("备用",)})
    net = Network(first.model_copy(update={"trunks": (*first.trunks, spare), "dial_plan": (rule,)}))
    trunk, (one, _) = connected(net)
    other = SimPhone(net, ("10.0.1.2", 5060), "spare")
    one.refer(one.legs[-1], "13900001111")
    net.run(1)
    trunk.refuse(503)
    net.run(1)
    other.answer()
    net.run(1)
    assert net.of(CallTransferred) and other.legs[-1].talks
    trunk.hang_up(trunk.legs[0])
    net.settle()


def test_the_citizen_changes_his_law_where_the_new_one_knows_only_the_other():
    net = Network()
    trunk, (one, two) = connected(net)
    trunk.legs[-1].recode = lambda leg, wanted, done, now: done(wanted, now)  # a network that speaks both
    assert one.legs[-1].codecs[0] == PCMA
    one.refer(one.legs[-1], "8002")
    net.run(1)
    two.answer(codecs=(PCMU,))
    net.run(1)
    assert trunk.requests("INVITE"), "asked by re-INVITE"
    assert net.of(CallTransferred) and net.of(MediaOpened)[-1].codecs == (PCMU,)
    changed = [e for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN]
    assert changed[-1].codecs[0] == PCMU
    trunk.hang_up()
    net.settle()


def test_an_outbound_call_can_be_transferred_too():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    leg = one.call("13900001111")
    net.run(1)
    trunk.answer()
    net.run(1)
    one.refer(leg, "8002")
    net.run(1)
    assert two.requests("INVITE")[-1].from_.uri.user == "13900001111", "he sees whom he will talk with"
    two.answer()
    net.run(1)
    assert net.of(CallTransferred)[0].seat_extension == "8002" and one.log[-1] == "ended"
    assert net.of(MediaOpened)[-1].channel is Channel.AGENT
    two.hang_up()
    net.run(1)
    assert trunk.log[-1] == "ended" and outcome(net) == [("CallEnded", HangupParty.AGENT)]
    net.settle()


# -- who may, and where to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        ("0014155550100", 403, "不在拨号方案内"), ("8009", 403, "不在拨号方案内"), ("8001", 486, "正在通话"),
        ("*11801", 403, "不在拨号方案内"), ("", 403, "不在拨号方案内"), ("1" * 60, 400, "读不懂"), ("8003", 486, "没有注册"),
    ],
)  # fmt: skip
def test_where_no_transfer_leads(number: str, status: int, text: str):
    net = Network(desk(*(seat(e, e) for e in ("8001", "8002", "8003"))))
    trunk, (one, _) = connected(net, "8001", "8002")
    one.refer(one.legs[-1], number)
    net.run(1)
    assert one.answers[-1].status == status and text in net.of(SipFault)[-1].text
    assert not one.notified and one.legs[-1].talks and trunk.legs[-1].talks and len(net.ports.out) == 2
    trunk.hang_up()
    net.settle()


def test_a_trunk_may_not_transfer_unless_its_setting_says_so():
    net = Network()
    trunk, (one, _two) = connected(net)
    trunk.refer(trunk.legs[-1], "13900001111")
    net.run(1)
    assert trunk.answers[-1].status == 403 and "允许对端转接" in net.of(SipFault)[-1].text
    allowed = net.desk.trunks[0].model_copy(update={"refer_allowed": True})
    net.ua.set_desk(net.desk.model_copy(update={"trunks": (allowed,), "number": 2}), net.now)
    trunk.refer(trunk.legs[0], "13900001111")
    net.run(1)
    assert trunk.answers[-1].status == 202
    trunk.answer()
    net.run(1)
    assert trunk.legs[-1].talks and one.legs[-1].talks and net.of(MediaOpened)[-1].channel is Channel.CITIZEN
    one.hang_up()
    net.settle()


def test_the_phone_must_be_where_its_seat_is_registered():
    net = Network()
    _, (one, two) = connected(net)
    leg = one.legs[-1]
    request = leg.dialog.request("REFER", fields=(("Refer-To", "<sip:8002@10.0.0.1>"),))
    thief = SimPhone(net, ("10.9.9.9", 5060), "thief")
    thief.core.transactions.request(
        request, UA, thief.address, net.now, on_response=lambda r, *_: thief.answers.append(r)
    )
    net.run(1)
    assert [r.status for r in thief.answers] == [403] and not two.requests("INVITE")[1:]
    one.hang_up()
    net.settle()


def test_one_transfer_at_a_time_and_not_without_end():
    net = Network()
    trunk, (one, two) = connected(net)
    leg = one.legs[-1]
    for _ in range(5):
        one.refer(leg, "8002")
    net.run(1)
    assert sorted(r.status for r in one.answers[-5:]) == [202, 491, 491, 491, 491]
    assert len(two.requests("INVITE")) == 2
    two.refuse(486)
    for _ in range(TRANSFERS_MOST):
        net.run(3)
        one.refer(leg, "8002")
        net.run(1)
        if one.answers[-1].status == 202:
            two.refuse(486)
    assert one.answers[-1].status == 403 and f"{TRANSFERS_MOST} 次" in net.of(SipFault)[-1].text
    assert leg.talks and trunk.legs[-1].talks
    trunk.hang_up()
    net.settle()


def test_a_refer_before_the_answer_or_outside_a_call_moves_nothing():
    net = Network()
    _trunk, (one, two) = ringing_hotline(net)
    leg = one.call("13900001111")
    net.run(1)
    one.ask("REFER", ("Refer-To", "<sip:8002@10.0.0.1>"))
    net.run(1)
    assert one.answers[-1].status == 481
    one.refer(leg, "8002")
    net.run(1)
    assert one.answers[-1].status in (481, 491) and not two.requests("INVITE")
    one.hang_up(leg)
    net.settle()
    assert [e.sip_status for e in net.of(CallUnanswered)] == [487]


def test_the_session_timer_of_him_who_left_ends_nothing():
    """He neither hangs up nor answers: his leg runs out while the new one rings."""
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(0.5)
    net.lose = lambda data, a, b: one.address in (a, b)
    two.answer()
    net.run(100)
    assert net.of(CallTransferred) and not net.of(CallEnded) and trunk.legs[-1].talks and two.legs[-1].talks
    trunk.hang_up()
    net.settle()


# -- texts ---------------------------------------------------------------------------------------------------------------


def refer(*values: str) -> Request:
    head = "REFER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\n"
    message = parse_message(
        (head + "CSeq: 1 REFER\r\n" + "".join(f"Refer-To: {v}\r\n" for v in values) + "\r\n").encode()
    )
    assert isinstance(message, Request) and isinstance(message.headers, Headers)
    return message


@pytest.mark.parametrize(
    ("value", "number", "replaces"),
    [
        ("<sip:8002@h>", "8002", None), ("sip:8002@h", "8002", None), ("\"李\" <sip:8002@h;user=phone>", "8002", None),
        ("<tel:+8613900001111>", "+8613900001111", None), ("<sip:%2A11@h>", "*11", None), ("<sip:8002@h;method=INVITE>", "8002", None),
        ("<sip:8@h?Replaces=a%40h%3Bto-tag%3D1%3Bfrom-tag%3D2>", "8", Replaces("a@h", "1", "2")),
        ("<sip:8@h?X=1&replaces=a%3Bfrom-tag%3D2%3Bto-tag%3D1%3Bearly-only>", "8", Replaces("a", "1", "2", True)),
    ],
)  # fmt: skip
def test_what_a_refer_asks_for(value: str, number: str, replaces: Replaces | None):
    asked = parse_refer(refer(value))
    assert (asked.number, asked.replaces, asked.subscribe) == (number, replaces, True)


@pytest.mark.parametrize(
    "values",
    [(), ("<sip:1@h>", "<sip:2@h>"), ("<http://h/>",), ("<sip:1@h;method=BYE>",), ("<sip:1@h?Replaces=a>",), ("<sip:1@h?Replaces=%3Bto-tag%3D1%3Bfrom-tag%3D2>",), ("<>",)],
)  # fmt: skip
def test_what_asks_for_no_call(values: tuple[str, ...]):
    with pytest.raises(ProtocolError):
        parse_refer(refer(*values))


def test_a_replaces_of_any_length_is_read_in_no_time():
    with pytest.raises(ProtocolError):
        parse_replaces("a;to-tag=1;from-tag=2;" + "x" * 10_000)


def test_a_citizen_who_cannot_change_his_law_stays_where_he_is():
    net = Network()
    trunk, (one, two) = connected(net)
    one.refer(one.legs[-1], "8002")
    net.run(1)
    two.answer(codecs=(PCMU,))
    net.run(1)
    assert one.told[-1] == "488 Not Acceptable Here" and two.log[-1] == "ended" and one.legs[-1].talks
    assert not net.of(CallTransferred) and len(net.ports.out) == 2
    trunk.hang_up()
    net.settle()


def test_a_seat_that_left_by_transfer_serves_the_queue():
    routing = desk().routing.model_copy(update={"queue_most": 3})
    net = Network(desk().model_copy(update={"routing": routing}))
    trunk, (one, two) = ringing_hotline(net)
    for phone in (one, two):
        trunk.call("12345")
        net.run(1)
        phone.answer()
        net.run(1)
    trunk.call("12345")
    net.run(1)
    assert net.of(CallQueued) and len(net.ua.calls()) == 3
    leg, rung = one.legs[-1], len(one.requests("INVITE"))
    one.refer(leg, "13900001111")
    net.run(0.5)
    one.hang_up(leg)
    net.run(0.5)
    assert len(one.requests("INVITE")) == rung + 1, "while the number still rings"
    one.answer()
    net.run(1)
    trunk.refuse(486)
    net.run(25)
    assert not net.of(CallEnded), (
        "he talks again and cannot be called back; the citizen waits for whoever is free first"
    )
    two.hang_up(next(x for x in two.legs if x.talks))
    net.run(10)
    two.answer()
    net.run(1)
    assert net.of(CallTransferred)[-1].seat_extension == "8002"
    trunk.hang_up(trunk.legs[0])
    one.hang_up()
    net.settle()
    assert len(net.of(CallEnded)) == 3


@given(
    st.text(max_size=200)
    | st.from_regex(r"<sip:[0-9*#%a-z]{0,9}@h(;method=[A-Z]+)?(\?[A-Za-z]+=[%0-9A-Za-z;=]{0,40})?>")
)
def test_any_refer_to_is_read_or_refused(value: str):
    try:
        asked = parse_refer(Request("REFER", "sip:x", Headers.of(("Refer-To", value))))
    except ProtocolError:
        return
    assert len(asked.number) <= 40
