"""Keys sent as events: one note each, whatever is lost, repeated or out of order, and never a sound."""

from hypothesis import given
from hypothesis import strategies as st

from callqa.sip.media.align import to_stereo
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import EndedMark, MediaMark, PacketRecord
from callqa.sip.media.story import sidecar_of, tell
from callqa.units import Channel
from tests.media.builders import MS, ZERO_NS, Sender, call

STAMP = 1000  # of the senders' first packet


def key(
    event: int, at_ms: int, duration_ms: int = 100, *, channel: int = 0, payload_type: int = 101, ssrc: int = 0x1234
) -> list[PacketRecord]:
    """The packets of one key: an update every 20 ms, the end three times."""
    times = [*range(20, duration_ms, 20), duration_ms, duration_ms, duration_ms]
    found = []
    for n, passed_ms in enumerate(times):
        end = 0x80 if n >= len(times) - 3 else 0
        payload = bytes([event, end | 10]) + min(passed_ms * 8, 65_535).to_bytes(2, "big")
        packet = RtpPacket(
            payload_type, n == 0, 500 + at_ms + n & 0xFFFF, STAMP + at_ms * 8 & 0xFFFF_FFFF, ssrc, payload
        )
        found.append(PacketRecord(channel, ZERO_NS + (at_ms + passed_ms) * MS + n, build_rtp(packet)))
    return found


def digits(packets: list[PacketRecord], duration_ms: int = 3000):
    return [(d.channel, d.digit, d.start_ms, d.duration_ms) for d in to_stereo(call(packets, duration_ms)).digits]


def test_keys_of_both_sides_in_order() -> None:
    packets = [*key(1, 200), *key(10, 600, 160), *key(11, 400, channel=1)]
    assert digits(packets) == [
        (Channel.CITIZEN, "1", 200, 100),
        (Channel.AGENT, "#", 400, 100),
        (Channel.CITIZEN, "*", 600, 160),
    ]


def test_the_same_key_twice_is_two_keys() -> None:
    assert [d[1] for d in digits([*key(5, 200), *key(5, 500)])] == ["5", "5"]


@given(st.sets(st.integers(0, 6), max_size=6), st.integers(1, 3))
def test_one_packet_of_a_key_is_enough(lost: set[int], copies: int) -> None:
    packets = [p for n, p in enumerate(key(7, 300)) if n not in lost for _ in range(copies)]
    found = digits(packets)
    assert [d[1] for d in found] == ["7"]
    assert found[0][3] <= 100 and abs(found[0][2] - 300) <= 100


def test_a_key_held_for_ten_seconds_is_one() -> None:
    """The duration field ends at 8.2 s; the sender goes on with a new timestamp."""
    first, second = key(9, 100, 8190), key(9, 100 + 8192, 2000)
    assert digits([*first, *second], 12_000) == [(Channel.CITIZEN, "9", 100, 10_192)]


def test_keys_are_neither_audio_nor_unknown() -> None:
    sender = Sender(0, 100)
    stereo = to_stereo(call([*sender.records(), *key(3, 500, ssrc=sender.ssrc)], 2000))
    assert stereo.samples[:, 0].tobytes() == sender.audio()
    assert stereo.faults == ()
    assert len(stereo.digits) == 1


def test_another_clock_and_number_and_events_that_are_no_keys() -> None:
    mark = MediaMark(at_ns=ZERO_NS - MS, channel=0, codecs=((8, "PCMA/8000"), (96, "telephone-event/16000")))
    packets = [*key(4, 200, payload_type=96), *key(66, 400, payload_type=96)]
    stereo = to_stereo(call(packets, 1000, [mark]))
    assert [(d.digit, d.duration_ms) for d in stereo.digits] == [("4", 50)]


def test_damaged_events_are_left_out() -> None:
    packets = [
        PacketRecord(0, ZERO_NS + n * MS, build_rtp(RtpPacket(101, False, n, n, 1, payload)))
        for n, payload in enumerate((b"", b"\x01", b"\x01\x80\x01", b"\xff\xff\xff\xff"))
    ]
    assert digits(packets) == []


def test_the_sidecar_names_the_keys_pressed_during_the_call() -> None:
    sender = Sender(0, 100)
    records = call([*sender.records(), *key(2, 500), *key(8, 2500), *key(6, -1500)], 2000)
    assert isinstance(records[-1], EndedMark)
    sidecar = sidecar_of(tell(records), to_stereo(records), None, recovered=False, recorder="test")
    assert [(note.digit, note.channel, note.start_ms, note.duration_ms) for note in sidecar.digits] == [
        ("2", 0, 500, 100)
    ]
