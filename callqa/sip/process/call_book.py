"""Calls in progress as the process sees them: the user agent's events become ports, spool marks, journal lines, jobs.

Order for one call: spool opened at the first INVITE; answered and ended are marked; when the media is closed the spool is
handed to the finalizer. A call nobody answered leaves a journal line and no spool.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from callqa.journal import JournalKind
from callqa.live import LiveCommand, LiveReply
from callqa.sip.events import (
    NOT_WAITED,
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
    Waited,
)
from callqa.sip.media.spool import (
    AnsweredMark,
    EndedMark,
    FactsMark,
    FaultMark,
    Mark,
    MediaMark,
    PartyMark,
    Side,
    SideMark,
    StartedMark,
    TroubleMark,
)
from callqa.sip.media.trouble import ADVICE, Trouble, TroubleWatch, minutes
from callqa.sip.process.call_notes import mark_of
from callqa.sip.process.capture import CallCapture
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.faults import FaultBook
from callqa.sip.process.finalizer import Finalised, Finalizer
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.listen import Listener
from callqa.sip.process.pause import FROM_PHONE, Pauses
from callqa.sip.process.player import Player
from callqa.sip.process.ports import PortPool
from callqa.sip.process.rtp_sockets import RtpSockets
from callqa.sip.wire.sdp import Codecs
from callqa.units import Channel

log = logging.getLogger(__name__)

SPOOL_SUFFIX = ".spool"
# A call on hold sends nothing for as long as the agent looks something up; an hour is a forgotten handset.
LONGEST_HOLD_S = 3600


@dataclass(slots=True)
class OpenCall:
    """One call from its first INVITE until its sidecar."""

    started: StartedMark
    capture: CallCapture
    answered_ns: int | None = None
    seat_extension: str | None = None
    held: set[int] = field(default_factory=set)
    unbound: list[int] = field(default_factory=list)  # ports that were not there
    media_over: bool = False
    paused_ns: int | None = None  # since when packets are relayed but not kept
    pause_reason: tuple[str, str] = ("", "")  # by, reason
    watch: TroubleWatch | None = None  # from the answer on
    deaf: set[int] = field(default_factory=set)  # sides told of that hear nothing
    learnt: FactsLearnt | None = None  # all of them
    waited: Waited = NOT_WAITED
    codecs: dict[int, Codecs] = field(default_factory=dict)  # as last agreed on each leg

    @property
    def call_id(self) -> str:
        return self.started.call_id

    def keep(self, kept: bool) -> None:
        """Packets are kept from now on, or only relayed."""
        self.capture.keep(kept)

    def mark(self, mark: Mark) -> None:
        """Queue one mark for the spool."""
        self.capture.mark(mark)

    def at_ms(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant."""
        return self.started.wall_of(at_ns)

    @property
    def facts(self) -> dict[str, Any]:
        """Journal facts known by now."""
        s = self.started
        known: dict[str, Any] = {
            "mode": s.mode,
            "direction": s.direction,
            "from_number": s.from_number,
            "to_number": s.to_number,
            "seat_extension": self.seat_extension,
            "ticket_hint": s.ticket_hint,
            "user_to_user": s.user_to_user,
            "withheld": s.withheld,
            "diverted_from": s.diverted_from,
            "started_at_ms": s.wall_ms,
        }
        if self.learnt is not None:
            later = {name: getattr(self.learnt, name) for name in ("direction", "from_number", "to_number")}
            known |= {name: value for name, value in later.items() if value is not None}
        if self.answered_ns is not None:
            known["answered_at_ms"] = s.wall_of(self.answered_ns)
            if s.mode != "siprec":  # a session begins when the call is answered
                known["ring_ms"] = max(0, known["answered_at_ms"] - s.wall_ms - self.waited.notice_ms)
        return known | _facts_of(self.waited)


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
            case StreamSide():
                call.capture.mark(SideMark(at_ns=_ns(event.now), channel=event.stream, side=_side(event.side)))
            case PartyKnown():
                party = PartyMark(at_ns=_ns(event.now), name=event.name, address=event.address, side=_of(event.side))
                call.capture.mark(party)
            case CallTransferred():
                self._transfer(call, event)
            case DigitPressed() if call.paused_ns is not None:
                pass  # a key typed in a pause is as private as a word
            case DigitPressed() | CallLinked():
                call.capture.mark(mark_of(event))
            case FactsLearnt():
                self._learn(call, event)
            case PromptStarted():
                self._play(call, event)
            case PromptStopped():
                self._stop_playing(call, event.channel)
            case CallQueued():
                self._note(JournalKind.CALL_QUEUED, call, call.at_ms(_ns(event.now)), position=event.position)
            case CallOverflowed():
                at_ms = call.at_ms(_ns(event.now))
                self._note(JournalKind.CALL_OVERFLOWED, call, at_ms, overflow_to=event.number, reason=event.reason)
            case CallAnswered():
                self._answer(call, event)
            case CallEnded():
                self._end(call, event)
            case CallUnanswered() | CallAbandoned():
                self._miss(call, event)
            case PauseAsked():
                if event.pause:
                    self.pauses.pause(call, event.by, FROM_PHONE)
                else:
                    self.pauses.resume(call, event.by)
            case MediaClosed():
                self._close_media(call)

    def set_paused(self, command: LiveCommand) -> LiveReply:
        """Pause or resume a call's recording for somebody at the live door."""
        call, pause = self._calls.get(command.call_id), command.op == "pause"
        if call is None:
            text = "这通电话已经结束"
        elif pause:
            text = self.pauses.pause(call, command.actor, command.reason)
        else:
            text = self.pauses.resume(call, command.actor)
        return LiveReply(reply="pause" if pause else "resume", ok=not text, text=text)

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
        if call is None or call.media_over:
            return "这通电话已经结束"
        if call.answered_ns is None:
            return "电话还没有接通"
        return call.capture.listen(listener)

    def unlisten(self, listener: Listener) -> None:
        """A listener went."""
        call = self._calls.get(listener.call_id)
        if call is not None:
            call.capture.unlisten(listener)

    def silent_calls(self, timeout_s: int) -> list[str]:
        """Answered calls on which nothing was heard from either side for timeout_s; on hold they may rest longer."""
        now_ns = self._clock.monotonic_ns()
        silent = []
        for call_id, call in self._calls.items():
            if call.answered_ns is None or call.media_over:
                continue
            limit_s = LONGEST_HOLD_S if call.held else timeout_s
            if now_ns - max(call.capture.last_packet_ns, call.answered_ns) > limit_s * 1_000_000_000:
                silent.append(call_id)
        return silent

    def note_foreign(self) -> None:
        """Write down strangers' datagrams and peers that cannot be reached, and tell of them."""
        now_ns = self._clock.monotonic_ns()
        for call_id, call in self._calls.items():
            if call.media_over:
                continue
            if call.capture.note_foreign(now_ns):
                self._faults.tell("有通话的媒体端口收到了陌生地址的数据包，已忽略", call_id=call_id)
            if call.capture.note_locked_out(now_ns):
                text = "有通话的媒体包解密校验不通过，没有录入；请检查对方的 SRTP 设置，反复出现时请抓包"
                self._faults.tell(text, call_id=call_id)
                call.capture.mark(FaultMark(at_ns=now_ns, text="有媒体包解密校验不通过，没有录入"))
            if call.capture.take_unsent():
                text = "有通话的媒体地址发不过去（没有路由，或 IPv4 与 IPv6 不符），对方听不到声音，录音照常；请检查话机或中继的地址设置"
                self._faults.tell(text, call_id=call_id)

    def watch_media(self) -> bool:
        """Once a second: send the RTCP that is due, tell of one-way audio and calls without media. True when any of that
        began or is over."""
        changed = False
        now_ns, wall_ms = self._clock.monotonic_ns(), self._clock.wall_ms()
        for call in self._calls.values():
            if call.media_over:
                continue
            call.capture.report(now_ns, wall_ms)
            if not call.held:
                self._tell_deaf(call, now_ns)
            if call.watch is not None:
                changed = self._look_for_trouble(call, call.watch, now_ns) or changed
        return changed

    def _tell_deaf(self, call: OpenCall, now_ns: int) -> None:
        """Once for each side whose phone or network reports that our packets do not arrive there."""
        for stream in sorted((call.capture.deaf() & _SIDES) - call.deaf):
            call.deaf.add(stream)
            who, where = ("诉求人", "中继") if stream == Channel.CITIZEN else ("坐席", "话机")
            text = f"{who}听不到对方：{where}报告收不到我们发出的声音，录音照常；请检查{where}一侧的防火墙和网络"
            self._faults.tell(text, call_id=call.call_id)
            call.capture.mark(FaultMark(at_ns=now_ns, text=text))

    def _look_for_trouble(self, call: OpenCall, watch: TroubleWatch, now_ns: int) -> bool:
        legs = {Channel(n): leg for n, leg in call.capture.legs_now().items() if n in _SIDES}
        if call.started.mode == "siprec" or not legs:
            return False  # a recording client may send nothing on purpose
        ended, began = watch.look(legs, bool(call.held), now_ns)
        if ended is not None:
            call.capture.mark(_trouble_mark(ended, now_ns))
            lasted = minutes((now_ns - ended.since_ns) // 1_000_000)
            log.info("call %s: %s is over after %s", call.call_id, ended.kind.value, lasted)
        if began is not None:
            call.capture.mark(_trouble_mark(began))
            seat = f"（坐席 {call.seat_extension}）" if call.seat_extension else ""
            text = f"通话中{began.text}{seat}：{ADVICE[began.side]}"
            self._faults.tell(text, call_id=call.call_id)
        return ended is not None or began is not None

    def trouble(self, call_id: str) -> str:
        """What is wrong with a call's media now, in a few words; "" when nothing is."""
        call = self._calls.get(call_id)
        trouble = call.watch.trouble if call is not None and call.watch is not None else None
        return trouble.text if trouble is not None else ""

    def tell_disk_fault(self, path: Path, reason: str) -> None:
        """A spool could not be written: the call goes on, its sidecar will say so."""
        text = f"录音写盘失败（{reason}）：通话 {path.stem} 继续，但录音会有缺口；请检查磁盘"
        self._faults.tell(text, call_id=path.stem)
        call = self._calls.get(path.stem)
        if call is not None:  # also in its last moments: its spool waits for the mark
            call.capture.mark(FaultMark(at_ns=self._clock.monotonic_ns(), text=f"录音写盘失败（{reason}），录音有缺口"))

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
        at_ns = _ns(event.now)
        wall_ms = self._wall_ms(at_ns)
        started = StartedMark(
            at_ns=at_ns,
            wall_ms=wall_ms,
            call_id=event.call_id,
            mode=event.mode.value,
            direction=event.direction.value,
            from_number=event.from_number,
            to_number=event.to_number,
            sip_call_id=event.sip_call_id,
            seat_extension=event.seat_extension,
            ticket_hint=event.ticket_hint,
            user_to_user=event.user_to_user,
            withheld=event.withheld,
            diverted_from=event.diverted_from,
        )
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
        stream = _stream(event)
        call.held.discard(stream)
        rtcp = self._ports.adopt_rtcp(event.local_port) if self._tokens is not None else None
        host, listening = event.signalling_host, call.started.mode != "bridge"
        call.capture.open_leg(
            stream, event.local_port, bound, event.remote, host, event.terms, rtcp, listening=listening
        )
        if event.codecs:
            call.codecs[stream] = event.codecs
            call.capture.mark(_media_mark(event))
        if event.stream is not None and event.channel != event.stream % 2:
            call.capture.mark(SideMark(at_ns=_ns(event.now), channel=stream, side=_of(event.channel)))
        if event.stream is None:
            call.capture.connect()
        call.capture.take_waiting(stream)

    def _change_media(self, call: OpenCall, event: MediaChanged) -> None:
        stream = _stream(event)
        call.codecs[stream] = event.codecs
        call.capture.ask_for(stream, event.remote, event.signalling_host, event.terms)
        call.capture.mark(_media_mark(event))
        call.capture.settle(stream)
        (call.held.add if event.held else call.held.discard)(stream)

    def _learn(self, call: OpenCall, event: FactsLearnt) -> None:
        told = {f.name: getattr(event, f.name) for f in fields(event) if getattr(event, f.name) is not None}
        call.learnt = replace(call.learnt, **told) if call.learnt else event
        call.seat_extension = event.seat_extension or call.seat_extension
        call.capture.mark(
            FactsMark(
                at_ns=_ns(event.now),
                direction=None if event.direction is None else event.direction.value,
                from_number=event.from_number,
                to_number=event.to_number,
                seat_extension=event.seat_extension,
                sip_call_ids=event.sip_call_ids,
                joined_by=event.joined_by,
            )
        )

    def _tell_unbound(self, call: OpenCall, port: int) -> None:
        self._faults.tell(f"媒体端口 {port} 没有绑定，这一侧录不到音", call_id=call.call_id)

    def _answer(self, call: OpenCall, event: CallAnswered) -> None:
        for port in call.unbound:
            self._tell_unbound(call, port)
        call.answered_ns = _ns(event.now)
        call.watch = TroubleWatch(call.answered_ns)
        call.seat_extension = event.seat_extension or call.seat_extension
        call.waited = event.waited
        call.capture.mark(
            AnsweredMark(
                at_ns=call.answered_ns,
                seat_extension=call.seat_extension,
                sip_call_ids=event.sip_call_ids,
                notice_ms=event.waited.notice_ms,
                queued_ms=event.waited.queued_ms,
                overflow_to=event.waited.overflow_to,
            )
        )
        self._note(JournalKind.CALL_ANSWERED, call, call.at_ms(call.answered_ns))
        log.info("call %s answered at seat %s", event.call_id, call.seat_extension)

    def _transfer(self, call: OpenCall, event: CallTransferred) -> None:
        mark = mark_of(event)
        call.capture.mark(mark)
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
            call.capture.mark(mark)
        facts = {"code": event.code, "seat_extension": event.seat_extension}
        self._write_down(JournalKind.CALL_MARKED, at_ms, event.call_id, facts)

    def _end(self, call: OpenCall, event: CallEnded) -> None:
        at_ns = _ns(event.now)
        party = None if event.hangup_party is None else event.hangup_party.value
        call.capture.mark(EndedMark(at_ns=at_ns, hangup_party=party))
        ended_at_ms = call.at_ms(at_ns)
        self._note(JournalKind.CALL_ENDED, call, ended_at_ms, ended_at_ms=ended_at_ms, hangup_party=party)
        log.info("call %s ended by %s", event.call_id, event.hangup_party)

    def _miss(self, call: OpenCall, event: CallUnanswered | CallAbandoned) -> None:
        at_ms = call.at_ms(_ns(event.now))
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
        call.capture.note_foreign(self._clock.monotonic_ns())
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
            self._faults.tell("流水写盘失败，稍后会补写；请检查磁盘空间", call_id=call_id)

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


def _facts_of(waited: Waited) -> dict[str, Any]:
    """What a caller went through, as journal facts; nothing of what did not happen."""
    known = {f.name: getattr(waited, f.name) for f in fields(waited)}
    return {name: value for name, value in known.items() if value}


def _stream(event: MediaOpened | MediaChanged) -> int:
    return event.channel.value if event.stream is None else event.stream


def _of(channel: Channel) -> Literal[0, 1]:
    return 1 if channel is Channel.AGENT else 0


def _side(channel: Channel | None) -> Side:
    return None if channel is None else _of(channel)


_SIDES = frozenset(Channel)


def _trouble_mark(trouble: Trouble, until_ns: int | None = None) -> TroubleMark:
    side: Any = None if trouble.side is None else int(trouble.side)
    return TroubleMark(at_ns=trouble.since_ns, kind=trouble.kind.value, side=side, until_ns=until_ns)


def _media_mark(event: MediaOpened | MediaChanged) -> MediaMark:
    held, paused = (event.held, event.paused) if isinstance(event, MediaChanged) else (False, False)
    return MediaMark(
        at_ns=_ns(event.now),
        channel=_stream(event),
        codecs=event.codecs,
        remote=event.remote,
        held=held,
        paused=paused,
    )


def _ns(now: float) -> int:
    return round(now * 1_000_000_000)
