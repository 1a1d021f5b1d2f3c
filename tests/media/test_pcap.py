"""Captures of every kind give the calls that were in them, bit for bit, and nothing breaks the reader."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import ImportFileError
from callqa.sip.media.align import to_stereo
from callqa.sip.media.captured import CapturedCall, Party, Sides, read_calls, sides_of, to_records, without_twins
from callqa.sip.media.export import to_frames
from callqa.sip.media.layers import read_datagrams, udp_frame
from callqa.sip.media.pcap import Frame, is_capture, read_frames, write_pcap
from callqa.sip.media.spool import MediaMark, StartedMark
from callqa.sip.media.story import tell
from callqa.units import Direction
from tests.media.builders import MS, Sender, call
from tests.media.captures import T0_NS, Talk, fragments, in_time, pcap, pcapng, tcp_frame, wrapped
from tests.media.make_pcap_data import FOLDER, files
from tests.media.make_rtp_data import read_stream

TALK = Talk()


def calls_of(data: bytes) -> list[CapturedCall]:
    return read_calls(read_datagrams(read_frames(data)))


def heard(found: CapturedCall, sides: Sides | None = None) -> tuple[bytes, bytes]:
    """(citizen's, agent's) bytes as recorded."""
    sides = sides or sides_of(found, {"8001", "8002"}, None)
    assert sides is not None
    stereo = to_stereo(to_records(found, "C1", sides))
    return stereo.samples[:, 0].tobytes(), stereo.samples[:, 1].tobytes()


def assert_whole(found: CapturedCall, talk: Talk) -> None:
    citizen, agent = heard(found)
    a, b = (sender.audio() for sender in talk.senders())
    if talk.caller in ("8001", "8002"):
        a, b = b, a
    assert a in citizen and b in agent


@pytest.mark.parametrize(
    "write",
    [
        write_pcap,
        lambda f: pcap(f, "<", nanoseconds=False),
        lambda f: pcap(f, ">"),
        pcapng,
        lambda f: pcapng(f, ">", 6),
        lambda f: pcapng(f, "<", 6),
    ],
    ids=["pcap ns", "pcap us", "pcap big endian", "pcapng ns", "pcapng big endian", "pcapng us"],
)
def test_every_file_format_gives_the_same_frames(write) -> None:
    frames = TALK.all()
    data = write(frames)
    assert is_capture(data)
    assert [(f.at_ns // 1000, f.link, f.data) for f in read_frames(data)] == [
        (f.at_ns // 1000, f.link, f.data) for f in frames
    ]


@pytest.mark.parametrize("link", ["raw", "ethernet", "vlan", "two vlans", "pppoe", "cooked", "cooked 2", "loopback"])
def test_every_link_layer(link: str) -> None:
    (found,) = calls_of(pcapng([wrapped(frame, link) for frame in TALK.all()]))
    assert_whole(found, TALK)


def test_ipv6() -> None:
    talk = Talk(
        caller_at=("2001:db8::1", 5060), callee_at=("2001:db8::2", 5060),
        caller_rtp=("2001:db8::1", 30000), callee_rtp=("2001:db8::2", 40000),
    )  # fmt: skip
    (found,) = calls_of(write_pcap(talk.all()))
    assert_whole(found, talk)


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_fragmented_invite_in_any_order(six: bool, mixed: bool) -> None:
    talk = Talk(caller_at=("2001:db8::1", 5060), callee_at=("2001:db8::2", 5060)) if six else TALK
    first, *rest = talk.signalling()
    pieces = fragments(first, 64)
    assert len(pieces) > 4
    (found,) = calls_of(write_pcap([*(pieces[::-1] if mixed else pieces), *in_time([*rest, *talk.media()])]))
    assert_whole(found, talk)


def test_sip_over_tcp_in_pieces_out_of_order_and_sent_again() -> None:
    frames = []
    seqs = {TALK.caller_at: 0xFFFF_FFF0, TALK.callee_at: 5}  # one of them wraps
    for kind in ("INVITE", "180", "200", "ACK", "BYE"):
        at_ms, source, destination, data = TALK.message(kind)
        pieces = []
        for start in range(0, len(data), 100):
            pieces.append(
                tcp_frame(T0_NS + at_ms * MS, source, destination, seqs[source] + start, data[start : start + 100])
            )
        seqs[source] += len(data)
        first, *middle, last = pieces if len(pieces) > 1 else [*pieces, pieces[0]]
        frames += [first, *middle[::-1], first, last]
    (found,) = calls_of(write_pcap(in_time([*frames, *TALK.media()])))
    assert (found.answered_ns, found.hung_up) == (T0_NS + 3000 * MS, Party.CALLER)
    assert_whole(found, TALK)


def test_several_calls_in_one_capture_some_not_answered() -> None:
    other = Talk(
        caller="13971112222", callee="8002", call_id="talk-2", start_ms=500, answer_ms=1500, frames=150, seed=2, bye_by="callee",
        caller_rtp=("10.0.0.1", 30002), callee_rtp=("10.0.0.3", 40000), callee_at=("10.0.0.3", 5060),
    )  # fmt: skip
    busy = Talk(call_id="busy", start_ms=900)
    frames = in_time([*TALK.all(), *other.all(), *busy.signalling("INVITE", "180", "486", "ACK")])
    first, second, third = calls_of(write_pcap(frames))
    assert_whole(first, TALK)
    assert_whole(second, other)
    assert (second.hung_up, third.answered_ns, third.refused) == (Party.CALLEE, None, 486)


def test_ports_used_again_by_the_next_call_belong_to_it() -> None:
    later = Talk(call_id="talk-2", start_ms=10_000, answer_ms=12_000, seed=3)
    first, second = calls_of(write_pcap(in_time([*TALK.all(), *later.all()])))
    assert_whole(first, TALK)
    assert_whole(second, later)


def test_a_phone_behind_nat_is_known_by_where_it_sends_from() -> None:
    """Its SDP names an inside address, its packets come from outside; the other side is told where to send by latching."""
    real = ("203.0.113.9", 61000)
    frames = TALK.signalling()
    for sender, source, to in zip(TALK.senders(), (real, TALK.callee_rtp), (TALK.callee_rtp, real), strict=True):
        frames += [
            udp_frame(T0_NS + (3001 + 20 * k) * MS, source, to, sender.record(k).data) for k in range(TALK.frames)
        ]
    (found,) = calls_of(write_pcap(in_time(frames)))
    assert_whole(found, TALK)


def test_media_that_overtakes_the_answer_is_not_lost() -> None:
    signalling = TALK.signalling()
    late = [replace(f, at_ns=f.at_ns + (200 * MS if i in (2, 3) else 0)) for i, f in enumerate(signalling)]
    (found,) = calls_of(write_pcap(in_time([*late, *TALK.media()])))
    assert_whole(found, TALK)


def test_each_packet_captured_twice_is_heard_once() -> None:
    (found,) = calls_of(write_pcap([frame for frame in TALK.all() for _ in range(2)]))
    assert_whole(found, TALK)
    assert len(found.packets) == 4 * TALK.frames


def test_hold_and_its_end_are_in_the_marks() -> None:
    held = replace(TALK, frames=200)
    _, source, destination, data = held.message("INVITE")
    again = data.replace(b"<sip:8001@10.0.0.2:5060>\r\n", b"<sip:8001@10.0.0.2:5060>;tag=b\r\n").replace(
        b"1 INVITE", b"5 INVITE"
    )
    sdp = held.sdp(held.caller_rtp)
    on_hold = again.replace(sdp.encode(), (sdp + "a=sendonly\r\n").encode())
    on_hold = on_hold.replace(f"Content-Length: {len(sdp)}".encode(), f"Content-Length: {len(sdp) + 12}".encode())
    frames = [udp_frame(T0_NS + at * MS, source, destination, body) for at, body in ((4000, on_hold), (5000, again))]
    (found,) = calls_of(write_pcap(in_time([*held.all(), *frames])))
    marks = [r for r in to_records(found, "C1", Sides(Party.CALLEE, "8001")) if isinstance(r, MediaMark)]
    assert [m.held for m in marks if m.channel == 0][-4:] == [False, False, True, False]


def test_a_back_to_back_agent_is_seen_once_with_both_numbers() -> None:
    far = Talk(
        callee="96510", callee_at=("10.0.0.9", 5060), callee_rtp=("10.0.0.9", 50000), call_id="far", answer_ms=3050
    )
    near = Talk(
        caller_at=("10.0.0.9", 5060), caller_rtp=("10.0.0.9", 50002), call_id="near", start_ms=40, frames=102,
    )  # fmt: skip
    found = calls_of(write_pcap(in_time([*far.all(), *near.all()])))
    (only,) = without_twins(found)
    sides = sides_of(only, {"8001"}, None)
    assert sides is not None
    started = to_records(only, "C1", sides)[0]
    assert isinstance(started, StartedMark)
    assert (started.from_number, started.to_number, started.seat_extension) == ("13871206358", "96510", "8001")
    assert only.started_ns == T0_NS
    assert len(without_twins(calls_of(write_pcap(in_time([*TALK.all(), *Talk(call_id="x", start_ms=100).all()]))))) == 2


@pytest.mark.parametrize(
    ("caller", "callee", "seats", "direction", "expected"),
    [
        ("1387120", "8001", {"8001"}, None, (Direction.INBOUND, "8001")),
        ("8001", "1387120", {"8001"}, None, (Direction.OUTBOUND, "8001")),
        ("8001", "8002", {"8001", "8002"}, None, (Direction.INBOUND, "8002")),
        ("1387120", "96510", set(), None, None),
        ("1387120", "96510", set(), Direction.INBOUND, (Direction.INBOUND, None)),
        ("1387120", "96510", set(), Direction.OUTBOUND, (Direction.OUTBOUND, None)),
    ],
)
def test_which_side_is_the_agent(caller, callee, seats, direction, expected) -> None:
    (found,) = calls_of(write_pcap(Talk(caller=caller, callee=callee).all()))
    sides = sides_of(found, seats, direction)
    assert (None if sides is None else (sides.direction, sides.seat_extension)) == expected


def test_a_capture_that_ends_in_mid_call_has_no_hangup() -> None:
    frames = [f for f in TALK.all() if f.at_ns < T0_NS + 4000 * MS]
    (found,) = calls_of(write_pcap(frames))
    story = tell(to_records(found, "C1", Sides(Party.CALLEE, "8001")))
    assert (found.hung_up, story.ended, story.answered_at_ms) == (None, None, (T0_NS + 3000 * MS) // MS)


@pytest.mark.parametrize(
    ("name", "number", "rtpmap", "codec", "rate_hz"),
    [
        ("g722.stream", 9, "", "G722", 16_000),
        ("opus.stream", 111, "opus/48000/2", "opus", 16_000),
        ("amr_compact.stream", 97, "AMR/8000", "AMR", 8_000),
    ],
)
def test_other_codecs_are_decoded(name, number, rtpmap, codec, rate_hz) -> None:
    talk = replace(TALK, codec=str(number), rtpmap=rtpmap, frames=60)
    media = []
    for source, to in ((talk.caller_rtp, talk.callee_rtp), (talk.callee_rtp, talk.caller_rtp)):
        for k, data in enumerate(read_stream(name)):
            media.append(udp_frame(T0_NS + (3000 + 20 * k) * MS, source, to, data))
    (found,) = calls_of(write_pcap(in_time([*talk.signalling(), *media])))
    stereo = to_stereo(to_records(found, "C1", Sides(Party.CALLEE, "8001")))
    assert (stereo.sample_rate_hz, [f.codec for f in stereo.streams]) == (rate_hz, [codec, codec])
    assert np.abs(stereo.samples[rate_hz // 2 : rate_hz * 9 // 10]).min(axis=0).max() < 8000
    assert (np.abs(stereo.samples[rate_hz // 2 : rate_hz * 9 // 10]).max(axis=0) > 4000).all()
    assert stereo.faults == ()


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\x1f\x8b\x08\x00", b"\x00" * 100])
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(ImportFileError, match="请用 Wireshark 或 tcpdump"):
        read_frames(data)
    assert not is_capture(data)


@pytest.mark.parametrize("write", [write_pcap, pcapng])
def test_a_cut_capture_gives_a_prefix(write) -> None:
    frames = TALK.all()[:6]
    data = write(frames)
    sizes = []
    for end in range(4, len(data) + 1):
        got = [f.data for f in read_frames(data[:end])]
        assert got == [f.data for f in frames[: len(got)]]
        sizes.append(len(got))
    assert sizes == sorted(sizes) and sizes[-1] == 6


@settings(max_examples=150)
@given(
    st.sampled_from([write_pcap, pcapng]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=12),
    st.binary(max_size=80),
)
def test_damage_never_raises(write, changes, tail) -> None:
    data = bytearray(
        write(
            [wrapped(f, "vlan") for f in [*TALK.signalling(), *TALK.media()[:4]]]
            if write is pcapng
            else TALK.all()[:12]
        )
    )
    for at, value in changes:
        data[4 + at % (len(data) - 4)] = value
    for found in calls_of(bytes(data) + tail):
        if found.answered_ns is not None:
            to_stereo(to_records(found, "C1", Sides(Party.CALLEE, None)))


@settings(max_examples=200)
@given(st.sampled_from([0, 1, 101, 113, 276, 7]), st.binary(max_size=120))
def test_any_frame_is_read_or_left(link, data) -> None:
    assert len(list(read_datagrams([Frame(0, link, data)]))) <= 1


def test_exported_and_imported_again_a_call_is_the_same() -> None:
    """Wireshark's view of a spool, and proof of both directions at once."""
    citizen, agent = Sender(0, 100), Sender(1, 100, seed=2, ssrc=9)
    records = call([*citizen.records(), *agent.records()], 2000)
    before = to_stereo(records)
    frames = list(to_frames(records))
    (found,) = calls_of(write_pcap(frames))
    sides = sides_of(found, {"8001"}, None)
    assert sides == Sides(Party.CALLEE, None) or sides_of(found, {"96510"}, None) is not None
    again = to_stereo(to_records(found, "C1", Sides(Party.CALLEE, "8001")))
    assert np.array_equal(before.samples, again.samples)
    assert (found.hung_up, found.invite.from_.uri.user) == (Party.CALLER, "13871206358")


@pytest.mark.parametrize("name", ["ethernet_vlan.pcapng", "cooked_us_big_endian.pcap", "ipv6.pcap", "fragments.pcap"])
def test_golden_captures_hold_their_call(name: str) -> None:
    (found,) = calls_of((FOLDER / name).read_bytes())
    assert_whole(found, Talk(frames=10))


@pytest.mark.parametrize(
    ("name", "n_calls"),
    [
        ("bad_cut.pcap", 1),
        ("bad_length.pcap", 0),
        ("bad_no_interface.pcapng", 0),
        ("bad_header_only.pcap", 0),
        ("bad_short.pcap", 0),
    ],
)
def test_bad_captures_give_what_is_whole_in_them(name: str, n_calls: int) -> None:
    assert len(calls_of((FOLDER / name).read_bytes())) == n_calls


def test_a_compressed_capture_is_refused_with_what_to_do() -> None:
    with pytest.raises(ImportFileError, match="是压缩文件，请先解压"):
        read_frames((FOLDER / "bad_gzip.pcap").read_bytes())


def test_the_golden_captures_are_what_makes_them() -> None:
    for name, data in files().items():
        assert (FOLDER / name).read_bytes() == data, name
