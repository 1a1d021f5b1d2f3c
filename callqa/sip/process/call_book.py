"""Calls in progress as the process sees them: the user agent's events become ports, spool marks, journal lines, jobs.

Order for one call: spool opened at the first INVITE; answered and ended are marked; when the media is closed the spool is
handed to the finalizer. A call nobody answered leaves a journal line and no spool.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callqa.journal import JournalKind
from callqa.live import LiveCommand, LiveReply
from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallLinked,
    CallMarked,
    CallOverflowed,
    CallQueued,
    CallStarted,
    CallTransferred,
    CallUnanswered,
    DigitPressed,
    Event,
    FactsLearnt,
    MediaChanged,
    MediaClosed,
    MediaOpened,
    PartyKnown,
    PauseAsked,
    PromptStarted,
    PromptStopped,
    SipFault,
    StreamSide,
)
from callqa.sip.media.spool import FaultMark, SideMark
from callqa.sip.media.trouble import TroubleWatch
from callqa.sip.process.call_notes import answered_mark, mark_of, media_mark, ns, side_of, started_mark, stream_of
from callqa.sip.process.capture import CallCapture
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.faults import JOURNAL_WAITS, FaultBook
from callqa.sip.process.finalizer import Finalised, Finalizer
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.listen import Listener
from callqa.sip.process.media_watch import MediaWatch
from callqa.sip.process.nearness import listed
from callqa.sip.process.open_call import OpenCall
from callqa.sip.process.pause import OVER, Pauses
from callqa.sip.process.player import Player
from callqa.sip.process.ports import PortPool
from callqa.sip.process.rtp_sockets import RtpSockets
from callqa.units import Channel

log = logging.getLogger(__name__)

SPOOL_SUFFIX = ".spool"


class CallBook:
    """All open calls; `take` is given every event of the user agent."""

    def __init__(
        self, spool_dir: Path, disk: DiskWriter, ports: PortPool, journal: JournalWriter, faults: FaultBook,
        sockets: RtpSockets | None = None, clock: Clock = CLOCK, tokens: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        """tokens: unguessable text for RTCP; without it there is none."""
        self._tokens = tokens
        self._spool_dir = spool_dir
        self._disk = disk
        self._ports = ports
        self._journal = journal
        self._faults = faults
        self._sockets = RtpSockets(asyncio.get_running_loop()) if sockets is None else sockets
        self._sockets.flush_with(disk.flush)
        self._clock = clock
        self._calls: dict[str, OpenCall] = {}
        self.finalizer: Finalizer | None = None  # set once the loop runs
        self.player: Player | None = None  # likewise
        self.pauses = Pauses(faults, clock, self._note)
        self.media = MediaWatch(self._calls, faults, clock)

    def take(self, event: Event) -> None:
        """Do what an event asks for. Events of unknown calls (cannot happen) are logged."""
        match event:
            case CallStarted():
                self._start(event)
                return
            case SipFault():
                source = f"{event.source[0]}:{event.source[1]}" if event.source else None
                self._faults.tell(event.text, call_id=event.call_id, source=source)
                return
            case CallMarked():
                self._take_mark(event)
                return
        call = self._calls.get(getattr(event, "call_id", ""))
        if call is None:
            log.debug("event without an open call: %s", event)
            return
        match event:
            case MediaOpened():
                self._open_media(call, event)
            case MediaChanged():
                self._change_media(call, event)
            case CallTransferred():
                self._transfer(call, event)
            case DigitPressed() if call.paused_ns is not None:
                pass  # a key typed in a pause is as private as a word
            case StreamSide():
                call.sides[event.stream] = event.side
                call.mark(mark_of(event))
            case DigitPressed() | CallLinked() | PartyKnown():
                call.mark(mark_of(event))
            case FactsLearnt():
                call.learn(event)
                call.mark(mark_of(event))
            case PromptStarted():
                self._play(call, event)
            case PromptStopped():
                self._stop_playing(call, event.channel)
            case CallQueued():
                self._note(JournalKind.CALL_QUEUED, call, call.at_ms(ns(event.now)), position=event.position)
            case CallOverflowed():
                at_ms = call.at_ms(ns(event.now))
                self._note(JournalKind.CALL_OVERFLOWED, call, at_ms, overflow_to=event.number, reason=event.reason)
            case CallAnswered():
                self._answer(call, event)
            case CallEnded():
                self._end(call, event)
            case CallUnanswered() | CallAbandoned():
                self._miss(call, event)
            case PauseAsked():
                self.pauses.ask(call, event)
            case MediaClosed():
                self._close_media(call)

    def set_paused(self, command: LiveCommand) -> LiveReply:
        """Pause or resume a call's recording for somebody at the live door."""
        return self.pauses.obey(command, self._calls.get(command.call_id))

    def set_confidential(self, command: LiveCommand) -> LiveReply:
        """Make a call in progress confidential for somebody at the live door: who listens in is cut off, nobody is let in."""
        call = self._calls.get(command.call_id)
        if call is None or call.media_over:
            return LiveReply(reply="confidential", ok=False, text=f"{OVER}，请到通话页标记")
        call.make_confidential()
        log.info("call %s: made confidential by %s", command.call_id, command.actor)
        return LiveReply(reply="confidential", ok=True)

    def is_confidential(self, call_id: str) -> bool:
        """Whether the board tells no number of the call."""
        call = self._calls.get(call_id)
        return call is not None and call.confidential

    def sweep_pauses(self) -> bool:
        """Once a second; True when one ended."""
        return self.pauses.sweep(self._calls.values())

    def paused_ns(self, call_id: str) -> int | None:
        """Since when a call's recording is paused."""
        call = self._calls.get(call_id)
        return call.paused_ns if call is not None and not call.media_over else None

    def listen(self, call_id: str, listener: Listener) -> tuple[bytes, ...] | str:
        """Send a listener what is recorded of a call: the records to begin with, or the Chinese reason why not."""
        call = self._calls.get(call_id)
        return OVER if call is None else call.listen(listener)

    def unlisten(self, listener: Listener) -> None:
        """A listener went."""
        call = self._calls.get(listener.call_id)
        if call is not None:
            call.capture.unlisten(listener)

    def tell_disk_fault(self, path: Path, reason: str) -> None:
        """A spool could not be written: the call goes on, its sidecar will say so."""
        text = f"录音写盘失败（{reason}）：通话 {path.stem} 继续，但录音会有缺口；请检查磁盘"
        self._faults.tell(text, call_id=path.stem)
        call = self._calls.get(path.stem)
        if call is not None:  # also in its last moments: its spool waits for the mark
            call.mark(FaultMark(at_ns=self._clock.monotonic_ns(), text=f"录音写盘失败（{reason}），录音有缺口"))

    @property
    def finalizing(self) -> tuple[OpenCall, ...]:
        """Calls that are over and have no sidecar yet."""
        return tuple(call for call in self._calls.values() if call.media_over)

    def forget(self, call_id: str) -> None:
        """The finalizer is done with a call."""
        self._calls.pop(call_id, None)

    def stop(self) -> None:
        """Close all ports; spools stay for the next start."""
        for call in self._calls.values():
            if not call.media_over:
                call.capture.note_foreign(self._clock.monotonic_ns())
                call.capture.close(lambda: None)
        self._sockets.close()

    # -- one event each ---------------------------------------------------------------------------------------------

    def _start(self, event: CallStarted) -> None:
        wall_ms = self._wall_ms(ns(event.now))
        started = started_mark(event, wall_ms)
        file = self._disk.open(self._spool_dir / f"{event.call_id}{SPOOL_SUFFIX}")
        capture = CallCapture(self._sockets, self._disk, file, started, self._clock, self._tokens)
        call = OpenCall(started, capture, seat_extension=event.seat_extension)
        self._calls[event.call_id] = call
        self._note(JournalKind.CALL_STARTED, call, wall_ms)
        log.info("call %s started: %s %s -> %s", event.call_id, event.direction, event.from_number, event.to_number)

    def _open_media(self, call: OpenCall, event: MediaOpened) -> None:
        bound = self._ports.adopt(event.local_port)
        if bound is None:
            if call.answered_ns is None:
                call.unbound.append(event.local_port)  # turned away at once, it was given back before we came to look
            else:
                self._tell_unbound(call, event.local_port)
            return
        stream = stream_of(event)
        call.held.discard(stream)
        call.sides[stream] = event.channel
        rtcp = self._ports.adopt_rtcp(event.local_port) if self._tokens is not None else None
        host, listening = event.signalling_host, call.started.mode != "bridge"
        call.capture.open_leg(
            stream, event.local_port, bound, event.remote, host, event.terms, rtcp,
            listening=listening, trunk=listed(event.trunk_addresses),
        )  # fmt: skip
        if event.codecs:
            call.codecs[stream] = event.codecs
            call.mark(media_mark(event))
        if event.stream is not None and event.channel != event.stream % 2:
            call.mark(SideMark(at_ns=ns(event.now), channel=stream, side=side_of(event.channel)))
        if event.stream is None:
            call.capture.connect()
        call.capture.take_waiting(stream)

    def _change_media(self, call: OpenCall, event: MediaChanged) -> None:
        stream = stream_of(event)
        call.codecs[stream] = event.codecs
        trunk = listed(event.trunk_addresses)
        call.capture.ask_for(stream, event.remote, event.signalling_host, event.terms, trunk)
        call.mark(media_mark(event))
        call.capture.settle(stream)
        (call.held.add if event.held else call.held.discard)(stream)

    def _tell_unbound(self, call: OpenCall, port: int) -> None:
        self._faults.tell(f"媒体端口 {port} 没有绑定，这一侧录不到音", call_id=call.call_id)

    def _answer(self, call: OpenCall, event: CallAnswered) -> None:
        for port in call.unbound:
            self._tell_unbound(call, port)
        call.answered_ns = ns(event.now)
        call.watch = TroubleWatch(call.answered_ns, forked=call.started.mode == "siprec")
        call.seat_extension = event.seat_extension or call.seat_extension
        call.waited = event.waited
        call.mark(answered_mark(event, call.seat_extension))
        self._note(JournalKind.CALL_ANSWERED, call, call.at_ms(call.answered_ns))
        log.info("call %s answered at seat %s", event.call_id, call.seat_extension)

    def _transfer(self, call: OpenCall, event: CallTransferred) -> None:
        mark = mark_of(event)
        call.mark(mark)
        call.seat_extension = event.seat_extension or call.seat_extension
        facts = {"kind": event.kind, "to": event.to, "by": event.by}
        self._note(JournalKind.CALL_TRANSFERRED, call, call.at_ms(mark.at_ns), **facts)
        log.info("call %s transferred (%s) to %s", event.call_id, event.kind, event.to)

    def _take_mark(self, event: CallMarked) -> None:
        """A mark may come after the call: then its sidecar has been or is being written, and only the journal has it."""
        call = self._calls.get(event.call_id)
        mark = mark_of(event)
        at_ms = self._wall_ms(mark.at_ns) if call is None else call.at_ms(mark.at_ns)
        if call is not None and not call.media_over:
            call.mark(mark)
        facts = {"code": event.code, "seat_extension": event.seat_extension}
        self._write_down(JournalKind.CALL_MARKED, at_ms, event.call_id, facts)

    def _end(self, call: OpenCall, event: CallEnded) -> None:
        call.mark(mark_of(event))
        party = None if event.hangup_party is None else event.hangup_party.value
        ended_at_ms = call.at_ms(ns(event.now))
        self._note(JournalKind.CALL_ENDED, call, ended_at_ms, ended_at_ms=ended_at_ms, hangup_party=party)
        log.info("call %s ended by %s", event.call_id, event.hangup_party)

    def _miss(self, call: OpenCall, event: CallUnanswered | CallAbandoned) -> None:
        at_ms = call.at_ms(ns(event.now))
        abandoned = isinstance(event, CallAbandoned)
        kind = JournalKind.CALL_ABANDONED if abandoned else JournalKind.CALL_UNANSWERED
        status = {} if isinstance(event, CallAbandoned) else {"sip_status": event.sip_status}
        call.waited = event.waited
        ring_ms = max(0, at_ms - call.started.wall_ms - event.waited.notice_ms)
        self._note(kind, call, at_ms, ended_at_ms=at_ms, ring_ms=ring_ms, reason=event.reason, **status)
        log.info("call %s %s: %s", event.call_id, kind.value, event.reason)

    def _play(self, call: OpenCall, event: PromptStarted) -> None:
        send = call.capture.start_playing(event.channel)
        if self.player is not None:
            self.player.play(event, call.codecs.get(event.channel.value, ()), send)

    def _stop_playing(self, call: OpenCall, channel: Channel) -> None:
        if self.player is not None:
            self.player.stop(call.call_id, channel)
        call.capture.stop_playing(channel)

    def _close_media(self, call: OpenCall) -> None:
        call_id = call.call_id
        if self.player is not None:
            self.player.forget(call_id)
        if call.answered_ns is None:
            call.capture.discard()
            self.forget(call_id)
            return
        self.media.note_foreign_of(call)
        call.media_over = True
        path = call.capture.file.path
        call.capture.close(lambda: self._finalise(path))

    def _finalise(self, path: Path) -> None:
        if self.finalizer is not None:
            self.finalizer.submit(path)

    def _note(self, kind: JournalKind, call: OpenCall, at_ms: int, /, **more: Any) -> None:
        self._write_down(kind, at_ms, call.call_id, {**call.facts, **more})

    def _write_down(self, kind: JournalKind, at_ms: int, call_id: str, facts: dict[str, Any]) -> None:
        if not self._journal.append(kind, at_ms, call_id, **facts):
            self._faults.tell(JOURNAL_WAITS, call_id=call_id)

    def _wall_ms(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant, by what the clocks show now."""
        return self._clock.wall_ms() - (self._clock.monotonic_ns() - at_ns) // 1_000_000

    def finalised(self, spool: Path, recovered: bool, result: Finalised) -> bool:
        """Note what the finalizer made of a spool of this run. True when the call is complete."""
        if result.error:
            text = f"通话 {spool.stem} 的录音没有整理成功（{result.error}）"
            kept = "；原始数据已保留" if spool.exists() else "；原始数据也不在了"
            self._faults.tell(text + ("，稍后再试" if result.again else kept), call_id=spool.stem)
            if not result.again:
                self.forget(spool.stem)
            return False
        at_ms = self._clock.wall_ms()
        self._journal.append(JournalKind.CALL_COMPLETE, at_ms, result.call_id, sidecar=result.sidecar)
        self.forget(result.call_id)
        log.info("call %s complete: %s%s", result.call_id, result.sidecar, " (recovered)" if recovered else "")
        return True
