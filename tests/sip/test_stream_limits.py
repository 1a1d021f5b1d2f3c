"""How many connections there may be: whoever belongs here always gets one and keeps it, strangers give way to each other."""

import asyncio
import resource
from typing import Any

import pytest

from callqa.desk import Desk, DeskTrunk
from callqa.sip.process import streams
from callqa.sip.process.clock import Clock
from callqa.sip.process.launch import FILES_WANTED, allow_many_files
from callqa.sip.process.streams import (
    CONNECTIONS_MOST,
    CONNECTIONS_OF_KNOWN_HOST_MOST,
    IDLE_S,
    STRANGER_IDLE_S,
    STRANGERS_OF_NETWORK_MOST,
    SipStreams,
)
from callqa.sip.process.transport import bind_sip_stream
from callqa.sip.wire.framing import PING
from callqa.sip.wire.hop import TcpAddress, Transport
from tests.sip.simulated import TRUNK, Network, SimPhone, desk, ringing_hotline, seat
from tests.sip.test_budget import OPTIONS

TRUNK_IPV6 = "2001:db8:1::5"
PHONE = TcpAddress("192.0.2.10", 41000)


class Hand(Clock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now


class Socket(asyncio.Transport):
    """The recorder's end of a connection. stuck: its peer does not read, so closing does not end."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.peer = (host, port)
        self.state = "open"
        self.stuck = False
        self.sent: list[bytes] = []
        self.protocol: asyncio.Protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peer if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.state != "open"

    def close(self) -> None:
        self.state = "closing"
        if not self.stuck:
            self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, state: str) -> None:
        self.state = state
        self.protocol.connection_lost(None)


class Office:
    """Connections around a user agent. Each that opens says one OPTIONS, unless told not to."""

    def __init__(self, made: Desk) -> None:
        self.net = Network(made)
        self.clock = Hand()
        agent = self.net.ua
        self.streams = SipStreams(
            lambda data, source: agent.receive(data, source, self.net.now),
            agent.stream_opened,
            lambda address: agent.stream_closed(address, self.net.now),
            None,
            agent.acquaintances,
            self.clock,
        )

    def connect(self, host: str, port: int, *, says: bool = True) -> Socket:
        sock = Socket(host, port)
        sock.protocol = streams._Connection(self.streams, Transport.TCP)
        sock.protocol.connection_made(sock)
        if says and sock.state == "open":
            self.say(sock)
        self.clock.now += 0.001
        return sock

    def say(self, sock: Socket) -> None:
        sock.protocol.data_received(OPTIONS.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n") % (1, 1))

    def sweep(self, after_s: float) -> None:
        self.clock.now += after_s
        self.streams.sweep(self.clock.now)


def office(*addresses: str) -> Office:
    made = desk(seat("8001"))
    trunks = (made.trunks[0].model_copy(update={"addresses": addresses or (TRUNK[0],), "transport": "tcp"}),)
    return Office(made.model_copy(update={"trunks": trunks}))


def still_open(socks: list[Socket]) -> list[bool]:
    return [s.state == "open" for s in socks]


def registered(place: Office, address: TcpAddress = PHONE) -> Socket:
    """A phone whose registration came by the connection that is given."""
    sock = place.connect(*address, says=False)
    phone = SimPhone(place.net, address, "8001")
    assert phone.register(contact=f"<sip:8001@{address[0]}:{address[1]};transport=tcp>") == 200
    place.say(sock)
    return sock


def test_a_full_house_of_strangers_keeps_neither_trunk_nor_phone_out():
    place = office(TRUNK_IPV6)
    strangers = [place.connect(f"2001:db8:{n // 50:x}:{n % 50}::{n:x}", 5060) for n in range(CONNECTIONS_MOST)]
    assert len(place.streams) == CONNECTIONS_MOST and all(still_open(strangers))
    trunk = place.connect(TRUNK_IPV6, 40000)
    assert trunk.state == "open" and [s.state for s in strangers[:2]] == ["aborted", "open"], "the one longest silent"
    place.say(strangers[1])
    phone = registered(place)
    assert phone.state == "open" and [s.state for s in strangers[1:4]] == ["open", "aborted", "open"]
    assert len(place.streams) == CONNECTIONS_MOST
    more = [place.connect(f"2001:db9:{n:x}::1", 5060) for n in range(CONNECTIONS_MOST + 10)]
    assert more[-1].state == trunk.state == phone.state == "open", "whoever belongs here never gives way to a stranger"
    assert len(place.streams) == CONNECTIONS_MOST


def test_one_ipv6_network_has_the_connections_of_one_stranger():
    place = office(TRUNK_IPV6)
    trunk = place.connect(TRUNK_IPV6, 40000)
    beside = [place.connect(f"2001:db8:1::bad:{n:x}", 5060) for n in range(3 * STRANGERS_OF_NETWORK_MOST)]
    assert still_open(beside) == [False] * 2 * STRANGERS_OF_NETWORK_MOST + [True] * STRANGERS_OF_NETWORK_MOST
    assert trunk.state == "open" and len(place.streams) == STRANGERS_OF_NETWORK_MOST + 1
    assert place.connect(TRUNK_IPV6, 40001).state == "open"


def test_registered_phones_of_a_large_office_are_not_counted_among_its_strangers():
    place = office()
    phones = [registered(place, TcpAddress(PHONE[0], 41000 + n)) for n in range(8)]
    strangers = [place.connect(PHONE[0], 50000 + n) for n in range(STRANGERS_OF_NETWORK_MOST)]
    assert all(still_open(phones)) and all(still_open(strangers))
    assert place.connect(PHONE[0], 60000).state == "open"
    assert all(still_open(phones)) and still_open(strangers[:2]) == [False, True]


def test_a_trunk_that_opens_a_connection_for_each_call_uses_up_only_its_own():
    place = office()
    phone, stranger = registered(place), place.connect("198.51.100.1", 5060)
    trunk = [place.connect(TRUNK[0], 20000 + n) for n in range(CONNECTIONS_OF_KNOWN_HOST_MOST + 5)]
    assert still_open(trunk[:6]) == [False] * 5 + [True] and all(still_open([phone, stranger, trunk[-1]]))


def test_a_stranger_is_let_go_soon_and_whoever_belongs_here_stays_for_hours():
    place = office()
    trunk, phone, stranger = place.connect(TRUNK[0], 40000), registered(place), place.connect("198.51.100.1", 5060)
    place.sweep(STRANGER_IDLE_S - 10)
    assert all(still_open([trunk, phone, stranger]))
    stranger.protocol.data_received(PING)
    phone.protocol.data_received(PING)
    place.sweep(11)
    assert still_open([trunk, phone, stranger]) == [True, True, False], "a keep-alive keeps no stranger"
    assert stranger.sent == [b"\r\n"]
    place.sweep(IDLE_S - STRANGER_IDLE_S - 10)
    assert all(still_open([trunk, phone]))
    place.sweep(20)
    assert still_open([trunk, phone]) == [False, True], "it was heard later"


def test_a_trunk_that_is_only_called_keeps_its_connection():
    made = desk(seat("8001"))
    far = DeskTrunk(name="只呼出", addresses=(), host="198.51.100.7", transport="tcp")
    place = Office(made.model_copy(update={"trunks": (*made.trunks, far)}))
    sock = Socket("198.51.100.7", 5060)
    sock.protocol = streams._Connection(place.streams, Transport.TCP, TcpAddress("198.51.100.7", 5060))
    sock.protocol.connection_made(sock)
    place.sweep(STRANGER_IDLE_S * 10)
    assert sock.state == "open"


def test_a_call_keeps_the_connection_of_a_phone_that_did_not_register_on_it():
    net = Network()
    ringing_hotline(net)
    other = SimPhone(net, TcpAddress("198.51.100.9", 42000), "8001")
    assert not net.ua.acquaintances()(other.address)
    other.call("13900001111")
    net.run(0.5)
    assert net.ua.acquaintances()(other.address) and not net.ua.acquaintances()(TcpAddress("198.51.100.9", 1))


def test_a_connection_that_is_closing_and_does_not_end_is_cut_off():
    place = office()
    deaf = place.connect("198.51.100.1", 5060)
    deaf.stuck = True
    place.sweep(STRANGER_IDLE_S + 1)
    assert deaf.state == "closing" and len(place.streams) == 1
    place.sweep(1)
    assert deaf.state == "aborted" and len(place.streams) == 0


def test_the_same_far_end_again_is_counted_once():
    place = office()
    first, again = place.connect("198.51.100.1", 5060), place.connect("198.51.100.1", 5060)
    assert (first.state, again.state, len(place.streams)) == ("aborted", "open", 1)
    again.close()
    assert len(place.streams) == 0 and not place.streams._crowds


def test_over_real_sockets_the_longest_silent_of_a_host_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "STRANGERS_OF_NETWORK_MOST", 2)
    place = office()
    place.clock.monotonic = Clock.monotonic  # type: ignore[method-assign]

    async def story() -> None:
        sock = bind_sip_stream("127.0.0.1", 0, "tcp_port")
        await place.streams.listen(sock, None)
        ends = []
        for n in range(3):
            ends.append(await asyncio.open_connection(*sock.getsockname()))
            ends[n][1].write(PING)
            assert await asyncio.wait_for(ends[n][0].read(2), 30) == b"\r\n"
        try:
            rest = await asyncio.wait_for(ends[0][0].read(), 30)
        except ConnectionResetError:
            rest = b""
        assert rest == b""
        assert len(place.streams) == 2
        for _, writer in ends:
            writer.close()
        await place.streams.stop()

    asyncio.run(story())


def test_calls_and_connections_may_have_as_many_files_as_the_system_gives():
    """What a shell or a service manager starts with, 1024, is fewer than the connections that strangers may hold."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        allow_many_files()
        wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
