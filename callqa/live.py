"""The live door: what the recorder tells over its Unix socket (0600), one JSON object a line.

A client connects and gets one `Board` at once and another after every change (at most ten a second).
It may send command lines, each a `LiveCommand`; `board` asks for a board now, the others are answered by one `LiveReply`,
which may come between boards and is known by its `reply`.

    {"op":"pause","call_id":"…","actor":"li","reason":"银行卡号"}    {"op":"resume","call_id":"…","actor":"li"}
    {"op":"listen","call_id":"…","actor":"li"}    {"op":"confidential","call_id":"…","actor":"li"}

After a `listen` that was granted no further line comes on this connection: what follows is records of the call's
spool (sip/media/spool.py: length u32 · crc32 u32 · body), first a media mark a leg, then packets and marks as they are
recorded, until the call is over, the listener hangs up or is too slow. Nothing is sent while the recording is paused.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

COMMAND_MOST_BYTES = 4096


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
    paused_since_ms: int | None = None
    mode: Literal["bridge", "answer", "siprec"] = "bridge"
    confidential: bool = False  # 保密件: no number is told, nobody listens in
    trouble: str = ""  # one-way audio or no media at all, as a Chinese sentence


class LiveSeat(_Frozen):
    """A seat phone."""

    extension: str
    agent_no: str | None = None
    registered: bool = False
    contact: str = ""
    ringing: bool = False


class LiveTrunk(_Frozen):
    """A trunk: whether it can be called, and how it stands with its registration."""

    name: str
    up: bool
    text: str = ""  # Chinese: 已登记, 探测无应答 …


class LiveToday(_Frozen):
    """Inbound calls of today in Shanghai that are decided: answered by a person, or not."""

    answered: int = 0
    missed: int = 0  # 未接、呼损
    longest_wait_ms: int = 0  # until the answer, or until nobody came

    @property
    def answer_rate(self) -> float | None:
        """接通率 in [0, 1]; None before the first call."""
        asked = self.answered + self.missed
        return self.answered / asked if asked else None


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
    today: LiveToday = LiveToday()


class LiveCommand(_Frozen):
    """What a client may ask for. actor: the user name, or the seat's extension; reason: why a recording is paused."""

    op: Literal["board", "pause", "resume", "listen", "confidential"]
    call_id: str = Field(default="", max_length=64)
    actor: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=60)


class LiveReply(_Frozen):
    """What became of a command. text: a Chinese sentence, empty when it was done."""

    reply: Literal["pause", "resume", "listen", "confidential", "?"]
    ok: bool
    text: str = ""


def parse_reply(line: bytes) -> LiveReply | None:
    """The reply that a line is; None for a board and for anything else."""
    try:
        return LiveReply.model_validate_json(line)
    except ValidationError:
        return None
