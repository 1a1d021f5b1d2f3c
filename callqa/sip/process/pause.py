"""暂停录音: whether a recording may be paused, and what is written when it is. Packets are relayed all the same.

A hotline call may not end its recording: it is paused only where the routing allows it, never longer than the routing says,
and who paused, why and from when to when is in the spool, the journal and the sidecar. Going on is always allowed.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from callqa.desk import DeskRouting
from callqa.journal import JournalKind
from callqa.live import LiveCommand, LiveReply
from callqa.sip.events import PauseAsked
from callqa.sip.media.spool import Mark, PausedMark, ResumedMark
from callqa.sip.process.clock import Clock
from callqa.sip.process.faults import FaultBook

log = logging.getLogger(__name__)

OVER = "这通电话已经结束"
BY_TIME = "到时自动"
FROM_PHONE = "话机按键"


class Pausable(Protocol):
    """An open call. paused_ns: since when its recording is paused, None when it is not."""

    answered_ns: int | None
    media_over: bool
    paused_ns: int | None
    pause_reason: tuple[str, str]  # by, reason

    @property
    def call_id(self) -> str: ...
    def keep(self, kept: bool) -> None: ...
    def mark(self, mark: Mark) -> None: ...
    def at_ms(self, at_ns: int) -> int: ...


class Pauses:
    """note(kind, call, at_ms, **facts) writes a journal line of a call."""

    def __init__(self, faults: FaultBook, clock: Clock, note: Callable[..., Any]) -> None:
        self._faults = faults
        self._clock = clock
        self._note = note
        self.policy = DeskRouting()

    def obey(self, command: LiveCommand, call: Pausable | None) -> LiveReply:
        """Pause or resume for somebody at the live door. call: None when there is none of that name."""
        pause = command.op == "pause"
        if call is None:
            text = OVER
        elif pause:
            text = self.pause(call, command.actor, command.reason)
        else:
            text = self.resume(call, command.actor)
        return LiveReply(reply="pause" if pause else "resume", ok=not text, text=text)

    def ask(self, call: Pausable, event: PauseAsked) -> None:
        """Pause or resume for one of its phones; what stands against it is told."""
        if event.pause:
            self.pause(call, event.by, FROM_PHONE)
        else:
            self.resume(call, event.by)

    def pause(self, call: Pausable, by: str, reason: str) -> str:
        """Stop keeping packets. "" when done (or already so), else a Chinese sentence that says why not."""
        if call.media_over:
            return OVER
        if call.answered_ns is None:
            return "电话还没有接通，没有录音可暂停"
        if not self.policy.pause_allowed:
            self._faults.tell(f"{by} 要求暂停录音，但线路设置不允许，录音照常", call_id=call.call_id)
            return "线路设置不允许暂停录音；需要时请在“线路”页打开“允许暂停录音”"
        if call.paused_ns is not None:
            return ""
        at_ns = self._clock.monotonic_ns()
        call.mark(PausedMark(at_ns=at_ns, by=by, reason=reason))
        call.keep(False)
        call.paused_ns, call.pause_reason = at_ns, (by, reason)
        self._note(JournalKind.RECORDING_PAUSED, call, call.at_ms(at_ns), by=by, reason=reason)
        log.info("call %s: recording paused by %s", call.call_id, by)
        return ""

    def resume(self, call: Pausable, by: str) -> str:
        """Keep packets again. Always "" (done, or not paused) but for a call that is over."""
        if call.media_over:
            return OVER
        if call.paused_ns is None:
            return ""
        at_ns = self._clock.monotonic_ns()
        call.keep(True)
        call.mark(ResumedMark(at_ns=at_ns, by=by))
        call.paused_ns = None
        self._note(JournalKind.RECORDING_RESUMED, call, call.at_ms(at_ns), by=by)
        log.info("call %s: recording resumed by %s", call.call_id, by)
        return ""

    def sweep(self, calls: Iterable[Pausable]) -> bool:
        """Once a second: pauses that last too long end, the others are written down again, so that a crash finds them.
        True when one ended."""
        now_ns, ended = self._clock.monotonic_ns(), False
        for call in calls:
            if call.paused_ns is None or call.media_over:
                continue
            if now_ns - call.paused_ns >= self.policy.pause_longest_s * 1_000_000_000:
                self.resume(call, BY_TIME)
                longest = f"{self.policy.pause_longest_s} 秒"
                self._faults.tell(f"录音暂停满 {longest}，已自动继续", call_id=call.call_id)
                ended = True
            else:
                by, reason = call.pause_reason
                call.mark(PausedMark(at_ns=now_ns, by=by, reason=reason))
        return ended
