"""Feature codes that agents dial: `*11` + 工号 signs in at this phone, `*12` signs out, `*13` + code marks a call 标记、处置,
`*8` takes a call that rings at a colleague's phone 代接, `*8` + extension one that rings there.

Any other code than `*8` is answered and ended at once, so that the phone shows that it went through; no media is offered and no
call made.
A mark is for the call the seat talks in (dialled on a second line, or typed in the call, see in_call.py), else for the one
it was in last, for ten minutes; without such a call the phone gets 404. What was signed in holds here at once, database or
not, until a desk snapshot says something new of that seat. It does not know which agents or codes there are: whoever reads
the journal does.
"""

import re
from dataclasses import dataclass

from callqa.desk import Desk, DeskSeat
from callqa.sip.core import Core
from callqa.sip.events import Address, SeatSignedIn, SeatSignedOut
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import SilentOwner
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.sdp import OUR_CODECS, MediaDirection, Session, common_codecs
from callqa.units import Channel

_SIGN_IN = re.compile(r"\*11([0-9]{1,16})#?", re.ASCII)
_SIGN_OUT = re.compile(r"\*12#?", re.ASCII)
_MARK = re.compile(r"\*13([0-9]{1,8})#?", re.ASCII)
_PICK_UP = re.compile(r"\*8([0-9]{1,16})?#?", re.ASCII)
DISCARD_PORT = 9  # RFC 863: a port is needed in SDP, nothing is sent


@dataclass(frozen=True, slots=True)
class FeatureCode:
    """agent_no: who signs in; None: whoever is there signs out."""

    agent_no: str | None


@dataclass(frozen=True, slots=True)
class MarkCode:
    """code: what the call is marked with."""

    code: str


@dataclass(frozen=True, slots=True)
class PickUpCode:
    """extension: where the call rings that is wanted; None: wherever."""

    extension: str | None


def parse_code(dialled: str) -> FeatureCode | MarkCode | PickUpCode | None:
    """The feature code in what was dialled, or None. Phones may send * and # escaped."""
    text = re.sub("%2a", "*", re.sub("%23", "#", dialled), flags=re.IGNORECASE)
    found = _SIGN_IN.fullmatch(text)
    if found is not None:
        return FeatureCode(found[1])
    marked = _MARK.fullmatch(text)
    if marked is not None:
        return MarkCode(marked[1])
    picked = _PICK_UP.fullmatch(text)
    if picked is not None:
        return PickUpCode(picked[1])
    return FeatureCode(None) if _SIGN_OUT.fullmatch(text) else None


class SignIns:
    """Who signed in or out by phone since the desk last said something of that seat."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._news: dict[str, tuple[str | None, str | None]] = {}  # extension -> (by phone, what the desk said then)

    def apply(self, desk: Desk) -> Desk:
        """The desk with what the phones said; news that the desk knows, or overrules, are forgotten."""
        said = {s.extension: s.agent_no for s in desk.seats}
        self._news = {e: n for e, n in self._news.items() if e in said and said[e] == n[1] and said[e] != n[0]}
        here = {agent for agent, _ in self._news.values() if agent is not None}

        def seat(s: DeskSeat) -> DeskSeat:
            if s.extension in self._news:
                return s.model_copy(update={"agent_no": self._news[s.extension][0]})
            return s.model_copy(update={"agent_no": None}) if s.agent_no in here else s  # he went to another seat

        return desk.model_copy(update={"seats": tuple(seat(s) for s in desk.seats)}) if self._news else desk

    def take(self, extension: str, code: FeatureCode, desk: Desk, now: float) -> Desk:
        """Sign in or out; gives the desk as it is then. desk: the last snapshot, without what phones said."""
        for other in [e for e, (agent, _) in self._news.items() if agent is not None and agent == code.agent_no]:
            del self._news[other]
        said = {s.extension: s.agent_no for s in desk.seats}
        self._news[extension] = (code.agent_no, said.get(extension))
        if code.agent_no is None:
            self._core.emit(SeatSignedOut(extension, now))
        else:
            self._core.emit(SeatSignedIn(extension, now, code.agent_no))
        return self.apply(desk)


class FeatureCall(SilentOwner):
    """The short dialog in which a code is acknowledged to the phone."""

    def __init__(self, core: Core, invite: Transaction, source: Address) -> None:
        self._leg = Leg.incoming(core, self, Channel.AGENT, invite, source, DISCARD_PORT)
        self._leg.dialog.behind_nat = True

    def confirm(self, offer: Session | None, now: float) -> None:
        """Answer and end."""
        codecs = common_codecs(offer)[:1] if offer else OUR_CODECS[:1]
        if not codecs:
            self._leg.refuse(488, now)
            return
        self._leg.accept(self._leg.sdp(codecs, MediaDirection.INACTIVE, offer), now)
        self._leg.end(now)

    def refuse(self, status: int, now: float) -> None:
        """The code cannot be taken."""
        self._leg.refuse(status, now)
