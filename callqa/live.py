"""The live door: what the recorder tells over its Unix socket (0600), one JSON object a line.

A client connects and gets one `Board` at once and another after every change (at most ten a second).
It may send command lines; the first version knows none but `{"op":"board"}`, which asks for a board now.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LiveCall(_Frozen):
    """A call in progress."""

    call_id: str
    direction: Literal["inbound", "outbound"]
    state: Literal["ringing", "queued", "talking", "held", "finalizing"]
    number: str  # the citizen's
    seat_extension: str | None = None
    since_ms: int
    position: int | None = None  # in the queue, 1 = next
    paused: bool = False  # 录音暂停
    mode: Literal["bridge", "answer", "siprec"] = "bridge"
    trouble: str = ""  # one-way audio or no media at all, as a Chinese sentence


class LiveSeat(_Frozen):
    """A seat phone."""

    extension: str
    agent_no: str | None = None
    registered: bool = False
    contact: str = ""


class LiveTrunk(_Frozen):
    """A trunk: whether it can be called, and how it stands with its registration."""

    name: str
    up: bool
    text: str = ""  # Chinese: 已登记, 探测无应答 …


class LiveFault(_Frozen):
    """Something an operator should know of, e.g. a phone with a wrong password."""

    at_ms: int  # the last time
    text: str  # a Chinese sentence
    times: int = 1


class Board(_Frozen):
    """The state of the recorder at one moment."""

    number: int  # grows with each board
    at_ms: int
    started_at_ms: int
    desk_number: int
    listening: str  # "udp 0.0.0.0:5060"
    calls: tuple[LiveCall, ...] = ()
    seats: tuple[LiveSeat, ...] = ()
    trunks: tuple[LiveTrunk, ...] = ()
    recorded_today: int = 0
    faults: tuple[LiveFault, ...] = ()  # of the last day, newest first
    disk_free_mb: int = 0
