"""SRTP against vectors of RFC 3711 and an implementation of its own, and what lives through the awkward senders."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.srtp import STUCK_AFTER, TRY_HEARD_AFTER, Locker, Unlocker
from callqa.sip.wire.sdes import AES_32, AES_80, SUITES
from tests.media.small_srtp import derive, key_stream, protect

MASTER = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139" + "0EC675AD498AFEEBB6960B3AABE6")  # RFC 3711 B.3
KEY = bytes(range(100, 130))


def packet(n: int, ssrc: int = 0x1234, size: int = 160) -> bytes:
    """RTP packet n of a sender; every payload is another."""
    return build_rtp(
        RtpPacket(8, False, n & 0xFFFF, n * 160 & 0xFFFF_FFFF, ssrc, bytes((n * 7 + i) & 0xFF for i in range(size)))
    )


def pair(suite=AES_80):
    key = bytes(range(suite.key_bytes))
    return Locker(suite, key), Unlocker(suite, key)


def test_the_vectors_of_rfc_3711():
    key, salt = MASTER[:16], MASTER[16:]
    assert derive(key, salt, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(key, salt, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derive(key, salt, 1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"
    stream = key_stream(
        bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16), 48
    )
    assert (
        stream.hex().upper()
        == "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"
    )


@pytest.mark.parametrize(("suite", "tag_bytes"), [(AES_80, 10), (AES_32, 4)])
def test_a_packet_is_locked_and_unlocked_as_the_rfc_says(suite, tag_bytes):
    plain = packet(0xFFF0)
    by_the_book = protect(MASTER, plain, tag_bytes=tag_bytes)
    assert Locker(suite, MASTER).lock(plain) == by_the_book
    assert Unlocker(suite, MASTER).unlock(by_the_book) == plain


def test_the_counter_rolls_over_as_the_rfc_says():
    unlocker, locker = Unlocker(AES_80, MASTER), Locker(AES_80, MASTER)
    for n in (0xFFFE, 0xFFFF, 0x10000, 0x10001):
        locked = protect(MASTER, packet(n), counter=n >> 16)
        assert locker.lock(packet(n)) == locked
        assert unlocker.unlock(locked) == packet(n)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_there_and_back(suite):
    locker, unlocker = pair(suite)
    for n in range(50):
        locked = locker.lock(packet(n))
        assert locked is not None and locked[:12] == packet(n)[:12] and packet(n)[12:28] not in locked
        assert unlocker.unlock(locked) == packet(n)


def test_reordering_and_loss_lose_nothing_more_and_a_duplicate_is_no_intruder():
    locker, unlocker = pair()
    sent = [locker.lock(packet(n)) for n in range(65500, 65700)]
    order = [sent[i ^ 3] for i in range(len(sent)) if i % 7]
    assert [unlocker.unlock(data) for data in order] == [packet(65500 + (i ^ 3)) for i in range(len(sent)) if i % 7]
    assert [unlocker.unlock(data) for data in order[:5]] == [None] * 5
    assert (unlocker.failed, unlocker.repeated) == (0, 5)


def test_several_senders_under_one_key():
    locker, unlocker = pair()
    for n in range(40):
        for ssrc in (1, 2, 3):
            assert unlocker.unlock(locker.lock(packet(n, ssrc))) == packet(n, ssrc)


def test_what_is_not_the_peers_is_counted_and_does_no_harm():
    locker, unlocker = pair()
    other = Locker(AES_80, KEY)
    for n in range(200):
        assert unlocker.unlock(locker.lock(packet(n))) == packet(n)
        assert unlocker.unlock(other.lock(packet(n, 0x9999))) is None
        assert unlocker.unlock(packet(n, 0x5555)) is None
    assert unlocker.failed == 400


@pytest.mark.parametrize("first", [70_000, 140_123, 196_700])
def test_a_sender_joined_late_is_understood_at_once(first):
    """Its roll-over counter is 1 to 3 by then, and nobody tells it."""
    locker, unlocker = pair()
    for n in range(0, first, 20_000):
        locker.lock(packet(n))
    heard = [unlocker.unlock(locker.lock(packet(n))) for n in range(first, first + 100)]
    assert heard == [packet(n) for n in range(first, first + 100)]
    assert unlocker.unlock(locker.lock(packet(first + 150))) == packet(first + 150)


def test_a_stranger_who_speaks_first_keeps_nobody_out():
    """He has the sender's SSRC, but no key."""
    locker, unlocker = pair()
    for n in range(0, 70_000, 20_000):
        locker.lock(packet(n))
    assert unlocker.unlock(packet(70_000) + bytes(10)) is None
    heard = [unlocker.unlock(locker.lock(packet(n))) for n in range(70_000, 70_050)]
    assert heard[:1] == [None] and heard[2:] == [packet(n) for n in range(70_002, 70_050)]


def test_a_sender_that_starts_anew_under_its_ssrc_is_understood_again():
    """Its packets are behind what was heard, so its counter looks wrong; a few strangers' packets would not do that."""
    before, unlocker = pair()
    for n in range(60_000, 70_000):
        unlocker.unlock(before.lock(packet(n)))
    anew = Locker(AES_80, bytes(range(30)))
    heard = [unlocker.unlock(anew.lock(packet(n))) for n in range(30_000, 30_100)]
    assert heard[: TRY_HEARD_AFTER - 1] == [None] * (TRY_HEARD_AFTER - 1)
    assert heard[TRY_HEARD_AFTER:] == [packet(n) for n in range(30_000 + TRY_HEARD_AFTER, 30_100)]


def test_a_sender_that_jumps_back_gets_another_ssrc_and_no_key_stream_is_used_twice():
    """A plain phone may do so; under SRTP the same number twice under one SSRC would give its words away."""
    locker, unlocker = pair()
    first = [locker.lock(packet(n)) for n in range(10_000, 10_100)]
    assert [unlocker.unlock(data) for data in first] == [packet(n) for n in range(10_000, 10_100)]
    again = [locker.lock(packet(n)) for n in range(5_000, 5_100)]
    assert again[:STUCK_AFTER] == [None] * STUCK_AFTER and None not in again[STUCK_AFTER:]
    heard = [unlocker.unlock(data) for data in again[STUCK_AFTER:]]
    assert [data[12:] for data in heard] == [packet(n)[12:] for n in range(5_000 + STUCK_AFTER, 5_100)]
    (ssrc,) = {data[8:12] for data in heard}
    assert int.from_bytes(ssrc, "big") == locker.shown_as(0x1234) != 0x1234


def test_a_duplicate_is_not_sent_twice():
    locker, _ = pair()
    assert locker.lock(packet(1)) is not None
    assert locker.lock(packet(1)) is None


@given(st.binary(max_size=1700))
@settings(max_examples=200)
def test_any_bytes_are_a_packet_or_nothing(data):
    locker, unlocker = pair()
    for _ in range(4):
        assert unlocker.unlock(data) is None and unlocker.unlock_rtcp(data) is None
        locker.lock(data)
        locker.lock_rtcp(data)


def test_rtcp_there_and_back():
    locker, unlocker = pair()
    report = bytes.fromhex("80c90001") + (0x1234).to_bytes(4, "big")
    locked = locker.lock_rtcp(report)
    assert locked is not None and unlocker.unlock_rtcp(locked) == report
    assert unlocker.unlock_rtcp(report) is None
