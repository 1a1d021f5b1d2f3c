"""The recorder process: wires user agent, sockets, capture, journal, finalizer and live door, and runs until SIGTERM.

It needs no database and no desk: without `desk.json` it answers OPTIONS and refuses calls. On SIGTERM it ends the calls in
progress, tells both sides, finishes their recordings and stops, within seconds; what a kill cuts off lies in its spool and
is finished at the next start.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from callqa import __version__
from callqa.config import Settings
from callqa.desk import Desk
from callqa.journal import JournalKind
from callqa.live import Board, LiveCommand, LiveReply
from callqa.refusals import os_reason
from callqa.sip.calls.routing import certificate_names
from callqa.sip.events import Event, SeatRegistered, SeatSignedIn, SeatSignedOut, SeatUnregistered
from callqa.sip.process.board import live_calls, live_seats, live_trunks
from callqa.sip.process.call_book import CallBook
from callqa.sip.process.desk_watch import DeskWatch
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.faults import JOURNAL_WAITS, FaultBook
from callqa.sip.process.finalizer import Finalised, Finalizer
from callqa.sip.process.identity import call_ids, host_finder
from callqa.sip.process.journal_writer import JournalWriter, day_files, entries_of
from callqa.sip.process.listen import Listeners
from callqa.sip.process.player import Player
from callqa.sip.process.ports import PortMemory, PortPool
from callqa.sip.process.recovery import Epilogue, LeftOver, find_left_over, list_spools, put_aside
from callqa.sip.process.registrations import Registrations
from callqa.sip.process.room import DiskRoom
from callqa.sip.process.streams import SipStreams
from callqa.sip.process.surroundings import SYSTEM, Surroundings
from callqa.sip.process.tls import ClientTls
from callqa.sip.process.today import COUNTED_MARKS, RecordedToday, Today
from callqa.sip.process.transport import SipTransport
from callqa.sip.useragent import UserAgent, UserAgentSettings

log = logging.getLogger(__name__)

TICK_S = 1.0
RECORDER = f"callqa {__version__}"
FAREWELL_S = 1.0  # for the answers to our BYE and CANCEL; T1 is half of it
STOP_GRACE_S = 5.0


class Recorder:
    """One run of the recorder."""

    def __init__(
        self,
        settings: Settings,
        journal: JournalWriter,
        tls: Callable[[], ssl.SSLContext] | None = None,
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
        self._room = DiskRoom(
            settings.spool_dir, settings.recordings_dir, settings.retention, self._faults, journal, self._files, self._clock
        )  # fmt: skip
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
            tuple(sip.digest_algorithms.split(",")),
            tcp_port=sip.tcp_port,
            tls_port=sip.tls_port,
        )
        self._desk = DeskWatch(settings.desk_path, self._files, self._faults, self._take_desk)
        new_call_id = call_ids(around.node(), self._clock.wall_ms, around.random)
        self._agent = UserAgent(agent_settings, self._desk.desk, self._ports, new_call_id, around.token)
        self._sip = SipTransport(self._agent, self._on_event, mapped=sip.listen_host == "::", clock=self._clock)
        self._streams = SipStreams(
            self._sip.receive,
            self._sip.stream_opened,
            self._sip.stream_closed,
            tls and ClientTls(tls, lambda to: certificate_names(self._desk.desk, to), self._faults.tell),
            self._agent.acquaintances,
            self._clock,
        )
        self._sip.streams = self._streams
        self._registrations = Registrations(
            settings.registrations_path, self._agent, self._files, self._clock, self._faults
        )
        self._left_over = LeftOver()
        self._board_number = 0
        self._recorded_today = RecordedToday(settings.recordings_dir, self._files, self._clock)
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
        self._disk = DiskWriter(loop, self._tell_disk_fault, self._files, around.workers, self._journal.sync)
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
        self._write_journal()
        self._desk.look()
        self._registrations.restore()
        self._recorded_today.look()
        self._open_to_orders()
        spools = self._left_spools()  # before the first call of this run adds its own
        await loop.create_datagram_endpoint(lambda: self._sip, sock=sip_socket)
        for sock, context in ways:
            await self._streams.listen(sock, context)
        await self._open_door()
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

    async def _open_door(self) -> None:
        """Again every second where it cannot be: a disk that is full or read-only stops no call."""
        try:
            await self._door.open()
        except OSError as e:
            self._faults.tell(f"“实时”页的接口开不了（{os_reason(e)}）：通话和录音照常，稍后再试；请检查磁盘")

    def _write_journal(self) -> None:
        if not self._journal.write_waiting():
            self._faults.tell(JOURNAL_WAITS)

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
        await self._room.stop()
        await self._registrations.save()
        await self._finalizer.stop(STOP_GRACE_S)
        self._disk.stop()
        self._ports.close()
        await self._door.close()

    # -- events -----------------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SeatRegistered | SeatUnregistered):
            self._registrations.changed = True
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
            self._recorded_today.add(result.sidecar)
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
        self._desk.look()
        for call_id in self._book.media.silent_calls(self._settings.sip.rtp_timeout_s):
            self._faults.tell("双方长时间没有媒体，通话已按掉线结束", call_id=call_id)
            self._agent.media_timeout(call_id, now)
        if self._book.sweep_pauses():
            self._door.changed()
        self._streams.sweep(now)
        self._sip.pump()
        self._book.media.note_foreign()
        if self._book.media.look():
            self._door.changed()
        self._write_journal()
        if not self._door.is_open:
            await self._open_door()
        self._room.look()
        if self._registrations.changed:
            await self._registrations.save()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._port_memory.save, self._ports.position)

    def _take_desk(self, desk: Desk) -> None:
        self._agent.set_desk(desk, self._clock.monotonic())
        self._book.pauses.policy = desk.routing
        self._door.changed()

    # -- recovery ---------------------------------------------------------------------------------------------------

    def _left_spools(self) -> tuple[Path, ...]:
        try:
            return list_spools(self._settings.spool_dir, self._files)
        except OSError as e:
            self._faults.tell(
                f"暂存文件夹读不了（{os_reason(e)}）：上次没有完成的通话没能补收，下次启动再试；请检查磁盘"
            )
            return ()

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
            desk_number=self._desk.desk.number,
            listening=self._listening,
            calls=live_calls(self._agent.calls(), self._book, now, now_ms),
            seats=live_seats(self._agent.seats()),
            trunks=live_trunks(self._agent.trunks()),
            recorded_today=self._recorded_today.count,
            faults=self._faults.shown(),
            disk_free_mb=self._room.free_mb(),
            today=self._today.at(now_ms),
        )

    async def _wait_for(self, done: Callable[[], bool], most_s: float) -> None:
        deadline = self._clock.monotonic() + most_s
        while not done() and self._clock.monotonic() < deadline:
            await asyncio.sleep(0.02)
