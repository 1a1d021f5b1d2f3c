"""Thousands of calls on the virtual network: nothing of a call is left once its transactions are over, whatever became of it."""

import gc
from collections import Counter

from tests.sip.simulated import Network, SimPhone, ringing_hotline

# Some pairs of calls at a time: two phones are enough for them, and their transactions overlap as in a busy hour.
CALLS = 1000
TRANSACTIONS_LIVE_S = 40.0


def one_call(net: Network, trunk: SimPhone, phones: list[SimPhone], n: int) -> None:
    if n % 100 == 0:
        assert [phone.register() for phone in phones] == [200, 200]
    leg = trunk.call("96510", ("X-Ticket-Id", f"SW{n}"))
    net.run(0.1)
    if n % 5 == 1:  # given up
        trunk.hang_up(leg)
    elif n % 5 == 2:  # refused
        for phone in phones:
            phone.refuse(486)
    elif n % 5 == 3:  # BYE and its answers are lost at first
        phones[0].answer()
        net.run(0.1)
        net.lose = lambda data, a, b: data.startswith(b"BYE") or b"BYE\r\n" in data
        trunk.hang_up(leg)
        net.run(0.7)
        net.lose = lambda data, a, b: False
        net.run(3)
    else:
        phones[n % 2].answer()
        net.run(0.1)
        (trunk if n % 2 else phones[0]).hang_up(leg if n % 2 else None)
    net.inject(b"INVITE sip:%d SIP/2.0\r\nVia: x\r\n\r\n" % n, (f"10.9.{n // 250}.{n % 250}", 5060))
    net.run(0.1)


def forget(net: Network, phones: list[SimPhone]) -> None:
    """What the network and its phones remember is for tests to look at, not the recorder's memory."""
    net.wire.clear()
    net.events.clear()
    for phone in phones:
        for kept in (phone.got, phone.legs, phone.log, phone.answers):
            kept.clear()


def objects() -> Counter[str]:
    gc.collect()
    return Counter(type(x).__name__ for x in gc.get_objects() if str(type(x).__module__).startswith("callqa"))


def test_a_thousand_calls_leave_no_object_behind():
    net = Network()
    trunk, phones = ringing_hotline(net)
    for n in range(20):
        one_call(net, trunk, phones, n)
        forget(net, [trunk, *phones])
    net.run(TRANSACTIONS_LIVE_S)
    forget(net, [trunk, *phones])
    before = objects()
    for n in range(20, CALLS):
        one_call(net, trunk, phones, n)
        forget(net, [trunk, *phones])
        assert len(net.ua._core.timers._heap) < 3000
    net.run(TRANSACTIONS_LIVE_S)
    forget(net, [trunk, *phones])
    after = objects()
    grown = after - before
    assert net.ua.idle()
    # One token bucket for each of the hosts that sent rubbish is meant to stay; their number has a bound of its own.
    assert {name for name, n in grown.items() if n > 2} == {"_Bucket"}, grown
