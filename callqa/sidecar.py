"""The sidecar beside every master file: what the recorder knows of one call, schema `callqa-call/1`.

The recorder writes it last and renames it into place: its presence means that the call is complete.
It is immutable. Contract between `callqa record` (writes) and `callqa work` (reads).
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callqa.errors import SpoolError
from callqa.files import DISK, Files

SCHEMA = "callqa-call/1"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GapNote(_Frozen):
    """音频缺口 on one channel (0 citizen, 1 agent), milliseconds from the start of the recording."""

    channel: Literal[0, 1]
    start_ms: int = Field(ge=0)
    end_ms: int = Field(ge=0)
    kind: Literal["lost", "concealed", "held", "paused", "no_media"]


class StreamFigures(_Frozen):
    """What arrived on one leg. Counts are packets; jitter as in RFC 3550 §6.4.1."""

    channel: Literal[0, 1]
    codec: str
    packets: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    foreign: int = 0
    jitter_ms: float = 0.0
    ssrcs: int = 0
    peer_lost_pct: float | None = None  # what the peer hears of us, by its RTCP: mean share of packets it missed
    peer_jitter_ms: float | None = None
    rtt_ms: float | None = None  # to the peer and back, median
    mos: float | None = None  # estimated listening quality 1.0..4.5 (ITU-T G.107), None without audio


class DigitNote(_Frozen):
    """按键: one RFC 4733 event of one channel; milliseconds from the start of the recording. Never in the audio."""

    channel: Literal[0, 1]
    start_ms: int = Field(ge=0)
    duration_ms: int = Field(ge=0)
    digit: str  # 0-9 * # A-D, or `flash`


class MarkNote(_Frozen):
    """`*13` from a phone: a mark or disposition code, at_ms UTC."""

    at_ms: int
    code: str


class TransferNote(_Frozen):
    """转接: the call went on to somebody else, at_ms UTC. to: extension or number."""

    at_ms: int
    kind: Literal["blind", "attended"]
    to: str
    seat_extension: str | None = None
    by: str | None = None  # the seat that gave the call away


class PauseNote(_Frozen):
    """录音暂停, UTC milliseconds. until_ms: None when it lasted to the end of the call. The gaps say what audio is missing."""

    at_ms: int
    until_ms: int | None = None
    by: str = ""
    reason: str = ""


class Party(_Frozen):
    """Somebody on the call as a recording client describes him (RFC 7865) or a conference joined him. channel: which side;
    left_at_ms: UTC, None when he stayed to the end."""

    name: str = ""
    address: str = ""
    channel: Literal[0, 1]
    left_at_ms: int | None = None


class SourceFile(_Frozen):
    """What an imported call was made from: the file's name and the hash of its bytes."""

    name: str
    sha256: str


# `spool/<call_id>` with this suffix: the worker has verified the master; JSON {"call_id", "recording_sha256", "archived_at_ms"}.
ARCHIVED_SUFFIX = ".archived"


class Recording(_Frozen):
    """The master: a WAV, left citizen, right agent. path is relative to the recordings folder. channels: 1 only for
    the import of a mono recording, whose sides cannot be told apart."""

    path: str
    sha256: str
    encoding: Literal["alaw", "ulaw", "pcm16"]
    sample_rate_hz: int
    n_samples: int
    duration_ms: int
    channels: Literal[1, 2] = 2


class Sidecar(_Frozen):
    """One answered call. All instants are UTC milliseconds; t = 0 of the recording is `answered_at_ms`."""

    schema_: Literal["callqa-call/1"] = Field(default="callqa-call/1", alias="schema")
    call_id: str
    mode: Literal["bridge", "answer", "siprec", "import"]
    direction: Literal["inbound", "outbound"]
    sip_call_ids: tuple[str, ...] = ()
    from_number: str = ""
    to_number: str = ""
    seat_extension: str | None = None
    ticket_hint: str | None = None  # X-Ticket-Id, as received
    user_to_user: str | None = None
    started_at_ms: int
    answered_at_ms: int
    ended_at_ms: int
    notice_ms: int = 0  # of that, before the answer: listening to the recording notice, which is no ringing
    queued_ms: int = 0  # in the queue
    overflow_to: str = ""  # 溢出: the number outside that took the call, no seat
    hangup_party: Literal["agent", "citizen", "network"] | None  # None: an import that does not say
    recovered: bool = False  # finalised at start-up after a crash
    recording: Recording | None  # None: answered, but no media ever came
    gaps: tuple[GapNote, ...] = ()
    streams: tuple[StreamFigures, ...] = ()
    faults: tuple[str, ...] = ()
    digits: tuple[DigitNote, ...] = ()
    withheld: bool = False
    diverted_from: str = ""
    marks: tuple[MarkNote, ...] = ()
    transfers: tuple[TransferNote, ...] = ()
    pauses: tuple[PauseNote, ...] = ()
    parties: tuple[Party, ...] = ()
    related: tuple[str, ...] = ()  # call_ids of consult calls, and of the call that a consult call was made for
    joined_by: str | None = None  # UCID, GUID or x-refci that two recording sessions of one call share
    source: SourceFile | None = None
    recorder: str = "callqa"

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def load_sidecar(path: Path) -> Sidecar:
    """Read one sidecar. Raise SpoolError with the path when it is no `callqa-call/1`."""
    try:
        return Sidecar.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as e:
        raise SpoolError(f"sidecar {path}: {e}") from e


def save_sidecar(path: Path, sidecar: Sidecar, files: Files = DISK) -> None:
    """Write, fsync and rename into place; on return the call counts as complete even after a power cut."""
    files.put(path, sidecar.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, fsync, rename over it, fsync the folder. Leaves nothing when it fails."""
    DISK.put(path, data)
