"""The recorder process: wires user agent, sockets, capture, journal, finalizer and live door, and runs until SIGTERM.

It needs no database and no desk: without `desk.json` it answers OPTIONS and refuses calls. On SIGTERM it ends the calls in
progress, tells both sides, finishes their recordings and stops, within seconds; what a kill cuts off lies in its spool and
is finished at the next start.
"""

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop

from callqa import __version__
from callqa.config import Settings
from callqa.desk import Desk, load_desk
from callqa.errors import ConfigError, SpoolError
from callqa.journal import JournalKind
from callqa.live import Board, LiveCommand, LiveReply
from callqa.periods import from_ms
from callqa.refusals import os_reason
from callqa.sip.events import Event, SeatRegistered, SeatSignedIn, SeatSignedOut, SeatUnregistered
from callqa.sip.process.board import live_calls, live_seats, live_trunks
from callqa.sip.process.call_book import CallBook
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.faults import FaultBook
from callqa.sip.process.finalizer import Finalised, Finalizer
from callqa.sip.process.identity import call_ids, host_finder
from callqa.sip.process.journal_writer import JournalWriter, day_files, entries_of
from callqa.sip.process.listen import Listeners
from callqa.sip.process.player import Player
from callqa.sip.process.ports import PortMemory, PortPool
from callqa.sip.process.priority import describe as priority
from callqa.sip.process.priority import raise_priority
from callqa.sip.process.recovery import Epilogue, LeftOver, find_left_over, list_spools, put_aside
from callqa.sip.process.streams import SipStreams, client_context, server_context
from callqa.sip.process.surroundings import SYSTEM, Surroundings
from callqa.sip.process.today import COUNTED_MARKS, Today
from callqa.sip.process.transport import SipTransport, bind_sip, bind_sip_stream
from callqa.sip.useragent import UserAgent, UserAgentSettings

log = logging.getLogger(__name__)

TICK_S = 1.0
HELPER_THREADS = 4
# A call's legs, dialogs and transactions know each other and outlive it by 32 s (RFC 3261, 64·T1): only a full collection frees
# them. It comes by the clock: counted by allocations, packets would set it off all the time (a seventh of all CPU at 100 calls).
COLLECT_EVERY_S = 30.0
GC_THRESHOLDS = (10_000, 10, 1_000_000)
RECORDER = f"callqa {__version__}"
FAREWELL_S = 1.0  # for the answers to our BYE and CANCEL; T1 is half of it
STOP_GRACE_S = 5.0


def run(settings: Settings) -> int:
    """Record until SIGTERM or SIGINT. Raise ConfigError where a port or folder cannot be had."""
    sip = settings.sip
    sip_socket = bind_sip(sip.listen_host, sip.listen_port)
    ways: list[tuple[socket.socket, ssl.SSLContext | None]] = []
    if sip.tcp_port:
        ways.append((bind_sip_stream(sip.listen_host, sip.tcp_port, "tcp_port"), None))
    if sip.tls_port:
        context = server_context(sip, settings.home)
        ways.append((bind_sip_stream(sip.listen_host, sip.tls_port, "tls_port"), context))
    for folder in (settings.spool_dir, settings.journal_dir, settings.state_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                f"文件夹 {folder} 建不了（{os_reason(e)}）；请检查权限，或在 callqa.toml 的 [paths] 里改位置"
            ) from e
    with contextlib.closing(sip_socket):
        client = client_context(sip, settings.home) if sip.tls_port else None
        journal = JournalWriter(settings.journal_dir)
        try:
            raise_priority()
            log.info("priority: %s", priority())
            _settle_memory()
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(_with_clean_memory(Recorder(settings, journal, client).run(sip_socket, ways)))
        finally:
            journal.close()
    return 0


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop whose helper threads are as quick as it is: one that waits for its turn while it holds the interpreter holds up all."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(HELPER_THREADS, "helper", initializer=raise_priority))
    return loop


def _settle_memory() -> None:
    """What was loaded by now stays for good: full collections pass it over and hold up nobody for long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _with_clean_memory(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; meanwhile what ended calls left behind is freed every COLLECT_EVERY_S."""

    async def collect() -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            gc.collect()

    collecting = asyncio.get_running_loop().create_task(collect())
    try:
        await work
    finally:
        collecting.cancel()


class Recorder:
    """One run of the recorder."""

    def __init__(
        self,
        settings: Settings,
        journal: JournalWriter,
        tls: ssl.SSLContext | None = None,
        around: Surroundings = SYSTEM,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._around = around
        self._clock = around.clock
        self._files = around.files
        self._started_at_ms = self._clock.wall_ms()
        self._door = around.door(settings.live_socket, self._board)
        self._faults = FaultBook(journal, self._door.changed, self._clock.wall_ms)
        self._epilogue = Epilogue(journal, settings.recordings_dir, RECORDER, self._files, self._clock)
        sip = settings.sip
        first = int.from_bytes(around.random(2))
        self._port_memory = PortMemory(settings.ports_path, self._files)
        self._ports = PortPool(sip.listen_host, sip.rtp_port_min, sip.rtp_port_max, first, around.bind)
        self._ports.go_on(self._port_memory.load())
        self._port_memory.save(self._ports.position)
        agent_settings = UserAgentSettings(
            (sip.listen_host, sip.listen_port),
            host_finder(sip.listen_host, sip.advertised_host, self._clock.monotonic),
            around.random(32),
            tcp_port=sip.tcp_port,
            tls_port=sip.tls_port,
        )
        self._desk = Desk(number=0)
        self._desk_seen: tuple[int, int, int] | None = None
        new_call_id = call_ids(around.node(), self._clock.wall_ms, around.random)
        self._agent = UserAgent(agent_settings, self._desk, self._ports, new_call_id, around.token)
        self._sip = SipTransport(self._agent, self._on_event, mapped=sip.listen_host == "::", clock=self._clock)
        self._streams = SipStreams(
            self._sip.receive, self._sip.stream_opened, self._sip.stream_closed, tls, self._clock
        )
        self._sip.streams = self._streams
        self._registrations_changed = False
        self._left_over = LeftOver()
        self._board_number = 0
        self._recorded_today = 0
        self._counted_day = ""
        self._today = Today()
        self._listeners = Listeners(journal, self._clock)

    async def run(
        self, sip_socket: socket.socket, ways: Sequence[tuple[socket.socket, ssl.SSLContext | None]] = ()
    ) -> None:
        """Everything from the first datagram to the last journal line."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        around, spool_dir = self._around, self._settings.spool_dir
        self._disk = DiskWriter(loop, self._tell_disk_fault, self._files, around.workers)
        self._book = CallBook(
            spool_dir,
            self._disk,
            self._ports,
            self._journal,
            self._faults,
            around.sockets(loop),
            self._clock,
            around.token,
        )
        self._player = self._book.player = Player(
            self._settings.prompts_dir, loop, self._on_prompt_over, self._faults.tell, around.random, self._files,
            around.workers,
        )  # fmt: skip
        helper = around.helper(self._settings.recordings_dir)
        self._finalizer = self._book.finalizer = Finalizer(helper, self._on_finalised)
        sip = self._settings.sip
        self._journal.append(JournalKind.RECORDER_STARTED, self._started_at_ms, listening=self._listening)
        self._look_at_desk()
        self._restore_registrations()
        self._recorded_today = self._count_today()
        self._open_to_orders()
        spools = list_spools(spool_dir, self._files)  # before the first call of this run adds its own
        await loop.create_datagram_endpoint(lambda: self._sip, sock=sip_socket)
        for sock, context in ways:
            await self._streams.listen(sock, context)
        await self._door.open()
        self._sip.pump()
        log.info("listening on %s, RTP %d-%d", self._listening, sip.rtp_port_min, sip.rtp_port_max)
        ticking = loop.create_task(self._tick_forever())
        recovering = loop.create_task(self._recover(spools))
        await stopping.wait()
        log.info("stopping")
        for task in (ticking, recovering):
            task.cancel()
        await asyncio.gather(ticking, recovering, return_exceptions=True)
        await self._stop()

    def _open_to_orders(self) -> None:
        """What people ask for at the live door, and what the day has had so far."""
        try:
            for path in day_files(self._settings.journal_dir, self._files)[-2:]:  # Shanghai's day lies in two of UTC
                self._today.take_all(entries_of(path, *COUNTED_MARKS, files=self._files))
        except OSError as e:  # the day's figures begin at nothing; calls go on
            log.error("journal: %s", e)
        self._journal.on_entry = self._today.take
        self._listeners.attach, self._listeners.detach = self._book.listen, self._book.unlisten
        self._door.set_paused, self._door.listeners = self._set_paused, self._listeners
        self._door.set_confidential = self._set_confidential

    def _set_paused(self, command: LiveCommand) -> LiveReply:
        reply = self._book.set_paused(command)
        self._door.changed()
        return reply

    def _set_confidential(self, command: LiveCommand) -> LiveReply:
        reply = self._book.set_confidential(command)
        self._door.changed()
        return reply

    async def _stop(self) -> None:
        self._agent.shut_down(self._clock.monotonic())
        self._sip.pump()
        await self._wait_for(self._agent.settled, FAREWELL_S)
        await self._wait_for(lambda: not self._book.finalizing, STOP_GRACE_S)
        self._sip.close()
        await self._streams.stop()
        self._player.finish()
        self._book.stop()
        await self._save_registrations()
        await self._finalizer.stop(STOP_GRACE_S)
        self._disk.stop()
        self._ports.close()
        await self._door.close()

    # -- events -----------------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SeatRegistered | SeatUnregistered):
            self._registrations_changed = True
        if isinstance(event, SeatSignedIn):
            facts = {"seat_extension": event.extension, "agent_no": event.agent_no}
            self._journal.append(JournalKind.SEAT_LOGIN, self._clock.wall_ms(), **facts)
        elif isinstance(event, SeatSignedOut):
            self._journal.append(JournalKind.SEAT_LOGOUT, self._clock.wall_ms(), seat_extension=event.extension)
        self._book.take(event)
        self._door.changed()

    def _on_finalised(self, spool: Path, recovered: bool, result: Finalised) -> None:
        if recovered and not result.error:
            self._epilogue.recovered(spool, result, self._left_over)
            if not result.answered:
                return
        if self._book.finalised(spool, recovered, result):
            self._count_one_more(result.sidecar)
        self._door.changed()

    def _on_prompt_over(self, call_id: str, prompt: str) -> None:
        self._agent.prompt_over(call_id, prompt, self._clock.monotonic())
        self._sip.pump()

    def _tell_disk_fault(self, path: Path, reason: str) -> None:
        self._book.tell_disk_fault(path, reason)

    # -- once a second ----------------------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._tick()
            except Exception:  # the worker loop: a bad second must not end the ticking
                log.exception("tick")

    async def _tick(self) -> None:
        now = self._clock.monotonic()
        self._look_at_desk()
        for call_id in self._book.media.silent_calls(self._settings.sip.rtp_timeout_s):
            self._faults.tell(
                f"双方超过 {self._settings.sip.rtp_timeout_s} 秒没有媒体，通话已按掉线结束", call_id=call_id
            )
            self._agent.media_timeout(call_id, now)
        if self._book.sweep_pauses():
            self._door.changed()
        self._streams.sweep(now)
        self._sip.pump()
        self._book.media.note_foreign()
        if self._book.media.look():
            self._door.changed()
        self._journal.write_waiting()
        free_mb = self._disk_free_mb()
        if free_mb < self._settings.retention.disk_alarm_mb:
            self._faults.tell(f"磁盘剩余空间不足 {self._settings.retention.disk_alarm_mb} MB，请尽快清理或扩容")
        if self._registrations_changed:
            self._registrations_changed = False
            await self._save_registrations()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._port_memory.save, self._ports.position)
        await loop.run_in_executor(None, self._journal.sync)

    def _look_at_desk(self) -> None:
        """Load desk.json when it changed; a bad one is refused and the last good one kept."""
        path = self._settings.desk_path
        try:
            seen = self._files.version(path)
        except OSError:
            if self._desk_seen is not None:
                self._faults.tell("座席配置 desk.json 不见了，继续使用原来的配置；请在“人员与席位”里重新发布")
            return
        if seen == self._desk_seen:
            return
        self._desk_seen = seen
        try:
            self._desk = load_desk(path, self._files)
        except SpoolError as e:
            log.error("%s", e)
            self._faults.tell(f"座席配置 desk.json 无法读取，继续使用第 {self._desk.number} 版；请重新发布")
            return
        self._agent.set_desk(self._desk, self._clock.monotonic())
        self._book.pauses.policy = self._desk.routing
        log.info("desk %d: %d seats, %d trunks", self._desk.number, len(self._desk.seats), len(self._desk.trunks))
        self._door.changed()

    def _restore_registrations(self) -> None:
        try:
            saved = json.loads(self._files.read(self._settings.registrations_path))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as e:
            log.error("registrations: %s", e)
            return
        bindings: list[Any] = [b for b in saved if isinstance(b, dict)] if isinstance(saved, list) else []
        self._agent.restore_registrations(bindings, self._clock.monotonic(), self._clock.wall_ms())

    async def _save_registrations(self) -> None:
        """In a thread: phones register all the time, and a sync of the disk would hold up every packet."""
        saved = (
            json.dumps(self._agent.registrations(self._clock.monotonic(), self._clock.wall_ms()), indent=1).encode()
            + b"\n"
        )
        path, loop = self._settings.registrations_path, asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._files.put, path, saved)
        except OSError as e:
            self._registrations_changed = True  # again in a second
            self._faults.tell(f"话机注册没能存盘（{os_reason(e)}）：重启后话机要重新注册；请检查磁盘")

    # -- recovery ---------------------------------------------------------------------------------------------------

    async def _recover(self, spools: tuple[Path, ...]) -> None:
        """Finish what earlier runs left, beside new calls."""
        try:
            await self._finish_left_over(spools)
        except Exception:  # top of a task that nobody waits for
            log.exception("recovery")
            self._faults.tell("上次没有完成的通话没能补收，下次启动再试；请查看录音服务的日志")

    async def _finish_left_over(self, spools: tuple[Path, ...]) -> None:
        s = self._settings
        loop = asyncio.get_running_loop()
        left = await loop.run_in_executor(None, find_left_over, spools, s.recordings_dir, s.journal_dir, self._files)
        self._left_over = left
        for entry in left.cut_off:
            self._epilogue.cut_off(entry)
        kept = [path.name for path in left.damaged if put_aside(path, self._files)]
        if kept:
            self._faults.tell(f"有 {len(kept)} 个暂存文件损坏，读不出是哪通电话：{'、'.join(kept)}；已改名保留")
        for path in left.unfinished:
            self._finalizer.submit(path, recovered=True)
        if left.unfinished:
            self._faults.tell(f"上次录音服务中断，{len(left.unfinished)} 通没有完成的通话正在补收")

    # -- the board --------------------------------------------------------------------------------------------------

    @property
    def _listening(self) -> str:
        sip = self._settings.sip
        ways = (("udp", sip.listen_port), ("tcp", sip.tcp_port), ("tls", sip.tls_port))
        return ", ".join(f"{name} {sip.listen_host}:{port}" for name, port in ways if port)

    def _board(self) -> Board:
        self._board_number += 1
        now_ms, now = self._clock.wall_ms(), self._clock.monotonic()
        return Board(
            number=self._board_number,
            at_ms=now_ms,
            started_at_ms=self._started_at_ms,
            desk_number=self._desk.number,
            listening=self._listening,
            calls=live_calls(self._agent.calls(), self._book, now, now_ms),
            seats=live_seats(self._agent.seats()),
            trunks=live_trunks(self._agent.trunks()),
            recorded_today=self._recorded_today,
            faults=self._faults.shown(),
            disk_free_mb=self._disk_free_mb(),
            today=self._today.at(now_ms),
        )

    def _count_one_more(self, sidecar: str) -> None:
        """Looking through the folder after every call would cost more with every call of the day."""
        if self._counted_day != self._day():
            self._recorded_today = self._count_today()
        elif sidecar.startswith(self._counted_day):
            self._recorded_today += 1

    def _count_today(self) -> int:
        self._counted_day = self._day()
        return len(self._files.list(self._settings.recordings_dir / self._counted_day, "[0-9]*.json"))

    def _day(self) -> str:
        """Today's folder below the recordings."""
        return f"{from_ms(self._clock.wall_ms()):%Y/%m/%d}"

    def _disk_free_mb(self) -> int:
        """0 when the folder is away (a mount): that is an alarm too."""
        try:
            return self._files.free_bytes(self._settings.recordings_dir) >> 20
        except OSError:
            return 0

    async def _wait_for(self, done: Callable[[], bool], most_s: float) -> None:
        deadline = self._clock.monotonic() + most_s
        while not done() and self._clock.monotonic() < deadline:
            await asyncio.sleep(0.02)
