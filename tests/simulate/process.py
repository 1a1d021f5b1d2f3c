"""The recorder's surroundings in simulation: its clocks, workers, sockets, finalizer's child and door, all in one thread."""

import asyncio
import contextlib
import errno
import json
import os
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callqa.sip.events import Event
from callqa.sip.process.batches import DRAIN_S
from callqa.sip.process.clock import Clock
from callqa.sip.process.finalize import work_off
from callqa.sip.process.finalizer import Finalised
from callqa.sip.process.leg_media import LegMedia
from callqa.sip.process.live_door import LiveDoor
from callqa.sip.process.recorder import Recorder
from callqa.sip.process.worker import Job
from tests.simulate.connections import End, SimConnection, SimServer
from tests.simulate.files import MemoryFiles
from tests.simulate.legal import EventOrder
from tests.simulate.loop import SECOND_NS, Clockwork, Killed, SimLoop
from tests.simulate.network import Address, Net, SimSocket

if TYPE_CHECKING:
    from tests.simulate.world import World


class SimClock(Clock):
    """Monotonic since boot; wall time steps when the story says so."""

    def __init__(self, work: Clockwork, booted_ns: int, wall_offset_ns: Callable[[], int]) -> None:
        self.work = work
        self.booted_ns = booted_ns
        self.wall_offset_ns = wall_offset_ns

    def monotonic_ns(self) -> int:  # type: ignore[override]
        return self.work.now_ns - self.booted_ns

    def monotonic(self) -> float:  # type: ignore[override]
        return (self.work.now_ns - self.booted_ns) / SECOND_NS

    def wall_ms(self) -> int:
        return (self.work.now_ns + self.wall_offset_ns()) // 1_000_000


class SimWorker:
    """One job after the other, each a moment after the one before."""

    def __init__(self, run: "Run", at_times: Job | None, every_s: float, slow: float) -> None:
        self._run = run
        self._jobs: deque[Job] = deque()
        self._at_times = at_times
        self._every_ns = int(every_s * SECOND_NS)
        self._slow = slow
        self._busy = False
        self._ended = False
        self._due_ns = run.work.now_ns + self._every_ns
        if at_times is not None:
            run.work.at_ns(self._due_ns, self._beat)

    def put(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._busy:
            self._busy = True
            self._run.work.after(self._delay_ns(), self._next)

    def finish(self) -> None:
        self._ended = True
        while self._jobs:
            self._do(self._jobs.popleft())

    def _delay_ns(self) -> int:
        rng = self._run.work.rng
        return rng.randrange(20_000, 3_000_000) if rng.random() >= self._slow else rng.randrange(3_000_000, 60_000_000)

    def _do(self, job: Job) -> None:
        if not self._run.loop.dead:
            self._run.attempt(job)

    def _next(self) -> None:
        if self._run.loop.dead or self._ended:
            return
        self._do(self._jobs.popleft())
        self._busy = bool(self._jobs)
        if self._busy:
            self._run.work.after(self._delay_ns(), self._next)

    def _beat(self) -> None:
        if self._run.loop.dead or self._ended:
            return
        assert self._at_times is not None
        self._do(self._at_times)
        self._due_ns += self._every_ns
        self._run.work.at_ns(
            self._due_ns + self._delay_ns(), self._beat
        )  # an operation takes its time, the beat goes on


class SimSockets:
    """RtpSockets over the simulated network."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._flush: Callable[[], None] = lambda: None
        self._drains: dict[SimSocket, Callable[[], None]] = {}

    def flush_with(self, flush: Callable[[], None]) -> None:
        self._flush = flush

    def listen(self, stream: LegMedia) -> None:
        """A stream that nobody waits for is read now and then, with the kernel's stamps."""
        bound: Any = stream.bound
        stamps: list[int] = []

        def drain() -> None:
            came, stamps[:] = list(stamps), []
            for arrival_ns in came:
                if bound.closed or not bound.waiting:
                    return
                data, source = bound.recvfrom(8192)
                stream.datagram_received(data, source, arrival_ns)
            self._flush()

        def ready() -> None:
            if not stamps:
                self._run.work.after(int(DRAIN_S * SECOND_NS), self._run.loop.call, drain)
            stamps.append(self._run.clock.monotonic_ns())

        for _ in bound.waiting:
            ready()
        bound.ready = ready
        self._drains[bound] = drain

    def add(self, bound: SimSocket, read: Callable[[], object]) -> None:
        def ready() -> None:
            self._run.loop.call(read)

        for _ in bound.waiting:
            self._run.loop.call_soon(read)
        bound.ready = ready

    def take_waiting(self, bound: SimSocket) -> list[tuple[bytes, tuple[str, int], int]]:
        came, booted_ns = list(bound.waiting), self._run.clock.booted_ns
        stamps = [at_ns - booted_ns for at_ns in bound.waiting_ns]
        bound.waiting.clear()
        bound.waiting_ns.clear()
        return [(data, source, at_ns) for (data, source), at_ns in zip(came, stamps, strict=True)]

    def remove(self, bound: SimSocket) -> None:
        drain = self._drains.pop(bound, None)
        if drain is not None:
            drain()
        bound.ready = None

    def close(self) -> None:
        pass


class SimHelper:
    """The finalizer's child: it may die over a job, and it outlives a recorder that is killed, for a moment."""

    def __init__(self, run: "Run", recordings: Path) -> None:
        self._run = run
        self._recordings = recordings
        self._files = run.world.child_files()

    async def begin(self) -> None:
        pass

    async def ask(self, spool: Path, recovered: bool) -> Finalised:
        rng, plan = self._run.work.rng, self._run.world.plan
        job = {"spool": str(spool), "recovered": recovered}
        self._run.child_job = job
        await asyncio.sleep(rng.uniform(0.002, 0.15))
        if plan.child_dies and not self._run.world.at_peace and rng.random() < plan.child_dies:
            self._files.kill_in = rng.randint(1, 12)
        try:
            result: dict[str, Any] = work_off(self._recordings, job, self._files)
        except Killed:
            self._files.die()
            self._files = self._run.world.child_files()
            raise ValueError("the child died") from None
        finally:
            self._run.child_job = None
            self._files.kill_in = None
        return Finalised.model_validate_json(json.dumps(result))

    async def end(self, *, kill: bool = False) -> None:
        pass

    def finish_alone(self, job: dict[str, Any]) -> None:
        """The recorder was killed: the child does its job to the end, then its input is over."""
        with contextlib.suppress(Killed):
            work_off(self._recordings, job, self._files)


class SimDoor(LiveDoor):
    """Nobody looks at the board but now and then, to see that one can be made. Its socket is a file like any other."""

    def __init__(self, path: Path, make_board: Callable[[], Any], files: MemoryFiles) -> None:
        super().__init__(path, make_board)
        self._seen = 0
        self._files = files
        self._made = False

    @property
    def is_open(self) -> bool:
        return self._made

    async def open(self) -> None:
        self._files.unlink(self._path)
        self._files.close(self._files.open(self._path, os.O_RDWR | os.O_CREAT))
        self._made = True

    async def close(self) -> None:
        pass

    def changed(self) -> None:
        self._seen += 1
        if self._seen % 16 == 1:
            self._make_board()


class SimTransport(asyncio.DatagramTransport):
    """The recorder's SIP socket."""

    def __init__(self, net: Net, address: Address, loop: SimLoop, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self.net = net
        self.address = address
        net.at[address] = lambda data, source: loop.call(protocol.datagram_received, data, source)

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.net.send_sip(bytes(data), self.address, addr)

    def close(self) -> None:
        self.net.at.pop(self.address, None)


class CheckedRecorder(Recorder):
    """The recorder, its events looked at on their way."""

    order: EventOrder

    def _on_event(self, event: Event) -> None:
        self.order.take(event)
        super()._on_event(event)


class Run:
    """One life of the recorder process."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.work = world.work
        self.loop = SimLoop(world.work)
        self.files = MemoryFiles(world.disk)
        self.clock = SimClock(world.work, world.booted_ns, lambda: world.wall_offset_ns)
        self.sockets: set[SimSocket] = set()
        self.helper: SimHelper | None = None
        self.child_job: dict[str, Any] | None = None
        self.recorder: CheckedRecorder | None = None
        self.task: asyncio.Task[None] | None = None
        self.files.on_killed = world.killed_in_an_operation
        self.ends: set[End] = set()  # of connections
        self.servers: list[SimServer] = []
        self.told_to_stop = False
        self.loop.listen = self._listen
        self.loop.connect = self._connect

    def _listen(self, protocol_factory: Callable[[], asyncio.Protocol], address: Address) -> SimServer:
        def accept(end: End) -> None:
            self.loop.call(self._made, end, protocol_factory())

        self.servers.append(SimServer(self.world.net, address, accept))
        return self.servers[-1]

    def _connect(
        self, protocol_factory: Callable[[], asyncio.Protocol], to: Address
    ) -> tuple[SimConnection, asyncio.Protocol]:
        end = self.world.net.connect((self.world.server[0], self.work.rng.randrange(32768, 60999)), to)
        if end is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        protocol = protocol_factory()
        return self._made(end, protocol), protocol

    def _made(self, end: End, protocol: asyncio.Protocol) -> SimConnection:
        connection = SimConnection(end, protocol, self.loop.call, self.ends)
        protocol.connection_made(connection)
        return connection

    def attempt(self, job: Callable[[], object]) -> None:
        """Do what a thread of the process does."""
        try:
            job()
        except Killed:
            return
        except Exception as e:
            self.world.wrong("a job beside the loop failed", f"{type(e).__name__}: {e}")

    def bind(self, host: str, port: int) -> Any:
        address = (host, port)
        if address in self.world.net.at or (self.world.plan.busy_ports and port % 14 == 0):
            return None
        made = SimSocket(self.world.net, address, self.sockets.discard)
        self.sockets.add(made)
        return made


def seeded(seed: int, what: str) -> random.Random:
    """Independent randomness for one purpose, the same on every machine."""
    return random.Random(f"{seed}/{what}")
