"""TCP and TLS: framing, one connection both ways, connections that break, large requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.desk import DeskTrunk
from callqa.errors import ProtocolError
from callqa.sip.events import CallAnswered, CallEnded, CallUnanswered, MediaClosed
from callqa.sip.legs import transaction
from callqa.sip.wire.framing import BODY_MOST_BYTES, PING, StreamFramer
from callqa.sip.wire.headers import parse_uri
from callqa.sip.wire.hop import TcpAddress, TlsAddress, Transport, hop, is_stream, transport_of, uri_transport
from callqa.sip.wire.message import HEADER_BLOCK_MOST_BYTES, parse_message
from tests.sip.simulated import TRUNK, UA, Network, SimPhone, desk, ringing_hotline, seat
from tests.sip.test_message import GOOD

FRAMED = [p.read_bytes() for p in GOOD if b"ontent-Length" in p.read_bytes() and "trailing" not in p.stem]
HEAD = b"INVITE sip:1@a SIP/2.0\r\nCall-ID: 1\r\n"


def fed(data: bytes, size: int) -> list[bytes]:
    framer = StreamFramer()
    return [m for i in range(0, len(data), size) for m in framer.feed(data[i : i + size])]


@pytest.mark.parametrize("size", [1, 7, 1460, 1 << 20])
def test_messages_come_out_whole_however_the_stream_is_cut(size: int):
    stream = b"".join(FRAMED) + PING
    found = fed(stream, size)
    assert [parse_message(m) for m in found] == [parse_message(m) for m in FRAMED]


def test_folded_and_compact_lengths_are_read():
    for header in (b"l:3", b"Content-Length :\r\n 3", b"CONTENT-LENGTH:   3  ", b"L: 3\r\nl: 3"):
        assert fed(HEAD + header + b"\r\n\r\nabcINV", 5) == [HEAD + header + b"\r\n\r\nabc"]


@pytest.mark.parametrize(
    "value", [b"-1", b"x", b"", b"9999999999999", b"%d" % (BODY_MOST_BYTES + 1), b"3\r\nl: 4", "３".encode()]
)
def test_a_length_that_frames_nothing_closes_the_connection(value: bytes):
    with pytest.raises(ProtocolError):
        StreamFramer().feed(HEAD + b"Content-Length: " + value + b"\r\n\r\nabcdef")


def test_headers_without_end_close_the_connection():
    framer = StreamFramer()
    framer.feed(HEAD + b"X: " + b"a" * (HEADER_BLOCK_MOST_BYTES - 100))
    with pytest.raises(ProtocolError):
        framer.feed(b"a" * 200)


def test_keepalives_are_counted_and_are_no_message():
    framer = StreamFramer()
    assert framer.feed(PING + PING) == [] and framer.pings == 2 and not framer.waiting


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_stream_gives_messages_or_protocol_error(pieces: list[bytes]):
    framer = StreamFramer()
    try:
        for piece in pieces:
            framer.feed(piece)
    except ProtocolError:
        return
    assert framer.waiting <= sum(map(len, pieces))


def test_addresses_of_different_transports_differ():
    assert len({("h", 1), TcpAddress("h", 1), TlsAddress("h", 1), TcpAddress("h", 1)}) == 3
    assert (
        TcpAddress("h", 1) != ("h", 1) and TcpAddress("h", 1) != ("h", 1) and TcpAddress("h", 1) == TcpAddress("h", 1)
    )
    assert [transport_of(hop("h", 1, t)) for t in Transport] == list(Transport)
    assert uri_transport(parse_uri("sip:a@h;transport=TCP")) is Transport.TCP
    assert (
        uri_transport(parse_uri("sips:a@h")) is Transport.TLS and uri_transport(parse_uri("sip:a@h")) is Transport.UDP
    )


@pytest.mark.parametrize("kind", [TcpAddress, TlsAddress])
def test_a_phone_is_rung_on_the_connection_it_registered_on(kind: type[TcpAddress]):
    net = Network()
    phone = SimPhone(net, kind("10.0.2.1", 41000), "8001")
    assert phone.register(contact="<sip:8001@192.168.1.5:41000;transport=tcp>") == 200
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("12345")
    net.run(1)
    invite = phone.requests("INVITE")[0]
    assert invite.via.transport == transport_of(phone.address)
    assert f"transport={transport_of(phone.address).lower()}" in (invite.headers.first("Contact") or "")
    phone.answer()
    net.run(1)
    assert len(net.of(CallAnswered)) == 1 and trunk.log[-1] == "answered"
    trunk.hang_up()
    net.run(1)
    assert phone.log[-1] == "ended"
    sent = [d for _, d, a, to in net.wire if to == phone.address]
    assert len(sent) == len(set(sent)), "nothing is sent twice on a connection"
    net.settle()


def test_a_broken_connection_fails_the_call_at_once_and_the_next_registration_mends_it():
    net = Network(desk(seat("8001")))
    trunk = SimPhone(net, TRUNK, "13871206358")
    phone = SimPhone(net, TcpAddress("10.0.2.1", 41000), "8001")
    phone.register(contact="<sip:8001@phone.example;transport=tcp>")
    net.lose = lambda data, a, b: phone.address in (a, b)
    trunk.call("12345")
    net.run(0.1)
    net.close(phone.address)  # before the INVITE got an answer
    net.run(1)
    assert trunk.log[-1] == "refused 480" and len(net.of(CallUnanswered)) == 1
    again = SimPhone(net, TcpAddress("10.0.2.1", 41001), "8001")
    assert again.register(contact="<sip:8001@phone.example:41001;transport=tcp>") == 200
    trunk.call("12345")
    net.run(0.5)
    again.answer()
    net.run(0.5)
    assert trunk.log[-1] == "answered"
    again.hang_up()
    net.run(1)
    assert len(net.of(CallEnded)) == 1 and len(net.of(MediaClosed)) == 2
    net.settle()


def test_a_trunk_that_connected_to_us_is_called_on_its_connection():
    """RFC 5923: its Via says alias and a port; nothing else is opened to it."""
    far = TcpAddress(TRUNK[0], 42001)
    plain = desk(seat("8001"))
    net = Network(plain.model_copy(update={"trunks": (plain.trunks[0].model_copy(update={"transport": "tcp"}),)}))
    phone = ringing_hotline(net, "8001")[1][0]
    trunk = SimPhone(net, far, "13871206358")
    trunk.core.settings = type(trunk.core.settings)(TRUNK, lambda _: TRUNK[0], tcp_port=TRUNK[1])
    trunk.address = far
    net.inject_via(far, b"SIP/2.0/TCP 10.0.1.1:5060;branch=z9hG4bKa;alias")
    net.run(0.5)
    phone.call("13900001111")
    net.run(1)
    assert len(trunk.requests("INVITE")) == 1
    assert "transport=tcp" in trunk.requests("INVITE")[0].uri
    trunk.answer()
    net.run(0.5)
    phone.hang_up()
    net.run(1)
    assert trunk.log[-1] == "ended"
    net.settle()


def test_an_alias_for_another_host_is_not_believed():
    net = Network()
    net.inject_via(TcpAddress(TRUNK[0], 42001), b"SIP/2.0/TCP 10.0.2.1:5060;branch=z9hG4bKa;alias")
    net.inject_via(TcpAddress("10.9.9.9", 42001), b"SIP/2.0/TCP 10.9.9.9:5060;branch=z9hG4bKb;alias")
    net.run(0.5)
    assert not net.ua._core.aliases


def test_a_large_request_goes_over_tcp_where_the_peer_is_known_to_take_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transaction, "DATAGRAM_SAFE_BYTES", 1000)
    for connected in (False, True):
        net = Network()
        trunk, (phone, _) = ringing_hotline(net)
        if connected:
            net.ua.stream_opened(TcpAddress(*TRUNK))
        phone.call("13900001111", ("User-to-User", "a" * 250), ("X-Ticket-Id", "b" * 250))
        net.run(0.2)
        (to,) = {to for _, d, a, to in net.wire if d.startswith(b"INVITE") and a == UA and to[0] == TRUNK[0]}
        size = max(len(d) for _, d, a, to in net.wire if d.startswith(b"INVITE") and to[0] == TRUNK[0])
        assert size > 1000
        assert is_stream(to) == connected
        assert isinstance(trunk, SimPhone) and DeskTrunk(name="x", addresses=()).transport == "udp"
