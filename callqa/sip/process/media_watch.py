"""The media of all open calls, looked at once a second: silent calls, strangers, peers that cannot be reached or report that they
hear nothing, one-way audio. What is found is told at once and written into the spool, so that the sidecar says it too."""

import logging
from collections.abc import Mapping

from callqa.sip.media.spool import FaultMark
from callqa.sip.media.trouble import (
    ADVICE,
    CLIENT_ADVICE,
    HEARD_S,
    UNSURE_ADVICE,
    UNSURE_CLIENT_ADVICE,
    LegNow,
    Trouble,
    TroubleWatch,
    minutes,
)
from callqa.sip.process.call_notes import trouble_mark
from callqa.sip.process.clock import Clock
from callqa.sip.process.faults import FaultBook
from callqa.sip.process.open_call import OpenCall
from callqa.units import Channel

log = logging.getLogger(__name__)

# A call on hold sends nothing for as long as the agent looks something up; an hour is a forgotten handset.
LONGEST_HOLD_S = 3600
# A call that is plainly well, everyone heard, is looked at closely in one of so many seconds: for 200 such calls the close look
# took 2 to 3 ms of each second.
CLOSE_LOOK_IN = 4
_SIDES = frozenset(Channel)


class MediaWatch:
    """calls: all open ones, as they come and go."""

    def __init__(self, calls: Mapping[str, OpenCall], faults: FaultBook, clock: Clock) -> None:
        self._calls = calls
        self._faults = faults
        self._clock = clock
        self._round = 0

    def silent_calls(self, timeout_s: int) -> list[str]:
        """Answered calls on which nothing was heard from either side for timeout_s; on hold they may rest longer, and so may a
        recording client's sessions: whether the call goes on is the client's to know, and what comes later would be lost."""
        now_ns = self._clock.monotonic_ns()
        silent = []
        for call_id, call in self._calls.items():
            if call.answered_ns is None or call.media_over:
                continue
            limit_s = LONGEST_HOLD_S if call.held or call.started.mode == "siprec" else timeout_s
            if now_ns - max(call.capture.last_packet_ns, call.answered_ns) > limit_s * 1_000_000_000:
                silent.append(call_id)
        return silent

    def note_foreign(self) -> None:
        """Write down strangers' datagrams and peers that cannot be reached, and tell of them."""
        for call in self._calls.values():
            if not call.media_over:
                self.note_foreign_of(call)

    def note_foreign_of(self, call: OpenCall) -> None:
        """The same for one call; also when it ends, since a short one may come and go between two looks."""
        now_ns = self._clock.monotonic_ns()
        if call.capture.note_foreign(now_ns):
            self._faults.tell("有通话的媒体端口收到了陌生地址的数据包，已忽略", call_id=call.call_id)
        if call.capture.note_locked_out(now_ns):
            text = "有通话的媒体包解密校验不通过，没有录入；请检查对方的 SRTP 设置，反复出现时请抓包"
            self._faults.tell(text, call_id=call.call_id)
            call.capture.mark(FaultMark(at_ns=now_ns, text="有媒体包解密校验不通过，没有录入"))
        for stream, host in call.capture.take_elsewhere():
            self._tell_elsewhere(call, stream, host, now_ns)
        if call.capture.take_unsent():
            text = "有通话的媒体地址发不过去（没有路由，或 IPv4 与 IPv6 不符），对方听不到声音，录音照常；请检查话机或中继的地址设置"
            self._faults.tell(text, call_id=call.call_id)

    def _tell_elsewhere(self, call: OpenCall, stream: int, host: str, now_ns: int) -> None:
        """A voice is taken though the signalling does not know where it comes from: only a person can say whose it is."""
        if (stream, host) in call.elsewhere:
            return
        call.elsewhere.add((stream, host))
        what = f"声音来自信令没有提到的地址 {host}，已照常录入"
        advice = "是运营商的媒体网关就把它加进中继的“允许打入的 IP”，不认识请查防火墙"
        self._faults.tell(f"通话的{what}；{advice}", call_id=call.call_id, source=host)
        call.capture.mark(FaultMark(at_ns=now_ns, text=what))

    def look(self) -> bool:
        """Once a second: send the RTCP that is due, tell of one-way audio and calls without media. True when any of that
        began or is over."""
        changed = False
        self._round += 1
        now_ns, wall_ms = self._clock.monotonic_ns(), self._clock.wall_ms()
        lately_ns = now_ns - round(HEARD_S * 1_000_000_000)
        for n, call in enumerate(self._calls.values(), self._round):
            if call.media_over:
                continue
            call.capture.report(now_ns, wall_ms)
            if not call.held:
                self._tell_deaf(call, now_ns)
            watch = call.watch
            if watch is None:
                continue
            if n % CLOSE_LOOK_IN == 0 or watch.alert or call.held or not call.capture.all_heard(lately_ns):
                changed = self._look_for_trouble(call, watch, now_ns) or changed
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
        forked = call.started.mode == "siprec"
        legs = _forked_legs(call) if forked else _legs(call)
        if not legs and not forked:
            return False
        ended, began = watch.look(legs, bool(call.held) and not forked, now_ns)
        if ended is not None:
            call.capture.mark(trouble_mark(ended, now_ns))
            lasted = minutes((now_ns - ended.since_ns) // 1_000_000)
            log.info("call %s: %s is over after %s", call.call_id, ended.kind.value, lasted)
        if began is not None:
            call.capture.mark(trouble_mark(began))
            seat = f"（坐席 {call.seat_extension}）" if call.seat_extension else ""
            text = f"通话中{began.text}{seat}：{_advice(began, forked)}"
            self._faults.tell(text, call_id=call.call_id)
        return ended is not None or began is not None

    def trouble(self, call_id: str) -> str:
        """What is wrong with a call's media now, in a few words; "" when nothing is."""
        call = self._calls.get(call_id)
        trouble = call.watch.trouble if call is not None and call.watch is not None else None
        return trouble.text if trouble is not None else ""


def _legs(call: OpenCall) -> dict[Channel, LegNow]:
    return {Channel(n): leg for n, leg in call.capture.legs_now().items() if n in _SIDES}


def _forked_legs(call: OpenCall) -> dict[Channel, LegNow]:
    """Each side by the stream that was heard last of those that mean to send. One with both voices stands for the citizen, where
    nothing else does."""
    found: dict[Channel, LegNow] = {}
    mixed: dict[Channel, LegNow] = {}
    for n, leg in call.capture.legs_now().items():
        side = call.sides.get(n)
        into, key = (mixed, Channel.CITIZEN) if side is None else (found, side)
        if leg.sends and (key not in into or leg.last_ns > into[key].last_ns):
            into[key] = leg
    return found or mixed


def _advice(trouble: Trouble, forked: bool) -> str:
    if forked:
        return CLIENT_ADVICE if trouble.sure else UNSURE_CLIENT_ADVICE
    return (ADVICE if trouble.sure else UNSURE_ADVICE)[trouble.side]
