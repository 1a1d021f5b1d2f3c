"""What a phone asks for during a call: a pause of the recording, keys by INFO, marks by `*13`."""

import pytest

from callqa.sip.calls.in_call import read_key
from callqa.sip.events import CallMarked, CallStarted, DigitPressed, PauseAsked, SipFault
from callqa.sip.feature_codes import MarkCode, parse_code
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdp import MediaDirection
from callqa.units import Channel
from tests.sip.simulated import Network, SimPhone, desk, ringing_hotline

VOICE_ONLY = ((8, "PCMA/8000"),)


def connected(net: Network, codecs=None) -> tuple[SimPhone, SimPhone, SimPhone, Leg]:
    trunk, (one, two) = ringing_hotline(net)
    trunk.call("12345", codecs=codecs)
    net.run(1)
    one.answer()
    net.run(1)
    return trunk, one, two, one.legs[-1]


def call_id(net: Network, n: int = -1) -> str:
    return net.of(CallStarted)[n].call_id


# -- pause ---------------------------------------------------------------------------------------------------------------


def allowing(desk_, pause: bool):
    return desk_.model_copy(update={"routing": desk_.routing.model_copy(update={"pause_allowed": pause})})


def test_a_pause_is_asked_for_where_the_policy_lets():
    net = Network(allowing(desk(), True))
    trunk, one, _, leg = connected(net)
    for value in ("off", "ON"):
        one.within(leg, "INFO", ("Record", value))
        net.run(0.1)
    assert [r.status for r in one.answers[-2:]] == [200, 200]
    assert [(e.call_id, e.pause, e.by) for e in net.of(PauseAsked)] == [
        (call_id(net), True, "8001"),
        (call_id(net), False, "8001"),
    ]
    trunk.hang_up()
    net.settle()


def test_a_pause_is_refused_where_it_does_not_and_resuming_never():
    net = Network()
    trunk, one, _, leg = connected(net)
    one.within(leg, "INFO", ("Record", "off"))
    net.run(0.1)
    assert one.answers[-1].status == 403 and not net.of(PauseAsked) and "暂停录音" in net.of(SipFault)[-1].text
    one.within(leg, "INFO", ("Record", "on"))
    net.run(0.1)
    assert one.answers[-1].status == 200 and not net.of(PauseAsked)[0].pause
    trunk.hang_up()
    net.settle()


def test_a_trunk_pauses_nothing():
    net = Network(allowing(desk(), True))
    trunk, *_ = connected(net)
    trunk.within(trunk.legs[-1], "INFO", ("Record", "off"))
    net.run(0.1)
    assert trunk.answers[-1].status == 403 and not net.of(PauseAsked)
    trunk.hang_up()
    net.settle()


def test_any_other_info_is_answered():
    net = Network()
    trunk, one, _, leg = connected(net)
    one.within(leg, "INFO", ("Record", "maybe"))
    one.within(leg, "INFO", body=b"<media_control/>", content_type="application/media_control+xml")
    net.run(0.1)
    assert [r.status for r in one.answers[-2:]] == [200, 200]
    trunk.hang_up()
    net.settle()


# -- keys ----------------------------------------------------------------------------------------------------------------


def info(kind: str, body: bytes) -> Request:
    net = Network()
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    leg = phone.call("1")
    return leg.dialog.request("INFO", body=body, content_type=kind)


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=240\r\n", ("5", 240)), ("application/dtmf-relay", b"Signal= *\nDuration= 99999", ("*", 5000)),
        ("application/dtmf-relay", b"signal=d", ("D", 160)), ("application/dtmf", b"7", ("7", 160)), ("application/dtmf", b"11\r\n", ("#", 160)),
        ("Application/DTMF", b"10", ("*", 160)), ("application/dtmf-relay", b"Signal=55", None), ("application/dtmf", b"17", None), ("application/dtmf", b"", None),
        ("application/dtmf-relay", b"Duration=160", None), ("text/plain", b"5", None), ("application/dtmf-relay", b"\xff" * 5000, None),
    ],
)  # fmt: skip
def test_keys_in_an_info(kind: str, body: bytes, key: tuple[str, int] | None):
    assert read_key(info(kind, body)) == key


def press(phone: SimPhone, leg: Leg, keys: str) -> None:
    for key in keys:
        body = f"Signal={key}\r\nDuration=160\r\n".encode()
        phone.within(leg, "INFO", body=body, content_type="application/dtmf-relay")
        phone.net.run(0.05)


def test_keys_are_told_where_the_leg_has_no_rtp_events():
    net = Network()
    trunk, one, _, leg = connected(net, codecs=VOICE_ONLY)
    press(one, leg, "1#")
    press(trunk, trunk.legs[-1], "9")
    assert [(e.channel, e.digit, e.duration_ms) for e in net.of(DigitPressed)] == [
        (Channel.AGENT, "1", 160), (Channel.AGENT, "#", 160), (Channel.CITIZEN, "9", 160),
    ]  # fmt: skip
    trunk.hang_up()
    net.settle()


def test_keys_of_a_leg_that_sends_rtp_events_are_not_told_twice():
    net = Network()
    trunk, one, _, leg = connected(net)
    press(one, leg, "12")
    assert one.answers[-1].status == 200 and not net.of(DigitPressed)
    trunk.hang_up()
    net.settle()


# -- marks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialled", "code"),
    [("*131", "1"), ("*1312#", "12"), ("%2A134", "4"), ("*13", None), ("*13#", None), ("*13123456789", None), ("*13a", None)],
)  # fmt: skip
def test_what_is_dialled(dialled: str, code: str | None):
    assert parse_code(dialled) == (MarkCode(code) if code else None)


def marks(net: Network) -> list[tuple[str, str, str]]:
    return [(e.call_id, e.code, e.seat_extension) for e in net.of(CallMarked)]


def test_the_present_call_is_marked_on_a_second_line():
    net = Network()
    trunk, one, _, _ = connected(net)
    one.call("*135")
    net.run(1)
    assert one.log[-2:] == ["answered", "ended"] and marks(net) == [(call_id(net), "5", "8001")]
    assert len(net.ua.calls()) == 1 and len(net.of(CallStarted)) == 1
    trunk.hang_up()
    net.settle()


def test_the_present_call_is_marked_by_keys():
    net = Network()
    trunk, one, _, leg = connected(net)
    press(one, leg, "77*1342#*13*135#")
    press(trunk, trunk.legs[-1], "*131#")
    assert marks(net) == [(call_id(net), "42", "8001"), (call_id(net), "5", "8001")], "a citizen marks nothing"
    trunk.hang_up()
    net.settle()


def test_the_last_call_is_marked_for_ten_minutes():
    net = Network()
    trunk, one, two, _ = connected(net)
    trunk.hang_up()
    net.run(590)
    assert one.register() == two.register() == 200
    one.call("*131")
    net.run(1)
    assert marks(net) == [(call_id(net), "1", "8001")]
    two.call("*131")
    net.run(1)
    assert two.log[-1] == "refused 404", "it was not his"
    net.run(60)
    one.call("*131")
    net.run(1)
    assert one.log[-1] == "refused 404" and len(marks(net)) == 1
    net.settle()


def test_a_call_that_was_not_answered_can_be_marked_too():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.call("13900001111")
    net.run(1)
    trunk.refuse(486)
    net.run(1)
    one.call("*133")
    net.run(1)
    assert marks(net) == [(call_id(net), "3", "8001")]
    net.settle()


def test_of_two_calls_the_one_that_is_not_on_hold_is_meant():
    net = Network()
    _trunk, one, two, first = connected(net)
    one.reinvite(MediaDirection.SENDONLY, first)
    net.run(1)
    one.call("8002")
    net.run(1)
    two.answer()
    net.run(1)
    one.call("*137")
    net.run(1)
    assert marks(net)[-1][0] == call_id(net, 1)
    one.reinvite(MediaDirection.SENDONLY, one.legs[-2])
    one.reinvite(MediaDirection.SENDRECV, first)
    net.run(1)
    one.call("*137")
    net.run(1)
    assert marks(net)[-1][0] == call_id(net, 0)
    for leg in one.legs:
        if leg.talks:
            one.hang_up(leg)
    net.settle()


def test_who_gave_a_call_away_marks_it_and_so_does_who_has_it():
    net = Network()
    trunk, one, two, leg = connected(net)
    one.refer(leg, "8002")
    net.run(1)
    two.answer()
    net.run(3)
    one.call("*135")
    two.call("*131")
    net.run(1)
    assert marks(net) == [(call_id(net), "5", "8001"), (call_id(net), "1", "8002")]
    trunk.hang_up()
    net.settle()


def test_a_mark_needs_the_password():
    net = Network()
    trunk, one, _, _ = connected(net)
    one.credentials = lambda *a, **k: None  # type: ignore[method-assign]
    one.call("*135")
    net.run(1)
    assert one.log[-1] == "refused 401" and not net.of(CallMarked)
    trunk.hang_up()
    net.settle()
