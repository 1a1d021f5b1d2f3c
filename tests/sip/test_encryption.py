"""Keys in SDP: what is taken, what is answered and offered, what is refused and why; and that a key is shown nowhere."""

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.events import CallAnswered, CallUnanswered, MediaChanged, SipFault
from callqa.sip.wire.sdes import AES_32, AES_80, GCM_256, SUITES, CryptoLine, Keyring, parse_crypto, parse_crypto_line
from callqa.sip.wire.sdp import DTLS, NO_KEYS, OUR_CODECS, MediaDirection, Session, UnfitMedia, build_sdp, parse_sdp
from callqa.units import Channel
from tests.sip.simulated import Network, desk, ringing_hotline

KEY = bytes(range(30))
INLINE = base64.b64encode(KEY).decode()


def sdp(*lines: str, session: tuple[str, ...] = ()) -> bytes:
    return "\r\n".join(
        ["v=0", "o=- 1 1 IN IP4 10.0.2.1", "s=-", "c=IN IP4 10.0.2.1", "t=0 0", *session, *lines, ""]
    ).encode()


def tokens():
    numbers = itertools.count()
    return lambda: f"token-{next(numbers)}"


@pytest.mark.parametrize("suite", SUITES)
def test_a_line_of_every_suite_is_read_as_it_was_written(suite):
    line = CryptoLine(7, suite, bytes(range(suite.key_bytes)))
    assert parse_crypto_line(str(line)) == line


@pytest.mark.parametrize(
    "rest",
    [f"inline:{INLINE}", f"inline:{INLINE}|2^31", f"inline:{INLINE}|1048576", f"inline:{INLINE} WSH=64", f"inline:{INLINE} -X=1", f"inline:{INLINE.rstrip('=')}"],
)  # fmt: skip
def test_what_real_phones_write(rest):
    assert parse_crypto_line(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {rest}") == CryptoLine(1, AES_80, KEY)


@pytest.mark.parametrize(
    "line",
    [
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}|2^31|1:4",  # an MKI would stand in every packet
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE};inline:{INLINE}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE} UNENCRYPTED_SRTP",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE} KDR=1",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE[:20]}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}AAAA",
        f"a=crypto:1 F8_128_HMAC_SHA1_80 inline:{INLINE}",
        f"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{INLINE}",
        f"a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:{INLINE}",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80",
        "a=crypto:",
    ],
)
def test_lines_that_are_not_taken(line):
    assert parse_crypto_line(line) is None


@given(st.text(max_size=200))
def test_any_text_is_a_line_or_none(text):
    line = parse_crypto_line("a=crypto:" + text)
    assert line is None or len(line.key) == line.suite.key_bytes


def test_a_better_line_behind_one_we_do_not_have_is_answered_with_its_tag():
    offer = parse_sdp(
        sdp(
            "m=audio 4000 RTP/SAVP 8",
            f"a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:{base64.b64encode(bytes(46)).decode()}",
            f"a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:{INLINE}",
        )
    )
    (line,) = Keyring(tokens()).answer(offer.crypto)
    assert (line.tag, line.suite, len(line.key)) == (4, AES_32, 30) and line.key != KEY
    answer = build_sdp(
        "10.0.0.1", 20000, OUR_CODECS[:1], session_id=1, version=1, direction=MediaDirection.SENDRECV, answering=offer, crypto=(line,)
    )  # fmt: skip
    assert parse_sdp(answer).crypto == (line,) and b"m=audio 20000 RTP/SAVP 8\r\n" in answer


def test_both_sides_of_an_offer_find_the_same_keys():
    ours, theirs = Keyring(tokens(), "required"), Keyring(tokens())
    offered = ours.offer(None)
    assert [line.suite for line in offered] == [AES_80, AES_32]
    answered = theirs.answer(offered[1:])  # it has only the second
    mine, other = ours.agreed(answered), theirs.agreed(offered[1:])
    assert mine is not None and other is not None
    assert (mine.suite, mine.send, mine.receive) == (AES_32, other.receive, other.send)
    assert ours.agreed(()) is None


def test_our_key_stays_when_the_peer_brings_a_new_one():
    ring = Keyring(tokens())
    first = ring.answer([CryptoLine(1, AES_80, KEY)])
    assert ring.answer([CryptoLine(1, AES_80, KEY[::-1])]) == first
    assert ring.answer([CryptoLine(1, GCM_256, bytes(44))])[0].key != first[0].key


@pytest.mark.parametrize(
    ("lines", "session", "reason"),
    [
        (("m=audio 4000 RTP/SAVP 8",), (), NO_KEYS),
        (("m=audio 4000 RTP/SAVP 8", f"a=crypto:1 F8_128_HMAC_SHA1_80 inline:{INLINE}"), (), NO_KEYS),
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 8", "a=setup:actpass"), (), DTLS),
        (("m=audio 4000 RTP/SAVPF 8",), ("a=fingerprint:sha-256 AB:CD",), DTLS),
    ],
)
def test_what_we_must_refuse_has_its_reason(lines, session, reason):
    with pytest.raises(UnfitMedia) as e:
        parse_sdp(sdp(*lines, session=session))
    assert e.value.reason == reason and isinstance(e.value, ProtocolError)


def test_of_two_audio_lines_the_first_that_can_be_taken_counts():
    """Phones that would rather be encrypted offer both; the other line is declined."""
    both = ("m=audio 4000 RTP/SAVP 8", "m=audio 4002 RTP/AVP 8")
    keyed = parse_sdp(sdp(both[0], f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}", both[1]))
    plain = parse_sdp(sdp(*both))
    assert (keyed.port, keyed.audio_index, len(keyed.crypto)) == (4000, 0, 1)
    assert (plain.port, plain.audio_index, plain.crypto) == (4002, 1, ())


def test_rtcp_address():
    base = "m=audio 4000 RTP/AVP 8"
    assert parse_sdp(sdp(base)).rtcp == ("10.0.2.1", 4001)
    assert parse_sdp(sdp(base, "a=rtcp:5001")).rtcp == ("10.0.2.1", 5001)
    assert parse_sdp(sdp(base, "a=rtcp:5001 IN IP4 10.9.9.9")).rtcp == ("10.9.9.9", 5001)
    assert parse_sdp(sdp(base, "a=rtcp:99999")).rtcp == ("10.0.2.1", 4001)
    shared = parse_sdp(sdp(base, "a=rtcp-mux"))
    assert shared.rtcp == ("10.0.2.1", 4000) and shared.rtcp_mux
    answer = build_sdp(
        "10.0.0.1", 2, OUR_CODECS[:1], session_id=1, version=1, direction=MediaDirection.SENDRECV, answering=shared
    )
    assert b"a=rtcp-mux" in answer


# -- calls --------------------------------------------------------------------------------------------------------------


def offer_with_keys(profile: str = "RTP/SAVP", key: str = INLINE) -> bytes:
    return sdp(
        f"m=audio 31000 {profile} 8 101",
        "a=rtpmap:101 telephone-event/8000",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}",
    )


def media_of(net: Network, channel: Channel) -> MediaChanged:
    return [e for e in net.of(MediaChanged) if e.channel is channel][-1]


@pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
def test_an_encrypted_trunk_and_a_plain_phone_are_one_call(profile):
    """Each leg for itself; a trunk that would rather be encrypted no longer has to call twice."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    leg = trunk.call("12345", sdp=offer_with_keys(profile))
    net.run(1)
    one.answer()
    net.run(1)
    assert len(net.of(CallAnswered)) == 1
    answer = parse_sdp(trunk.responses("INVITE")[-1].body)
    keys = media_of(net, Channel.CITIZEN).terms.keys
    assert keys is not None and (keys.receive, keys.send) == (KEY, answer.crypto[0].key)
    assert answer.protocol == profile and media_of(net, Channel.AGENT).terms.keys is None
    assert b"crypto" not in one.requests("INVITE")[-1].body
    told = [e.text for e in net.of(SipFault)]
    assert len(told) == 1 and "TLS" in told[0]
    trunk.hang_up(leg)
    net.settle()


def test_an_encrypted_call_over_tls_tells_no_fault():
    from callqa.sip.wire.hop import Transport, hop
    from tests.sip.simulated import SimPhone

    net = Network(desk=desk())
    _, (one, _) = ringing_hotline(net)
    trunk = SimPhone(net, hop("10.0.1.1", 5061, Transport.TLS), "13871206358")
    trunk.call("12345", sdp=offer_with_keys())
    net.run(1)
    one.answer()
    net.run(1)
    assert media_of(net, Channel.CITIZEN).terms.keys is not None
    assert not net.of(SipFault)
    trunk.hang_up()
    net.settle()


@pytest.mark.parametrize(("wanted", "profile"), [("optional", "RTP/AVP"), ("required", "RTP/SAVP")])
def test_seats_are_offered_encryption_where_it_is_set(wanted, profile):
    d = desk()
    net = Network(d.model_copy(update={"routing": d.routing.model_copy(update={"seat_encryption": wanted})}))
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    offered = parse_sdp(one.requests("INVITE")[-1].body)
    assert offered.protocol == profile and [c.suite for c in offered.crypto] == [AES_80, AES_32]
    one.answer()
    net.run(1)
    keys = media_of(net, Channel.AGENT).terms.keys
    assert keys is not None and keys.send == offered.crypto[0].key
    assert media_of(net, Channel.CITIZEN).terms.keys is None
    trunk.hang_up()
    net.settle()


def without_crypto(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"a=crypto"))


@pytest.mark.parametrize(("wanted", "answered"), [("optional", 1), ("required", 0)])
def test_a_phone_that_answers_without_keys(wanted, answered, monkeypatch):
    d = desk()
    net = Network(d.model_copy(update={"routing": d.routing.model_copy(update={"seat_encryption": wanted})}))
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(1)
    leg = one.legs[-1]
    leg.codecs = OUR_CODECS[:1]
    plain = without_crypto(leg.sdp(leg.codecs, answering=leg.session)).replace(b"SAVP", b"AVP")
    leg.accept(plain, net.now)
    net.flush()
    net.run(1)
    assert len(net.of(CallAnswered)) == answered
    if answered:
        assert media_of(net, Channel.AGENT).terms.keys is None
    else:
        assert any("没有接受媒体加密" in e.text for e in net.of(SipFault))
    trunk.hang_up()
    net.settle()


def test_a_trunk_that_must_be_encrypted_is_refused_in_plain():
    d = desk()
    trunk = d.trunks[0].model_copy(update={"media_encryption": "required"})
    net = Network(d.model_copy(update={"trunks": (trunk,)}))
    caller, _ = ringing_hotline(net)
    caller.call("12345")
    net.run(1)
    assert caller.log == ["refused 488"] and "加密" in net.of(CallUnanswered)[0].reason
    net.settle()


def test_dtls_is_refused_with_its_reason():
    net = Network()
    caller, _ = ringing_hotline(net)
    caller.call("12345", sdp=sdp("m=audio 4000 UDP/TLS/RTP/SAVPF 8", "a=fingerprint:sha-256 AB:CD"))
    net.run(1)
    assert caller.log == ["refused 488"] and net.of(CallUnanswered)[0].reason == DTLS
    net.settle()


def test_new_keys_and_plain_again_in_a_re_invite():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    leg = trunk.call("12345", sdp=offer_with_keys())
    net.run(1)
    one.answer()
    net.run(1)
    first = media_of(net, Channel.CITIZEN).terms.keys
    other = base64.b64encode(KEY[::-1]).decode()

    def again(body: bytes) -> None:
        request = leg.dialog.request("INVITE", body=body)
        done = lambda r, _s, _n: leg.acknowledge(leg.dialog, r.cseq.number)  # noqa: E731
        trunk.core.transactions.request(request, trunk.server, trunk.address, net.now, on_response=done)
        net.flush()
        net.run(1)

    again(offer_with_keys(key=other))
    second = media_of(net, Channel.CITIZEN).terms.keys
    assert first is not None and second is not None
    assert second.receive == KEY[::-1] and second.send == first.send
    again(sdp("m=audio 31000 RTP/AVP 8"))
    assert media_of(net, Channel.CITIZEN).terms.keys is None
    trunk.hang_up(leg)
    net.settle()


def test_a_key_is_shown_nowhere():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    leg = trunk.call("12345", sdp=offer_with_keys())
    net.run(1)
    one.answer()
    net.run(1)
    session = parse_sdp(offer_with_keys())
    assert isinstance(session, Session)
    keys = media_of(net, Channel.CITIZEN).terms.keys
    assert keys is not None
    shown = (
        repr(net.events)
        + str(net.events)
        + repr(session)
        + repr(leg.keyring.sent)
        + repr(parse_crypto([f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}"]))
    )
    for key in (keys.receive, keys.send):
        for text in (base64.b64encode(key).decode(), key.hex(), repr(key), repr(key)[2:20]):
            assert text not in shown
    trunk.hang_up(leg)
    net.settle()
