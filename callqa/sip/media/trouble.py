"""One-way audio and calls without media, told while they last: looked at once a second, no socket, no clock.

A side is mute when it should send, its last packet is older than MUTE_S, and nothing explains the silence. Explained are:
hold by either side, an SDP that says it will not send, and silence suppression, which is known by a comfort noise packet
(RFC 3389) as its last one, by pauses earlier in the call (numbers went on without a gap while the timestamp followed the
clock), or by the peer's own RTCP: a receiver report, or a sender report whose count agrees with what came. A count that runs
ahead of it is the proof that packets are lost on the way. A peer that speaks RTCP is given until its next report. One side mute while the other is heard is one-way audio; both mute is a call without media.

Silence that suppression explains may yet be a line that was cut, and only RTCP could tell them apart. A recording client forwards what
others say: where a stream was never heard, something is in the way, but one that falls silent may be on hold without a word of
signalling. Such silences are told late (UNSURE_S, or twice as long as the side was ever silent before), and as what they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callqa.units import Channel

MUTE_S = 5.0
MUTE_WITH_RTCP_S = 9.0  # the longest pause between two reports is 6.2 s (rtcp.py)
UNSURE_S = 30.0
REPORT_KEPT_S = 20.0  # a report says nothing of later
MISSING = 100  # packets sent and not here between two reports: two seconds, which no burst of loss explains
HEARD_S = 2.0  # a side whose last packet is no older is heard
_S = 1_000_000_000
_CLOCK_RATE_HZ = 8000
_COMFORT_NOISE = (13, 19)
_PAUSE_TICKS = 3 * 160  # what the timestamp is ahead by after a pause that is no rounding
_CLOCK_SLACK_S = 0.1


class TroubleKind(StrEnum):
    ONE_WAY = "one_way"
    NO_MEDIA = "no_media"


SAID = {
    (TroubleKind.ONE_WAY, Channel.CITIZEN): "听不到诉求人",
    (TroubleKind.ONE_WAY, Channel.AGENT): "听不到坐席",
    (TroubleKind.NO_MEDIA, None): "双方都没有声音",
}
UNSURE = {
    (TroubleKind.ONE_WAY, Channel.CITIZEN): "诉求人很久没有声音",
    (TroubleKind.ONE_WAY, Channel.AGENT): "坐席很久没有声音",
    (TroubleKind.NO_MEDIA, None): "双方很久没有声音",
}
ADVICE = {
    Channel.CITIZEN: "中继那边没有媒体送到，请检查中继、防火墙和 RTP 端口是否放行",
    Channel.AGENT: "话机没有媒体送到，请检查话机的网络、静音键和防火墙的 RTP 端口",
    None: "请检查防火墙是否放行 RTP 端口",
}
UNSURE_ADVICE = {
    Channel.CITIZEN: "对方没人说话时不发声音包，可能只是在听；通话中要是真的听不到，请检查中继和防火墙",
    Channel.AGENT: "话机没人说话时不发声音包，可能只是在听；通话中要是真的听不到，请检查话机的网络、静音键和防火墙",
    None: "两边没人说话时都不发声音包，可能只是都没说话；要是真的听不到，请检查防火墙是否放行 RTP 端口",
}
CLIENT_ADVICE = "录音客户端没有把声音送到，请检查它的录音设置、防火墙和 RTP 端口"
UNSURE_CLIENT_ADVICE = "可能是保持或静音；通话中确实有人说话的话，请检查录音客户端和防火墙"


@dataclass(frozen=True, slots=True)
class Trouble:
    """side: who is not heard; None: nobody is. since_ns: when it was last heard, or should have been first. sure: nothing
    else explains the silence."""

    kind: TroubleKind
    side: Channel | None
    since_ns: int
    sure: bool = True

    @property
    def text(self) -> str:
        """A few words for the board."""
        return (SAID if self.sure else UNSURE)[self.kind, self.side]


@dataclass(frozen=True, slots=True)
class LegNow:
    """One leg as it is. port: ours, another one is another peer. packets, last_ns, latest: RTP that came; sends: its SDP means
    to; report_ns, reported: when its last RTCP came and how many packets it said to have sent (None: it is no sender)."""

    port: int
    packets: int
    last_ns: int
    latest: bytes
    sends: bool
    report_ns: int = 0
    reported: int | None = None


@dataclass(slots=True)
class _Leg:
    port: int
    since_ns: int
    before: LegNow
    pauses: bool = False  # suppresses silence
    longest_s: float = 0.0  # silence that it came back from with not a packet lost
    report: LegNow | None = None  # the last look with a report that was new
    cut_off: bool | None = None  # what the last report says of its silence: packets get lost, or there are none


class TroubleWatch:
    """One call from its answer on. forked: its media comes from a recording client."""

    def __init__(self, answered_ns: int, *, forked: bool = False) -> None:
        self._since_ns = answered_ns
        self._forked = forked
        self._legs: dict[Channel, _Leg] = {}
        self.trouble: Trouble | None = None
        self.alert = True  # at the last look somebody was not heard, or not meant to be

    def look(self, legs: Mapping[Channel, LegNow], held: bool, now_ns: int) -> tuple[Trouble | None, Trouble | None]:
        """(trouble that ended, trouble that began) since the last look."""
        self.alert = True
        if held or any(not leg.sends for leg in legs.values()):
            self._since_ns = now_ns  # silence is meant; afterwards all begins anew
            self._legs.clear()
            return self._become(None)
        first_since_ns = now_ns if self._legs else self._since_ns  # a stream that came later is waited for anew
        for channel, leg in legs.items():
            self._follow(channel, leg, first_since_ns, now_ns)
        for channel in [c for c in self._legs if c not in legs]:
            del self._legs[channel]
        if not legs:
            self._since_ns = now_ns
        judged = {c: self._is_mute(c, leg, now_ns) for c, leg in legs.items()}
        mute = {c: sure for c, sure in judged.items() if sure is not None}
        heard = [c for c, leg in legs.items() if leg.packets and now_ns - leg.last_ns <= HEARD_S * _S]
        self.alert = len(heard) < max(1, len(legs))
        old = self.trouble
        if mute and len(mute) == len(legs):
            since_ns = max(self._quiet_since(c, legs[c]) for c in mute)
            return self._become(Trouble(TroubleKind.NO_MEDIA, None, since_ns, any(mute.values())))
        if mute and heard:
            side, sure = max(mute.items(), key=lambda item: item[1])
            return self._become(Trouble(TroubleKind.ONE_WAY, side, self._quiet_since(side, legs[side]), sure))
        if old is None:
            return None, None
        over = bool(heard) or not legs if old.side is None else old.side in heard or old.side not in legs
        return self._become(None) if over else (None, None)

    def _become(self, new: Trouble | None) -> tuple[Trouble | None, Trouble | None]:
        old = self.trouble
        if old is not None and new is not None and (old.kind, old.side) == (new.kind, new.side):
            if old.sure >= new.sure:
                return None, None
            old = None  # the same, and now it is sure
        self.trouble = new
        return old, new

    def _follow(self, channel: Channel, leg: LegNow, first_since_ns: int, now_ns: int) -> None:
        known = self._legs.get(channel)
        if known is None or known.port != leg.port:
            self._legs[channel] = _Leg(leg.port, first_since_ns if known is None else now_ns, leg)
            return
        if leg.packets > known.before.packets:
            known.pauses = known.pauses or _paused(known.before, leg)
            if known.before.packets and _lost_nothing(known.before, leg):
                known.longest_s = max(known.longest_s, (leg.last_ns - known.before.last_ns) / _S)
            known.before = leg
            known.cut_off = None
        if leg.report_ns > (known.report.report_ns if known.report else 0):
            if leg.report_ns > self._quiet_since(channel, leg):
                known.cut_off = _cut_off(known.report, leg)
            known.report = leg

    def _quiet_since(self, channel: Channel, leg: LegNow) -> int:
        return max(leg.last_ns, self._legs[channel].since_ns)

    def _is_mute(self, channel: Channel, leg: LegNow, now_ns: int) -> bool | None:
        """None: it is not. True: surely; False: it has been silent for so long that it may be."""
        quiet_s = (now_ns - self._quiet_since(channel, leg)) / _S
        if quiet_s <= MUTE_S:
            return None
        known = self._legs[channel]
        told = known.cut_off if now_ns - leg.report_ns <= REPORT_KEPT_S * _S else None
        if told is not None:
            return told or None
        if leg.report_ns and quiet_s <= MUTE_WITH_RTCP_S:
            return None
        comfort = len(leg.latest) >= 12 and leg.latest[1] & 0x7F in _COMFORT_NOISE
        if not comfort and not known.pauses and not (self._forked and leg.packets):
            return True
        return False if quiet_s > max(UNSURE_S, 2 * known.longest_s) else None


def _cut_off(before: LegNow | None, now: LegNow) -> bool:
    """Whether a silent peer says that it is sending."""
    if now.reported is None:
        return False
    if before is None or before.reported is None or now.reported < before.reported:
        return now.reported - now.packets > MISSING
    return (now.reported - before.reported) - (now.packets - before.packets) > MISSING


def _paused(before: LegNow, after: LegNow) -> bool:
    """Whether the sender kept silent between two of its packets: numbers without a gap, time as the clock has it."""
    a, b = before.latest, after.latest
    if not _lost_nothing(before, after) or a[1] & 0x7F != b[1] & 0x7F:
        return False
    steps = (int.from_bytes(b[2:4], "big") - int.from_bytes(a[2:4], "big")) & 0xFFFF
    ticks = (int.from_bytes(b[4:8], "big") - int.from_bytes(a[4:8], "big")) & 0xFFFF_FFFF
    frame_ticks = _frame_ticks(b)
    if not frame_ticks or ticks <= steps * frame_ticks + _PAUSE_TICKS:
        return False
    return abs(ticks / _CLOCK_RATE_HZ - (after.last_ns - before.last_ns) / _S) < _CLOCK_SLACK_S


def _lost_nothing(before: LegNow, after: LegNow) -> bool:
    """Whether every packet that one stream sent between two looks is here."""
    a, b = before.latest, after.latest
    if len(a) < 12 or len(b) < 12 or a[8:12] != b[8:12]:
        return False
    return (int.from_bytes(b[2:4], "big") - int.from_bytes(a[2:4], "big")) & 0xFFFF <= after.packets - before.packets


def _frame_ticks(packet: bytes) -> int:
    """How long a packet is, where its number says how it is coded (RFC 3551 table 4); else 0."""
    size = len(packet) - 12
    match packet[1] & 0x7F:
        case 0 | 8 | 9:
            return size
        case 18:  # G.729: 10 bytes for 10 ms
            return size * 8
        case 3:  # GSM: 33 bytes for 20 ms
            return size // 33 * 160
    return 0


def minutes(ms: int) -> str:
    """A length or a place in the recording, for staff."""
    seconds = max(0, round(ms / 1000))
    return f"{seconds // 60}分{seconds % 60:02d}秒" if seconds >= 60 else f"{seconds}秒"
