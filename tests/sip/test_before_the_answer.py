"""What a caller is told and hears before anybody answers, how he leaves, and what then counts as answered."""

import pytest

from callqa.sip.calls.caller_side import PROMPT_MOST_S
from callqa.sip.events import (
    Address,
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallQueued,
    CallUnanswered,
    MediaChanged,
    MediaOpened,
    PromptStarted,
    PromptStopped,
)
from callqa.sip.legs.dialog import Dialog
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.message import Request, Response, serialise
from callqa.sip.wire.sdp import Codecs, MediaDirection, parse_sdp
from callqa.units import Channel
from tests.sip.simulated import TRUNK, UA, LegState, Network, SimPhone, desk, ringing_hotline, seat

PCMU = ((0, "PCMU/8000"), (101, "telephone-event/8000"))
ONLY_PCMU = ((0, "PCMU/8000"),)


def hotline(*, busy: bool = False, **routing: object) -> tuple[Network, SimPhone, SimPhone]:
    """One seat, busy with a call of its own or not, and a caller."""
    made = desk(seat("8001", "801"))
    net = Network(made.model_copy(update={"routing": made.routing.model_copy(update={"queue_most": 5, **routing})}))
    trunk, (one,) = ringing_hotline(net, "8001")
    if busy:
        one.call("13700000000")
        net.run(0.5)
        trunk.answer()
        net.run(0.5)
    return net, SimPhone(net, (TRUNK[0], 5070), "13500000000"), one


def prompts(net: Network) -> list[str]:
    return [e.prompt for e in net.of(PromptStarted)]


def over(net: Network, prompt: str) -> None:
    """The process says that a prompt has been played."""
    net.ua.prompt_over(net.of(PromptStarted)[-1].call_id, prompt, net.now)
    net.run(0.2)


def statuses(phone: SimPhone) -> list[int]:
    return [r.status for r in phone.responses("INVITE")]


# -- the notice ---------------------------------------------------------------------------------------------------------


def test_the_notice_is_heard_wholly_before_any_seat_rings():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345")
    net.run(6)
    assert set(citizen.log) == {"183 sdp"} and not one.requests("INVITE")
    (started,) = net.of(PromptStarted)
    assert (started.prompt, started.file, started.loop, started.channel) == (
        "notice",
        "notice.wav",
        False,
        Channel.CITIZEN,
    )
    agreed = parse_sdp(citizen.responses("INVITE")[-1].body)
    assert agreed.codecs == ((8, "PCMA/8000"), (101, "telephone-event/8000")), "one voice codec, which we play with"
    before = [e for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN][-1]
    assert before.codecs[0] == (8, "PCMA/8000") and before.remote == (TRUNK[0], 31000)
    over(net, "notice")
    net.run(1)
    assert len(one.requests("INVITE")) == 1 and prompts(net)[-1] == "ringback", "he hears it ring in the same stream"
    offered = parse_sdp(one.requests("INVITE")[-1].body)
    assert offered.voice == ((8, "PCMA/8000"),)
    one.answer()
    net.run(1)
    assert statuses(citizen) == [100, 183, 183, 200] and isinstance(net.of(PromptStopped)[-1], PromptStopped)
    assert parse_sdp(citizen.responses("INVITE")[-1].body).codecs == agreed.codecs
    waited = net.of(CallAnswered)[-1].waited
    assert 5900 <= waited.notice_ms <= 6500 and waited.queued_ms == 0
    citizen.hang_up()
    net.settle()


def test_a_notice_whose_end_is_never_told_does_not_hold_the_call_for_ever():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345")
    net.run(PROMPT_MOST_S + 2)
    assert len(one.requests("INVITE")) == 1
    citizen.hang_up()
    net.settle()


def test_giving_up_during_the_notice_has_its_own_reason():
    net, citizen, _ = hotline(notice="notice.wav")
    leg = citizen.call("12345")
    net.run(2)
    citizen.hang_up(leg)
    net.run(1)
    (given_up,) = net.of(CallAbandoned)
    assert given_up.reason == "录音告知中挂机" and 1500 <= given_up.waited.notice_ms <= 2500
    over(net, "notice")
    net.settle()


def test_a_caller_who_only_speaks_the_other_law_is_played_to_in_it():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345", codecs=PCMU)
    net.run(1)
    assert next(e for e in net.of(MediaOpened) if e.channel is Channel.CITIZEN).codecs == PCMU
    assert parse_sdp(citizen.responses("INVITE")[-1].body).codecs == PCMU
    over(net, "notice")
    net.run(1)
    one.answer(codecs=PCMU)
    net.run(1)
    assert net.of(CallAnswered)
    citizen.hang_up()
    net.settle()


def test_a_seat_that_lacks_the_codec_of_the_prompts_is_left_out():
    net, citizen, one = hotline(notice="notice.wav", ring_timeout_s=10)
    citizen.call("12345")
    net.run(0.5)
    over(net, "notice")
    net.run(0.5)
    one.answer(codecs=ONLY_PCMU)
    net.run(1)
    assert statuses(citizen)[-1] == 488 and one.log[-1] == "ended"
    net.settle()


def test_after_the_notice_he_may_have_to_wait():
    net, citizen, one = hotline(notice="notice.wav", busy=True)
    citizen.call("12345")
    net.run(3)
    assert not net.of(CallQueued)
    over(net, "notice")
    assert prompts(net) == ["notice", "position:1"]
    net.run(2)
    citizen.hang_up()
    net.run(1)
    waited = net.of(CallAbandoned)[-1].waited
    assert net.of(CallAbandoned)[-1].reason == "排队中挂机" and waited.position == 1
    assert 2900 <= waited.notice_ms <= 3300 and 1900 <= waited.queued_ms <= 2500
    one.hang_up()
    net.settle()


# -- prompts after a 200 ------------------------------------------------------------------------------------------------


def test_answered_for_the_prompts_is_not_answered_until_somebody_talks():
    net, citizen, one = hotline(notice="notice.wav", early_prompts=False)
    citizen.call("12345")
    net.run(3)
    assert citizen.log == ["answered"] and not net.of(CallAnswered)
    assert [c.state for c in net.ua.calls()] == ["ringing"]
    over(net, "notice")
    net.run(1)
    assert prompts(net) == ["notice", "ringback"]
    net.run(4)
    one.answer()
    net.run(0.5)
    (answered,) = net.of(CallAnswered)
    assert answered.now == pytest.approx(net.now - 0.5, abs=0.1), "t = 0 is when the agent is connected"
    assert statuses(citizen) == [100, 200] and [e.channel for e in net.of(PromptStopped)][-1] is Channel.CITIZEN
    one.hang_up()
    net.run(1)
    assert citizen.log[-1] == "ended" and net.of(CallEnded)
    net.settle()


def test_hanging_up_after_that_200_is_still_abandoned():
    net, citizen, one = hotline(early_prompts=False, busy=True)
    citizen.call("12345")
    net.run(8)
    assert citizen.log == ["answered"]
    citizen.hang_up()
    net.run(1)
    (given_up,) = net.of(CallAbandoned)
    assert given_up.reason == "排队中挂机" and not [e for e in net.of(CallAnswered) if e.call_id == given_up.call_id]
    assert not [e for e in net.of(CallEnded) if e.call_id == given_up.call_id]
    one.hang_up()
    net.settle()


def test_who_cannot_be_served_after_that_200_gets_bye_and_the_call_its_reason():
    net, citizen, one = hotline(early_prompts=False, busy=True, queue_wait_s=20)
    citizen.call("12345")
    net.run(22)
    assert citizen.log == ["answered", "ended"]
    assert [e.reason for e in net.of(CallUnanswered)] == ["排队超时"]
    one.hang_up()
    net.settle()


def test_an_ack_that_never_comes_is_a_lost_caller():
    net, citizen, one = hotline(early_prompts=False, busy=True)
    net.lose = lambda data, a, b: a == citizen.address and data.startswith(b"ACK")
    citizen.call("12345")
    net.run(40)
    assert net.of(CallAbandoned)[-1].reason == "排队中掉线"
    one.hang_up()
    net.settle()


def test_hold_while_waiting_is_answered_and_told():
    net, citizen, one = hotline(early_prompts=False, busy=True)
    citizen.call("12345")
    net.run(1)
    citizen.reinvite(MediaDirection.INACTIVE)
    net.run(1)
    assert citizen.answers[-1].status == 200
    assert [e for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN][-1].remote is None
    citizen.reinvite(MediaDirection.SENDRECV)
    net.run(1)
    one.hang_up()
    net.run(1)
    one.answer()
    net.run(1)
    assert net.of(CallAnswered)[-1].seat_extension == "8001"
    citizen.hang_up()
    net.settle()


@pytest.mark.parametrize("codecs", [PCMU, ((8, "PCMA/8000"),)])
def test_a_late_offer_is_answered_for_the_prompts_which_begin_with_its_ack(codecs: Codecs):
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345", sdp=b"")
    late_ack(citizen, codecs)
    net.run(2)
    assert prompts(net) == ["notice"]
    assert [e for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN][-1].codecs == codecs
    over(net, "notice")
    net.run(1)
    one.answer()
    net.run(1)
    assert (
        net.of(CallAnswered)
        and [e for e in net.of(MediaChanged) if e.channel is Channel.AGENT][-1].codecs[0] == codecs[0]
    )
    citizen.hang_up()
    net.settle()


def test_a_late_offer_answered_with_a_codec_we_lack_ends_the_call():
    net, citizen, _ = hotline(notice="notice.wav")
    citizen.call("12345", sdp=b"")
    late_ack(citizen, ((18, "G729/8000"),))
    net.run(2)
    assert not prompts(net) and net.of(CallUnanswered)[-1].sip_status == 488 and citizen.log[-1] == "ended"
    net.settle()


def late_ack(phone: SimPhone, codecs: Codecs) -> None:
    """Have the phone put its answer into its ACK, as one does that offered nothing in its INVITE."""
    leg = phone.legs[-1]

    def acknowledge(dialog: Dialog, cseq: int) -> None:
        t = phone.core.transactions
        ack = t.with_via(dialog.request("ACK", cseq=cseq, body=leg.sdp(codecs)), t.new_branch(), phone.address)
        phone.core.send(serialise(ack), UA)

    leg.acknowledge = acknowledge  # type: ignore[method-assign]


def test_a_late_offer_whose_ack_says_nothing_is_played_to_all_the_same():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345", sdp=b"")
    net.run(1)
    assert prompts(net) == ["notice"]
    over(net, "notice")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    assert net.of(CallAnswered)
    citizen.hang_up()
    net.settle()


# -- whether he is still there ------------------------------------------------------------------------------------------


def without_100rel(net: Network) -> None:
    """Callers of this network know nothing of reliable responses."""
    inject = net.ua.receive

    def receive(data: bytes, source: Address, now: float) -> None:
        inject(data.replace(b"Supported: 100rel, ", b"Supported: "), source, now)

    net.ua.receive = receive  # type: ignore[method-assign]


def test_who_cannot_confirm_gets_the_same_again_every_minute():
    net, citizen, one = hotline(busy=True)
    without_100rel(net)
    citizen.call("12345")
    net.run(185)
    ringing = [r for r in citizen.responses("INVITE") if r.status == 183]
    assert (
        len(ringing) == 5 and len({r.body for r in ringing}) == 1 and not any(r.headers.first("RSeq") for r in ringing)
    )
    one.hang_up()
    citizen.hang_up()
    net.settle()


def test_early_media_whose_first_response_was_lost_is_heard_soon_after():
    net, citizen, one = hotline(busy=True)
    lost: list[bytes] = []

    def lose(data: bytes, a: Address, b: Address) -> bool:
        if b == citizen.address and data.startswith(b"SIP/2.0 183") and not lost:
            lost.append(data)
            return True
        return False

    net.lose = lose
    citizen.call("12345")
    net.run(2)
    assert lost and citizen.log == ["183 sdp"]
    citizen.hang_up()
    one.hang_up()
    net.settle()


def test_who_can_confirm_does_and_stays():
    net, citizen, one = hotline(busy=True)
    citizen.call("12345")
    net.run(250)
    sent = [r for r in citizen.responses("INVITE") if r.headers.first("RSeq")]
    assert len(sent) == 4 and [bool(r.body) for r in sent] == [True, False, False, False]
    assert [c.state for c in net.ua.calls()][-1] == "queued"
    one.hang_up()
    net.run(1)
    one.answer()
    net.run(1)
    assert citizen.log[-1] == "answered"
    citizen.hang_up()
    net.settle()


def test_one_whose_network_died_leaves_the_queue():
    net, citizen, one = hotline(busy=True)
    citizen.call("12345")
    net.run(10)
    net.lose = lambda data, a, b: citizen.address in (a, b)
    net.run(60 + 40)
    (gone,) = net.of(CallAbandoned)
    assert gone.reason == "排队中掉线" and [c.state for c in net.ua.calls()] == ["talking"]
    one.hang_up()
    net.settle()


def test_one_who_died_after_a_200_for_the_prompts_leaves_the_queue():
    net, citizen, one = hotline(busy=True, early_prompts=False, queue_wait_s=600)
    citizen.call("12345")
    net.run(70)
    assert citizen.requests("OPTIONS")
    net.lose = lambda data, a, b: citizen.address in (a, b)
    net.run(60 + 40)
    assert net.of(CallAbandoned)[0].reason == "排队中掉线"
    one.hang_up()
    net.settle()


def test_one_who_never_answers_options_is_believed_to_be_there():
    net, citizen, one = hotline(busy=True, early_prompts=False, queue_wait_s=600)
    net.lose = lambda data, a, b: b == citizen.address and data.startswith(b"OPTIONS")
    citizen.call("12345")
    net.run(300)
    assert [c.state for c in net.ua.calls()][-1] == "queued"
    one.hang_up()
    citizen.hang_up()
    net.settle()


def test_one_who_says_that_he_knows_nothing_of_the_call_is_gone():
    net, citizen, one = hotline(busy=True, early_prompts=False, queue_wait_s=600)
    leg = citizen.call("12345")
    net.run(2)
    citizen.core.legs.pop(leg.dialog.key)
    net.run(65)
    assert net.of(CallAbandoned)[0].reason == "排队中掉线"
    one.hang_up()
    net.settle()


# -- reliable responses, CANCEL, UPDATE ---------------------------------------------------------------------------------


def test_reliable_prompts_are_confirmed_once_and_never_repeat_their_description():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345", ("Require", "100rel"))
    net.run(100)
    described = [r for r in citizen.responses("INVITE") if r.body]
    assert [r.status for r in described] == [183] and len(net.of(PromptStarted)) == 1
    over(net, "notice")
    net.run(1)
    one.answer()
    net.run(1)
    assert citizen.log[-1] == "answered"
    citizen.hang_up()
    net.settle()


def test_cancel_after_the_agent_answered_and_before_the_200_could_be_sent_ends_both():
    """The 200 waits for the PRACK of the description before it (RFC 3262 §3); the agent is on the phone already."""
    net, citizen, one = hotline(notice="notice.wav")
    leg = citizen.call("12345", ("Require", "100rel"))
    net.lose = lambda data, a, b: data.startswith(b"PRACK")
    net.run(1)
    over(net, "notice")
    net.run(1)
    one.answer()
    net.run(0.5)
    assert net.of(CallAnswered) and 200 not in statuses(citizen)
    citizen.hang_up(leg)
    net.run(1)
    assert statuses(citizen)[-1] == 487 and one.log[-1] == "ended"
    assert [type(e).__name__ for e in net.events if type(e) in (CallEnded, CallAbandoned)] == ["CallEnded"]
    net.settle()


def test_a_caller_who_dies_between_the_agents_answer_and_his_200_ends_it_as_network():
    net, citizen, one = hotline(notice="notice.wav")
    citizen.call("12345", ("Require", "100rel"))
    net.lose = lambda data, a, b: citizen.address in (a, b)
    net.run(1)
    over(net, "notice")
    net.run(1)
    one.answer()
    net.run(40)
    assert one.log[-1] == "ended" and [e.hangup_party for e in net.of(CallEnded)] == ["network"]
    net.settle()


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("after_s", [0.0, 0.004, 0.011, 0.5, 3.0, 5.2, 9.9, 10.004, 10.3])
def test_the_caller_may_leave_at_any_moment(after_s: float, early: bool):
    """Through notice, queue and ringing; nothing is left behind whenever he goes."""
    net, citizen, one = hotline(busy=True, notice="notice.wav", early_prompts=early)
    citizen.rings = False
    began = net.now
    leg = citizen.call("12345")
    for at, what in ((3.0, lambda: over(net, "notice")), (5.0, lambda: over(net, "position:1")), (10.0, one.hang_up)):
        if at <= after_s:
            net.run(began + at - net.now)
            what()
    net.run(max(0.0, began + after_s - net.now))
    citizen.hang_up(leg)
    net.run(2)
    ends = [*net.of(CallAbandoned), *[e for e in net.of(CallUnanswered) if e.call_id == "CALL-2"]]
    assert len(ends) == 1
    one.hang_up(next((x for x in one.legs if x.talks), one.legs[-1]))
    net.settle()


def update(net: Network, phone: SimPhone, leg: Leg, body: bytes) -> Response:
    request = leg.dialog.request("UPDATE", body=body)
    phone.core.transactions.request(
        request, phone.server, phone.address, net.now, on_response=lambda r, _s, _n: phone.answers.append(r)
    )
    net.run(0.3)
    return phone.answers[-1]


def early_dialog(phone: SimPhone) -> Leg:
    """The phone's leg with the tag that our provisional response gave it."""
    leg = phone.legs[-1]
    leg.dialog.remote_tag = next(r.to_tag for r in phone.responses("INVITE") if r.status > 100)
    return leg


def test_an_update_with_an_offer_before_a_reliable_answer_gets_500_and_may_come_again():
    net, citizen, one = hotline()
    citizen.call("12345")
    net.run(0.5)
    leg = early_dialog(citizen)
    refused = update(net, citizen, leg, leg.sdp(citizen.codecs))
    assert refused.status == 500 and 0 <= int(refused.headers.first("Retry-After") or "99") <= 10
    assert update(net, citizen, leg, b"").status == 200, "a refresh without an offer is fine"
    one.answer()
    net.run(0.5)
    assert net.of(CallAnswered)
    leg.dialog.local_cseq += 1
    citizen.hang_up()
    net.settle()


def test_an_update_after_a_confirmed_early_answer_moves_the_media():
    net, citizen, _ = hotline(notice="notice.wav")
    citizen.call("12345", ("Require", "100rel"))
    net.run(0.5)
    leg = early_dialog(citizen)
    moved = leg.sdp(((8, "PCMA/8000"),)).replace(b"m=audio 31000", b"m=audio 31700")
    answer = update(net, citizen, leg, moved)
    assert answer.status == 200 and parse_sdp(answer.body).voice == ((8, "PCMA/8000"),)
    assert [e for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN][-1].remote == (TRUNK[0], 31700)
    assert update(net, citizen, leg, leg.sdp(((0, "PCMU/8000"),))).status == 488
    citizen.hang_up()
    net.run(1)
    assert net.of(CallAbandoned)
    net.settle()


def test_a_second_invite_before_the_answer_gets_500():
    net, citizen, _ = hotline()
    citizen.call("12345")
    net.run(0.5)
    leg = early_dialog(citizen)
    citizen.reinvite(MediaDirection.SENDONLY, leg)
    net.run(0.5)
    assert citizen.answers[-1].status == 500 and citizen.answers[-1].headers.first("Retry-After")
    citizen.hang_up()
    net.settle()


def test_an_offer_that_meets_our_unansweredone_gets_491():
    net, _, one = hotline()
    trunk = next(p for p in net.phones.values() if p.user == "13871206358")
    one.call("13900001111")
    net.run(0.5)
    leg = trunk.legs[-1]
    assert update(net, trunk, leg, leg.sdp(trunk.codecs[:1])).status == 491
    trunk.answer()
    net.run(0.5)
    assert one.log[-1] == "answered"
    one.hang_up()
    net.settle()


def test_requests_in_an_early_dialog_do_no_harm():
    net, citizen, one = hotline(busy=True)
    citizen.call("12345")
    net.run(0.5)
    leg = early_dialog(citizen)
    for method in ("INFO", "OPTIONS", "PRACK", "UPDATE"):
        request: Request = leg.dialog.request(method)
        citizen.core.transactions.request(
            request, UA, citizen.address, net.now, on_response=lambda r, _s, _n: citizen.answers.append(r)
        )
        net.run(0.2)
    assert [r.status for r in citizen.answers[-4:]] == [200, 200, 481, 200] and leg.state is LegState.EARLY
    citizen.hang_up()
    one.hang_up()
    net.settle()
