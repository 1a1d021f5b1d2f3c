"""The recording server: what clients send, who is who in it, and what becomes of it. Messages: tests/data/sip/siprec."""

import re

import pytest

from callqa.sip.events import (
    CallAnswered,
    CallEnded,
    CallMode,
    CallStarted,
    CallUnanswered,
    FactsLearnt,
    MediaChanged,
    MediaOpened,
    PartyKnown,
    SipFault,
    StreamSide,
)
from callqa.sip.wire.message import Request
from callqa.units import Channel, Direction
from tests.sip.recording_client import RecordingClient, invite_of
from tests.sip.simulated import TRUNK, Network, Ports, SimPhone

CITIZEN, AGENT = Channel.CITIZEN, Channel.AGENT
HOTLINE = "02784770000"
METADATA = "application/rs-metadata+xml"


def sides(net: Network) -> list[Channel | None]:
    """The side of every stream in order of opening, as it is in the end."""
    found: dict[int, Channel | None] = {}
    for event in net.events:
        if isinstance(event, MediaOpened):
            assert event.stream is not None
            found[event.stream] = event.channel
        elif isinstance(event, StreamSide):
            found[event.stream] = event.side
    return list(found.values())


def facts(net: Network) -> tuple[Direction, str, str, str | None]:
    """(direction, from, to, seat) as they are in the end."""
    (started,) = net.of(CallStarted)
    known = [started.direction, started.from_number, started.to_number, started.seat_extension]
    for event in net.of(FactsLearnt):
        later = (event.direction, event.from_number, event.to_number, event.seat_extension)
        known = [b if b is not None else a for a, b in zip(known, later, strict=True)]
    return tuple(known)


INBOUND = (Direction.INBOUND, "13871206358", HOTLINE)
OUTBOUND = (Direction.OUTBOUND, HOTLINE, "13871206358")


@pytest.mark.parametrize(
    ("name", "expected_sides", "expected_facts"),
    [
        ("rfc7865", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("rfc7865_outbound", [AGENT, CITIZEN], (*OUTBOUND, "8002")),
        ("labels_crossed", [AGENT, CITIZEN], (*INBOUND, "8001")),
        ("draft_namespace", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("no_namespace_unfinished", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("own_root", [CITIZEN, AGENT], (*INBOUND, None)),
        ("own_root_outbound", [AGENT, CITIZEN], (*OUTBOUND, None)),
        ("no_metadata", [CITIZEN, AGENT], (*INBOUND, "8002")),
        ("g729_only", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("unknown_codec", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("mono", [None], (*INBOUND, "8001")),
        ("three_streams", [CITIZEN, AGENT, None], (*INBOUND, "8001")),
        ("video_between", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("gb2312", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("bad_boundary_unsaid", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("bad_xml_cut", [CITIZEN, AGENT], (*INBOUND, "8001")),
        ("bad_xml_none", [CITIZEN, AGENT], (Direction.INBOUND, "", HOTLINE, None)),
        ("bad_xml_entities", [CITIZEN, AGENT], (Direction.INBOUND, "", HOTLINE, None)),
        ("fork_near", [AGENT], (*INBOUND, "8001")),
        ("fork_far", [CITIZEN], (*INBOUND, "8001")),
    ],
)
def test_every_kind_of_client_is_recorded_and_its_parties_are_known(name, expected_sides, expected_facts):
    net = Network()
    client = RecordingClient(net, name)
    assert client.answer.status == 200
    assert sides(net) == expected_sides
    assert facts(net) == expected_facts
    assert net.of(CallStarted)[0].mode is CallMode.SIPREC
    assert len(net.of(CallAnswered)) == 1
    # What is wrong with metadata is told, and nothing else is a fault.
    assert bool(net.of(SipFault)) == name.startswith("bad_xml")
    client.bye()
    assert net.of(CallEnded)[0].hangup_party is None
    net.settle()


def test_the_answer_has_a_line_for_each_that_was_offered():
    net = Network()
    client = RecordingClient(net, "video_between")
    assert [bool(port) for port in client.ports] == [True, False, False, True]
    assert client.directions == ["recvonly", "recvonly"]
    assert "+sip.srs" in client.answer.headers.first("Contact")
    assert "siprec" in client.answer.headers.tokens("Supported")
    assert [e.local_port for e in net.of(MediaOpened)] == [client.ports[0], client.ports[3]]
    assert b"a=label:2" in client.answer.body


def test_a_format_that_we_cannot_decode_is_taken_where_there_is_no_other():
    net = Network()
    assert b"a=rtpmap:97 ILBC/8000" in RecordingClient(net, "unknown_codec").answer.body
    assert net.of(MediaOpened)[0].codecs == ((97, "ILBC/8000"),)


def test_g729_without_rtpmap_is_known_by_its_number():
    net = Network()
    RecordingClient(net, "g729_only")
    assert net.of(MediaOpened)[0].codecs == ((18, "G729/8000"),)


def test_parties_are_told_with_name_address_and_side():
    net = Network()
    RecordingClient(net, "gb2312")
    assert [(p.name, p.address, p.side) for p in net.of(PartyKnown)] == [
        ("王先生", "sip:+8613871206358@pstn.example", CITIZEN),
        ("张三", "sip:8001@pbx.example", AGENT),
    ]


def test_a_session_without_sdp_is_refused_and_leaves_nothing():
    net = Network()
    assert RecordingClient(net, "bad_sdp").answer.status == 488
    assert net.of(CallUnanswered)
    net.settle()


def test_a_stranger_cannot_have_himself_recorded():
    net = Network()
    client = RecordingClient(net, "rfc7865", source=("10.66.0.1", 5060))
    assert client.answer.status == 403
    assert not net.of(CallStarted)


def test_a_seat_in_from_is_no_phone_when_it_is_one_end_of_a_fork():
    """Else it would be asked for the password of the extension. It comes from another port than the trunk's."""
    net = Network()
    assert RecordingClient(net, "fork_near", source=(TRUNK[0], 5099)).answer.status == 200


def test_pause_and_resume_by_direction():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    client.ask("INVITE", client.sdp(["inactive", "inactive"]), "application/sdp")
    assert client.directions == ["inactive", "inactive"]
    assert [(e.stream, e.held, e.paused) for e in net.of(MediaChanged)] == [(0, True, True), (1, True, True)]
    before = client.ports
    client.ask("UPDATE", client.sdp(["sendonly", "sendonly"]), "application/sdp")
    assert client.directions == ["recvonly", "recvonly"]
    assert client.ports == before
    assert [(e.stream, e.held, e.paused) for e in net.of(MediaChanged)][2:] == [(0, False, False), (1, False, False)]
    client.bye()
    net.settle()


def test_one_stream_alone_may_pause():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    client.ask("INVITE", client.sdp(["sendonly", "inactive"]), "application/sdp")
    assert [(e.stream, e.paused) for e in net.of(MediaChanged)] == [(1, True)]


def test_an_update_with_metadata_alone_changes_who_is_who():
    net = Network()
    client = RecordingClient(net, "bad_xml_none")
    told = invite_of("rfc7865_outbound")
    response = client.ask("UPDATE", told[told.index(b"<?xml") : told.index(b"</recording>") + 12], METADATA)
    assert response.status == 200
    assert not response.body
    assert sides(net) == [AGENT, CITIZEN]
    assert facts(net) == (*OUTBOUND, "8002")


def test_a_partial_update_adds_a_party_and_keeps_the_others():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    added = (
        b"<recording xmlns='urn:ietf:params:xml:ns:recording:1'><dataMode>partial</dataMode>"
        b"<participant participant_id='p3'><nameID aor='sip:8002@pbx.example'/></participant>"
        b"<participantstreamassoc participant_id='p3'><send>s-2</send></participantstreamassoc>"
        b"<participantsessionassoc participant_id='p-agent'><disassociate-time>2026-11-22T08:01:00Z</disassociate-time>"
        b"</participantsessionassoc></recording>"
    )
    assert client.ask("INFO", added, METADATA).status == 200
    known = [(p.address, p.side, p.left) for p in net.of(PartyKnown)]
    assert known[2:] == [("sip:8001@pbx.example", AGENT, True), ("sip:8002@pbx.example", AGENT, False)]
    assert sides(net) == [CITIZEN, AGENT]


def participants(mode: str, *people: tuple[str, str]) -> bytes:
    each = "".join(f"<participant participant_id='{k}'><nameID aor='{a}'/></participant>" for k, a in people)
    return (
        f"<recording xmlns='urn:ietf:params:xml:ns:recording:1'><dataMode>{mode}</dataMode>{each}</recording>".encode()
    )


CALLER, FIRST = ("p-citizen", "sip:+8613871206358@pstn.example"), ("p-agent", "sip:8001@pbx.example")


def test_whom_a_later_complete_document_does_not_name_has_left_until_he_is_named_again():
    """His going left no trace: the call's page showed everybody to the end."""
    net = Network()
    client = RecordingClient(net, "rfc7865")

    def told_by(document: bytes) -> list[tuple[str, bool]]:
        before = len(net.of(PartyKnown))
        assert client.ask("UPDATE", document, METADATA).status == 200
        return [(p.address, p.left) for p in net.of(PartyKnown)[before:]]

    assert told_by(participants("complete", CALLER, FIRST)) == [(address, False) for _, address in (CALLER, FIRST)]
    assert told_by(participants("complete", CALLER)) == [(FIRST[1], True)]
    assert told_by(participants("complete", CALLER)) == []
    assert told_by(participants("partial", ("p-9", FIRST[1]))) == [(FIRST[1], False)]
    assert told_by(participants("complete", ("p-1", CALLER[1]), ("p-2", FIRST[1]))) == [], "other names for the same"
    assert told_by(participants("complete")) == [], "a document that names nobody says nothing"
    assert told_by(participants("complete", CALLER)[:-20]) == [], "nor does one that is cut off"


def test_a_stream_added_later_gets_a_port_and_a_number_of_its_own():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    more = client.sdp(["sendonly", "sendonly"]) + b"m=audio 40010 RTP/AVP 8\na=label:3\na=sendonly\n"
    client.ask("INVITE", more, "application/sdp")
    assert len(set(client.ports)) == 3
    assert [e.stream for e in net.of(MediaOpened)] == [0, 1, 2]
    gone = more.replace(b"m=audio 40010", b"m=audio 0")
    client.ask("INVITE", gone, "application/sdp")
    assert client.ports[2] == 0
    assert net.of(MediaChanged)[-1].stream == 2
    assert net.of(MediaChanged)[-1].paused
    client.bye()
    net.settle()


def test_a_moved_address_is_told():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    client.ask("INVITE", client.sdp(["sendonly", "sendonly"]).replace(b"40000", b"40100"), "application/sdp")
    assert [(e.stream, e.remote) for e in net.of(MediaChanged)] == [(0, ("10.0.1.9", 40100))]


@pytest.mark.parametrize("order", [("twin_a", "twin_b"), ("twin_b", "twin_a"), ("fork_near", "fork_far"), ("fork_far", "fork_near")])  # fmt: skip
def test_two_sessions_of_one_call_are_one_recording(order):
    net = Network()
    first = RecordingClient(net, order[0])
    net.run(1)
    second = RecordingClient(net, order[1])
    assert second.answer.status == 200
    assert len(net.of(CallStarted)) == len(net.of(CallAnswered)) == 1
    assert sorted(sides(net), key=int) == [CITIZEN, AGENT]
    assert facts(net) == (*INBOUND, "8001")
    joined = [e.joined_by for e in net.of(FactsLearnt) if e.joined_by]
    assert joined == ["REFCI:31500922" if "fork" in order[0] else "UCID:00120034567812AB"]
    assert [e.sip_call_ids for e in net.of(FactsLearnt) if e.sip_call_ids] == [
        (first.invite.call_id, second.invite.call_id)
    ]
    first.bye()
    assert not net.of(CallEnded)
    # Nothing more is expected of the stream that went with it.
    assert [(e.stream, e.remote, e.paused, e.terms.sends) for e in net.of(MediaChanged)] == [
        (net.of(MediaOpened)[0].stream, None, True, False)
    ]
    net.run(5)
    second.bye()
    assert len(net.of(CallEnded)) == 1
    net.settle()


def test_a_session_that_comes_too_late_or_names_another_call_is_a_call_of_its_own():
    net = Network()
    RecordingClient(net, "fork_near")
    other = invite_of("fork_far").replace(b"31500922", b"40000001").replace(b"forkfar", b"other")
    RecordingClient(net, "", other)
    net.run(61)
    RecordingClient(net, "fork_far")
    assert len(net.of(CallStarted)) == 3


def test_sessions_that_have_both_sides_each_are_not_put_into_one():
    """Every voice would be there twice."""
    net = Network()
    RecordingClient(net, "three_streams")
    again = invite_of("three_streams").replace(b"three@", b"again@").replace(b"bK-three", b"bK-again")
    RecordingClient(net, "", again)
    assert len(net.of(CallStarted)) == 2


def test_without_ports_the_session_is_refused_and_with_few_some_lines_are():
    net = Network(ports=Ports(0))
    assert RecordingClient(net, "rfc7865").answer.status == 503
    net = Network(ports=Ports(1))
    client = RecordingClient(net, "rfc7865")
    assert [bool(port) for port in client.ports] == [True, False]
    assert net.of(SipFault)
    client.bye()
    net.settle()


def test_more_streams_than_a_spool_can_number_are_declined():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    many = client.sdp(["sendonly", "sendonly"]) + b"m=audio 40010 RTP/AVP 8\na=sendonly\n" * 29
    client.ask("INVITE", many, "application/sdp")
    assert sum(1 for port in client.ports if port) == 16
    assert len(client.ports) == 31


@pytest.mark.parametrize(
    ("odd", "declined"),
    [
        (b"m=video 0 RTP/AVP", b"m=video 0 RTP/AVP 0"),
        (b"m=audio 4000", b"m=audio 0 RTP/AVP 0"),
        (b"m=audio " + b"9" * 5000 + b" RTP/AVP 8", b"m=audio 0 RTP/AVP 0"),
        (b"m=audio 99999 RTP/AVP 8", b"m=audio 0 RTP/AVP 8"),
        (b"m=audio -1 RTP/AVP 8", b"m=audio 0 RTP/AVP 0"),
        (b"m=text\x00\x07 70000/2 RTP/AVP", b"m=text 0 RTP/AVP 0"),
        (b"m=", b"m=application 0 RTP/AVP 0"),
    ],
)
def test_an_odd_media_line_costs_its_own_stream_only(odd, declined):
    """A video line without formats lost the recording of the whole call."""
    net = Network()
    data = invite_of("video_between")
    body = data[data.index(b"v=0") :]
    video = next(line for line in body.split(b"\n") if line.startswith(b"m=video")).rstrip(b"\r")
    client = RecordingClient(net, "", resized(data.replace(video, odd)))
    assert client.answer.status == 200 and [bool(port) for port in client.ports] == [True, False, False, True]
    assert declined in client.answer.body.splitlines()
    client.bye()
    net.settle()


def resized(data: bytes) -> bytes:
    head, body = data.split(b"\n\n", 1)
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + b"\n\n" + body


@pytest.mark.parametrize(("lines", "status"), [(40, 200), (127, 200), (140, 488)])
def test_every_line_of_an_offer_has_its_answer_or_the_offer_is_refused(lines, status):
    net = Network()
    client = RecordingClient(net, "rfc7865")
    many = client.sdp(["sendonly", "sendonly"]) + b"m=audio 40010 RTP/AVP 8\na=sendonly\n" * (lines - 2)
    assert client.ask("INVITE", many, "application/sdp").status == status
    if status == 200:
        assert len(client.ports) == lines and sum(1 for port in client.ports if port) == 16


def test_an_invite_without_sdp_is_offered_two_lines_to_listen_on():
    net = Network()
    head, _ = invite_of("no_metadata").split(b"\n\n", 1)
    bare = b"\n".join(line for line in head.split(b"\n") if not line.startswith(b"Content-Type")) + b"\n\n"
    client = RecordingClient.__new__(RecordingClient)
    net.lose = lambda data, a, b: False
    client.__init__(net, "", bare)  # type: ignore[misc]
    assert client.directions == ["recvonly", "recvonly"]
    assert len(client.ports) == 2


def test_a_late_answer_in_the_ack_opens_the_streams():
    net = Network()
    head, body = invite_of("no_metadata").split(b"\n\n", 1)
    bare = b"\n".join(line for line in head.split(b"\n") if not line.startswith(b"Content-Type")) + b"\n\n"
    client = LateClient(net, "", bare, body)
    assert [e.local_port for e in net.of(MediaOpened)] == client.ports
    assert sides(net) == [CITIZEN, AGENT]
    client.bye()
    net.settle()


class LateClient(RecordingClient):
    def __init__(self, net: Network, name: str, data: bytes, body: bytes) -> None:
        self._body = body
        super().__init__(net, name, data)

    def ack(self, body: bytes = b"") -> None:
        super().ack(self._body)


def test_a_broken_offer_in_the_session_gets_488_and_changes_nothing():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    assert client.ask("INVITE", b"nonsense", "application/sdp").status == 488
    assert not net.of(MediaChanged)
    client.bye()
    net.settle()


def test_a_refresh_without_body_is_answered_with_what_is_agreed():
    net = Network()
    client = RecordingClient(net, "rfc7865")
    before = client.answer.body
    assert client.ask("UPDATE").status == 200
    assert client.ask("INVITE").status == 200
    assert client.answer.body == before


KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def test_an_encrypted_stream_is_answered_with_a_key_of_ours():
    net = Network()
    data = invite_of("rfc7865").replace(b"RTP/AVP", b"RTP/SAVP")
    data = data.replace(b"a=sendonly", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY.encode() + b"\na=sendonly")
    client = RecordingClient(net, "", data)
    assert client.answer.body.count(b"m=audio") == client.answer.body.count(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80") == 2
    assert b"RTP/SAVP" in client.answer.body
    opened = net.of(MediaOpened)
    assert all(e.terms.keys is not None for e in opened)
    assert KEY not in client.answer.body.decode()
    client.bye()
    net.settle()


def test_encryption_without_a_usable_key_is_refused_with_the_reason():
    net = Network()
    assert RecordingClient(net, "", invite_of("rfc7865").replace(b"RTP/AVP", b"RTP/SAVP")).answer.status == 488
    assert "SDES" in net.of(SipFault)[0].text


@pytest.mark.parametrize(
    ("allow", "method"), [(b"INVITE, ACK, BYE", "INVITE"), (b"INVITE, ACK, BYE, UPDATE", "UPDATE")]
)
def test_our_refresh_repeats_all_lines(allow, method):
    net = Network()
    trunk = SimPhone(net, TRUNK, "sbc")
    asked = b"Require: siprec\nSupported: timer\nSession-Expires: 90;refresher=uas\nAllow: " + allow
    client = RecordingClient(net, "", invite_of("rfc7865").replace(b"Require: siprec", asked))
    net.run(46)
    (refresh,) = [m for m in trunk.got if isinstance(m, Request) and m.method == method][:1]
    assert refresh.body == (client.answer.body if method == "INVITE" else b"")
    assert "+sip.srs" in (refresh.headers.first("Contact") or "")


def test_stopping_ends_every_session():
    net = Network()
    trunk = SimPhone(net, TRUNK, "sbc")
    RecordingClient(net, "fork_near")
    RecordingClient(net, "fork_far")
    net.ua.shut_down(net.now)
    net.run(1)
    assert len(trunk.requests("BYE")) == 2
    assert len(net.of(CallEnded)) == 1


def test_an_ordinary_call_of_the_trunk_is_none_of_ours():
    net = Network()
    trunk = SimPhone(net, TRUNK, "13871206358")
    trunk.call("96510")
    net.run(0.1)
    assert net.of(CallStarted)[0].mode is CallMode.BRIDGE
