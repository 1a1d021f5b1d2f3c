"""The desk: everything the recorder must know of seats, agents, trunks and routing, schema `callqa-desk/1`.

One numbered snapshot in `var/state/desk.json`, written by one use case (temp, fsync, rename) and looked at
by the recorder once a second. It holds digest hashes, never passwords, so the recorder runs with the
database gone. A bad snapshot is refused with a fault and the last good one is kept.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callqa.errors import SpoolError
from callqa.files import DISK, Files
from callqa.sidecar import write_atomically

SCHEMA = "callqa-desk/1"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeskSeat(_Frozen):
    """席位: one phone. HA1 = H(extension:realm:password), RFC 8760 for SHA-256."""

    extension: str = Field(pattern=r"^[0-9A-Za-z_.-]{1,32}$")
    label: str = ""
    ha1_md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    ha1_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    agent_no: str | None = None  # who is signed in 签入; None = nobody, the seat is not rung


class DeskTrunk(_Frozen):
    """中继: addresses calls may come from without digest, and where outbound calls go."""

    name: str
    addresses: tuple[str, ...]  # IP addresses allowed to call in
    host: str = ""  # where outbound calls are sent; "" = inbound only
    port: int = 5060
    transport: Literal["udp", "tcp", "tls"] = "udp"
    prefix: str = Field(default="", pattern=r"^[0-9*#]{0,4}$")  # 出局字冠: before every number, both ways
    refer_allowed: bool = False  # 允许对端转接: the far end may transfer a call to another number of the dial plan
    keepalive_s: int = Field(default=0, ge=0, le=3600)  # OPTIONS so often; 0 = none
    register_here: bool = False  # register there as a client: a provider's account, an extension of a PBX
    username: str = Field(default="", pattern=r"^[0-9A-Za-z_.+-]{0,64}$")
    domain: str = Field(default="", pattern=r"^[0-9A-Za-z_.:\[\]-]{0,128}$")  # of the account; "" = host
    realm: str = ""  # what the HA1 are made for
    ha1_md5: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")
    ha1_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    expires_s: int = Field(default=600, ge=60, le=86_400)
    # 媒体加密 (SDES-SRTP) as we offer it; an offer of theirs with keys is taken in any case. optional: RTP/AVP with keys
    media_encryption: Literal["off", "optional", "required"] = "off"


class DialRule(_Frozen):
    """拨号方案: a number that matches `pattern` (full match) may be called through `trunk`."""

    pattern: str
    trunk: str
    then: tuple[str, ...] = ()  # further trunks, tried in this order where the one before fails


class DeskRouting(_Frozen):
    """How an inbound call is handled: bridge rings the signed-in seats, answer records a single leg.

    Prompts are WAV files in `var/prompts/`, named without folder; "" = none, or the built-in tone for queue_music.
    """

    inbound_mode: Literal["bridge", "answer"] = "bridge"
    ring_timeout_s: int = Field(default=45, ge=5, le=300)
    hotline_number: str = ""  # our own number, shown to citizens
    seat_encryption: Literal["off", "optional", "required"] = "off"  # the same towards the seat phones
    ring_strategy: Literal["all", "longest_idle", "fixed"] = "all"  # 同振, 最久空闲优先, 固定顺序
    ring_each_s: int = Field(default=15, ge=5, le=120)  # longest_idle, fixed: then the next seat rings instead
    seat_order: tuple[str, ...] = ()  # fixed: extensions, first first; those not named follow in the desk's order
    queue_most: int = Field(default=0, ge=0, le=200)  # callers who may wait while all are busy; 0 = 486 at once
    queue_wait_s: int = Field(default=300, ge=10, le=3600)
    queue_music: str = Field(default="", pattern=r"^[^/\\]{0,128}$")
    queue_announce: bool = True  # the caller's position, when he enters and when it changes
    overflow_number: str = ""  # through the dial plan when nobody answered or the wait was too long; "" = refused
    notice: str = Field(default="", pattern=r"^[^/\\]{0,128}$")  # 录音告知, played before seats are rung
    early_prompts: bool = True  # prompts before the answer (183); False = the call is answered for them
    pause_allowed: bool = False  # 暂停录音 for sensitive data; a hotline call may never end its recording
    pause_longest_s: int = Field(default=120, ge=10, le=900)  # then recording goes on by itself


class Desk(_Frozen):
    """One snapshot. `number` only grows."""

    schema_: Literal["callqa-desk/1"] = Field(default="callqa-desk/1", alias="schema")
    number: int = Field(ge=0)
    realm: str = "callqa"
    seats: tuple[DeskSeat, ...] = ()
    trunks: tuple[DeskTrunk, ...] = ()
    dial_plan: tuple[DialRule, ...] = ()
    routing: DeskRouting = DeskRouting()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def load_desk(path: Path, files: Files = DISK) -> Desk:
    """Read a snapshot. Raise SpoolError when it is missing or wrong."""
    try:
        return Desk.model_validate_json(files.read(path))
    except (OSError, ValidationError) as e:
        raise SpoolError(f"desk {path}: {e}") from e


def save_desk(path: Path, desk: Desk) -> None:
    """Write a snapshot atomically."""
    write_atomically(path, desk.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
