"""Streams read in batches: nothing is lost, mixed up or taken from strangers, and every arrival is the kernel's."""

import asyncio
import socket
import struct
import time

import pytest

from callqa.sip.media.spool import ForeignMark, PacketRecord, SideMark, StartedMark, read_records
from callqa.sip.process.batches import _EACH_MOST, BatchReader, find_receive
from callqa.sip.process.capture import CallCapture
from callqa.sip.process.clock import Clock
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.ports import bind_rtp
from callqa.sip.process.rtp_sockets import RECVMMSG, RtpSockets
from tests.recorder.harness import LIMIT_S, until

STARTED = StartedMark(at_ns=1, wall_ms=1, call_id="C1", mode="siprec", direction="inbound")


class Stage:
    """One recorded call with streams, and senders for them."""

    def __init__(self, folder, *, receive=RECVMMSG, clock=None, host="127.0.0.1"):
        loop = asyncio.get_running_loop()
        self.host = host
        self.clock = clock or Clock()
        self.disk = DiskWriter(loop, lambda path, reason: pytest.fail(reason))
        self.sockets = RtpSockets(loop, receive, self.clock)
        self.sockets.flush_with(self.disk.flush)
        self.path = folder / "C1.spool"
        self.capture = CallCapture(self.sockets, self.disk, self.disk.open(self.path), STARTED, self.clock)
        self.senders: list[socket.socket] = []

    def open(self, stream: int) -> tuple[socket.socket, tuple[str, int]]:
        """A stream; its sender, and where that sends to. The address in its SDP is the sender's."""
        bound, sender = bind_rtp(self.host, 0), self.sender()
        assert bound is not None
        port = bound.getsockname()[1]
        remote = sender.getsockname()[:2]
        self.capture.open_leg(stream, port, bound, remote, self.host, listening=True)
        return sender, (self.host, port)

    def sender(self) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.host, 0))
        self.senders.append(made)
        return made

    async def kept(self, count: int, stream: int | None = None) -> None:
        """Until so many packets stand in the spool."""

        def written() -> int:
            self.disk.flush()
            data = self.path.read_bytes() if self.path.exists() else b""
            return len(packets(read_records(data), stream)) if data else 0

        await until("packets", lambda: written() >= count)

    async def close(self) -> list:
        """Everything the spool has."""
        done = asyncio.Event()
        self.capture.note_foreign(time.monotonic_ns())
        self.capture.close(done.set)
        await asyncio.wait_for(done.wait(), LIMIT_S)
        self.disk.stop()
        self.sockets.close()
        for sender in self.senders:
            sender.close()
        return list(read_records(self.path.read_bytes()))


def stamped() -> bool:
    """Whether a packet that lay for 20 ms says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, 35, 1)
        s.bind(("127.0.0.1", 0))
        s.sendto(b"x", s.getsockname())
        time.sleep(0.02)
        _, control, _, _ = s.recvmsg(1, 64)
        seconds, nanoseconds = struct.unpack("qq", control[0][2])
    return time.time() - (seconds + nanoseconds / 1e9) > 0.015


def play(folder, act, **more):
    async def run():
        stage = Stage(folder, **more)
        await act(stage)
        return await stage.close()

    return asyncio.run(run())


def packets(records, stream=None):
    return [r for r in records if isinstance(r, PacketRecord) and stream in (None, r.channel)]


def test_this_machine_has_it():
    """Else the bench of recording sessions would measure something else."""
    assert find_receive() is not None


@pytest.mark.parametrize("receive", [RECVMMSG, None])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_packet_of_every_stream_is_kept_in_order(tmp_path, receive, host):
    sizes = [172, 172, 172, 12, 1, 200, 172, 1500]

    async def act(stage):
        ends = [stage.open(n) for n in range(5)]
        for k in range(3 * _EACH_MOST):
            for n, (sender, to) in enumerate(ends):
                sender.sendto(bytes([n, k]) + bytes(sizes[k % len(sizes)]), to)
            if k % 40 == 0:
                await asyncio.sleep(0.01)
        await stage.kept(5 * 3 * _EACH_MOST)

    records = play(tmp_path, act, receive=receive, host=host)
    for n in range(5):
        expected = [bytes([n, k]) + bytes(sizes[k % len(sizes)]) for k in range(3 * _EACH_MOST)]
        assert [p.data for p in packets(records, n)] == expected


def test_what_waits_when_the_call_ends_is_kept(tmp_path):
    async def act(stage):
        sender, to = stage.open(0)
        sender.sendto(b"last words", to)

    assert [p.data for p in packets(play(tmp_path, act))] == [b"last words"]


class OneClock(Clock):
    """Monotonic and wall time of one source: what is stamped by one is read by the other to the nanosecond."""

    _BEGAN_NS = time.time_ns() - 3_600_000_000_000

    def monotonic_ns(self) -> int:  # type: ignore[override]
        return time.time_ns() - self._BEGAN_NS


def test_arrival_is_when_it_came_not_when_it_was_read(tmp_path):
    clock, sent_ns = OneClock(), []

    async def act(stage):
        await until("the kernel to stamp what arrives", stamped)
        sender, to = stage.open(0)
        for _ in range(4):
            before_ns = clock.monotonic_ns()
            sender.sendto(b"x", to)
            sent_ns.append((before_ns, clock.monotonic_ns()))
            await asyncio.sleep(0.02)
        await stage.kept(4)

    found = [p.arrival_ns for p in packets(play(tmp_path, act, clock=clock))]
    read_ns = 100_000  # both clocks are read one after the other, the quickest of three times
    for at_ns, (before_ns, after_ns) in zip(found, sent_ns, strict=True):
        assert before_ns - read_ns <= at_ns <= after_ns + read_ns


class SteppedClock(Clock):
    """Wall time that jumps while packets wait."""

    step_ns = 0

    def wall_ns(self) -> int:  # type: ignore[override]
        return time.time_ns() + self.step_ns


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_moves_no_packet_out_of_its_round(tmp_path, step_s):
    clock = SteppedClock()
    before_ns = time.monotonic_ns()

    async def act(stage):
        sender, to = stage.open(0)
        sender.sendto(b"x", to)
        clock.step_ns = step_s * 1_000_000_000
        await stage.kept(1)

    (packet,) = packets(play(tmp_path, act, clock=clock))
    assert before_ns <= packet.arrival_ns <= time.monotonic_ns()


def test_a_stranger_among_the_packets_is_counted_and_left_out(tmp_path):
    async def act(stage):
        sender, to = stage.open(3)
        sender.sendto(b"ours", to)
        await stage.kept(1)
        stranger = stage.sender()
        for _ in range(3):
            stranger.sendto(b"not ours", to)
            sender.sendto(b"ours", to)
        await stage.kept(4)

    records = play(tmp_path, act)
    assert [p.data for p in packets(records)] == [b"ours"] * 4
    assert [(m.channel, m.count) for m in records if isinstance(m, ForeignMark)] == [(3, 3)]


def test_a_stream_whose_address_was_changed_learns_its_sender_anew(tmp_path):
    async def act(stage):
        sender, to = stage.open(0)
        sender.sendto(b"before", to)
        await stage.kept(1)
        moved = stage.sender()
        stage.capture.ask_for(0, moved.getsockname()[:2], stage.host)
        moved.sendto(b"after", to)
        await stage.kept(2)
        sender.sendto(b"late", to)
        moved.sendto(b"at last", to)
        await stage.kept(3)

    assert [p.data for p in packets(play(tmp_path, act))] == [b"before", b"after", b"at last"]


def test_a_flood_is_bounded_and_stops_no_other(tmp_path):
    async def act(stage):
        loud, to_loud = stage.open(0)
        quiet, to_quiet = stage.open(1)
        for _ in range(5000):
            loud.sendto(b"\x80" * 50, to_loud)
        quiet.sendto(b"heard", to_quiet)
        await stage.kept(1, 1)

    records = play(tmp_path, act)
    assert [p.data for p in packets(records, 1)] == [b"heard"]


def test_a_datagram_beyond_any_frame_is_cut(tmp_path):
    async def act(stage):
        sender, to = stage.open(0)
        sender.sendto(b"y" * 9000, to)
        sender.sendto(b"next", to)
        await stage.kept(2)

    first, second = packets(play(tmp_path, act))
    assert 1500 < len(first.data) <= 2048
    assert second.data == b"next"


def test_marks_and_batches_make_one_spool(tmp_path):
    async def act(stage):
        sender, to = stage.open(1)
        sender.sendto(b"a", to)
        await stage.kept(1)
        stage.capture.mark(SideMark(at_ns=1, channel=1, side=0))
        sender.sendto(b"b", to)
        await stage.kept(2)

    records = play(tmp_path, act)
    assert [type(r).__name__ for r in records] == ["StartedMark", "PacketRecord", "SideMark", "PacketRecord"]


def test_the_timer_rests_when_nobody_is_listened_to():
    async def run():
        loop = asyncio.get_running_loop()
        receive = find_receive()
        assert receive is not None
        reader = BatchReader(loop, receive)
        assert reader._timer is None
        reader.close()

    asyncio.run(run())
