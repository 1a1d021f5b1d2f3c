"""The live board put in order for the page: who waits, which seat does what, what else is going on. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callqa.live import Board, LiveCall, LiveSeat
from callqa.store.queries.people import SeatLine

WAITING = ("queued", "ringing")
CONNECTED = ("talking", "held")
# What a seat shows when it has several calls: the one a person is in.
_NEAREST = {"talking": 0, "held": 1, "ringing": 2, "queued": 3, "finalizing": 4}

PAUSE_REASONS = ("银行卡号", "身份证号", "密码、验证码", "其他隐私信息")


@dataclass(frozen=True, slots=True)
class SeatRow:
    """A seat with its phone, its agent and its call."""

    extension: str
    label: str
    agent_no: str | None
    agent_name: str | None
    phone: LiveSeat | None
    call: LiveCall | None

    @property
    def registered(self) -> bool:
        return self.phone is not None and self.phone.registered

    @property
    def phone_at(self) -> str:
        """Where the phone is, `10.1.2.11:5060`: of its Contact what a person at the cable needs."""
        contact = self.phone.contact if self.phone is not None else ""
        uri = contact.partition("<")[2].partition(">")[0] or contact
        return uri.partition(";")[0].rpartition("@")[2].removeprefix("sips:").removeprefix("sip:")

    @property
    def state(self) -> tuple[str, str]:
        """(text, tone of the chip) of what the seat does."""
        if self.call is not None and self.call.state in CONNECTED:
            return ("保持", "wait") if self.call.state == "held" else ("通话", "agent")
        if self.call is not None and self.call.state == "ringing":
            return ("拨出中", "wait") if self.call.direction == "outbound" else ("振铃", "wait")
        if self.phone is not None and self.phone.ringing:
            return "振铃", "wait"
        if not self.registered:
            return "话机未注册", "bad" if self.agent_no else "plain"
        if self.agent_no is None:
            return "未签入", "plain"
        if self.call is not None and self.call.state == "finalizing":
            return "空闲 · 录音整理中", "good"
        return "空闲", "good"


@dataclass(frozen=True, slots=True)
class BoardView:
    """waiting: callers whom nobody has answered yet, the queue first; others: connected calls at no seat we show."""

    board: Board
    waiting: tuple[LiveCall, ...]
    rows: tuple[SeatRow, ...]
    others: tuple[LiveCall, ...]
    finalizing: tuple[LiveCall, ...]

    @property
    def connected(self) -> int:
        return sum(call.state in CONNECTED for call in self.board.calls)

    @property
    def queued(self) -> int:
        return sum(call.state == "queued" for call in self.waiting)

    @property
    def waiting_since_ms(self) -> int | None:
        """Since when he waits who waits longest."""
        return min((call.since_ms for call in self.waiting), default=None)

    @property
    def signed_in(self) -> int:
        return sum(row.agent_no is not None for row in self.rows)


def view_board(board: Board, seats: Sequence[SeatLine], names: Mapping[str, str]) -> BoardView:
    """Put a board in order, with what the database knows of seats and agents."""
    rows = seat_rows(board, seats, names)
    shown = {row.call.call_id for row in rows if row.call is not None and row.call.state in CONNECTED}
    inbound = [call for call in board.calls if call.direction == "inbound" and call.state in WAITING]
    return BoardView(
        board=board,
        waiting=tuple(sorted(inbound, key=_place)),
        rows=tuple(rows),
        others=tuple(call for call in board.calls if call.state in CONNECTED and call.call_id not in shown),
        finalizing=tuple(call for call in board.calls if call.state == "finalizing"),
    )


def _place(call: LiveCall) -> tuple[int, int, int]:
    return (0, call.position or 0, call.since_ms) if call.state == "queued" else (1, 0, call.since_ms)


def seat_rows(board: Board, seats: Sequence[SeatLine], names: Mapping[str, str]) -> list[SeatRow]:
    """Every seat of the database and the board, with the call that matters most there."""
    phones = {seat.extension: seat for seat in board.seats}
    lines = {line.seat.extension: line for line in seats if line.seat.active}
    calls: dict[str, LiveCall] = {}
    for call in board.calls:
        here = calls.get(call.seat_extension or "")
        if call.seat_extension and (here is None or _NEAREST[call.state] < _NEAREST[here.state]):
            calls[call.seat_extension] = call
    rows = []
    for extension in sorted({*phones, *lines}):
        line, phone = lines.get(extension), phones.get(extension)
        agent_no = phone.agent_no if phone else (line.login.agent_no if line and line.login else None)
        rows.append(
            SeatRow(
                extension=extension,
                label=line.seat.label if line else "",
                agent_no=agent_no,
                agent_name=names.get(agent_no) if agent_no else None,
                phone=phone,
                call=calls.get(extension),
            )
        )
    return rows


def own_seat(board: Board, agent_no: str) -> tuple[LiveSeat | None, LiveCall | None]:
    """The seat at which an agent is signed in, and the call there."""
    seat = next((seat for seat in board.seats if agent_no and seat.agent_no == agent_no), None)
    if seat is None:
        return None, None
    here = [call for call in board.calls if call.seat_extension == seat.extension and call.state != "finalizing"]
    return seat, min(here, key=lambda call: _NEAREST[call.state], default=None)
