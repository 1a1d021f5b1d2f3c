"""Awkward peers and moments: calls that cross, repeat, lack or overdo something. Each must stay one row, truly told."""

import pytest

from callqa.journal import JournalEntry, JournalKind, decode_line, encode_entry
from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallStarted,
    CallUnanswered,
    HangupParty,
    MediaChanged,
    MediaClosed,
    SipFault,
)
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.transport import SipTransport
from callqa.sip.registrar import CONTACTS_MOST
from callqa.sip.wire.headers import parse_name_addr
from callqa.sip.wire.message import Request, parse_message, serialise
from callqa.sip.wire.sdp import OUR_CODECS, MediaDirection, parse_sdp
from tests.sip.simulated import TRUNK, LegState, Network, SimPhone, desk, ringing_hotline, seat


def storable(text: str) -> bool:
    entry = JournalEntry(number=1, at_ms=0, kind=JournalKind.FAULT, facts={"text": text})
    return text.isprintable() and decode_line(encode_entry(entry)[:-1]) == entry


def test_headers_in_no_encoding_are_kept_as_text_that_can_be_stored():
    """Half a surrogate pair in a ticket hint stopped spool and journal of the call."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", ("X-Ticket-Id", "SW\udcff\udcfe1"), ("User-to-User", "a\x00b\udc80"))
    net.run(1)
    (started,) = net.of(CallStarted)
    assert (started.ticket_hint, started.user_to_user) == ("SW??1", "a b?")
    assert storable(started.ticket_hint) and storable(started.user_to_user)
    assert one.requests("INVITE")[0].headers.first("X-Ticket-Id") == "SW??1"
    trunk.hang_up()
    net.settle()


def test_a_strange_user_name_at_the_door_makes_a_fault_that_can_be_stored():
    net = Network()
    phone = SimPhone(net, ("10.0.2.9", 5060), "99\udcff\x0799")
    assert phone.register() == 403
    (fault,) = net.of(SipFault)
    assert "99? 99" in fault.text and storable(fault.text)


def test_a_journal_takes_whatever_text_comes(tmp_path):
    """One line that could not be encoded stayed at the head of the queue, and nothing was written ever after."""
    journal = JournalWriter(tmp_path)
    assert journal.append(JournalKind.FAULT, 1_795_305_600_000, text="bad \udcff")
    assert journal.append(JournalKind.CALL_STARTED, 1_795_305_600_000, "A-1", from_number="1", answered_at_ms=None)
    journal.close()
    lines = (tmp_path / "2026-11-22.jsonl").read_bytes().splitlines()
    assert [e.facts for e in map(decode_line, lines) if e] == [
        {"text": "bad ?"},
        {"from_number": "1", "answered_at_ms": None},
    ]


def test_a_trunk_given_by_name_is_refused_with_a_hint():
    """There is no DNS: the datagram could not be sent, and the seat heard nothing for half a minute."""
    named = desk()
    trunk = named.trunks[0].model_copy(update={"host": "sip.carrier.example"})
    net = Network(named.model_copy(update={"trunks": (trunk,)}))
    _, (one, _) = ringing_hotline(net)
    one.call("13900001111")
    net.run(1)
    assert one.log == ["refused 503"]
    assert "不是 IP 地址" in net.of(CallUnanswered)[0].reason
    net.settle()


class Agent:
    """A user agent with something to send and to tell."""

    def datagrams(self):
        return [(b"1", ("2001:db8::1", 5060)), (b"2", ("10.0.0.1", 5060))]

    def events(self):
        return ["told"]

    def next_deadline(self):
        return None


def test_an_event_goes_before_the_datagrams_and_one_that_cannot_be_sent_holds_up_no_other():
    """What a peer is told, the journal knows already, should the recorder be killed in between."""
    done = []

    class Wire:
        def sendto(self, data, address):
            if ":" in address[0]:
                raise ValueError("socket family mismatch or a DNS lookup is required")
            done.append(data)

    transport = SipTransport(Agent(), done.append)
    transport.connection_made(Wire())
    transport.pump()
    assert done == ["told", b"2"]


# -- moments -------------------------------------------------------------------------------------------------------------


def talking(net):
    trunk, phones = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    phones[0].answer()
    net.run(1)
    return trunk, phones


def ends(net):
    """What became of each call, by name and reason."""
    over = (CallEnded, CallUnanswered, CallAbandoned)
    return [(type(e).__name__, getattr(e, "hangup_party", None)) for e in net.events if isinstance(e, over)]


def test_bye_before_the_ack_ends_the_call_once():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    net.lose = lambda data, a, b: a == TRUNK and data.startswith(b"ACK")
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(0.1)
    trunk.hang_up()
    net.run(1)
    assert one.log == ["ended"]
    assert ends(net) == [("CallEnded", HangupParty.CITIZEN)]
    net.settle()
    assert len(net.of(MediaClosed)) == 1


def test_cancel_that_crosses_our_200_leaves_an_answered_call():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    leg = trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(0.006)  # our 200 is on its way
    assert net.of(CallAnswered)
    trunk.hang_up(leg)
    net.run(1)
    assert one.log[-1] == "ended", "the trunk's BYE after the late 200"
    assert ends(net) == [("CallEnded", HangupParty.CITIZEN)]
    net.settle()


def test_200_of_a_phone_that_crosses_the_callers_cancel_is_an_abandoned_call():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    leg = trunk.call("12345")
    net.run(1)
    trunk.hang_up(leg)
    one.answer()
    net.run(1)
    assert (one.log, two.log) == (["ended"], ["cancelled"])
    assert ends(net) == [("CallAbandoned", None)]
    assert not net.of(CallAnswered)
    net.settle()


def test_both_sides_hang_up_at_once():
    net = Network()
    trunk, (one, _) = talking(net)
    trunk.hang_up()
    one.hang_up()
    net.run(1)
    assert len(ends(net)) == 1
    net.settle()
    assert len(net.of(MediaClosed)) == 1


def test_a_phone_that_registers_from_another_port_in_mid_call_still_hears_the_hang_up():
    """Its NAT forgot the port while nobody sent SIP; BYE went into the void and the phone stayed in the call."""
    net = Network()
    trunk, (one, _) = talking(net)
    old, one.address = one.address, ("10.0.2.1", 6000)
    net.phones[one.address] = net.phones.pop(old)
    assert one.register(contact=f"<sip:8001@{old[0]}:{old[1]}>") == 200
    trunk.hang_up()
    net.run(1)
    assert one.log[-1] == "ended"
    net.settle()


def test_a_seat_whose_agent_signs_out_in_mid_call_finishes_it_and_gets_no_other():
    net = Network()
    trunk, (one, two) = talking(net)
    net.ua.set_desk(desk(seat("8001", None), seat("8002", None), number=2), net.now)
    net.run(0.1)
    trunk.call("12345")
    net.run(1)
    assert trunk.log[-1] == "refused 480"
    one.hang_up(one.legs[0])
    net.run(1)
    assert net.of(CallAnswered)[0].seat_extension == "8001"
    assert ends(net) == [("CallUnanswered", None), ("CallEnded", HangupParty.AGENT)]
    assert two.log == ["cancelled"]
    net.settle()


def test_a_trunk_that_leaves_the_desk_in_mid_call_may_hang_up_but_not_call():
    net = Network()
    trunk, (one, _) = talking(net)
    net.ua.set_desk(net.desk.model_copy(update={"number": 2, "trunks": (), "dial_plan": ()}), net.now)
    trunk.hang_up()
    net.run(1)
    assert one.log[-1] == "ended"
    trunk.call("12345")
    net.run(1)
    assert trunk.log[-1] == "refused 403"
    net.settle()


def test_two_calls_that_race_for_one_seat_become_one_answered_and_one_unanswered():
    net = Network(desk(seat("8001")))
    trunk, (one,) = ringing_hotline(net, "8001")
    trunk.call("12345")
    trunk.call("12345")
    net.run(1)
    first, second = one.legs
    one.answer(first)
    one.answer(second)
    net.run(1)
    assert len(net.of(CallAnswered)) == 1
    assert ends(net) == [("CallUnanswered", None)]
    assert sorted(trunk.log[-2:]) == ["answered", "refused 486"]
    assert len(net.ua.calls()) == 1
    trunk.hang_up(trunk.legs[0])
    trunk.hang_up(trunk.legs[1])
    net.settle()
    assert len({e.call_id for e in net.of(CallStarted)}) == 2


def test_the_same_citizen_twice_is_two_calls():
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    legs = [trunk.call("12345"), trunk.call("12345")]
    net.run(1)
    one.answer(one.legs[0])
    net.run(0.1)
    two.answer(two.legs[1])
    net.run(1)
    assert {(e.from_number, e.sip_call_id) for e in net.of(CallStarted)} == {
        ("13871206358", leg.dialog.call_id) for leg in legs
    }
    assert {e.seat_extension for e in net.of(CallAnswered)} == {"8001", "8002"}
    for leg in legs:
        trunk.hang_up(leg)
    net.settle()


# -- bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bridge", "answer"])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"nonsense", "application/sdp", 488),
        (b"v=0\r\no=- 0 0 IN IP4 1.2.3.4\r\n", "application/sdp", 488),
        (b"\xff" * 50, "application/sdp", 488),
        (b"<xml/>", "application/pidf+xml", 415),
    ],
)
def test_a_call_whose_offer_cannot_be_read_is_refused_and_still_a_call(mode, body, kind, status):
    """It was answered with a bare 488 and no row: nobody learned why the trunk's calls failed."""
    net = Network(desk(mode=mode))
    trunk, _ = ringing_hotline(net)
    leg = trunk.call("12345", sdp=body) if kind == "application/sdp" else call_with(trunk, kind, body)
    net.run(1)
    assert trunk.log == [f"refused {status}"]
    assert net.of(CallStarted)[0].from_number == "13871206358"
    (missed,) = net.of(CallUnanswered)
    assert missed.sip_status == status
    assert "媒体描述" in missed.reason
    assert net.of(SipFault)
    assert leg.state is LegState.GONE
    net.settle()


def call_with(trunk, kind, body):
    leg = trunk.call("12345", ("Content-Type", kind), sdp=b"")
    # The phone's core names SDP only: put the other type and a body on the wire instead of its INVITE.
    (sent,) = [d for _, d, a, _ in trunk.net.wire if a == TRUNK and d.startswith(b"INVITE")]
    trunk.net._flying.clear()
    invite = parse_message(sent)
    headers = invite.headers.replaced("Content-Type", kind)
    trunk.net.inject(serialise(Request("INVITE", invite.uri, headers, body)), TRUNK)
    return leg


def test_a_seat_phone_that_rings_with_sdp_still_gives_the_citizen_a_ringing_tone():
    """180 and 183 with SDP come from ATAs and baresip; nothing was passed back, and the citizen heard silence."""
    net = Network()
    trunk, (one, two) = ringing_hotline(net)
    one.rings = two.rings = False
    trunk.call("12345")
    net.run(0.1)
    leg = one.legs[-1]
    leg.ring(183, leg.sdp(OUR_CODECS, answering=leg.session), net.now)
    net.run(0.5)
    assert trunk.log == ["180"]
    leg = two.legs[-1]
    leg.ring(180, leg.sdp(OUR_CODECS, answering=leg.session), net.now)
    net.run(0.5)
    assert trunk.log == ["180"]
    trunk.hang_up()
    net.settle()


def test_a_trunk_that_describes_its_media_only_in_183_is_connected():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.rings = False
    one.call("13900001111")
    net.run(0.2)
    leg = trunk.legs[-1]
    leg.ring(183, leg.sdp(leg.session.codecs, answering=leg.session), net.now)
    net.run(0.2)
    leg.accept(b"", net.now)
    net.run(0.5)
    assert one.log == ["183 sdp", "answered"]
    assert net.of(CallAnswered)
    one.hang_up()
    net.settle()


def test_a_call_that_comes_on_hold_is_answered_as_one():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    leg = trunk.call("12345", sdp=SENDONLY)
    net.run(1)
    one.answer()
    net.run(1)
    assert parse_sdp(trunk.responses("INVITE")[-1].body).direction is MediaDirection.RECVONLY
    assert net.of(MediaChanged)[-1].held
    trunk.hang_up(leg)
    net.settle()


SENDONLY = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=-\r\nc=IN IP4 10.0.1.1\r\nt=0 0\r\n"
    b"m=audio 31000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n"
)


# -- registrations -------------------------------------------------------------------------------------------------------


def test_a_softphone_with_a_new_contact_at_every_start_is_never_locked_out():
    net = Network(desk(seat("8001")))
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    for k in range(CONTACTS_MOST + 3):
        assert phone.register(contact=f"<sip:8001@10.0.2.1:5060;x={k}>") == 200
    contacts = [parse_name_addr(c).uri for c in phone.answers[-1].headers.all("Contact")]
    assert len(contacts) == CONTACTS_MOST
    assert str(contacts[-1]).endswith(f";x={CONTACTS_MOST + 2}")


@pytest.mark.parametrize(
    "damage",
    [
        {"expires_at_ms": float("inf")},
        {"expires_at_ms": "soon"},
        {"port": None},
        {"port": float("-inf")},
        {"contact": 5},
    ],
)
def test_a_damaged_registration_harms_no_other(damage):
    net = Network()
    ringing_hotline(net)
    saved = net.ua.registrations(net.now, 0)
    again = Network().ua
    again.restore_registrations(({**saved[0], **damage}, *saved[1:]), 1.0, 0)
    assert [s.extension for s in again.seats() if s.registered] == ["8002"]


# -- the end of the recorder ---------------------------------------------------------------------------------------------


def test_a_recorder_that_stops_ends_every_call_and_refuses_the_next():
    net = Network()
    trunk, (one, two) = talking(net)
    two_legs = len(two.legs)
    trunk.call("12345")
    net.run(0.5)
    assert len(two.legs) == two_legs + 1
    net.ua.shut_down(net.now)
    assert not net.ua.settled()
    net.run(0.1)
    assert net.ua.settled()
    trunk.call("12345")
    one.call("13900001111")
    net.run(1)
    assert trunk.log[-3:] == ["ended", "refused 503", "refused 503"]
    assert (one.log, two.log) == (["ended", "refused 503"], ["cancelled", "cancelled"])
    assert ends(net) == [("CallEnded", HangupParty.NETWORK)] + [("CallUnanswered", None)] * 3
    assert {e.reason for e in net.of(CallUnanswered)} == {"录音服务停止"}
    net.settle()


def test_a_phone_whose_answers_get_lost_and_that_hangs_up_leaves_nothing_open():
    """It gave up waiting for our ACK: its BYE finds us still ringing it."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("02784770000")
    net.run(0.5)
    net.lose = lambda data, a, b: a == one.address and data.startswith(b"SIP/2.0 200") and b"INVITE" in data
    one.answer()
    net.run(0.2)
    leg = one.legs[-1]
    one.core.transactions.request(leg.dialog.request("BYE"), one.server, one.address, net.now)
    net.run(0.2)
    trunk.hang_up()
    net.settle()
    assert net.names()[-2:] == ["CallAbandoned", "MediaClosed"]
