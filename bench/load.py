"""RTP for many calls from one thread: every packet is made beforehand, sent and received in batches.

All citizens share one socket and all agents another, as behind one gateway each; the recorder has a port per leg, so for
it nothing differs. A leg's frames are due every 20 ms from its own phase. What the network does to them (late, twice, never)
is decided before the start from a seed, so the judge knows it by frame.

sendmmsg and recvmmsg are called through ctypes on arrays laid out by numpy (x86-64 and arm64 Linux); the kernel stamps
what arrives, so the relay's delay does not contain our own waiting.
"""

import contextlib
import ctypes
import os
import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from judge import FRAME_BYTES, FRAME_MS, leg_audio

FRAME_US = FRAME_MS * 1000
FRAMES_PER_S = 1000 // FRAME_MS
LATE_US, AGAIN_US = 30_000, 5_000  # a late frame falls behind its next; a copy comes while the next is not due yet
SLOT_BYTES, CONTROL_BYTES = 256, 64
BATCH = 512
SO_TIMESTAMPNS, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 35, 32, 33  # asm-generic/socket.h
_MMSG = np.dtype(
    {
        "names": ["name", "name_bytes", "iov", "n_iov", "control", "control_bytes", "flags", "size"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_IOVEC = np.dtype([("base", "u8"), ("size", "u8")])
_NAME = np.dtype([("family", "u2"), ("port", ">u2"), ("host", "u1", 4), ("zero", "u8")])
_RTP = np.dtype(
    [("first", "u1"), ("kind", "u1"), ("seq", ">u2"), ("ts", ">u4"), ("ssrc", ">u4"), ("payload", "u1", FRAME_BYTES)]
)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Impairments:
    """What the network and the senders do, as shares of frames; changes of the sender happen at half the call."""

    reorder: float = 0.0
    duplicate: float = 0.0
    loss: float = 0.0
    ssrc_change: bool = False
    timestamp_jump: bool = False

    @property
    def has_break(self) -> bool:
        return self.ssrc_change or self.timestamp_jump


@dataclass
class Flow:
    """One leg: where it sends to, and what became of its frames."""

    call: int
    leg: int
    frames: int
    payload_type: int
    target: tuple[str, int]
    phase_us: int = 0
    dropped: frozenset[int] = frozenset()
    twice: frozenset[int] = frozenset()
    sent: int = 0  # frames 0 .. sent - 1 were due and given to the network

    @property
    def ssrc(self) -> int:
        return 0x1000_0000 + 4 * self.call + 2 * self.leg

    def packets(self, how: Impairments) -> np.ndarray:
        """(frames,) packets as on the wire."""
        k = np.arange(self.frames)
        after = k >= self.frames // 2
        made = np.zeros(self.frames, _RTP)
        made["first"], made["kind"] = 0x80, self.payload_type | np.where(k == 0, 0x80, 0)
        made["seq"] = (65_000 + 7 * self.call + k + (30_000 * after if how.ssrc_change else 0)) & 0xFFFF
        jump = 123_456_789 * after if how.has_break else 0
        made["ts"] = (4_294_900_000 + 977 * self.call + k * FRAME_BYTES + jump) & 0xFFFF_FFFF
        made["ssrc"] = self.ssrc + (after if how.ssrc_change else 0)
        made["payload"] = np.frombuffer(leg_audio(self.call, self.leg, self.frames), np.uint8).reshape(-1, FRAME_BYTES)
        return made


@dataclass
class Heard:
    """What one leg heard from the recorder. wrong: packets that are no frame of the other leg or come from a wrong port."""

    frames: int = 0
    wrong: int = 0
    delays_ms: np.ndarray = field(default_factory=lambda: np.zeros(0))


class _Side:
    """One socket with everything it will send, and room for everything it will hear."""

    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE) if os.geteuid() == 0 else (socket.SO_RCVBUF,):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((host, 0))
        self.address = self.socket.getsockname()
        self.next_send = self.n_heard = 0

    def prepare(self, flows: list[Flow], how: Impairments, seed: int, expected: int) -> None:
        made = [flow.packets(how) for flow in flows]
        first = np.cumsum([0, *(len(m) for m in made)])
        self.wire = np.zeros(first[-1], _RTP)  # not concatenated: that would turn the fields to our own byte order
        for at, packets in zip(first, made, strict=False):
            self.wire[at : at + len(packets)] = packets
        parts = [_schedule(flow, int(at), how, seed) for flow, at in zip(flows, first[:-1], strict=True)]
        due = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0, np.int64)
        order = np.argsort(due, kind="stable")
        self.due_us = due[order]
        self.row = np.concatenate([p[1] for p in parts])[order] if parts else np.zeros(0, np.int64)
        owner = np.concatenate([np.full(len(p[0]), i) for i, p in enumerate(parts)])[order] if parts else self.row
        self.sent_ns = np.zeros(len(order), np.int64)
        self.names = np.zeros(len(flows), _NAME)
        for i, flow in enumerate(flows):
            self.names[i] = (socket.AF_INET, flow.target[1], tuple(socket.inet_aton(flow.target[0])), 0)
        iov = self._iov = np.zeros(len(order), _IOVEC)
        iov["base"], iov["size"] = self.wire.ctypes.data + self.row * _RTP.itemsize, _RTP.itemsize
        self._out = np.zeros(len(order), _MMSG)
        self._out["name"], self._out["name_bytes"] = self.names.ctypes.data + owner * _NAME.itemsize, _NAME.itemsize
        self._out["iov"], self._out["n_iov"] = iov.ctypes.data + np.arange(len(order)) * _IOVEC.itemsize, 1
        self._make_room(expected)

    def _make_room(self, n: int) -> None:
        n += BATCH
        self.slots, self.controls = np.zeros((n, SLOT_BYTES), np.uint8), np.zeros((n, CONTROL_BYTES), np.uint8)
        self.sources = np.zeros(n, _NAME)
        iov = self._iov_in = np.zeros(n, _IOVEC)
        each = np.arange(n)
        iov["base"], iov["size"] = self.slots.ctypes.data + each * SLOT_BYTES, SLOT_BYTES
        into = self._in = np.zeros(n, _MMSG)
        into["name"], into["name_bytes"] = self.sources.ctypes.data + each * _NAME.itemsize, _NAME.itemsize
        into["iov"], into["n_iov"] = iov.ctypes.data + each * _IOVEC.itemsize, 1
        into["control"], into["control_bytes"] = self.controls.ctypes.data + each * CONTROL_BYTES, CONTROL_BYTES
        self._room = n - BATCH

    def send_due(self, now_us: int) -> None:
        begin, end = self.next_send, int(np.searchsorted(self.due_us, now_us, "right"))
        while begin < end:
            self.sent_ns[begin:end] = time.time_ns()
            at = ctypes.c_void_p(self._out.ctypes.data + begin * _MMSG.itemsize)
            done = _libc.sendmmsg(self.socket.fileno(), at, min(end - begin, BATCH), 0)
            if done <= 0 and ctypes.get_errno() not in (0, 11, 111):  # EAGAIN; ECONNREFUSED: the recorder was killed
                raise OSError(ctypes.get_errno(), "sendmmsg")
            begin += max(1, done)
        self.next_send = end

    def hear(self) -> None:
        while self.n_heard < self._room:
            at = ctypes.c_void_p(self._in.ctypes.data + self.n_heard * _MMSG.itemsize)
            n = _libc.recvmmsg(self.socket.fileno(), at, BATCH, socket.MSG_DONTWAIT, None)
            if n <= 0:
                return
            self.n_heard += n


def _schedule(flow: Flow, first_row: int, how: Impairments, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(when in microseconds, row of the packet) of everything this leg sends; names what is dropped and sent twice."""
    rng = np.random.default_rng([seed, flow.call, flow.leg])
    k = np.arange(flow.frames)
    # First and last frames, and those around a change of the sender, stay: a hole there is no hole between frames.
    half = flow.frames // 2
    free = (k >= 5) & (k < flow.frames - 5) & ~(how.has_break & (np.abs(k - half) < 5))
    dropped = free & (rng.random(flow.frames) < how.loss)
    late = free & ~dropped & (rng.random(flow.frames) < how.reorder)
    twice = free & ~dropped & (rng.random(flow.frames) < how.duplicate)
    flow.dropped, flow.twice = frozenset(k[dropped].tolist()), frozenset(k[twice].tolist())
    due = flow.phase_us + k * FRAME_US + np.where(late, LATE_US, 0)
    due, row = np.concatenate([due[~dropped], due[twice] + AGAIN_US]), np.concatenate([k[~dropped], k[twice]])
    return due, first_row + row


class Load:
    """All media of one run. open → add flows → start → wait → figures."""

    def __init__(self, hosts: tuple[str, str], how: Impairments, seed: int = 1) -> None:
        self._sides = tuple(_Side(host) for host in hosts)
        self._how, self._seed = how, seed
        self.flows: list[Flow] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.late_ms = 0.0  # how late we were with a frame at worst

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Media address of all citizens, of all agents."""
        return self._sides[0].address, self._sides[1].address

    def add(self, flow: Flow) -> None:
        """A leg that is to talk. Its phase follows from its number: senders are not in step with each other."""
        flow.phase_us = (flow.call * 7919 + flow.leg * 10_007) % FRAME_US
        self.flows.append(flow)

    def start(self) -> None:
        """Make all packets, then talk in a thread of its own."""
        extra = 1.2 * (1 + self._how.duplicate)
        for leg, side in enumerate(self._sides):
            flows = [f for f in self.flows if f.leg == leg]
            heard = sum(f.frames for f in self.flows if f.leg != leg)
            side.prepare(flows, self._how, self._seed, int(heard * extra))
        self._thread = threading.Thread(target=self._talk, name="load")
        self._thread.start()

    def stop(self) -> None:
        """Say nothing more, from now on."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Until everything is said and heard."""
        assert self._thread is not None
        self._thread.join()

    def close(self) -> None:
        """Free the sockets."""
        for side in self._sides:
            side.socket.close()

    def _talk(self) -> None:
        as_the_recorder()
        start_ns = time.monotonic_ns()
        end_us = max(int(side.due_us[-1]) for side in self._sides if len(side.due_us)) + 200_000
        while not self._stop.is_set():
            now_us = (time.monotonic_ns() - start_ns) // 1000
            for side in self._sides:
                if side.next_send < len(side.due_us):
                    self.late_ms = max(self.late_ms, (now_us - int(side.due_us[side.next_send])) / 1000)
                side.send_due(now_us)
            for side in self._sides:
                side.hear()
            if now_us > end_us:
                break
            time.sleep(0.001 - now_us % 1000 / 1e6)
        for flow in self.flows:
            side = self._sides[flow.leg]
            flow.sent = int(_frame_of(side, flow)[: side.next_send].max(initial=-1)) + 1

    def relayed(self) -> Heard:
        """What all legs heard of each other, checked packet by packet."""
        total = Heard()
        delays = []
        for leg, side in enumerate(self._sides):
            other = self._sides[1 - leg]
            at_ns, rows, wrong = self._match(side, other, [f for f in self.flows if f.leg != leg])
            total.wrong += wrong
            total.frames += len(np.unique(rows))
            first = np.full(len(other.wire), -1, np.int64)
            n_sent = np.bincount(other.row[: other.next_send], minlength=len(other.wire))
            first[other.row[: other.next_send]] = other.sent_ns[: other.next_send]
            once = n_sent[rows] == 1
            delays.append((at_ns[once] - first[rows[once]]) / 1e6)
        total.delays_ms = np.concatenate(delays)
        return total

    def _match(self, side: _Side, other: _Side, flows: list[Flow]) -> tuple[np.ndarray, np.ndarray, int]:
        """(kernel's time, row in the sender's wire) of every right packet heard at a side; how many were wrong."""
        n = side.n_heard
        heard = side.slots[:n, : _RTP.itemsize].copy().view(_RTP)[:, 0]
        at_ns = side.controls[:n, 16:32].copy().view(np.int64)
        by_head = {
            head: row for row, head in enumerate(other.wire["payload"][:, :8].copy().view(np.uint64)[:, 0].tolist())
        }
        rows = np.array(
            [by_head.get(h, -1) for h in heard["payload"][:, :8].copy().view(np.uint64)[:, 0].tolist()], np.int64
        )
        good = rows >= 0
        good[good] = (heard[good] == other.wire[rows[good]]) if good.any() else good[good]
        # The recorder sends to the other leg from the port that this leg sends to.
        ports = {(f.call, 1 - f.leg): f.target[1] for f in self.flows}
        expected = np.repeat([ports.get((f.call, f.leg), 0) for f in flows], [f.frames for f in flows])
        if good.any():
            good[good] = side.sources["port"][:n][good] == expected[rows[good]]
        return (at_ns[:, 0] * 1_000_000_000 + at_ns[:, 1])[good], rows[good], int(n - good.sum())


def as_the_recorder() -> None:
    """The recorder's priority for the calling thread, as far as permitted: nobody has the advantage."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)


def _frame_of(side: _Side, flow: Flow) -> np.ndarray:
    """Frame number of each thing a side sends, -1 where it is another leg's."""
    ssrc = side.wire["ssrc"][side.row]
    own = (ssrc & ~np.uint32(1)) == flow.ssrc
    payload_first = int(np.flatnonzero((side.wire["ssrc"] & ~np.uint32(1)) == flow.ssrc)[0])
    return np.where(own, side.row - payload_first, -1)
