"""The spool marks of what is done in a call besides talking: transfers, marks, keys, calls that belong together."""

from typing import Literal

from callqa.sip.events import CallLinked, CallMarked, CallTransferred, DigitPressed
from callqa.sip.media.spool import DigitMark, Mark, MarkedMark, RelatedMark, TransferredMark
from callqa.units import Channel


def mark_of(event: CallTransferred | CallMarked | DigitPressed | CallLinked) -> Mark:
    """The mark that tells of an event."""
    at_ns = round(event.now * 1_000_000_000)
    match event:
        case CallTransferred():
            return TransferredMark(
                at_ns=at_ns,
                kind="attended" if event.kind == "attended" else "blind",
                to=event.to,
                seat_extension=event.seat_extension,
                by=event.by,
                sip_call_id=event.sip_call_id,
            )
        case CallMarked():
            return MarkedMark(at_ns=at_ns, code=event.code, seat_extension=event.seat_extension)
        case DigitPressed():
            channel: Literal[0, 1] = 1 if event.channel is Channel.AGENT else 0
            return DigitMark(at_ns=at_ns, channel=channel, digit=event.digit, duration_ms=event.duration_ms)
        case CallLinked():
            return RelatedMark(at_ns=at_ns, call_id=event.other_call_id)
