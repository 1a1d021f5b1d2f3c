"""Signing in and out from the phone: what is dialled, who is rung then, what a new desk changes."""

import pytest

from callqa.sip.events import CallStarted, SeatSignedIn, SeatSignedOut, SipFault
from callqa.sip.feature_codes import FeatureCode, parse_code
from tests.sip.simulated import Network, desk, ringing_hotline, seat


@pytest.mark.parametrize(
    ("dialled", "code"),
    [
        ("*11801", FeatureCode("801")), ("*11801#", FeatureCode("801")), ("%2A11801%23", FeatureCode("801")), ("*12", FeatureCode(None)),
        ("*12#", FeatureCode(None)), ("*11", None), ("*1112345678901234567", None), ("12", None), ("*12801", None), ("*11８０１", None), ("", None),
    ],
)  # fmt: skip
def test_what_is_dialled(dialled: str, code: FeatureCode | None):
    assert parse_code(dialled) == code


def manned(net: Network) -> dict[str, str | None]:
    return {s.extension: s.agent_no for s in net.ua.seats()}


def test_an_agent_signs_in_is_rung_and_signs_out():
    net = Network(desk(seat("8001", None), seat("8002", None)))
    trunk, (one, two) = ringing_hotline(net)
    one.call("*11801")
    net.run(1)
    assert one.log == ["answered", "ended"], "the phone shows that it went through"
    assert [(e.extension, e.agent_no) for e in net.of(SeatSignedIn)] == [("8001", "801")]
    assert not net.of(CallStarted), "a code is no call"
    trunk.call("12345")
    net.run(0.5)
    assert one.log[-1] == "ended" and len(one.requests("INVITE")) == 1 and not two.requests("INVITE")
    trunk.hang_up()
    net.run(1)
    one.call("*12")
    net.run(1)
    assert [e.extension for e in net.of(SeatSignedOut)] == ["8001"] and manned(net) == {"8001": None, "8002": None}
    net.settle()


def test_an_agent_who_moves_leaves_his_old_seat():
    net = Network(desk(seat("8001", "801"), seat("8002", None)))
    _, (_, two) = ringing_hotline(net)
    two.call("*11801")
    net.run(1)
    assert manned(net) == {"8001": None, "8002": "801"}
    net.settle()


def test_a_new_desk_keeps_what_it_does_not_know_and_rules_where_it_speaks():
    net = Network(desk(seat("8001", None), seat("8002", "802")))
    _, (one, _) = ringing_hotline(net)
    one.call("*11801")
    net.run(1)
    net.ua.set_desk(desk(seat("8001", None), seat("8002", None), number=2), net.now)
    assert manned(net) == {"8001": "801", "8002": None}
    net.ua.set_desk(desk(seat("8001", "801"), seat("8002", None), number=3), net.now)
    net.ua.set_desk(desk(seat("8001", None), seat("8002", None), number=4), net.now)
    assert manned(net) == {"8001": None, "8002": None}, "signed out on the page after the desk knew of the sign-in"
    net.settle()


def test_a_code_needs_the_password():
    net = Network(desk(seat("8001", None)))
    _, (one,) = ringing_hotline(net, "8001")
    one.credentials = lambda *a, **k: None  # type: ignore[method-assign]
    one.call("*11801")
    net.run(1)
    assert not net.of(SeatSignedIn) and one.log == ["refused 401"] and not net.of(SipFault)
    net.settle()
