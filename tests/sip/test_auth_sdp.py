"""Digest, SDP and bodies of several parts: known answers, replay, expiry, hold, any bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.wire.auth import (
    Credentials,
    DigestServer,
    Verdict,
    answer_challenge,
    answer_with_ha1,
    expected_response,
    ha1,
    parse_challenge,
    parse_credentials,
)
from callqa.sip.wire.multipart import parts_of
from callqa.sip.wire.sdp import EVENTS, OUR_CODECS, MediaDirection, agreed_codecs, build_sdp, common_codecs, parse_sdp

PASSWORD = "密码"


def test_known_answers():
    """RFC 7616 §3.9.1: MD5 and SHA-256 of the same request."""
    known = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in known.items():
        c = Credentials(
            "Mufasa", "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "/dir/index.html", "", algorithm, "auth",
            "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )  # fmt: skip
        assert expected_response(c, "GET", ha1(algorithm, "Mufasa", c.realm, "Circle of Life")) == response


def digest(
    server: DigestServer, now: float, algorithm: str = "SHA-256", password: str = PASSWORD, nc: int = 1
) -> Credentials:
    challenge = next(c for c in server.challenges("callqa", now) if c.algorithm == algorithm)
    read = parse_challenge(str(challenge))
    assert read == challenge
    c = answer_challenge(read, method="REGISTER", uri="sip:h", user="8001", password=password, cnonce="x", nc=nc)
    assert parse_credentials(str(c)) == c
    return c


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_right_and_wrong_password(algorithm: str):
    server, known = DigestServer(b"s"), ha1(algorithm, "8001", "callqa", PASSWORD)
    assert server.check(digest(server, 0.0, algorithm), "REGISTER", known, 1.0) is Verdict.GOOD
    assert server.check(digest(server, 0.0, algorithm), "INVITE", known, 1.0) is Verdict.WRONG
    assert server.check(digest(server, 0.0, algorithm, "other"), "REGISTER", known, 1.0) is Verdict.WRONG
    assert server.check(digest(server, 0.0, algorithm), "REGISTER", None, 1.0) is Verdict.WRONG


def test_nonce_expires_is_counted_and_cannot_be_made_elsewhere():
    server, known = DigestServer(b"s", life_s=10), ha1("SHA-256", "8001", "callqa", PASSWORD)
    first = digest(server, 0.0)
    assert server.check(first, "REGISTER", known, 1.0) is Verdict.GOOD
    assert server.check(first, "REGISTER", known, 1.0) is Verdict.STALE, "replayed"
    assert server.check(digest(server, 0.0), "REGISTER", known, 11.0) is Verdict.STALE
    assert DigestServer(b"other").check(digest(server, 0.0), "REGISTER", known, 1.0) is Verdict.STALE
    server.forget_old(100.0)
    assert not server._counts


def test_client_without_qop_is_taken_once_per_nonce():
    server, known = DigestServer(b"s"), ha1("MD5", "8001", "callqa", PASSWORD)
    challenge = server.challenges("callqa", 0.0)[1]
    bare = answer_challenge(
        type(challenge)(challenge.realm, challenge.nonce, "MD5", ()), method="REGISTER", uri="sip:h;transport=UDP", user="8001",
        password=PASSWORD, cnonce="",
    )  # fmt: skip
    assert not bare.qop
    assert server.check(bare, "REGISTER", known, 0.0) is Verdict.GOOD
    assert server.check(bare, "REGISTER", known, 0.0) is Verdict.STALE


@pytest.mark.parametrize("with_qop", [True, False])
def test_credentials_are_not_good_again_when_their_count_was_forgotten(monkeypatch, with_qop: bool):
    monkeypatch.setattr("callqa.sip.wire.auth.NONCES_MOST", 10)
    server, known = DigestServer(b"s"), ha1("MD5", "8001", "callqa", PASSWORD)

    def used() -> Credentials:
        challenge = server.challenges("callqa", 0.0)[1]
        challenge = challenge if with_qop else replace(challenge, qop=())
        return answer_with_ha1(challenge, method="INVITE", uri="sip:x", user="8001", ha1_hex=known, cnonce="c")

    waits = used()
    seen = [used() for _ in range(30)]  # made in the same millisecond
    late = used()
    for c in seen:
        assert server.check(c, "INVITE", known, 1.0) is Verdict.GOOD
    assert [server.check(c, "INVITE", known, 1.0) for c in seen] == [Verdict.STALE] * 30
    assert server.check(late, "INVITE", known, 1.0) is Verdict.GOOD, "younger than all that were forgotten"
    assert server.check(waits, "INVITE", known, 1.0) is Verdict.STALE, "nobody knows; its phone is asked again"
    assert server.check(used(), "INVITE", known, 1.0) is Verdict.GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic abc",
        "Digest",
        "Digest username=",
        'Digest username="a" realm',
        'Digest username="a", realm="b", nonce="c", uri="d", response="e", algorithm=CRC',
    ],
)
def test_bad_credentials(text: str):
    with pytest.raises(ProtocolError):
        parse_credentials(text)


@given(st.text(max_size=80).map(lambda t: "Digest " + t))
def test_digest_parsers_are_total(text: str):
    for parse in (parse_credentials, parse_challenge):
        try:
            parse(text)
        except ProtocolError:
            continue


def sdp(*lines: str) -> bytes:
    return "\r\n".join(("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", *lines, "")).encode()


def test_addresses_at_media_level_win():
    session = parse_sdp(sdp("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.2"))
    assert session.remote == ("192.0.2.2", 4000)
    assert parse_sdp(sdp("c=IN IP6 2001:DB8::1", "m=audio 4000 RTP/AVP 0")).host == "2001:db8::1"


@pytest.mark.parametrize(
    ("lines", "held", "remote"),
    [
        (("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0"), False, ("192.0.2.1", 4000)),
        (("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=sendonly"), True, ("192.0.2.1", 4000)),
        (("c=IN IP4 192.0.2.1", "a=inactive", "m=audio 4000 RTP/AVP 0"), True, None),
        (("c=IN IP4 192.0.2.1", "a=inactive", "m=audio 4000 RTP/AVP 0", "a=sendrecv"), False, ("192.0.2.1", 4000)),
        (("c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"), True, None),
        (("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=recvonly"), False, ("192.0.2.1", 4000)),
    ],
)
def test_both_styles_of_hold(lines: tuple[str, ...], held: bool, remote: tuple[str, int] | None):
    session = parse_sdp(sdp(*lines))
    assert (session.held, session.remote) == (held, remote)


def test_answer_declines_further_streams_and_keeps_payload_types():
    offer = parse_sdp(
        sdp(
            "c=IN IP4 192.0.2.1",
            "m=video 5000 RTP/AVP 96",
            "m=audio 4000 RTP/AVP 18 8 96 0",
            "a=rtpmap:96 Telephone-Event/8000",
            "a=ptime:30",
        )
    )
    assert common_codecs(offer) == ((8, "PCMA/8000"), (0, "PCMU/8000"), (96, EVENTS)) and offer.ptime_ms == 30
    answer = build_sdp(
        "192.0.2.9",
        6000,
        common_codecs(offer),
        session_id=1,
        version=1,
        direction=MediaDirection.SENDRECV,
        answering=offer,
    )
    assert b"m=video 0 RTP/AVP 96\r\nm=audio 6000 RTP/AVP 8 0 96\r\n" in answer
    assert parse_sdp(answer).audio_index == 1


def test_the_answer_decides_one_voice_codec():
    def answered(*formats: str) -> tuple[tuple[int, str], ...]:
        lines = ("c=IN IP4 192.0.2.1", f"m=audio 4000 RTP/AVP {' '.join(formats)}", "a=rtpmap:101 telephone-event/8000")
        return agreed_codecs(OUR_CODECS, parse_sdp(sdp(*lines)))

    assert answered("0", "8", "101") == ((0, "PCMU/8000"), (101, EVENTS))
    assert answered("8") == ((8, "PCMA/8000"),)
    assert answered("18", "101") == ()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"v=0\r\nm=audio", sdp("m=audio 4000 RTP/AVP 0"), sdp("c=IN IP4 host.example", "m=audio 1 RTP/AVP 0"),
        sdp("c=IN IP4 1.2.3.4", "m=audio 99999 RTP/AVP 0"), sdp("c=IN IP4 1.2.3.4", "m=audio 4000 RTP/SAVP 0"), sdp("c=IN IP4 1.2.3.4"),
        sdp("c=IN IP4 1.2.3.4", "m=audio 1 RTP/AVP " + "0 " * 500), b"v=0\r\n" + b"a=x\r\n" * 2000, b"v=0\r\n" + b"a" * 40000,
    ],
)  # fmt: skip
def test_bad_sdp(data: bytes):
    with pytest.raises(ProtocolError):
        parse_sdp(data)


LINES = st.sampled_from(
    [
        "v=0",
        "c=IN IP4 1.2.3.4",
        "c=IN IP6 ::",
        "m=audio 1 RTP/AVP 0 8",
        "a=rtpmap:8 X/9",
        "a=ptime:0",
        "a=inactive",
        "m=audio 0 RTP/AVP",
        "a=rtpmap:999 x/1",
        "x",
        "",
    ]
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.one_of(LINES, st.text(max_size=10)), max_size=12).map(
            lambda x: "\n".join(["v=0", *x]).encode("utf-8", "replace")
        ),
    )
)
def test_sdp_parser_is_total(data: bytes):
    try:
        session = parse_sdp(data)
    except ProtocolError:
        return
    codecs = common_codecs(session)
    again = parse_sdp(
        build_sdp(
            "192.0.2.9",
            6000,
            codecs or OUR_CODECS,
            session_id=1,
            version=1,
            direction=session.direction,
            answering=session,
        )
    )
    assert again.codecs == (codecs or OUR_CODECS) and again.direction is session.direction


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"before\n--b\n\none\n--b-- \nafter", [b"one"]),
        (b"--b\r\n\r\none --b two\r\n--bb\r\n--b--", [b"one --b two\r\n--bb"]),
        (b"--b\r\n--b\r\n\r\none", [b"", b"one"]),  # one after the other, and the last one missing
        (b"no line of it", []),
    ],
)
def test_a_body_is_cut_at_the_lines_of_its_boundary(body, parts):
    assert [content for _, content in parts_of("multipart/mixed;boundary=b", body)] == parts
