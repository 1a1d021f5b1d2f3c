"""Budgets before parsing, and wrong passwords: the flood is dropped, whoever belongs here is served."""

from callqa.sip.budget import HELD_BACK_MOST_S, SOURCES_MOST, Door, Standing
from callqa.sip.events import CallAnswered, SipFault
from tests.sip.simulated import PASSWORD, TRUNK, Network, SimPhone, desk, ringing_hotline, seat

STRANGER = ("203.0.113.7", 5060)
OPTIONS = (
    b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b>\r\n"
    b"Call-ID: %d\r\nCSeq: 1 OPTIONS\r\n\r\n"
)


def test_a_flood_is_dropped_unread_and_told_once_while_calls_go_on():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    for n in range(3000):
        net.ua.receive(OPTIONS % (n, n), (STRANGER[0], 1024 + n), net.now)
    answered = [d for d, to in net.ua.datagrams() if to[0] == STRANGER[0]]
    assert len(answered) == Standing.STRANGER.value.burst
    assert [e.text for e in net.ua.events() if isinstance(e, SipFault)] == [
        "来自 203.0.113.7 的 SIP 消息过多，已限速；如果是自己的设备，请加进中继白名单"
    ]
    trunk.call("12345")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    assert len(net.of(CallAnswered)) == 1
    trunk.hang_up()
    net.settle()


def test_budgets_fill_again_and_a_trunk_has_a_larger_one():
    door = Door(lambda source: Standing.TRUNK if source == TRUNK else Standing.STRANGER)
    assert sum(door.admits(STRANGER, 0.0) for _ in range(1000)) == 400
    assert sum(door.admits(STRANGER, 1.0) for _ in range(1000)) == 50
    assert sum(door.admits(TRUNK, 0.0) for _ in range(20_000)) == 10_000
    assert door.refused_count == 600 + 950 + 10_000


def test_a_registered_phone_is_not_starved_by_its_neighbour_behind_the_same_nat():
    door = Door(lambda source: Standing.PHONE if source[1] == 5060 else Standing.STRANGER)
    while door.admits((STRANGER[0], 6000), 0.0):
        pass
    assert door.admits(STRANGER, 0.0)


def test_one_ipv6_network_is_one_stranger_and_memory_is_bounded():
    door = Door(lambda source: Standing.STRANGER)
    for n in range(1000):
        door.admits((f"2001:db8::{n:x}", 5060), 0.0)
    assert len(door) == 1
    for n in range(SOURCES_MOST + 100):
        door.admits((f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 5060), 0.0)
    assert len(door) == SOURCES_MOST


def test_a_stranger_in_the_trunks_ipv6_network_takes_nothing_from_the_trunk():
    """Neither its messages, nor by wrong passwords; nor does the trunk's budget reach whoever is beside it."""
    trunk, beside = ("2001:db8::5", 5060), [(f"2001:db8::bad:{n:x}", 5060) for n in range(1000)]
    door = Door(lambda source: Standing.TRUNK if source == trunk else Standing.STRANGER)
    assert sum(door.admits(source, 0.0) for source in beside) == Standing.STRANGER.value.burst
    for source in beside:
        door.wrong_password(source, 0.0)
    assert sum(door.admits(trunk, 0.0) for _ in range(20_000)) == Standing.TRUNK.value.burst
    assert not door.admits(beside[0], 1.0)
    assert door.wrong_password(trunk, 1.0) == 0.0, "the first wrong password of that host"
    assert len(door) == 2


def test_an_ipv6_trunk_is_answered_while_its_neighbour_floods():
    address = ("2001:db8::5", 5060)
    plain = desk(seat("8001"))
    trunks = (plain.trunks[0].model_copy(update={"addresses": (address[0],)}),)
    net = Network(plain.model_copy(update={"trunks": trunks}))
    for n in range(3000):
        net.ua.receive(OPTIONS % (n, n), (f"2001:db8::bad:{n:x}", 5060), net.now)
        net.ua.datagrams()
    net.ua.receive(OPTIONS % (9999, 9999), address, net.now)
    ((answer, to),) = net.ua.datagrams()
    assert to == address and answer.startswith(b"SIP/2.0 200 ")


def test_a_clock_that_stands_still_or_steps_back_takes_nothing_away():
    door = Door(lambda source: Standing.STRANGER)
    door.admits(STRANGER, 100.0)
    assert door.admits(STRANGER, 50.0)


def test_wrong_passwords_are_answered_later_each_time_and_the_right_one_at_once():
    net = Network()
    guesser = SimPhone(net, STRANGER, "8001")
    waits = []
    for n in range(8):
        before = net.now
        guesser.register(password="falsch", contact=f"<sip:8001@{STRANGER[0]}:{n}>")
        for _ in range(400):
            if len([r for r in guesser.answers if r.status == 403]) > n:
                break
            net.run(0.05)
        waits.append(net.now - before)
    assert waits[0] < 0.5 and waits[1] < 0.5
    assert waits == sorted(waits) and HELD_BACK_MOST_S <= waits[-1] < HELD_BACK_MOST_S + 1
    assert {e.text for e in net.of(SipFault)} == {"分机 8001 的密码不对，或没有这个分机"}
    right = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert right.register(password=PASSWORD) == 200
    beside = SimPhone(net, (STRANGER[0], 5070), "8002")
    assert beside.register() == 200, "the same source with the right password is not kept out"
    net.settle()


def test_guessing_is_slower_than_a_stranger_may_talk():
    door = Door(lambda source: Standing.STRANGER)
    guesses = 0
    for tenth in range(600):
        while door.admits(STRANGER, tenth / 10):
            door.wrong_password(STRANGER, tenth / 10)
            guesses += 1
    assert guesses < 400 / 15 + 60 * 50 / 15 + 10
