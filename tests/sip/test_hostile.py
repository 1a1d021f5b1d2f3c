"""Hostile input at the user agent: real messages with bytes changed, in any order; nothing raises, nothing is left behind."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.sip.events import CallStarted, MediaClosed
from callqa.sip.wire.sdp import MediaDirection
from tests.sip.simulated import TRUNK, UA, Network, SimPhone, ringing_hotline


def real_messages() -> list[tuple[bytes, tuple[str, int]]]:
    """Everything that reached the user agent in one long story."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.2)
    one.answer()
    net.run(0.2)
    trunk.reinvite(MediaDirection.SENDONLY)
    net.run(0.2)
    one.reinvite(MediaDirection.SENDRECV, method="UPDATE")
    net.run(0.2)
    trunk.hang_up()
    net.run(0.2)
    one.call("13900001111")
    net.run(0.2)
    trunk.hang_up()
    trunk.call("12345")
    net.run(0.2)
    trunk.hang_up()
    net.run(0.2)
    return [(data, source) for _, data, source, to in net.wire if to == UA]


MESSAGES = real_messages()
CHANGES = st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 4)), max_size=3)
STORY = st.lists(st.tuples(st.integers(0, len(MESSAGES) - 1), CHANGES), max_size=25)


def changed(data: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    for at, new, cut in changes:
        at %= len(data) + 1
        data = data[:at] + new + data[at + cut :]
    return data


@settings(max_examples=150)
@given(STORY)
def test_changed_and_reordered_messages_leave_nothing_behind(story: list[tuple[int, list[tuple[int, bytes, int]]]]):
    net = Network()
    ringing_hotline(net)
    for n, changes in story:
        data, source = MESSAGES[n]
        net.inject(changed(data, changes), source)
        net.run(0.3)
    for call in net.ua.calls():
        net.ua.hang_up(call.call_id, net.now)
    net.settle()
    assert len(net.of(CallStarted)) == len(net.of(MediaClosed))


@pytest.mark.parametrize("strange", ["\x00", "\x7f", "\udcb0", "x" * 5000])
def test_a_contact_that_no_request_can_name_is_not_taken(strange: str):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.5)
    leg = one.legs[-1]
    leg.dialog.contact = f"<sip:8001{strange}@10.0.2.1:5060>"
    one.answer()
    net.run(1)
    assert leg.talks and trunk.log[-1] == "answered", "our ACK came, and could be read"
    trunk.hang_up()
    net.run(1)
    assert one.log[-1] == "ended"
    net.settle()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), percent=st.integers(0, 40))
def test_lost_datagrams_never_leave_a_call_open(seed: int, percent: int):
    net = Network()
    trunk, phones = ringing_hotline(net)
    dice = itertools.count(seed)
    net.lose = lambda data, a, b: hash((next(dice) * 2654435761) & 0xFFFFFFFF) % 100 < percent
    trunk.call("12345")
    net.run(3)
    for phone in phones:
        if phone.legs:
            phone.answer()
    net.run(3)
    trunk.hang_up()
    net.run(40)
    for phone in phones:
        for leg in phone.legs:
            leg.end(net.now)
    net.run(120)
    for call in net.ua.calls():
        net.ua.media_timeout(call.call_id, net.now)
    net.lose = lambda data, a, b: False
    net.settle()
    assert len(net.of(CallStarted)) == len(net.of(MediaClosed)) <= 1


def test_hundreds_of_calls_leave_nothing_behind():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    assert isinstance(one, SimPhone) and trunk.address == TRUNK
    for n in range(300):
        trunk.call("12345")
        net.run(0.05)
        if n % 2:
            one.answer()
            net.run(0.05)
        trunk.hang_up()
        net.run(0.05)
        if n % 50 == 0:
            one.register()
    net.settle()
    assert len(net.ua._core.timers._heap) < 1100
