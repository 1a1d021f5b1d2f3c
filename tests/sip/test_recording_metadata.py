"""Metadata of recording clients, by itself: hostile documents, pictures that grow, keys that join."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.recording.metadata import Metadata, Participant, Picture, call_key, read_metadata
from callqa.sip.recording.parties import Who, agents_of, bodies_of, is_recording, signs_of
from callqa.sip.recording.sdp import AnsweredStream, build_answer, read_offer
from callqa.sip.wire.message import Request, parse_message
from callqa.sip.wire.xml_tree import BYTES_MOST, ELEMENTS_MOST, read_xml
from tests.sip.recording_client import DATA, invite_of

ALL = sorted(path.stem for path in DATA.glob("*.sip"))


def request_of(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


@given(st.binary(max_size=600))
def test_any_bytes_are_metadata_of_some_kind(data):
    told = read_metadata(data)
    assert len(told.participants) <= 32


@given(st.sampled_from(ALL), st.integers(0, 4000), st.binary(max_size=3))
def test_a_damaged_invite_is_read_or_refused_never_worse(name, at, noise):
    data = invite_of(name)
    try:
        request = request_of(data[:at] + noise + data[at + len(noise) :])
    except ProtocolError:
        return
    is_recording(request)
    signs_of(request)
    sdp, metadata, _ = bodies_of(request)
    if metadata:
        read_metadata(metadata)
    if sdp:
        try:
            read_offer(sdp)
        except ProtocolError:
            return


@pytest.mark.parametrize(
    "data",
    [
        b"<a>" * (ELEMENTS_MOST + 1),
        b"<r>" + b"<a/>" * (ELEMENTS_MOST + 1) + b"</r>",
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        b'<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1/"> %x;]><r>&x;</r>',
        b"<r>&undefined;</r>",
    ],
)
def test_documents_that_ask_for_too_much_are_a_problem_and_nothing_is_looked_up(data):
    root, problem = read_xml(data)
    assert problem
    assert root is None or len(root.walk()) <= ELEMENTS_MOST + 1


def test_a_document_beyond_any_message_is_cut():
    root, problem = read_xml(b"<r>" + b"<a>" + b"x" * (2 * BYTES_MOST) + b"</a></r>")
    assert problem
    assert root is not None
    assert len(root.children[0].text) <= 1024


def test_a_complete_document_replaces_and_a_partial_one_adds():
    picture = Picture()
    picture.take(Metadata(participants=(Participant("a", "A", "sip:a@x"),), streams=(("s", "1"),), sends=(("a", "s"),)))
    picture.take(Metadata(partial=True, participants=(Participant("a", "", "sip:new@x"), Participant("b"))))
    assert list(picture.participants.values()) == [Participant("a", "A", "sip:new@x"), Participant("b")]
    assert picture.senders("1") == ("a",)
    picture.take(Metadata(partial=True, gone=frozenset({"a"})))
    assert picture.senders("1") == ()
    picture.take(Metadata(participants=(Participant("c"),)))
    assert list(picture.participants) == ["c"]


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("UCID", "00FA08001200345678ABCD;encoding=hex", "UCID:001200345678ABCD"),
        ("UCID", "fa08001200345678abcd", "UCID:001200345678ABCD"),
        ("GUID", "0123456789-0123456789-0123456789-0123456789", "GUID:0123456789-0123456789-0123456789-0123456789"),
        ("GUID", "0000-0000", ""),
        ("REFCI", "", ""),
        ("SESSION", "1", ""),
    ],
)
def test_keys_name_a_call_or_nothing(kind, value, key):
    assert call_key(kind, value) == key


def person(key: str, address: str, **more: object) -> Participant:
    return Participant(key, "", address, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parties", "agents"),
    [
        ([person("a", "sip:8001@x"), person("b", "sip:8002@x")], {"a", "b"}),
        ([person("a", "sip:8001@x"), person("b", "tel:13871206358")], {"a"}),
        ([person("a", "sip:139@x", ours=True), person("b", "sip:27@x")], {"a"}),
        ([person("a", "tel:+862784770000"), person("b", "tel:13871206358")], {"a"}),
        ([person("a", "sip:4021@x"), person("b", "tel:13871206358")], {"a"}),
        ([person("a", "sip:02765432100@x"), person("b", "tel:13871206358")], {"b"}),
        ([person("a", "tel:13871206358")], set()),
        ([], set()),
    ],
)
def test_who_the_agent_is(parties, agents):
    assert agents_of(tuple(parties), Who(frozenset({"8001", "8002"}), "02784770000")) == agents


def test_uui_that_is_no_ucid_joins_nothing():
    data = invite_of("twin_a").replace(b"00FA0800120034567812AB;encoding=hex", b"56a390f3d2b7310023;encoding=hex")
    assert not [k for k in signs_of(request_of(data)).call_keys if k]


@pytest.mark.parametrize("name", ["rfc7865", "video_between", "g729_only"])
def test_an_offer_is_answered_line_by_line_and_our_answer_is_one_too(name):
    sdp, _, _ = bodies_of(request_of(invite_of(name)))
    assert sdp is not None
    lines = read_offer(sdp)
    answer = build_answer("10.0.0.1", 1, 1, tuple(AnsweredStream(line, 20000 if line.session else 0) for line in lines))
    again = read_offer(answer)
    assert [line.kind for line in again] == [line.kind for line in lines]
    assert [line.codecs[:1] for line in again if line.session] == [line.codecs[:1] for line in lines if line.session]
