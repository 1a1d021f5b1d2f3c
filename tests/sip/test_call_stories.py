"""Call stories: phones and a trunk around the user agent, on a virtual clock; every story ends with nothing left behind."""

from dataclasses import replace

import pytest

from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallStarted,
    CallUnanswered,
    HangupParty,
    MediaChanged,
    MediaOpened,
    SeatRegistered,
    SeatUnregistered,
    SipFault,
)
from callqa.sip.useragent import UserAgent, UserAgentSettings
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request, parse_message, serialise
from callqa.sip.wire.sdp import MediaDirection, parse_sdp
from callqa.units import Channel
from tests.sip.simulated import TRUNK, UA, LegState, Network, Ports, SimPhone, counter, desk, ringing_hotline, seat

PCMU = ((0, "PCMU/8000"), (101, "telephone-event/8000"))


def talking(net: Network) -> tuple[SimPhone, list[SimPhone]]:
    trunk, phones = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    phones[0].answer()
    net.run(1)
    assert trunk.log[-1] == "answered"
    return trunk, phones


def test_first_phone_to_answer_gets_the_call_and_the_others_stop_ringing():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    trunk.call("12345", ("X-Ticket-Id", "SW202611060031"), ("User-to-User", "abc;encoding=hex"))
    net.run(1)
    assert trunk.log == ["180"]
    two.answer()
    net.run(1)
    assert trunk.log == ["180", "answered"]
    assert one.log == ["cancelled"]
    invite = two.requests("INVITE")[0]
    assert invite.headers.first("X-Ticket-Id") == "SW202611060031"
    assert invite.headers.first("User-to-User") == "abc;encoding=hex"
    assert invite.from_.uri.user == "13871206358"
    trunk.hang_up()
    net.run(1)
    assert two.log == ["ended"]
    assert net.names() == [
        "CallStarted", "MediaOpened", "MediaOpened", "CallRinging", "MediaChanged", "MediaChanged", "CallAnswered", "CallEnded", "MediaClosed",
    ]  # fmt: skip
    (started,) = net.of(CallStarted)
    assert (started.from_number, started.to_number, started.ticket_hint) == ("13871206358", "12345", "SW202611060031")
    (answered,) = net.of(CallAnswered)
    assert answered.seat_extension == "8002" and len(set(answered.sip_call_ids)) == 2
    assert net.of(CallEnded)[0].hangup_party is HangupParty.CITIZEN
    net.settle()


def test_media_meets_at_us_and_the_codec_of_the_answer_is_the_callers():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")  # offers PCMA, PCMU
    net.run(1)
    one.answer(codecs=PCMU)
    net.run(1)
    answer = parse_sdp(trunk.responses("INVITE")[-1].body)
    assert answer.codecs == PCMU and answer.host == UA[0]
    offered = parse_sdp(one.requests("INVITE")[0].body)
    assert offered.host == UA[0] and offered.codecs[:2] == ((8, "PCMA/8000"), (0, "PCMU/8000"))
    opened = {e.channel: e.local_port for e in net.of(MediaOpened)}
    assert (
        opened[Channel.CITIZEN] == answer.port and opened[Channel.AGENT] == offered.port and answer.port != offered.port
    )
    last = {e.channel: e for e in net.of(MediaChanged)}
    assert last[Channel.AGENT].remote == ("10.0.2.1", 30000) and last[Channel.AGENT].codecs == PCMU
    assert last[Channel.CITIZEN].remote == (TRUNK[0], 31000) and last[Channel.CITIZEN].codecs == PCMU
    one.hang_up()
    net.run(1)
    assert net.of(CallEnded)[0].hangup_party is HangupParty.AGENT and trunk.log[-1] == "ended"
    net.settle()


def test_media_of_a_trunk_comes_with_all_of_its_addresses():
    """A carrier's voice may come from a gateway that its signalling never names; the phones' comes from no trunk."""
    plain = desk()
    carrier = plain.trunks[0].model_copy(update={"addresses": ("10.0.1.0/24", "192.0.2.20")})
    net = Network(plain.model_copy(update={"trunks": (carrier,)}))
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    told = {(type(e), e.channel): e.trunk_addresses for kind in (MediaOpened, MediaChanged) for e in net.of(kind)}
    listed = ("10.0.1.0/24", "192.0.2.20", TRUNK[0])
    assert told == {
        (kind, channel): listed if channel is Channel.CITIZEN else ()
        for kind in (MediaOpened, MediaChanged)
        for channel in Channel
    }


def test_caller_gives_up_and_every_phone_stops_ringing():
    net = Network()
    trunk, phones = ringing_hotline(net)
    leg = trunk.call("12345")
    net.run(1)
    trunk.hang_up(leg)
    net.run(1)
    assert [p.log for p in phones] == [["cancelled"], ["cancelled"]]
    assert [r.status for r in trunk.responses("INVITE")][-1] == 487
    assert len(net.of(CallAbandoned)) == 1 and not net.of(CallUnanswered)
    net.settle()


def test_all_phones_busy_is_486():
    net = Network()
    trunk, phones = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.5)
    for phone in phones:
        phone.refuse(486)
    net.run(1)
    assert trunk.log[-1] == "refused 486"
    assert (net.of(CallUnanswered)[0].reason, net.of(CallUnanswered)[0].sip_status) == ("全部占线", 486)
    net.settle()


def test_nobody_signed_in_is_480_and_still_a_call():
    net = Network(desk(seat("8001", None), seat("8002", None)))
    trunk, _ = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    assert trunk.log[-1] == "refused 480"
    assert net.names() == ["CallStarted", "MediaOpened", "CallUnanswered", "MediaClosed"]
    assert net.of(CallUnanswered)[0].reason == "无席位签入"
    net.settle()


def test_signed_in_without_a_registered_phone_is_480():
    net = Network()
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("12345")
    net.run(1)
    assert net.of(CallUnanswered)[0].reason == "无席位签入"
    net.settle()


def test_no_answer_within_the_ring_time_is_480_and_cancels_the_phones():
    net = Network(desk(ring_timeout_s=20))
    trunk, phones = ringing_hotline(net)
    trunk.call("12345")
    net.run(25)
    assert trunk.log[-1] == "refused 480" and [p.log for p in phones] == [["cancelled"], ["cancelled"]]
    assert net.of(CallUnanswered)[0].reason == "无人接听"
    net.settle()


def test_phone_that_never_answers_anything_does_not_hold_the_call():
    net = Network(desk(seat("8001"), ring_timeout_s=60))
    trunk, (phone,) = ringing_hotline(net, "8001")
    net.lose = lambda data, a, b: b == phone.address
    trunk.call("12345")
    net.run(40)  # timer B
    assert net.of(CallUnanswered)[0].reason == "无人接听"
    net.settle()


def test_retransmitted_invite_stays_one_call():
    net = Network()
    trunk, phones = ringing_hotline(net)
    trunk.call("12345")
    data = next(d for _, d, a, _ in net.wire if a == TRUNK)
    for _ in range(5):
        net.inject(data, TRUNK)
        net.run(0.2)
    phones[0].answer()
    net.run(0.2)
    net.inject(data, TRUNK)
    net.run(0.5)
    assert len(net.of(CallStarted)) == 1 and len(phones[0].requests("INVITE")) == 1
    trunk.hang_up()
    net.settle()


def test_same_request_under_another_branch_is_482():
    net = Network()
    trunk, _ = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.1)
    first = parse_message(next(d for _, d, a, _ in net.wire if a == TRUNK))
    assert isinstance(first, Request)
    other = replace(first, headers=first.headers.replaced("Via", "SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKother;rport"))
    net.inject(serialise(other), TRUNK)
    net.run(0.5)
    assert 482 in [r.status for r in trunk.responses("INVITE")]
    assert len(net.of(CallStarted)) == 1
    trunk.hang_up()
    net.settle()


def test_lost_ack_repeats_the_200_then_ends_the_call_as_network():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    net.lose = lambda data, a, b: a == TRUNK and data.startswith(b"ACK")
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(40)
    assert sum(r.status == 200 for r in trunk.responses("INVITE")) >= 8
    assert net.of(CallEnded)[0].hangup_party is HangupParty.NETWORK
    assert one.log[-1] == "ended" and trunk.log[-1] == "ended"
    net.settle()


def test_late_200_of_a_cancelled_phone_is_acknowledged_and_ended():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    one.answer()
    two.answer()  # in the same instant: its CANCEL is not there yet
    net.run(1)
    assert one.log == [] and two.log == ["ended"]
    assert [r.method for r in two.got if isinstance(r, Request)][-3:].count("BYE") == 1 and two.requests("ACK")
    assert net.of(CallAnswered)[0].seat_extension == "8001"
    trunk.hang_up()
    net.settle()


def test_lost_200_of_the_phone_is_acknowledged_when_it_comes_again():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    lost = []

    def lose(data: bytes, a: tuple[str, int], b: tuple[str, int]) -> bool:
        if a == UA and b == one.address and data.startswith(b"ACK") and not lost:
            lost.append(data)
            return True
        return False

    net.lose = lose
    one.answer()
    net.run(3)
    assert lost and len(one.requests("ACK")) == 1 and one.legs[-1].state is LegState.CONFIRMED
    trunk.hang_up()
    net.settle()


def test_hold_and_resume_are_answered_here_and_told_once_each():
    net = Network()
    trunk, (one, _) = talking(net)
    before = len(one.got)
    trunk.reinvite(MediaDirection.SENDONLY)
    net.run(1)
    assert parse_sdp(trunk.answers[-1].body).direction is MediaDirection.RECVONLY
    assert [c.state for c in net.ua.calls()] == ["held"]
    trunk.reinvite(MediaDirection.SENDRECV)
    net.run(1)
    assert parse_sdp(trunk.answers[-1].body).direction is MediaDirection.SENDRECV
    held = [e.held for e in net.of(MediaChanged) if e.channel is Channel.CITIZEN]
    assert held[-2:] == [True, False]
    assert len(one.got) == before, "a hold is not passed on"
    one.reinvite(MediaDirection.INACTIVE)
    net.run(1)
    assert parse_sdp(one.answers[-1].body).direction is MediaDirection.INACTIVE
    last = net.of(MediaChanged)[-1]
    assert (last.channel, last.held, last.remote) == (Channel.AGENT, True, None)
    trunk.hang_up()
    net.settle()


def test_old_style_hold_with_zero_address():
    net = Network()
    trunk, _ = talking(net)
    leg = trunk.legs[-1]
    body = leg.sdp(leg.codecs).replace(b"c=IN IP4 10.0.1.1", b"c=IN IP4 0.0.0.0")
    trunk.core.transactions.request(
        leg.dialog.request("INVITE", body=body), UA, TRUNK, net.now, on_response=lambda r, s, n: trunk.answers.append(r)
    )
    net.run(0.2)
    assert trunk.answers[-1].status == 200
    assert (net.of(MediaChanged)[-1].held, net.of(MediaChanged)[-1].remote) == (True, None)
    net.run(40)  # its ACK never comes: the call is ended
    assert net.of(CallEnded)[0].hangup_party is HangupParty.NETWORK
    net.settle()


def test_session_refresh_changes_nothing():
    net = Network()
    trunk, (one, _) = talking(net)
    changes = len(net.of(MediaChanged))
    one.reinvite(MediaDirection.SENDRECV)
    net.run(0.5)
    first = parse_sdp(one.answers[-1].body)
    one.reinvite(MediaDirection.SENDRECV, method="UPDATE")
    net.run(0.5)
    assert [a.status for a in one.answers[-2:]] == [200, 200] and parse_sdp(one.answers[-1].body) == first
    assert len(net.of(MediaChanged)) == changes
    trunk.hang_up()
    net.settle()


def test_reinvite_without_the_agreed_codec_gets_488_and_the_call_goes_on():
    net = Network()
    trunk, (one, _) = talking(net)
    trunk.reinvite(MediaDirection.SENDRECV, codecs=((9, "G722/8000"),))
    net.run(0.5)
    assert trunk.answers[-1].status == 488 and len(net.ua.calls()) == 1
    one.hang_up()
    net.settle()


def test_outbound_call_of_a_registered_seat_goes_to_the_trunk():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.call("13900001111", ("X-Ticket-Id", "SW1"))
    net.run(1)
    assert one.log == ["180"]
    invite = trunk.requests("INVITE")[0]
    assert invite.uri == "sip:13900001111@10.0.1.1:5060" and invite.from_.uri.user == "02784770000"
    assert invite.headers.first("X-Ticket-Id") == "SW1"
    trunk.answer()
    net.run(1)
    assert one.log == ["180", "answered"]
    (started,) = net.of(CallStarted)
    assert (started.direction, started.seat_extension, started.to_number) == ("outbound", "8001", "13900001111")
    assert {e.channel for e in net.of(MediaOpened)} == {Channel.CITIZEN, Channel.AGENT}
    trunk.hang_up()
    net.run(1)
    assert net.of(CallEnded)[0].hangup_party is HangupParty.CITIZEN and one.log[-1] == "ended"
    net.settle()


def test_outbound_early_media_and_failure_are_passed_back():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.rings = False
    one.call("13900001111")
    net.run(0.2)
    leg = trunk.legs[-1]
    leg.ring(183, leg.sdp(PCMU, answering=leg.session), net.now)
    net.run(0.2)
    assert one.log == ["183 sdp"]
    trunk.refuse(404)
    net.run(1)
    assert one.log[-1] == "refused 404" and net.of(CallUnanswered)[0].reason == "空号"
    net.settle()


def test_number_outside_the_dial_plan_is_403_with_a_fault():
    net = Network()
    _, (one, _) = ringing_hotline(net)
    one.call("0018005551234")
    net.run(1)
    assert one.log == ["refused 403"] and "拨号方案" in net.of(SipFault)[0].text
    net.settle()


def test_outbound_without_registration_is_403():
    net = Network()
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    phone.call("13900001111")
    net.run(1)
    assert phone.log == ["refused 403"] and "没有注册" in net.of(SipFault)[0].text
    net.settle()


def test_invite_from_a_stranger_is_403_and_told_once():
    net = Network()
    stranger = SimPhone(net, ("203.0.113.9", 5060), "anybody")
    for _ in range(5):
        stranger.call("13900001111")
        net.run(0.5)
    assert stranger.log == ["refused 403"] * 5 and len(net.of(SipFault)) == 1 and not net.of(CallStarted)
    net.settle()


def test_wrong_password_is_403_and_the_right_one_still_works():
    net = Network(digest=("SHA-256", "MD5"))
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register(password="wrong") == 403
    assert "密码" in net.of(SipFault)[0].text
    assert phone.register() == 200
    assert phone.register(algorithm="SHA-256") == 200
    assert SimPhone(net, ("10.0.2.9", 5060), "9999").register() == 403


def test_registration_expires_and_is_told():
    net = Network()
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register(30) == 423 and phone.answers[-1].headers.first("Min-Expires") == "60"
    assert phone.register(60) == 200
    net.run(61)
    assert len(net.of(SeatRegistered)) == 1 and len(net.of(SeatUnregistered)) == 1
    assert not net.ua.seats()[0].registered
    assert phone.register(60) == 200 and phone.register(0) == 200
    assert len(net.of(SeatUnregistered)) == 2
    assert phone.register(60, contact="<sip:8001@10.0.2.1:5060>") == 200
    assert phone.register(0, contact="*") == 200 and not net.ua.seats()[0].registered


def test_several_contacts_ring_together_and_a_query_lists_them():
    net = Network(desk(seat("8001")))
    desk_phone, soft_phone = (SimPhone(net, (f"10.0.2.{i}", 5060), "8001") for i in (1, 2))
    soft_phone._cseq = 100
    assert desk_phone.register() == 200
    assert soft_phone.register() == 200
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("12345")
    net.run(0.5)
    assert len(desk_phone.legs) == len(soft_phone.legs) == 1
    soft_phone.answer()
    net.run(0.5)
    assert desk_phone.log == ["cancelled"]
    assert len(soft_phone.answers[-1].headers.all("Contact")) == 2
    trunk.hang_up()
    net.settle()


def test_registrations_survive_a_restart():
    net = Network()
    _, phones = ringing_hotline(net)
    saved = net.ua.registrations(net.now, 1_700_000_000_000)
    again = UserAgent(UserAgentSettings(UA, lambda _: UA[0], b"other"), net.desk, Ports(), counter("C"), counter("n"))
    again.restore_registrations(saved, 5.0, 1_700_000_010_000)
    assert all(s.registered for s in again.seats())
    again.restore_registrations(({"nonsense": 1},), 5.0, 0)  # type: ignore[arg-type]  # a damaged file
    again.advance(5.0 + 600)
    assert not any(s.registered for s in again.seats())
    net.ua = again
    assert phones[0].register() == 200, "an old nonce is stale, not wrong"


def test_bye_for_an_unknown_dialog_is_481():
    net = Network()
    trunk = SimPhone(net, TRUNK, "1")
    for method in ("BYE", "INFO", "UPDATE"):
        trunk.ask(method, to="<sip:x@10.0.0.1>;tag=unknown")
        net.run(0.1)
        assert trunk.answers[-1].status == 481
    trunk.ask("BYE")
    net.run(0.1)
    assert trunk.answers[-1].status == 481
    trunk.ask("CANCEL")
    net.run(0.1)
    assert trunk.answers[-1].status == 481
    net.settle()


def test_requests_that_are_refused_before_anything_else():
    net = Network()
    trunk = SimPhone(net, TRUNK, "1")

    def status(method: str, *fields: tuple[str, str | None]) -> int:
        trunk.ask(method, *fields, call_id=f"{method}{len(trunk.answers)}")
        net.run(0.1)
        return trunk.answers[-1].status

    assert status("OPTIONS") == 200 and "INVITE" in trunk.answers[-1].headers.tokens("Allow")
    assert status("OPTIONS", ("Max-Forwards", "0")) == 200, "it is for us"
    assert status("INVITE", ("Max-Forwards", "0")) == 483, "it would go on from here"
    assert status("SUBSCRIBE") == 405 and status("FLY") == 501
    assert status("INVITE", ("Require", "100rel, precondition")) == 420
    assert trunk.answers[-1].headers.tokens("Unsupported") == ("precondition",)
    net.settle()


def test_answer_mode_records_one_leg_at_once():
    net = Network(desk(mode="answer"))
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("9000")
    net.run(1)
    assert trunk.log == ["answered"]
    assert parse_sdp(trunk.responses("INVITE")[-1].body).direction is MediaDirection.RECVONLY
    assert net.names() == ["CallStarted", "MediaOpened", "CallAnswered"]
    trunk.reinvite(MediaDirection.SENDONLY)
    net.run(0.5)
    trunk.hang_up()
    net.run(1)
    assert net.names()[-2:] == ["CallEnded", "MediaClosed"]
    net.settle()


def offer_of(formats: str, *lines: str) -> bytes:
    head = f"v=0\r\no=- 1 1 IN IP4 {TRUNK[0]}\r\ns=-\r\nc=IN IP4 {TRUNK[0]}\r\nt=0 0\r\nm=audio 31000 RTP/AVP {formats}\r\n"
    return (head + "".join(f"{line}\r\n" for line in lines)).encode()


@pytest.mark.parametrize(
    ("formats", "lines", "taken", "answered"),
    [
        ("18 9", (), (18, "G729/8000"), ("a=rtpmap:18 G729/8000",)),
        ("18", ("a=fmtp:18 annexb=no",), (18, "G729/8000"), ("a=fmtp:18 annexb=no",)),
        ("9 8", (), (9, "G722/8000"), ("a=rtpmap:9 G722/8000",)),
        (
            "97 111 8",
            ("a=rtpmap:97 ILBC/8000", "a=rtpmap:111 opus/48000/2", "a=fmtp:97 mode=30", "a=fmtp:111 useinbandfec=1"),
            (111, "OPUS/48000"),
            ("a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1"),
        ),
        (
            "96",
            ("a=rtpmap:96 AMR/8000", "a=fmtp:96 octet-align=1"),
            (96, "AMR/8000"),
            ("a=fmtp:96 octet-align=1",),
        ),
    ],
)
def test_answer_mode_takes_every_codec_that_can_be_decoded(formats, lines, taken, answered):
    """It only listens: a PBX that records in G.729 was refused."""
    net = Network(desk(mode="answer"))
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("9000", sdp=offer_of(formats, *lines))
    net.run(1)
    assert net.names()[:3] == ["CallStarted", "MediaOpened", "CallAnswered"]
    assert net.of(MediaOpened)[0].codecs == (taken,)
    body = trunk.responses("INVITE")[0].body.decode().splitlines()
    assert set(answered) <= set(body) and f"m=audio {net.of(MediaOpened)[0].local_port} RTP/AVP {taken[0]}" in body
    assert sum(line.startswith("a=fmtp") for line in body) == sum(line.startswith("a=fmtp") for line in answered)


def test_answer_mode_follows_a_pbx_to_another_codec():
    net = Network(desk(mode="answer"))
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("9000")
    net.run(1)
    trunk.reinvite(MediaDirection.SENDONLY, codecs=((18, "G729/8000"),))
    net.run(0.5)
    assert trunk.answers[-1].status == 200 and net.of(MediaChanged)[-1].codecs == ((18, "G729/8000"),)
    trunk.reinvite(MediaDirection.SENDONLY, codecs=((101, "telephone-event/8000"),))
    net.run(0.5)
    assert trunk.answers[-1].status == 488 and net.of(MediaChanged)[-1].codecs == ((18, "G729/8000"),)
    trunk.hang_up()
    net.run(1)
    net.settle()


def test_an_odd_line_that_is_no_audio_is_declined_and_the_call_goes_on():
    net = Network(desk(mode="answer"))
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("9000", sdp=offer_of("8", "m=video 0 RTP/AVP", "m=image"))
    net.run(1)
    assert trunk.log == ["answered"]
    assert trunk.responses("INVITE")[0].body.decode().splitlines()[-2:] == [
        "m=video 0 RTP/AVP 0",
        "m=image 0 RTP/AVP 0",
    ]


def test_offer_without_a_codec_of_ours_is_488():
    net = Network()
    trunk, _ = ringing_hotline(net)
    trunk.call("12345", codecs=((18, "G729/8000"),))
    net.run(1)
    assert trunk.log == ["refused 488"] and net.of(CallUnanswered)[0].reason == "没有共同的语音编码"
    net.settle()


def test_late_offer_is_answered_with_ours():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", sdp=b"")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    assert trunk.log[-1] == "answered" and parse_sdp(trunk.responses("INVITE")[-1].body).voice
    trunk.hang_up()
    net.settle()


def test_no_port_left_is_503():
    net = Network(ports=Ports(1))
    trunk, _ = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    assert trunk.log == ["refused 503"] and "端口" in net.of(SipFault)[0].text
    net.settle()


def test_two_calls_at_once_and_a_third_finds_all_busy():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    first = trunk.call("12345")
    net.run(0.2)
    second = trunk.call("12345")
    net.run(0.2)
    assert len(one.legs) == 2, "a ringing seat is not busy"
    one.answer(one.legs[0])
    net.run(0.2)
    assert one.log == ["cancelled"], "the second call stops ringing at the seat that talks"
    two.answer(two.legs[-1])
    net.run(0.2)
    assert len(net.of(CallAnswered)) == 2
    trunk.call("12345")
    net.run(0.2)
    assert trunk.log[-1] == "refused 486" and net.of(CallUnanswered)[0].reason == "全部占线"
    trunk.hang_up(first)
    trunk.hang_up(second)
    net.settle()


def test_commands_of_the_process_end_a_call():
    net = Network()
    trunk, (one, _) = talking(net)
    call_id = net.ua.calls()[0].call_id
    assert net.ua.media_timeout(call_id, net.now) and not net.ua.hang_up(call_id, net.now)
    net.run(1)
    assert trunk.log[-1] == one.log[-1] == "ended"
    assert net.of(CallEnded)[0].hangup_party is HangupParty.NETWORK
    trunk.call("12345")
    net.run(0.2)
    assert net.ua.hang_up(net.ua.calls()[0].call_id, net.now)
    net.run(1)
    assert trunk.log[-1] == "refused 487" and net.of(CallUnanswered)[0].reason == "系统结束呼叫"
    net.settle()


def test_another_desk_keeps_the_call_and_drops_phones_of_seats_gone():
    net = Network()
    trunk, _ = talking(net)
    net.ua.set_desk(desk(seat("8002"), number=2), net.now)
    net.run(0.1)
    assert len(net.ua.calls()) == 1 and [s.extension for s in net.ua.seats()] == ["8002"]
    assert net.of(SeatUnregistered)[0].extension == "8001"
    trunk.hang_up()
    net.settle()


def test_garbage_is_counted_and_keepalives_are_not():
    net = Network()
    for data in (b"\r\n\r\n", b"", b"\0\0\0\0"):
        net.ua.receive(data, TRUNK, net.now)
    assert net.ua.garbage_count == 0
    for data in (b"hello", b"\xff" * 2000, b"INVITE sip:x SIP/2.0\r\n\r\n", b"SIP/2.0 999 no\r\n\r\n"):
        net.ua.receive(data, TRUNK, net.now)
    assert net.ua.garbage_count == 4 and not net.ua.datagrams() and not net.ua.events()


def test_pyvoip_acknowledges_with_a_strange_tag_and_reuses_its_branch():
    """pyVoIP 1.6.8: the ACK of a 200 has a fresh To tag; its authenticated INVITE has the branch of the refused one."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.core.transactions.new_branch = lambda: "z9hG4bKsame"  # type: ignore[method-assign]
    one.call("13900001111")
    net.run(0.2)
    trunk.answer()
    leg = one.legs[-1]
    net.lose = lambda data, a, b: a == one.address and data.startswith(b"ACK")
    net.run(0.3)
    ok = one.responses("INVITE")[-1]
    headers = Headers.of(
        ("Via", "SIP/2.0/UDP 10.0.2.1:5060;branch=z9hG4bKx"), ("From", ok.headers.first("From")), ("To", "<sip:13900001111@10.0.0.1>;tag=other"),
        ("Call-ID", ok.call_id), ("CSeq", f"{ok.cseq.number} ACK"),
    )  # fmt: skip
    net.inject(serialise(Request("ACK", "sip:13900001111@10.0.0.1", headers)), one.address)
    net.run(40)
    assert len(net.ua.calls()) == 1
    one.hang_up(leg)
    net.settle()
