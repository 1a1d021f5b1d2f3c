"""What a REFER asks for (RFC 3515): a number to call, or a dialog of ours to be joined to (Replaces, RFC 3891).

Only the user part of Refer-To counts, as with numbers that are dialled: where it leads is for the dial plan to say, never
for a host that a phone names. Total: any header gives a value or ProtocolError.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import param, parse_name_addr, parse_params
from callqa.sip.wire.identity import NUMBER_MOST_CHARS, dialled_in
from callqa.sip.wire.message import Request

REPLACES_MOST_CHARS = 512
_NOISE = re.compile(r"[\s().-]")


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog by its three names, as whoever answers for it knows them. early_only: not once it is answered."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False


@dataclass(frozen=True, slots=True)
class Refer:
    """number: who is to have the call. subscribe: whether the sender wants to hear how it goes (RFC 4488: no)."""

    number: str
    replaces: Replaces | None = None
    subscribe: bool = True


def parse_replaces(value: str) -> Replaces:
    """Read a Replaces header, already unescaped."""
    if len(value) > REPLACES_MOST_CHARS:
        raise ProtocolError(f"Replaces has {len(value)} characters, limit {REPLACES_MOST_CHARS}")
    call_id, _, rest = value.partition(";")
    params = parse_params(rest)
    to_tag, from_tag = param(params, "to-tag"), param(params, "from-tag")
    if not call_id.strip() or not to_tag or not from_tag:
        raise ProtocolError(f"Replaces {value[:60]!r} lacks Call-ID, to-tag or from-tag")
    return Replaces(call_id.strip(), to_tag, from_tag, any(n == "early-only" for n, _ in params))


def parse_refer(request: Request) -> Refer:
    """Read a REFER. ProtocolError when it does not ask for exactly one call."""
    values = request.headers.all("Refer-To")
    if len(values) != 1:
        raise ProtocolError(f"REFER has {len(values)} Refer-To, needs 1")
    uri = parse_name_addr(values[0]).uri
    if uri.scheme not in ("sip", "sips", "tel"):
        raise ProtocolError(f"Refer-To {values[0][:60]!r} is no number")
    if (param(uri.params, "method") or "INVITE").upper() != "INVITE":
        raise ProtocolError(f"Refer-To {values[0][:60]!r} asks for something else than a call")
    number = unquote(dialled_in(uri))
    if len(number) > NUMBER_MOST_CHARS:
        raise ProtocolError(f"Refer-To has a number of {len(number)} characters, limit {NUMBER_MOST_CHARS}")
    named = _embedded(uri.text, "replaces")
    wanted = (request.headers.first("Refer-Sub") or "true").partition(";")[0].strip().lower() != "false"
    return Refer(number, parse_replaces(named) if named is not None else None, wanted)


def _embedded(uri: str, name: str) -> str | None:
    """A header that a URI carries behind its question mark (RFC 3261 §19.1.1)."""
    for field in uri.partition("?")[2].split("&"):
        key, _, value = field.partition("=")
        if unquote(key).strip().lower() == name:
            return unquote(value)
    return None


def without_noise(number: str) -> str:
    """A number as a phone's book may hold it, without blanks, brackets and dashes."""
    return _NOISE.sub("", number)
