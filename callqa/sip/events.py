"""What the pure user agent reports to the process around it. Instants are the caller's monotonic `now` in seconds.

Order for one call: CallStarted, MediaOpened (per leg or stream, when its SDP is known or offered), MediaChanged (remote
address or direction learnt), CallAnswered, then CallEnded; or CallUnanswered / CallAbandoned instead of answered.
MediaClosed comes last, once for the whole call, and gives both ports back.
"""

from dataclasses import dataclass
from enum import StrEnum

from callqa.sip.wire.sdes import MediaKeys
from callqa.units import Channel, Direction

Address = tuple[str, int]


class CallMode(StrEnum):
    BRIDGE = "bridge"
    ANSWER = "answer"
    SIPREC = "siprec"


class HangupParty(StrEnum):
    AGENT = "agent"
    CITIZEN = "citizen"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """First INVITE of a call accepted for handling. seat_extension: the caller's seat on outbound calls."""

    call_id: str
    now: float
    mode: CallMode
    direction: Direction
    from_number: str
    to_number: str
    sip_call_id: str
    seat_extension: str | None = None
    ticket_hint: str | None = None
    user_to_user: str | None = None
    withheld: bool = False  # the caller asked not to be shown; from_number is then ""
    diverted_from: str = ""  # who forwarded the call to us


@dataclass(frozen=True, slots=True)
class CallRinging:
    call_id: str
    now: float


@dataclass(frozen=True, slots=True)
class Waited:
    """What a caller went through before his answer, or his end without one. notice_ms: of listening to the recording notice
    (录音告知), which counts as nobody's slowness; queued_ms: in the queue, position: where he was at last; overflow_to: the number
    outside that the call was put through to, and why."""

    notice_ms: int = 0
    queued_ms: int = 0
    position: int | None = None
    overflow_to: str = ""
    overflow_reason: str = ""


NOT_WAITED = Waited()


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Both sides are connected (bridge), or the single leg is (answer). t = 0 of the recording."""

    call_id: str
    now: float
    seat_extension: str | None
    sip_call_ids: tuple[str, ...]
    waited: Waited = NOT_WAITED


@dataclass(frozen=True, slots=True)
class CallEnded:
    """An answered call is over."""

    call_id: str
    now: float
    hangup_party: HangupParty | None  # None: a recording client does not say


@dataclass(frozen=True, slots=True)
class CallUnanswered:
    """Never answered, and not because the caller gave up. reason is Chinese: 无人接听, 全部占线, 无席位签入 …"""

    call_id: str
    now: float
    reason: str
    sip_status: int
    waited: Waited = NOT_WAITED


@dataclass(frozen=True, slots=True)
class CallAbandoned:
    """呼损: the caller cancelled, or hung up or was lost, before anybody answered."""

    call_id: str
    now: float
    reason: str
    waited: Waited = NOT_WAITED


@dataclass(frozen=True, slots=True)
class MediaTerms:
    """What a leg's SDP says of its media besides address and codecs. keys: None = plain RTP; they are shown nowhere.

    keys_due: its media may be encrypted and the keys are not known yet. sends: the peer means to send audio; rtcp: where it wants RTCP; rtcp_mux: on the RTP ports of both sides.
    """

    keys: MediaKeys | None = None
    keys_due: bool = False
    sends: bool = True
    rtcp: Address | None = None
    rtcp_mux: bool = False


PLAIN_MEDIA = MediaTerms()


@dataclass(frozen=True, slots=True)
class MediaOpened:
    """A leg has a local RTP port (from the port pool). codecs: (payload type, encoding name/clock rate) in order of
    preference, as agreed or offered, such as (8, "PCMA/8000"), (101, "telephone-event/8000")."""

    call_id: str
    now: float
    channel: Channel
    local_port: int
    codecs: tuple[tuple[int, str], ...]
    remote: Address | None
    signalling_host: str = ""  # where the leg's SIP comes from: behind NAT its media does too
    stream: int | None = None  # number of the stream, 0 to 15; None: the channel's own, 0 or 1
    terms: MediaTerms = PLAIN_MEDIA
    trunk_addresses: tuple[str, ...] = ()  # all of the trunk that SIP comes from: hosts and networks


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """An answer or re-INVITE told a leg's remote address, codecs or direction. held: this side put the call on hold
    (sendonly, inactive or c=0.0.0.0)."""

    call_id: str
    now: float
    channel: Channel
    codecs: tuple[tuple[int, str], ...]
    remote: Address | None
    held: bool
    signalling_host: str = ""
    stream: int | None = None
    paused: bool = False  # held by a recording client, which sends nothing on purpose
    terms: MediaTerms = PLAIN_MEDIA
    trunk_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamSide:
    """Which side a stream is on after all. side: None = both voices are in it."""

    call_id: str
    now: float
    stream: int
    side: Channel | None


@dataclass(frozen=True, slots=True)
class PartyKnown:
    """Somebody who is on the call, as a recording client or a conference tells. address: a SIP or tel URI, his key; left: he
    is not any more."""

    call_id: str
    now: float
    name: str
    address: str
    side: Channel
    left: bool = False


@dataclass(frozen=True, slots=True)
class FactsLearnt:
    """Facts of a call that were told after CallStarted; None: as before."""

    call_id: str
    now: float
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    seat_extension: str | None = None
    sip_call_ids: tuple[str, ...] | None = None
    joined_by: str | None = None


@dataclass(frozen=True, slots=True)
class MediaClosed:
    call_id: str
    now: float


@dataclass(frozen=True, slots=True)
class SeatRegistered:
    extension: str
    now: float
    contact: str
    source: Address
    expires_s: int


@dataclass(frozen=True, slots=True)
class SeatUnregistered:
    extension: str
    now: float


@dataclass(frozen=True, slots=True)
class SeatSignedIn:
    """签入 from the phone."""

    extension: str
    now: float
    agent_no: str


@dataclass(frozen=True, slots=True)
class SeatSignedOut:
    """签出 from the phone."""

    extension: str
    now: float


@dataclass(frozen=True, slots=True)
class CallQueued:
    """All seats are busy and the caller waits. position: 1 = next; told again when it changes."""

    call_id: str
    now: float
    position: int


@dataclass(frozen=True, slots=True)
class CallOverflowed:
    """溢出: nobody here took the call, it is put through to a number outside. reason: 无人接听, 排队超时, 无席位签入 …"""

    call_id: str
    now: float
    number: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallTransferred:
    """An answered call has another far end. to: extension or number; kind: blind, attended."""

    call_id: str
    now: float
    kind: str
    to: str
    seat_extension: str | None = None  # the seat that has the call now, where it is one
    by: str | None = None  # the seat that gave it away
    sip_call_id: str = ""  # of the new far end's leg


@dataclass(frozen=True, slots=True)
class CallMarked:
    """`*13` + code from a seat phone: a mark or disposition for the seat's present or last call."""

    call_id: str
    now: float
    code: str
    seat_extension: str


@dataclass(frozen=True, slots=True)
class CallLinked:
    """A call belongs to another one of the same seat: a consult call, and the call that it was made for. Told of both."""

    call_id: str
    now: float
    other_call_id: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A key that came as SIP INFO. Keys sent as RTP events are in the spool already and not told here."""

    call_id: str
    now: float
    channel: Channel
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """A phone asked by SIP INFO `Record` to pause (or resume) the recording; whether it may is the policy's business."""

    call_id: str
    now: float
    pause: bool
    by: str  # whose phone: extension or number


@dataclass(frozen=True, slots=True)
class PromptStarted:
    """Play a prompt to a leg from its RTP port until PromptStopped, the call's end, or its own. One prompt a leg at a time;
    a new one replaces it. prompt: `notice`, `music`, `position:N`, `ringback`; file: the WAV in var/prompts that the desk names
    for it, "" = a built-in tone; loop: again from the start when it ends. The end of one that does not loop is told to the
    user agent by `prompt_over`."""

    call_id: str
    now: float
    channel: Channel
    prompt: str
    loop: bool
    file: str = ""


@dataclass(frozen=True, slots=True)
class PromptStopped:
    call_id: str
    now: float
    channel: Channel


@dataclass(frozen=True, slots=True)
class SipFault:
    """Something an operator should know: wrong password, INVITE from a stranger, no port free …  text is Chinese."""

    now: float
    text: str
    source: Address | None = None
    call_id: str | None = None


Event = (
    CallStarted
    | CallRinging
    | CallAnswered
    | CallEnded
    | CallUnanswered
    | CallAbandoned
    | MediaOpened
    | MediaChanged
    | StreamSide
    | PartyKnown
    | FactsLearnt
    | MediaClosed
    | SeatRegistered
    | SeatUnregistered
    | SeatSignedIn
    | SeatSignedOut
    | CallQueued
    | CallOverflowed
    | CallTransferred
    | CallMarked
    | CallLinked
    | DigitPressed
    | PauseAsked
    | PromptStarted
    | PromptStopped
    | SipFault
)
