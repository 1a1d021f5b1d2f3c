"""Torture messages: each valid one is read right, each invalid one refused or ignored, and the next call is answered."""

from pathlib import Path

import pytest

from callqa.errors import ProtocolError
from callqa.sip.events import CallAnswered, MediaOpened
from callqa.sip.wire.framing import StreamFramer
from callqa.sip.wire.headers import parse_uri
from callqa.sip.wire.message import Request, Response, parse_message, serialise
from callqa.units import Channel
from tests.sip.simulated import TRUNK, UA, Network, SimPhone, ringing_hotline

FOLDER = Path(__file__).parent.parent / "data" / "sip" / "torture"
FILES = sorted(FOLDER.glob("*.sip"))

# What comes back to a trunk that sends it: the statuses in order; RINGS = a call rings. Names with bad_ get nothing.
RINGS = [100, 180]
WANTED: dict[str, list[int]] = {
    "body_of_unknown_type": [415],
    "both_versions_in_sdp": RINGS,
    "both_versions_in_via": RINGS,
    "contact_unbracketed_with_headers": [401],
    "contact_with_unknown_parameters": [401],
    "date_of_another_zone": RINGS,
    "display_name_of_no_token": RINGS,
    "empty_members": RINGS,
    "escaped_null_in_the_user": [401],
    "escapes_in_the_user": RINGS,
    "extension_required": [420],
    "headers_in_the_uri": RINGS,
    "ipv4_mapped": RINGS,
    "ipv6_everywhere": RINGS,
    "ipv6_in_sdp_only": RINGS,
    "ipv6_received_in_brackets": [200],
    "ipv6_received_plain": [200],
    "ipv6_with_a_port_inside": [200],
    "ipv6_with_a_port_outside": [200],
    "long_values": RINGS,
    "method_of_odd_characters": [501],
    "multipart_body": RINGS,
    "no_forwards_left": [200],
    "no_space_before_the_bracket": RINGS,
    "of_the_old_standard": RINGS,
    "percent_that_escapes_nothing": [501],
    "reason_empty": [],
    "reason_in_any_language": [],
    "response_with_a_broadcast_via": [],
    "sdp_as_the_only_accept": RINGS,
    "semicolon_in_the_user": [200],
    "short_and_winding": RINGS,
    "trailing_space_in_the_start_line": RINGS,
    "transports_of_every_kind": [200],
    "two_requests_in_a_datagram": [200],
    "unknown_authorization": [401],
    "unknown_scheme": [200],
    "uri_of_another_world": [200],
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_each_is_treated_right_and_the_next_call_is_answered(path: Path):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    data = path.read_bytes()
    if path.stem.startswith("bad_"):
        with pytest.raises(ProtocolError):
            parse_message(data)
    net.inject(data, TRUNK)
    net.run(0.5)
    assert [m.status for m in trunk.got if isinstance(m, Response)] == WANTED.get(path.stem, [])
    assert {to for _, _, a, to in net.wire if a == UA} <= {TRUNK, ("10.0.2.1", 5060), ("10.0.2.2", 5060)}
    for call in net.ua.calls():
        net.ua.hang_up(call.call_id, net.now)
    net.run(0.5)
    trunk.call("12345")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    assert trunk.log[-1] == "answered" and len(net.of(CallAnswered)) == 1
    trunk.hang_up()
    net.settle()


def test_every_file_is_named_and_described():
    described = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in FILES if f"`{p.name}`" not in described] == []
    assert {p.stem for p in FILES if not p.stem.startswith("bad_")} == set(WANTED)


@pytest.mark.parametrize("stem", sorted(WANTED))
def test_what_was_read_is_written_and_read_again(stem: str):
    message = parse_message((FOLDER / f"{stem}.sip").read_bytes())
    assert parse_message(serialise(message)) == message


def message(stem: str) -> Request:
    found = parse_message((FOLDER / f"{stem}.sip").read_bytes())
    assert isinstance(found, Request)
    return found


def test_the_winding_one_is_read_to_the_letter():
    m = message("short_and_winding")
    assert (m.method, m.cseq.number, m.call_id) == ("INVITE", 9, "short_and_winding@torture")
    assert m.from_.display == 'J \\"Tester' and m.from_tag == "98x" and m.to_tag == ""
    assert (m.via.transport, m.via.host, m.via.port, m.via.branch) == ("UDP", "10.0.1.1", 5060, "z9hG4bK-short")
    assert len(m.headers.all("Via")) == 2 and m.headers.first("New-Header-Nobody-Knows") == ';;,,;;,;"'


def test_parts_of_odd_uris():
    assert parse_uri(message("semicolon_in_the_user").uri).user == "user;par=u%40example.net"
    assert parse_uri(message("escapes_in_the_user").uri).user == "sips%3Auser%40x"
    port = parse_uri(message("ipv6_with_a_port_outside").uri)
    assert (port.host, port.port) == ("[2001:db8::10]", 5070)
    assert parse_uri(message("ipv6_with_a_port_inside").uri).port is None


def test_media_of_the_other_version_is_where_the_sdp_says():
    net = Network()
    trunk, _ = ringing_hotline(net)
    net.inject((FOLDER / "ipv6_in_sdp_only.sip").read_bytes(), TRUNK)
    net.run(0.2)
    opened = {e.channel: e.remote for e in net.of(MediaOpened)}
    assert opened[Channel.CITIZEN] == ("2001:db8::9", 31000) and isinstance(trunk, SimPhone)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_on_a_stream_each_is_framed_or_closes_the_connection(path: Path):
    framer = StreamFramer()
    good = (FOLDER / "unknown_scheme.sip").read_bytes()
    try:
        found = framer.feed(path.read_bytes() + good)
    except ProtocolError:
        return
    assert b"".join(found) + bytes(framer._buffer) == (path.read_bytes() + good).lstrip(b"\r\n")
