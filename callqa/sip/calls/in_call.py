"""What a side of an answered call asks for inside its dialog: a transfer (REFER), a pause of the recording (INFO with a
`Record` header, as Yealink and Snom phones send it), a key (INFO with a DTMF body, where it is not sent as RTP).

A pause is only passed on here; the process keeps the packets out and limits its length. Keys typed as `*13` + code + `#`
mark the call like the dialled code does; typed as RTP events they are found when the recording is made (media/notes.py).
"""

import re
from typing import TYPE_CHECKING

from callqa.sip.events import CallMarked, DigitPressed, PauseAsked
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.message import Request
from callqa.sip.wire.multipart import content_type
from callqa.sip.wire.sdp import EVENTS

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk

KEYS_KEPT = 24
KEY_USUAL_MS, KEY_MOST_MS = 160, 5_000
_MARK = re.compile(r"\*13([0-9]{1,8})#$", re.ASCII)
_SIGNAL = re.compile(r"^\s*Signal\s*=\s*([0-9A-D*#])\s*$", re.ASCII | re.IGNORECASE | re.MULTILINE)
_DURATION = re.compile(r"^\s*Duration\s*=\s*([0-9]{1,5})\s*$", re.ASCII | re.IGNORECASE | re.MULTILINE)
_BARE = re.compile(r"\s*(?:([0-9A-D*#])|(1[0-6]))\s*", re.ASCII | re.IGNORECASE)
_BY_NUMBER = "0123456789*#ABCD"


def asked_in_call(call: "Talk", leg: Leg, t: Transaction, now: float) -> bool:
    """Handle a request; False for one that is nothing special."""
    if t.request.method == "REFER":
        call.transfers.refer(leg, t, now)
        return True
    if t.request.method != "INFO" or not call.answered or call.over:
        return False
    record = (t.request.headers.first("Record") or "").strip().lower()
    if record in ("on", "off"):
        _record(call, leg, t, record == "off", now)
        return True
    key = read_key(t.request)
    if key is not None:
        leg.respond(t, 200, now)
        _press(call, leg, *key, now)
    return key is not None


def _record(call: "Talk", leg: Leg, t: Transaction, pause: bool, now: float) -> None:
    core, extension = call.core, leg.seat_extension
    if extension is None:
        core.transactions.reply(t, 403, now)
        return
    if pause and not core.desk.routing.pause_allowed:
        text = (
            f"分机 {extension} 要求暂停录音，没有允许：热线通话应全程录音；确需暂停请由班长在“线路”里打开“允许暂停录音”"
        )
        core.fault(now, text, leg.dialog.observed, call.call_id)
        core.transactions.reply(t, 403, now)
        return
    leg.respond(t, 200, now)
    core.emit(PauseAsked(call.call_id, now, pause, extension))


def read_key(request: Request) -> tuple[str, int] | None:
    """(key, milliseconds) of an INFO with a DTMF body, or None."""
    kind = content_type(request.headers.first("Content-Type"))
    text = request.body[:200].decode("ascii", "replace")
    if kind == "application/dtmf-relay":
        signal, lasted = _SIGNAL.search(text), _DURATION.search(text)
        if signal is None:
            return None
        return signal[1].upper(), min(int(lasted[1]), KEY_MOST_MS) if lasted else KEY_USUAL_MS
    if kind == "application/dtmf":
        bare = _BARE.fullmatch(text)
        if bare is None or (bare[2] and int(bare[2]) >= len(_BY_NUMBER)):
            return None
        return (bare[1].upper() if bare[1] else _BY_NUMBER[int(bare[2])]), KEY_USUAL_MS
    return None


def _press(call: "Talk", leg: Leg, key: str, lasted_ms: int, now: float) -> None:
    """Phones that also send keys as RTP events are heard there."""
    if not any(name == EVENTS for _, name in leg.codecs):
        call.core.emit(DigitPressed(call.call_id, now, leg.channel, key, lasted_ms))
    if leg.seat_extension is None:
        return
    leg.keys = (leg.keys + key)[-KEYS_KEPT:]
    mark = _MARK.search(leg.keys)
    if mark is not None:
        leg.keys = ""
        call.core.emit(CallMarked(call.call_id, now, mark[1], leg.seat_extension))
