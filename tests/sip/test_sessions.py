"""Long calls and demanding peers: session timers, PRACK, requests that cross, codecs that change."""

import pytest

from callqa.sip.events import CallAnswered, CallEnded, CallUnanswered, HangupParty, MediaChanged
from callqa.sip.legs.provisional import ReliableReceiver
from callqa.sip.legs.session_timer import SessionTimer, agree_as_client, agree_as_server, asking_longer
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.sdp import MediaDirection, parse_sdp
from callqa.units import Channel
from tests.sip.simulated import TRUNK, UA, Network, SimPhone, ringing_hotline

PCMA, PCMU = (8, "PCMA/8000"), (0, "PCMU/8000")


def connected(net: Network, *fields: tuple[str, str]) -> tuple[SimPhone, SimPhone]:
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", *fields)
    net.run(0.2)
    one.answer()
    net.run(0.2)
    assert trunk.log[-1] == "answered"
    return trunk, one


@pytest.mark.parametrize(
    ("fields", "timer", "said"),
    [
        ((), None, None),
        ((("Session-Expires", "1800"), ("Supported", "timer")), SessionTimer(1800, False), "1800;refresher=uac"),
        ((("x", "90;refresher=uas"), ("k", "100rel, timer")), SessionTimer(90, True), "90;refresher=uas"),
        ((("Session-Expires", "1800;refresher=uac"),), SessionTimer(1800, True), "1800;refresher=uas"),
        ((("Session-Expires", "1"), ("Supported", "timer")), SessionTimer(10, False), "10;refresher=uac"),
        ((("Session-Expires", "soon"),), None, None),
    ],
)
def test_what_a_server_agrees_to(fields: tuple[tuple[str, str], ...], timer: SessionTimer | None, said: str | None):
    agreed, answer = agree_as_server(Headers.of(*fields))
    assert agreed == timer and dict(answer).get("Session-Expires") == said
    assert dict(answer).get("Require") == ("timer" if said and said.endswith("uac") else None)


def test_what_a_client_agrees_to():
    assert agree_as_client(Headers.of(("Session-Expires", "600;refresher=uas"))) == SessionTimer(600, False)
    assert agree_as_client(Headers.of(("Session-Expires", "600"))) == SessionTimer(600, True)
    assert agree_as_client(Headers()) is None
    assert asking_longer(Headers.of(("Min-SE", "3600")))[0] == ("Session-Expires", "3600")
    assert asking_longer(Headers.of(("Min-SE", "x")))[1] == ("Min-SE", "1800")


def test_we_refresh_when_it_is_ours_to_and_the_call_lives_on():
    net = Network()
    trunk, _ = connected(net, ("Session-Expires", "120;refresher=uas"))
    assert trunk.responses("INVITE")[-1].headers.first("Session-Expires") == "120;refresher=uas"
    net.run(400)
    assert len(trunk.requests("UPDATE")) == 6 and not net.of(CallEnded)
    before = len(net.of(MediaChanged))
    assert before == 2, "a refresh changes nothing"
    trunk.hang_up()
    net.settle()


def test_a_peer_without_update_is_refreshed_by_the_same_sdp():
    net = Network()
    trunk, _ = connected(net, ("Session-Expires", "120;refresher=uas"))
    leg = next(x for x in net.ua._core.legs.values() if x.channel is Channel.CITIZEN)
    leg.reoffers.peer_updates = False
    sent = trunk.responses("INVITE")[-1].body
    net.run(70)
    assert [r.body for r in trunk.requests("INVITE")] == [sent]
    net.run(100)
    assert not net.of(CallEnded)
    trunk.hang_up()
    net.settle()


def test_a_peer_that_stops_refreshing_has_gone():
    net = Network()
    trunk, one = connected(net, ("Session-Expires", "120;refresher=uac"))
    net.run(300)
    assert not net.of(CallEnded), "it refreshes"
    net.lose = lambda data, a, b: a == TRUNK
    net.run(130)
    assert net.of(CallEnded)[0].hangup_party is HangupParty.NETWORK
    assert one.log[-1] == "ended"
    net.lose = lambda data, a, b: False
    trunk.legs[-1].end(net.now)
    net.settle()


def test_a_peer_that_knows_nothing_of_the_call_ends_it():
    net = Network()
    trunk, one = connected(net, ("Session-Expires", "60;refresher=uas"))
    trunk.core.legs.clear()
    net.run(40)
    assert net.of(CallEnded)[0].hangup_party is HangupParty.NETWORK and one.log[-1] == "ended"
    for alarm in list(trunk.legs[-1].reoffers._alarms):
        alarm.cancel()
    net.settle()


def test_an_interval_too_small_for_somebody_is_asked_again_longer():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    one.rings = two.rings = False
    trunk.call("12345")
    net.run(0.2)
    one.legs[-1].refuse(422, net.now, ("Min-SE", "240"))
    net.run(0.2)
    again = one.requests("INVITE")[-1]
    assert again.headers.first("Session-Expires") == "240" and again.headers.first("Min-SE") == "240"
    one.answer()
    net.run(0.2)
    net.run(300)
    assert trunk.log[-1] == "answered" and len(one.requests("UPDATE")) == 2
    trunk.hang_up()
    net.settle()


def test_a_codec_changed_on_one_side_changes_on_the_other_too():
    net = Network()
    trunk, one = connected(net)
    trunk.reinvite(MediaDirection.SENDRECV, codecs=(PCMU,))
    net.run(0.5)
    assert parse_sdp(one.requests("INVITE")[-1].body).codecs == (PCMU,)
    assert trunk.answers[-1].status == 200 and parse_sdp(trunk.answers[-1].body).codecs == (PCMU,)
    last = {e.channel: e.codecs for e in net.of(MediaChanged)}
    assert last == {Channel.CITIZEN: (PCMU,), Channel.AGENT: (PCMU,)}
    one.reinvite(MediaDirection.SENDRECV, codecs=(PCMA,))
    net.run(0.5)
    assert one.answers[-1].status == 200
    assert {e.channel: e.codecs for e in net.of(MediaChanged)} == {Channel.CITIZEN: (PCMA,), Channel.AGENT: (PCMA,)}
    trunk.hang_up()
    net.settle()


def test_a_codec_that_the_other_side_does_not_want_is_488_and_nothing_changes():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.2)
    one.answer(codecs=(PCMA,))
    net.run(0.2)
    before = net.of(MediaChanged)
    trunk.reinvite(MediaDirection.SENDRECV, codecs=(PCMU,))
    net.run(0.5)
    assert trunk.answers[-1].status == 488 and net.of(MediaChanged) == before
    trunk.hang_up()
    net.settle()


def test_a_hang_up_in_the_middle_of_a_codec_change():
    net = Network()
    trunk, one = connected(net)
    net.lose = lambda data, a, b: a == one.address
    trunk.reinvite(MediaDirection.SENDRECV, codecs=(PCMU,))
    net.run(0.2)
    trunk.hang_up()
    net.run(0.5)
    assert trunk.answers[-1].status == 487
    assert len(net.of(CallEnded)) == 1
    net.lose = lambda data, a, b: False
    one.legs[-1].end(net.now)
    net.settle()


def test_requests_that_cross_get_491_and_ours_is_tried_again():
    net = Network()
    trunk, one = connected(net)
    crossing = []

    def lose(data: bytes, a: tuple[str, int], b: tuple[str, int]) -> bool:
        if a == UA and b == one.address and data.startswith(b"INVITE") and not crossing:
            crossing.append(net.now)
            one.reinvite(MediaDirection.SENDONLY)  # leaves at the same moment as ours
        return False

    net.lose = lose
    one.core.legs[one.legs[-1].dialog.key].reoffers.outstanding = True  # it refuses ours, as it must
    trunk.reinvite(MediaDirection.SENDRECV, codecs=(PCMU,))
    net.run(0.1)
    one.legs[-1].reoffers.outstanding = False
    assert one.answers[-1].status == 491
    net.run(6)
    assert trunk.answers[-1].status == 200, "tried again after the pause"
    assert len([r for r in one.requests("INVITE") if r.to_tag]) == 2
    trunk.hang_up()
    net.settle()


def test_a_caller_who_requires_prack_gets_his_ringing_reliably():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    lost = []
    net.lose = lambda data, a, b: data.startswith(b"PRACK") and not lost and not lost.append(1)  # type: ignore[func-returns-value]
    trunk.call("12345", ("Require", "100rel"))
    net.run(2)
    ringing = [r for r in trunk.responses("INVITE") if r.status == 180]
    assert {r.headers.first("RSeq") for r in ringing} == {ringing[0].headers.first("RSeq")} and len(ringing) >= 2
    assert [r.status for r in trunk.responses("PRACK")] == [200]
    assert trunk.log == ["180"], "a repeated one is no news"
    one.answer()
    net.run(1)
    assert trunk.log[-1] == "answered"
    trunk.hang_up()
    net.settle()


def test_ringing_that_is_never_acknowledged_ends_the_attempt():
    net = Network()
    trunk, _ = ringing_hotline(net)
    net.lose = lambda data, a, b: data.startswith(b"PRACK")
    net.ua._core.desk = net.desk.model_copy(
        update={"routing": net.desk.routing.model_copy(update={"ring_timeout_s": 60})}
    )
    trunk.call("12345", ("Require", "100rel"))
    net.run(40)
    assert trunk.log[-1] == "refused 504" and not net.ua.calls()
    net.lose = lambda data, a, b: False
    net.settle()


def test_a_late_offer_with_prack_is_answered_without_ringing():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", ("Require", "100rel"), sdp=b"")
    net.run(0.5)
    assert [r.status for r in trunk.responses("INVITE")] == [100]
    one.answer()
    net.run(0.5)
    assert trunk.responses("INVITE")[-1].status == 200 and trunk.responses("INVITE")[-1].body
    assert len(net.of(CallAnswered)) == 1
    trunk.hang_up()
    net.settle()


def test_a_prack_for_nothing_is_481():
    net = Network()
    trunk, _ = connected(net)
    leg = trunk.legs[-1]
    request = leg.dialog.request("PRACK", fields=(("RAck", "1 1 INVITE"),))
    trunk.core.transactions.request(request, UA, TRUNK, net.now, on_response=lambda r, _s, _n: trunk.answers.append(r))
    net.run(0.2)
    assert trunk.answers[-1].status == 481
    trunk.hang_up()
    net.settle()


def test_early_media_of_a_carrier_that_sends_it_reliably():
    net = Network()
    carrier, (phone, _) = ringing_hotline(net)
    carrier.rings = False
    phone.call("13900001111")
    net.run(0.2)
    leg = carrier.legs[-1]
    assert "100rel" in carrier.requests("INVITE")[0].headers.tokens("Supported")
    assert leg.called is not None
    leg.called.be_reliable(7)
    leg.ring(183, leg.sdp((PCMA,), answering=leg.session), net.now)
    leg.ring(180, b"", net.now)
    net.run(1)
    assert [r.headers.first("RAck") for r in carrier.requests("PRACK")] == ["7 1 INVITE", "8 1 INVITE"]
    assert phone.log[0] == "183 sdp"
    carrier.answer(codecs=(PCMA,))
    net.run(1)
    assert phone.log[-1] == "answered"
    phone.hang_up()
    net.run(1)
    assert carrier.log[-1] == "ended" and not net.of(CallUnanswered)
    net.settle()


def test_numbers_of_reliable_responses_out_of_order_are_no_news():
    receiver = ReliableReceiver()
    assert [receiver.is_new("a", n) for n in ("5", "5", "7", "6", "7", "x", "0", "99999999999")] == [
        5, None, None, 6, 7, None, None, None,
    ]  # fmt: skip
    assert receiver.is_new("b", "1") == 1
