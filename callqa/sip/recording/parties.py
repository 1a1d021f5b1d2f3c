"""Who is who in a recorded call: which party is the agent, which stream is whose, who called whom, which call it is.

The agent is, in this order: whoever has the extension of a seat; whom the client says is its own (BroadWorks' user, Cisco's
near end); whoever has the hotline's number; the one with a short number where the other has a long one; else the second to
be named, because clients name the caller first and a hotline is called. Everybody else is on the citizen's side, but that
every seat is on the agent's (a second agent, a leader who joined).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from callqa.errors import ProtocolError
from callqa.matching import canonical_number
from callqa.sip.recording.metadata import UUI_UCID, Participant, Role, call_key
from callqa.sip.wire.headers import REMEMBERED, NameAddr, param, parse_name_addr, parse_uri, plain
from callqa.sip.wire.message import Request
from callqa.sip.wire.multipart import content_type, parts_of
from callqa.units import Channel, Direction

SHORT_NUMBER_DIGITS = 6  # an extension; public numbers in China have seven digits at least
_NUMBER_MOST_CHARS = 64


@dataclass(frozen=True, slots=True)
class Who:
    """What the desk knows: extensions of all seats, the hotline's numbers."""

    seats: frozenset[str]
    hotline: str = ""


def user_of(address: str) -> str:
    """The user part of a URI, or the bare number."""
    try:
        return parse_uri(address).user.partition(";")[0][:_NUMBER_MOST_CHARS]
    except ProtocolError:
        return re.split(r"[@;>?]", address.strip().lstrip("<"), maxsplit=1)[0].strip()[:_NUMBER_MOST_CHARS]


def number_of_party(party: Participant) -> str:
    """His canonical number, or ""."""
    user = user_of(party.address)
    return canonical_number(user) if user.isascii() else ""


@lru_cache(REMEMBERED)
def agents_of(parties: tuple[Participant, ...], who: Who) -> frozenset[str]:
    """Keys of those on the agent's side; empty where nobody is known at all."""
    seats = frozenset(p.key for p in parties if user_of(p.address) in who.seats)
    if seats or not parties:
        return seats
    ours = frozenset(p.key for p in parties if p.ours)
    if ours:
        return ours
    hotline = canonical_number(who.hotline)
    named = frozenset(p.key for p in parties if hotline and number_of_party(p) == hotline)
    if named and len(named) < len(parties):
        return named
    numbers = {p.key: number_of_party(p) for p in parties}
    short = [key for key, number in numbers.items() if 0 < len(number) <= SHORT_NUMBER_DIGITS]
    long = [key for key, number in numbers.items() if len(number) > SHORT_NUMBER_DIGITS]
    if short and long:
        return frozenset(short[:1])
    called = [p.key for p in parties if p.role is Role.CALLED]
    if called:
        return frozenset(called[:1])
    return frozenset({parties[1].key}) if len(parties) > 1 else frozenset()


def side_of(party: str, agents: Collection[str]) -> Channel:
    """The side of a participant."""
    return Channel.AGENT if party in agents else Channel.CITIZEN


def direction_of(parties: Sequence[Participant], agents: Collection[str]) -> Direction:
    """Outbound where the caller is on the agent's side: as told, else the first to be named."""
    caller = next((p for p in parties if p.role is Role.CALLING), parties[0] if len(parties) > 1 else None)
    return Direction.OUTBOUND if caller is not None and caller.key in agents else Direction.INBOUND


# -- what the request itself says --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signs:
    """What an INVITE's headers say besides its metadata. near: True where its stream is the agent's own end (Cisco's fork)."""

    parties: tuple[Participant, ...] = ()
    near: bool | None = None
    call_keys: tuple[str, ...] = ()


def signs_of(request: Request) -> Signs:
    """Read them."""
    fork = {n: v or "" for n, v in (*request.from_.uri.params, *request.from_.params)}
    near = True if "x-nearend" in fork else False if "x-farend" in fork else None
    parties = _cisco_parties(fork) if near is not None else _named_parties(request)
    keys = (call_key("REFCI", fork.get("x-refci", "")), *_header_keys(request))
    return Signs(tuple(parties), near, tuple(dict.fromkeys(k for k in keys if k)))


def _cisco_parties(fork: dict[str, str]) -> list[Participant]:
    """Cisco's built-in bridge: the agent's phone is the near end; the far end is named first, as a hotline is called."""
    far, near = plain(fork.get("x-farendaddr", "")), plain(fork.get("x-nearendaddr", ""))
    found = [Participant("far", "", far)] if far else []
    return [*found, Participant("near", "", near, ours=True)] if near else found


def _named_parties(request: Request) -> list[Participant]:
    """Remote-Party-ID by its party parameter; else From and To, where they are numbers."""
    roles = {"calling": Role.CALLING, "called": Role.CALLED}
    found = []
    for value in request.headers.all("Remote-Party-ID"):
        address = _address(value)
        role = roles.get((address.param("party") or "").lower()) if address else None
        if address is not None and role is not None:
            found.append(Participant(role.value, plain(address.display), str(address.uri), role))
    if found:
        return found
    asserted = next((a for v in request.headers.all("P-Asserted-Identity") if (a := _address(v))), None)
    caller = asserted or request.from_
    ends = ((Role.CALLING, caller), (Role.CALLED, request.to))
    return [Participant(role.value, plain(a.display), plain(str(a.uri)), role) for role, a in ends
            if canonical_number(a.uri.user)]  # fmt: skip


def _address(value: str) -> NameAddr | None:
    try:
        return parse_name_addr(value)
    except ProtocolError:
        return None


_KEY_HEADERS = {
    "ucid": "UCID", "x-ucid": "UCID", "x-avaya-ucid": "UCID", "cisco-guid": "GUID", "x-cisco-guid": "GUID",
    "x-refci": "REFCI", "x-genesys-calluuid": "UUID",
}  # fmt: skip


def _header_keys(request: Request) -> list[str]:
    found = [call_key(_KEY_HEADERS[n.lower()], v) for n, v in request.headers.fields if n.lower() in _KEY_HEADERS]
    for value in request.headers.all("User-to-User"):
        if UUI_UCID.match(value.strip()):
            found.append(call_key("UCID", value))
    return found


def bodies_of(request: Request) -> tuple[bytes | None, bytes | None, str]:
    """(SDP, metadata, what is wrong) of a request. Parts are known by their type, or by how they begin where that says nothing."""
    value = request.headers.first("Content-Type")
    kind = content_type(value)
    if not request.body:
        return None, None, ""
    try:
        parts = parts_of(value or "", request.body) if kind.startswith("multipart/") else [(kind, request.body)]
    except ProtocolError as e:
        parts, problem = _torn_apart(request.body), str(e)
        if not parts:
            return None, None, problem
    sdp = next((body for name, body in parts if _is_sdp(name, body)), None)
    metadata = next((body for name, body in parts if _is_metadata(name, body)), None)
    return sdp, metadata, ""


def _torn_apart(body: bytes) -> list[tuple[str, bytes]]:
    """Parts of a body whose boundary is not said: the line it begins with is one."""
    first = body.lstrip().split(b"\n", 1)[0].strip()
    if not first.startswith(b"--") or len(first) < 3:
        return []
    named = first[2:].decode("ascii", "replace").replace('"', "")
    try:
        return parts_of(f'multipart/mixed;boundary="{named}"', body)
    except ProtocolError:
        return []


def _is_sdp(kind: str, body: bytes) -> bool:
    return kind == "application/sdp" or (kind in _UNSAID and body.lstrip().startswith(b"v=0"))


def _is_metadata(kind: str, body: bytes) -> bool:
    if "rs-metadata" in kind:
        return True
    return (kind in _UNSAID or kind.endswith("xml")) and body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")


_UNSAID = ("text/plain", "application/octet-stream")


def is_recording(request: Request) -> bool:
    """Whether an INVITE is a recording client's: it says so (RFC 7866 §6.1), it has metadata, or it is one half of a fork."""
    if any(o.lower() == "siprec" for o in request.headers.tokens("Require")):
        return True
    contact = request.headers.first("Contact") or ""
    if "+sip.src" in contact.lower():
        return True
    sender = request.from_
    if any(param((*sender.uri.params, *sender.params), n) is not None for n in ("x-nearend", "x-farend", "x-refci")):
        return True
    kind = content_type(request.headers.first("Content-Type"))
    return kind.startswith("multipart/") and bodies_of(request)[1] is not None
