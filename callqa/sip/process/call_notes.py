"""The spool marks of a call's events: how it began, was answered and ended, its media, who is in it, and what is done besides
talking (transfers, marks, keys, calls that belong together)."""

from typing import Any, Literal

from callqa.sip.events import (
    CallAnswered,
    CallEnded,
    CallLinked,
    CallMarked,
    CallStarted,
    CallTransferred,
    DigitPressed,
    FactsLearnt,
    MediaChanged,
    MediaOpened,
    PartyKnown,
    StreamSide,
)
from callqa.sip.media.spool import (
    AnsweredMark,
    DigitMark,
    EndedMark,
    FactsMark,
    Mark,
    MarkedMark,
    MediaMark,
    PartyMark,
    RelatedMark,
    Side,
    SideMark,
    StartedMark,
    TransferredMark,
    TroubleMark,
)
from callqa.sip.media.trouble import Trouble
from callqa.units import Channel

Told = CallTransferred | CallMarked | DigitPressed | CallLinked | StreamSide | PartyKnown | FactsLearnt | CallEnded


def mark_of(event: Told) -> Mark:
    """The mark that tells of an event."""
    at_ns = ns(event.now)
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
            return DigitMark(
                at_ns=at_ns, channel=side_of(event.channel), digit=event.digit, duration_ms=event.duration_ms
            )
        case CallLinked():
            return RelatedMark(at_ns=at_ns, call_id=event.other_call_id)
        case StreamSide():
            return SideMark(at_ns=at_ns, channel=event.stream, side=_any_side(event.side))
        case PartyKnown():
            side = side_of(event.side)
            return PartyMark(at_ns=at_ns, name=event.name, address=event.address, side=side, left=event.left)
        case FactsLearnt():
            return FactsMark(
                at_ns=at_ns,
                direction=None if event.direction is None else event.direction.value,
                from_number=event.from_number,
                to_number=event.to_number,
                seat_extension=event.seat_extension,
                sip_call_ids=event.sip_call_ids,
                joined_by=event.joined_by,
            )
        case CallEnded():
            return EndedMark(at_ns=at_ns, hangup_party=None if event.hangup_party is None else event.hangup_party.value)


def started_mark(event: CallStarted, wall_ms: int) -> StartedMark:
    """wall_ms: UTC of its first INVITE."""
    return StartedMark(
        at_ns=ns(event.now),
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


def answered_mark(event: CallAnswered, seat_extension: str | None) -> AnsweredMark:
    """seat_extension: as far as it is known by now."""
    return AnsweredMark(
        at_ns=ns(event.now),
        seat_extension=seat_extension,
        sip_call_ids=event.sip_call_ids,
        notice_ms=event.waited.notice_ms,
        queued_ms=event.waited.queued_ms,
        overflow_to=event.waited.overflow_to,
    )


def media_mark(event: MediaOpened | MediaChanged) -> MediaMark:
    """What was agreed for one stream."""
    held, paused = (event.held, event.paused) if isinstance(event, MediaChanged) else (False, False)
    return MediaMark(
        at_ns=ns(event.now),
        channel=stream_of(event),
        codecs=event.codecs,
        remote=event.remote,
        held=held,
        paused=paused,
    )


def trouble_mark(trouble: Trouble, until_ns: int | None = None) -> TroubleMark:
    """until_ns: when it was over; None while it lasts."""
    side: Any = None if trouble.side is None else int(trouble.side)
    return TroubleMark(at_ns=trouble.since_ns, kind=trouble.kind.value, side=side, until_ns=until_ns, sure=trouble.sure)


def stream_of(event: MediaOpened | MediaChanged) -> int:
    """The stream of the call: its own number, or the side that it is of."""
    return event.channel.value if event.stream is None else event.stream


def side_of(channel: Channel) -> Literal[0, 1]:
    """The side as marks have it."""
    return 1 if channel is Channel.AGENT else 0


def _any_side(channel: Channel | None) -> Side:
    return None if channel is None else side_of(channel)


def ns(now: float) -> int:
    """Nanoseconds of an event's monotonic seconds."""
    return round(now * 1_000_000_000)
