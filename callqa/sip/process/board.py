"""The live board's lines: what the user agent shows, with what the process knows of the recording."""

from collections.abc import Sequence

from callqa.live import LiveCall, LiveSeat, LiveTrunk
from callqa.sip.process.call_book import CallBook
from callqa.sip.trunks import TrunkView
from callqa.sip.useragent import CallView, SeatView


def live_calls(views: Sequence[CallView], book: CallBook, now: float, now_ms: int) -> tuple[LiveCall, ...]:
    """Calls in progress, then those whose recording is being finished. now: monotonic seconds at now_ms."""

    def wall_ms(instant: float) -> int:
        return now_ms - round((now - instant) * 1000)

    calls = []
    for view in views:
        paused_ns = book.paused_ns(view.call_id)
        calls.append(
            LiveCall(
                call_id=view.call_id,
                direction=view.direction.value,
                state=view.state,
                number="" if book.is_confidential(view.call_id) else view.number,
                confidential=book.is_confidential(view.call_id),
                seat_extension=view.seat_extension,
                since_ms=wall_ms(view.since),
                paused=paused_ns is not None,
                paused_since_ms=None if paused_ns is None else wall_ms(paused_ns / 1e9),
                position=view.position,
                mode=view.mode.value,
                trouble=book.media.trouble(view.call_id),
            )
        )
    for call in book.finalizing:
        s = call.started
        calls.append(
            LiveCall(
                call_id=s.call_id,
                direction=s.direction,
                state="finalizing",
                number="" if call.confidential else s.from_number if s.direction == "inbound" else s.to_number,
                confidential=call.confidential,
                seat_extension=call.seat_extension,
                since_ms=s.wall_ms,
                mode="bridge" if s.mode == "import" else s.mode,
            )
        )
    return tuple(calls)


def live_seats(views: Sequence[SeatView]) -> tuple[LiveSeat, ...]:
    """The desk's seats."""
    return tuple(
        LiveSeat(
            extension=v.extension, agent_no=v.agent_no, registered=v.registered, contact=v.contact, ringing=v.ringing
        )
        for v in views
    )


def live_trunks(views: Sequence[TrunkView]) -> tuple[LiveTrunk, ...]:
    """The desk's trunks; up: whether a call may go there now."""
    return tuple(LiveTrunk(name=v.name, up=v.up and v.registered is not False, text=_say_trunk(v)) for v in views)


def _say_trunk(view: TrunkView) -> str:
    if not view.up:
        return "没有应答"
    return {True: "已登记", False: "没有登记上", None: "可用"}[view.registered]
