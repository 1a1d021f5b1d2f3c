"""The states of SIP transactions as tables: RFC 3261 §17 with RFC 6026 (accepted state).

Rules: a row (kind, state, event) -> (next state, actions) is all that happens; an event without a row is absorbed.
Entering a state starts the timers of TIMERS for it and stops all others; A, E and G repeat with growing intervals.
Over a stream A, E and G do not run, and D, I, J and K are nought.
"""

from dataclasses import dataclass
from enum import Enum

T1_S, T2_S, T4_S = 0.5, 4.0, 5.0
GIVE_UP_S = 64 * T1_S


class Kind(Enum):
    INVITE_CLIENT = "invite client"
    CLIENT = "client"
    INVITE_SERVER = "invite server"
    SERVER = "server"


class State(Enum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class On(Enum):
    """Events: what arrives, what the user does (TELL_…), which timer rings."""

    P1XX = "1xx"
    P2XX = "2xx"
    FAILURE = "3xx-6xx"
    REQUEST = "request again"
    ACK = "ack"
    TELL_1XX = "user sends 1xx"
    TELL_2XX = "user sends 2xx"
    TELL_FAILURE = "user sends 3xx-6xx"
    AGAIN = "timer A, E or G"
    TIME_OUT = "timer B, F or H"
    DONE = "timer D, I, J, K, L or M"


class Do(Enum):
    DELIVER = "give the response, or the ACK, to the user"
    RESEND = "send the request, or the last response, again"
    SEND = "send this response"
    SEND_ACK = "send the ACK of a failure"
    REPORT = "tell the user that nobody answered"


_K, _S, _O, _D = Kind, State, On, Do
TABLE: dict[tuple[Kind, State, On], tuple[State, tuple[Do, ...]]] = {
    # RFC 3261 figure 5, RFC 6026 §8.4
    (_K.INVITE_CLIENT, _S.CALLING, _O.AGAIN): (_S.CALLING, (_D.RESEND,)),
    (_K.INVITE_CLIENT, _S.CALLING, _O.TIME_OUT): (_S.TERMINATED, (_D.REPORT,)),
    (_K.INVITE_CLIENT, _S.CALLING, _O.P1XX): (_S.PROCEEDING, (_D.DELIVER,)),
    (_K.INVITE_CLIENT, _S.CALLING, _O.P2XX): (_S.ACCEPTED, (_D.DELIVER,)),
    (_K.INVITE_CLIENT, _S.CALLING, _O.FAILURE): (_S.COMPLETED, (_D.SEND_ACK, _D.DELIVER)),
    (_K.INVITE_CLIENT, _S.PROCEEDING, _O.P1XX): (_S.PROCEEDING, (_D.DELIVER,)),
    (_K.INVITE_CLIENT, _S.PROCEEDING, _O.P2XX): (_S.ACCEPTED, (_D.DELIVER,)),
    (_K.INVITE_CLIENT, _S.PROCEEDING, _O.FAILURE): (_S.COMPLETED, (_D.SEND_ACK, _D.DELIVER)),
    (_K.INVITE_CLIENT, _S.PROCEEDING, _O.TIME_OUT): (_S.TERMINATED, (_D.REPORT,)),  # only after our CANCEL (§9.1)
    (_K.INVITE_CLIENT, _S.COMPLETED, _O.FAILURE): (_S.COMPLETED, (_D.SEND_ACK,)),
    (_K.INVITE_CLIENT, _S.COMPLETED, _O.DONE): (_S.TERMINATED, ()),
    (_K.INVITE_CLIENT, _S.ACCEPTED, _O.P2XX): (_S.ACCEPTED, (_D.DELIVER,)),
    (_K.INVITE_CLIENT, _S.ACCEPTED, _O.DONE): (_S.TERMINATED, ()),
    # figure 6
    (_K.CLIENT, _S.TRYING, _O.AGAIN): (_S.TRYING, (_D.RESEND,)),
    (_K.CLIENT, _S.TRYING, _O.TIME_OUT): (_S.TERMINATED, (_D.REPORT,)),
    (_K.CLIENT, _S.TRYING, _O.P1XX): (_S.PROCEEDING, (_D.DELIVER,)),
    (_K.CLIENT, _S.TRYING, _O.P2XX): (_S.COMPLETED, (_D.DELIVER,)),
    (_K.CLIENT, _S.TRYING, _O.FAILURE): (_S.COMPLETED, (_D.DELIVER,)),
    (_K.CLIENT, _S.PROCEEDING, _O.AGAIN): (_S.PROCEEDING, (_D.RESEND,)),
    (_K.CLIENT, _S.PROCEEDING, _O.TIME_OUT): (_S.TERMINATED, (_D.REPORT,)),
    (_K.CLIENT, _S.PROCEEDING, _O.P1XX): (_S.PROCEEDING, (_D.DELIVER,)),
    (_K.CLIENT, _S.PROCEEDING, _O.P2XX): (_S.COMPLETED, (_D.DELIVER,)),
    (_K.CLIENT, _S.PROCEEDING, _O.FAILURE): (_S.COMPLETED, (_D.DELIVER,)),
    (_K.CLIENT, _S.COMPLETED, _O.DONE): (_S.TERMINATED, ()),
    # figure 7, RFC 6026 §8.7
    (_K.INVITE_SERVER, _S.PROCEEDING, _O.REQUEST): (_S.PROCEEDING, (_D.RESEND,)),
    (_K.INVITE_SERVER, _S.PROCEEDING, _O.TELL_1XX): (_S.PROCEEDING, (_D.SEND,)),
    (_K.INVITE_SERVER, _S.PROCEEDING, _O.TELL_2XX): (_S.ACCEPTED, (_D.SEND,)),
    (_K.INVITE_SERVER, _S.PROCEEDING, _O.TELL_FAILURE): (_S.COMPLETED, (_D.SEND,)),
    (_K.INVITE_SERVER, _S.COMPLETED, _O.REQUEST): (_S.COMPLETED, (_D.RESEND,)),
    (_K.INVITE_SERVER, _S.COMPLETED, _O.AGAIN): (_S.COMPLETED, (_D.RESEND,)),
    (_K.INVITE_SERVER, _S.COMPLETED, _O.ACK): (_S.CONFIRMED, ()),
    (_K.INVITE_SERVER, _S.COMPLETED, _O.TIME_OUT): (_S.TERMINATED, ()),
    (_K.INVITE_SERVER, _S.CONFIRMED, _O.DONE): (_S.TERMINATED, ()),
    (_K.INVITE_SERVER, _S.ACCEPTED, _O.TELL_2XX): (_S.ACCEPTED, (_D.SEND,)),
    (_K.INVITE_SERVER, _S.ACCEPTED, _O.ACK): (_S.ACCEPTED, (_D.DELIVER,)),
    (_K.INVITE_SERVER, _S.ACCEPTED, _O.DONE): (_S.TERMINATED, ()),
    # figure 8
    (_K.SERVER, _S.TRYING, _O.TELL_1XX): (_S.PROCEEDING, (_D.SEND,)),
    (_K.SERVER, _S.TRYING, _O.TELL_2XX): (_S.COMPLETED, (_D.SEND,)),
    (_K.SERVER, _S.TRYING, _O.TELL_FAILURE): (_S.COMPLETED, (_D.SEND,)),
    (_K.SERVER, _S.PROCEEDING, _O.REQUEST): (_S.PROCEEDING, (_D.RESEND,)),
    (_K.SERVER, _S.PROCEEDING, _O.TELL_1XX): (_S.PROCEEDING, (_D.SEND,)),
    (_K.SERVER, _S.PROCEEDING, _O.TELL_2XX): (_S.COMPLETED, (_D.SEND,)),
    (_K.SERVER, _S.PROCEEDING, _O.TELL_FAILURE): (_S.COMPLETED, (_D.SEND,)),
    (_K.SERVER, _S.COMPLETED, _O.REQUEST): (_S.COMPLETED, (_D.RESEND,)),
    (_K.SERVER, _S.COMPLETED, _O.DONE): (_S.TERMINATED, ()),
}


@dataclass(frozen=True, slots=True)
class Repeat:
    """Timer A, E or G: rings AGAIN after first_s, doubling up to most_s."""

    first_s: float
    most_s: float


# (kind, state) -> (repeating timer or None, event of the single timer, its seconds). E and F run on from trying.
TIMERS: dict[tuple[Kind, State], tuple[Repeat | None, On | None, float]] = {
    (_K.INVITE_CLIENT, _S.CALLING): (Repeat(T1_S, GIVE_UP_S), _O.TIME_OUT, GIVE_UP_S),  # A, B
    (_K.INVITE_CLIENT, _S.COMPLETED): (None, _O.DONE, 32.0),  # D
    (_K.INVITE_CLIENT, _S.ACCEPTED): (None, _O.DONE, GIVE_UP_S),  # M
    (_K.CLIENT, _S.TRYING): (Repeat(T1_S, T2_S), _O.TIME_OUT, GIVE_UP_S),  # E, F
    (_K.CLIENT, _S.PROCEEDING): (Repeat(T2_S, T2_S), _O.TIME_OUT, GIVE_UP_S),  # E, F
    (_K.CLIENT, _S.COMPLETED): (None, _O.DONE, T4_S),  # K
    (_K.INVITE_SERVER, _S.COMPLETED): (Repeat(T1_S, T2_S), _O.TIME_OUT, GIVE_UP_S),  # G, H
    (_K.INVITE_SERVER, _S.CONFIRMED): (None, _O.DONE, T4_S),  # I
    (_K.INVITE_SERVER, _S.ACCEPTED): (None, _O.DONE, GIVE_UP_S),  # L
    (_K.SERVER, _S.COMPLETED): (None, _O.DONE, GIVE_UP_S),  # J
}

AT_ONCE_OVER_STREAMS = frozenset({State.COMPLETED, State.CONFIRMED})  # M and L run on any transport (RFC 6026)
