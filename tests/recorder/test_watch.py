"""RTCP beside the legs of a call, and its media watched second by second, on a virtual clock."""

import socket
from itertools import count
from pathlib import Path

import pytest

from callqa.sip.events import (
    CallAnswered,
    CallEnded,
    CallMode,
    CallStarted,
    HangupParty,
    MediaChanged,
    MediaOpened,
    MediaTerms,
)
from callqa.sip.media.align import to_stereo
from callqa.sip.media.columns import read_columns
from callqa.sip.media.rtcp import RtcpSession, Sent, is_rtcp, parse_rtcp
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.srtp import Locker, Unlocker
from callqa.sip.media.story import sidecar_of, tell
from callqa.sip.process.call_book import CallBook
from callqa.sip.process.ports import PortPool, bind_rtp
from callqa.sip.wire.sdes import AES_80, MediaKeys
from callqa.units import Channel, Direction
from tests.ports import own_port

S = 1_000_000_000
CITIZEN, AGENT = ("10.0.1.1", 40000), ("10.0.2.1", 30000)
CODECS = ((8, "PCMA/8000"),)
KEYS = MediaKeys(AES_80, bytes(30), bytes(range(30)))


class Wire:
    """A socket: what waits in it, what was sent from it."""

    family = socket.AF_INET

    def __init__(self):
        self.waiting, self.sent, self.closed = [], [], False

    def recvfrom(self, _):
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0)

    def sendto(self, data, address):
        self.sent.append((data, address))

    def close(self):
        self.closed = True


class Sockets:
    def __init__(self):
        self.readers = {}

    def add(self, bound, read):
        self.readers[bound] = read

    def remove(self, bound):
        del self.readers[bound]

    def flush_with(self, flush):
        """Nothing waits here."""

    def take_waiting(self, bound):
        return []

    def listen(self, leg):
        self.add(leg.bound, leg.read)


class Disk:
    """Keeps the spool in memory."""

    def __init__(self):
        self.data = b""

    def open(self, path):
        return self

    path = None

    def keep(self, record):
        self.data += record

    def append_mark(self, file, record):
        self.keep(record)

    def flush(self):
        """Everything is there at once."""

    def close(self, file, then):
        then()


class Faults:
    def __init__(self):
        self.told = []

    def tell(self, text, *, call_id=None, source=None):
        self.told.append(text)


class Journal:
    def append(self, *args, **facts):
        return True


class World:
    """One call book on a virtual clock. terms: of each side."""

    def __init__(self, mode=CallMode.BRIDGE, **terms):
        self.now_ns = 1000 * S
        self.wires = {}
        tokens = count()
        self.faults, self.disk, self.sockets = Faults(), Disk(), Sockets()
        pool = PortPool("127.0.0.1", 20000, 20010, bind=self._bind)
        self.book = CallBook(
            Path("."), self.disk, pool, Journal(), self.faults, self.sockets, self, lambda: f"t{next(tokens)}",
        )  # fmt: skip
        self.sequence = {0: 0, 1: 0}
        self.take(CallStarted("C1", self.now, mode, Direction.INBOUND, "13871206358", "96510", "sip"))
        for channel, remote in ((Channel.CITIZEN, CITIZEN), (Channel.AGENT, AGENT)):
            port = pool.take()
            told = terms.get(channel.name.lower(), {})
            t = MediaTerms(rtcp=(remote[0], remote[1] + (0 if told.get("rtcp_mux") else 1)), **told)
            stream = channel.value if mode is CallMode.SIPREC else None
            self.take(MediaOpened("C1", self.now, channel, port, CODECS, remote, remote[0], stream, t))
        self.take(CallAnswered("C1", self.now, "8001", ("a", "b")))

    def _bind(self, host, port):
        return self.wires.setdefault(port, Wire())

    # as a clock
    def monotonic_ns(self):
        return self.now_ns

    def monotonic(self):
        return self.now_ns / S

    def wall_ms(self):
        return 1_795_291_200_000 + self.now_ns // 1_000_000

    @property
    def now(self):
        return self.now_ns / S

    def take(self, event):
        self.book.take(event)

    def hear(self, port, data, source):
        """A datagram comes to one of our ports."""
        wire = self.wires[port]
        wire.waiting.append((data, source))
        while self.sockets.readers[wire]():
            pass

    def packet(self, side):
        self.sequence[side] += 1
        n = self.sequence[side]
        return build_rtp(RtpPacket(8, False, n, n * 160, 100 + side, bytes([n & 0xFF]) * 160))

    def run(self, seconds, *speaking):
        """speaking: 0, 1 or both; a callable locks what it says."""
        for _ in range(seconds):
            for _ in range(50):
                self.now_ns += S // 50
                for side in speaking:
                    self.hear(20000 + 2 * side, self.packet(side), (CITIZEN, AGENT)[side])
            self.book.media.look()

    def end(self):
        self.take(CallEnded("C1", self.now, HangupParty.AGENT))
        columns = read_columns(self.disk.data)
        story, stereo = tell(columns), to_stereo(columns)
        return sidecar_of(story, stereo, None, recovered=False, recorder="test")


def test_one_way_audio_is_on_the_board_in_the_faults_and_in_the_sidecar():
    world = World()
    world.run(20, 0, 1)
    assert world.book.media.trouble("C1") == "" and not world.faults.told
    world.run(10, 0)
    assert world.book.media.trouble("C1") == "听不到坐席"
    (told,) = world.faults.told
    assert "坐席 8001" in told and "请检查话机" in told
    world.run(70, 0)
    world.run(3, 0, 1)
    assert world.book.media.trouble("C1") == "" and len(world.faults.told) == 1
    assert world.end().faults == ("从20秒起听不到坐席，持续1分21秒",)


def test_an_answer_without_media_is_told_and_stays_in_the_sidecar():
    world = World()
    world.run(8)
    assert world.book.media.trouble("C1") == "双方都没有声音"
    faults = world.end().faults
    assert faults[0] == "从0秒起双方都没有声音，直到通话结束"


def test_a_voice_from_an_address_that_nobody_named_is_told_of_once():
    """Taken, since some carriers send from elsewhere; but it may be anybody, and only a person can say."""
    world = World()
    for _ in range(3):
        for _ in range(50):
            world.now_ns += S // 50
            world.hear(20000, world.packet(0), ("203.0.113.9", 5))
            world.hear(20002, world.packet(1), AGENT)
        world.book.media.note_foreign()
    (told,) = world.faults.told
    assert "203.0.113.9" in told and "允许打入的 IP" in told
    sidecar = world.end()
    assert any("203.0.113.9" in fault for fault in sidecar.faults) and sidecar.streams[0].packets == 150


def test_a_gateway_on_the_trunks_list_is_no_stranger():
    world = World()
    told = MediaTerms(rtcp=(CITIZEN[0], CITIZEN[1] + 1))
    world.take(
        MediaChanged(
            "C1", world.now, Channel.CITIZEN, CODECS, CITIZEN, False, CITIZEN[0],
            terms=told, trunk_addresses=("203.0.113.0/24",),
        )
    )  # fmt: skip
    world.hear(20000, world.packet(0), ("203.0.113.9", 5))
    world.book.media.note_foreign()
    assert not world.faults.told and world.end().streams[0].packets == 1


def test_hold_is_no_trouble():
    world = World()
    world.run(5, 0, 1)
    world.take(MediaChanged("C1", world.now, Channel.AGENT, CODECS, AGENT, True, AGENT[0]))
    world.run(60, 0)
    world.take(MediaChanged("C1", world.now, Channel.AGENT, CODECS, AGENT, False, AGENT[0]))
    world.run(20, 0, 1)
    assert not world.faults.told
    assert world.end().faults == ()


def test_a_phone_that_suppresses_silence_is_missed_late_and_in_other_words():
    world = World()
    world.run(5, 0, 1)
    world.hear(20002, build_rtp(RtpPacket(13, False, 251, 40_000, 101, b"\x40")), AGENT)
    world.run(30, 0)
    assert not world.faults.told
    world.run(5, 0)
    (told,) = world.faults.told
    assert told.startswith("通话中坐席很久没有声音（坐席 8001）") and "可能只是在听" in told
    assert world.book.media.trouble("C1") == "坐席很久没有声音"
    world.run(3, 0, 1)
    assert world.end().faults == ("从5秒起坐席很久没有声音，持续36秒",)


def changed(world, side, paused):
    remote = (CITIZEN, AGENT)[side]
    world.take(
        MediaChanged(
            "C1", world.now, Channel(side), CODECS, remote, paused, remote[0], side, paused,
            MediaTerms(sends=not paused),
        )
    )  # fmt: skip


def test_a_recording_client_whose_stream_never_comes_is_told_of_within_ten_seconds():
    """A port that is blocked: an alarm only after a minute, and by then the recording was ended, lost the rest too."""
    world = World(CallMode.SIPREC)
    world.run(10, 0)
    (told,) = world.faults.told
    assert told.startswith("通话中听不到坐席") and "录音客户端" in told
    assert world.book.media.trouble("C1") == "听不到坐席"


@pytest.mark.parametrize("speaking", [(0,), ()])
def test_a_recording_client_that_falls_silent_may_be_on_hold(speaking):
    """Some hold a call without a word of signalling: told late, and as what it is; the session stays open."""
    world = World(CallMode.SIPREC)
    world.run(20, 0, 1)
    world.run(25, *speaking)
    assert not world.faults.told
    world.run(50, *speaking)
    (told,) = world.faults.told
    assert "很久没有声音" in told and "可能是保持或静音" in told
    assert world.book.media.silent_calls(60) == []
    world.run(3, 0, 1)
    assert world.book.media.trouble("C1") == ""
    (fault,) = world.end().faults
    assert "很久没有声音，持续1分" in fault


def test_a_recording_client_that_holds_as_long_as_before_is_not_told_of():
    world = World(CallMode.SIPREC)
    world.run(5, 0, 1)
    world.run(28, 0)
    world.run(5, 0, 1)
    world.run(50, 0)
    assert not world.faults.told
    world.run(10, 0)
    assert len(world.faults.told) == 1


def test_a_stream_that_a_recording_client_paused_is_not_missed_and_the_other_is():
    world = World(CallMode.SIPREC)
    world.run(5, 0, 1)
    changed(world, 1, paused=True)
    world.run(100, 0)
    assert not world.faults.told
    changed(world, 1, paused=False)
    world.run(4, 0)
    assert not world.faults.told
    world.run(3, 0, 1)
    changed(world, 1, paused=True)
    world.run(40)
    (told,) = world.faults.told
    assert "双方很久没有声音" in told
    changed(world, 0, paused=True)
    world.run(1)
    assert world.book.media.trouble("C1") == ""


def test_a_recording_session_that_was_forgotten_is_ended_after_an_hour():
    world = World(CallMode.SIPREC)
    world.run(1, 0, 1)
    world.now_ns += 3600 * S
    assert world.book.media.silent_calls(60) == []
    world.now_ns += S
    assert world.book.media.silent_calls(60) == ["C1"]


def test_both_peers_get_reports_and_theirs_are_kept():
    world = World()
    peer = RtcpSession(lambda: "peer", world.now_ns)
    heard = []
    for _ in range(60):
        world.run(1, 0, 1)
        sent, world.wires[20003].sent = world.wires[20003].sent, []
        for data, to in sent:
            assert to == (AGENT[0], AGENT[1] + 1)
            heard.append(parse_rtcp(data))
            peer.heard.look(build_rtp(RtpPacket(8, False, 10 * len(heard), 0, 100, b"")), 9 * len(heard))
            peer.receive(data, world.now_ns)
            answer = peer.report(world.now_ns, world.wall_ms(), Sent(101, 0, world.now_ns, world.sequence[1], 0))
            world.now_ns += 30_000_000  # the way back
            world.hear(20003, answer, (AGENT[0], AGENT[1] + 1))
    assert len(heard) >= 8 and all(r.sender is not None and r.sender.ssrc == 100 for r in heard)
    assert {r.blocks[0].ssrc for r in heard} == {101}
    assert heard[-1].blocks[0].lost == 0 and heard[-1].sender.packets == pytest.approx(world.sequence[0], abs=300)
    figures = world.end().streams[1]
    assert figures.rtt_ms == pytest.approx(30, abs=1) and 5 < figures.peer_lost_pct < 15
    assert world.wires[20001].sent, "the citizen's side gets reports too"


@pytest.mark.parametrize("arriving", [0, 1, 250])
def test_a_phone_that_reports_to_hear_nothing_is_told_of(arriving):
    """arriving: of 250 packets between two reports, those that reach it: none, one, all."""
    world = World()
    peer = RtcpSession(lambda: "peer", world.now_ns)
    peer.heard.look(build_rtp(RtpPacket(8, False, 1, 0, 100, b"")), 1)
    for n in range(1, 5):
        world.run(5, 0, 1)
        if arriving:
            peer.heard.look(build_rtp(RtpPacket(8, False, n * 250, 0, 100, b"")), 1 + n * arriving)
        world.hear(20003, peer.report(world.now_ns, world.wall_ms(), None), (AGENT[0], AGENT[1] + 1))
    world.run(1, 0, 1)
    if arriving == 250:
        assert not world.faults.told
        return
    (told,) = world.faults.told
    assert told.startswith("坐席听不到对方") and world.end().faults == (told,)


def test_a_phone_that_listens_to_nothing_on_hold_is_not_told_of():
    world = World()
    peer = RtcpSession(lambda: "peer", world.now_ns)
    peer.heard.look(build_rtp(RtpPacket(8, False, 1, 0, 100, b"")), 1)
    world.take(
        MediaChanged(
            "C1",
            world.now,
            Channel.AGENT,
            CODECS,
            AGENT,
            True,
            AGENT[0],
            terms=MediaTerms(rtcp=(AGENT[0], AGENT[1] + 1)),
        )
    )
    for _ in range(4):
        world.run(5, 0)
        world.hear(20003, peer.report(world.now_ns, world.wall_ms(), None), (AGENT[0], AGENT[1] + 1))
    world.take(
        MediaChanged(
            "C1",
            world.now,
            Channel.AGENT,
            CODECS,
            AGENT,
            False,
            AGENT[0],
            terms=MediaTerms(rtcp=(AGENT[0], AGENT[1] + 1)),
        )
    )
    world.run(3, 0, 1)
    assert not world.faults.told


def test_a_stranger_cannot_report():
    world = World()
    world.run(3, 0, 1)
    world.hear(20003, RtcpSession(lambda: "x", 0).report(0, 0, None), ("203.0.113.9", 5))
    assert world.end().streams[1].rtt_ms is None and b'"rtcp"' not in world.disk.data


def test_rtcp_on_the_rtp_port_is_no_audio():
    world = World(agent={"rtcp_mux": True})
    world.run(3, 0, 1)
    world.hear(20002, RtcpSession(lambda: "x", 0).report(0, 0, Sent(101, 0, 0, 150, 0)), AGENT)
    world.run(10, 0, 1)
    mine = [data for data, _ in world.wires[20002].sent]
    assert any(is_rtcp(data) for data in mine) and not world.wires[20003].sent
    assert all(not is_rtcp(data) for data, _ in world.wires[20000].sent)
    sidecar = world.end()
    assert b'"rtcp"' in world.disk.data and (sidecar.faults, sidecar.streams[1].packets) == ((), 650)


def test_reports_of_an_encrypted_leg_are_encrypted():
    world = World(agent={"keys": KEYS})
    phone, at_phone = Locker(AES_80, KEYS.receive), Unlocker(AES_80, KEYS.send)
    for _ in range(10):
        for _ in range(50):
            world.now_ns += S // 50
            world.hear(20000, world.packet(0), CITIZEN)
            world.hear(20002, phone.lock(world.packet(1)), AGENT)
        world.book.media.look()
    (first, *_) = [data for data, _ in world.wires[20003].sent]
    plain = at_phone.unlock_rtcp(first)
    assert plain is not None and parse_rtcp(plain).sender is not None
    report = RtcpSession(lambda: "x", 0).report(0, 0, Sent(101, 0, 0, 150, 0))
    world.hear(20003, report, (AGENT[0], AGENT[1] + 1))
    assert b'"rtcp"' not in world.disk.data
    world.hear(20003, phone.lock_rtcp(report), (AGENT[0], AGENT[1] + 1))
    assert b'"rtcp"' in world.disk.data and not world.faults.told


def test_the_pool_binds_both_ports_and_frees_both():
    odd = own_port() + 1
    blocker = bind_rtp("127.0.0.1", odd)
    assert blocker is not None
    pool = PortPool("127.0.0.1", odd - 1, odd)
    assert pool.take() is None
    blocker.close()
    port = pool.take()
    assert port == odd - 1 and bind_rtp("127.0.0.1", odd) is None
    pool.adopt(port).close()
    assert pool.take() is None, "its RTCP port is still held"
    pool.give_back(port)
    assert pool.take() == port
    pool.close()
