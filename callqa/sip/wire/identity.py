"""Who calls and who is called, in canonical numbers (matching.canonical_number); a withheld caller is "".

Order for a trusted peer (a trunk): P-Asserted-Identity, Remote-Party-ID, From (RFC 3325 §9.1). What asks for privacy
stays withheld, even when the network told us the number (RFC 3323). Who forwarded the call to us: Diversion (RFC 5806),
else History-Info (RFC 7044).
"""

import re

from callqa.errors import ProtocolError
from callqa.matching import canonical_number
from callqa.sip.wire.headers import NameAddr, Uri, param, parse_name_addr, parse_params, parse_uri
from callqa.sip.wire.message import Request

NUMBER_MOST_CHARS = 40
_PRIVATE = frozenset({"id", "user", "header", "critical"})
_CAUSE = re.compile(r"[?&]Reason=[^&]*cause%3D", re.IGNORECASE)  # RFC 7044 §4.1: a Reason escaped into the URI
_PRIVATE_ENTRY = re.compile(r"[?&]Privacy=[^&]*(history|header|session)", re.IGNORECASE)


def number_of(uri: Uri, prefix: str = "") -> str:
    """Canonical number of a sip or tel URI, or "". prefix: cut off first, where the number has it and is longer."""
    user = uri.user.partition(";")[0]  # sip:02784770000;phone-context=+86@x
    if len(user) > NUMBER_MOST_CHARS or not user.isascii():  # digits of other scripts are no number one can call
        return ""
    return canonical_number(user[len(prefix) :] if len(user) > len(prefix) + 2 and user.startswith(prefix) else user)


def is_withheld(request: Request) -> bool:
    """Whether the caller asked not to be shown."""
    sender = request.from_.uri
    if _privacy(request.headers.all("Privacy")) & _PRIVATE or sender.host == "anonymous.invalid":
        return True
    if sender.user.lower() in ("anonymous", "unavailable"):
        return True
    return any((p.param("privacy") or "off").lower() not in ("off", "name") for p in _parties(request))


def caller_number(request: Request, prefix: str = "") -> str:
    """The citizen's number of an INVITE that a trunk sent, or "" when withheld or no number. prefix: digits that the
    trunk puts before every number (the PBX's outside line)."""
    if is_withheld(request):
        return ""
    return next((n for n in (number_of(p.uri, prefix) for p in (*_parties(request), request.from_)) if n), "")


def diverted_from(request: Request) -> str:
    """The number that forwarded the call to us last, or "" when none did, or did not want to be shown."""
    for party in _addresses(request, "Diversion"):
        return "" if (party.param("privacy") or "off").lower() not in ("off", "name") else number_of(party.uri)
    history = _addresses(request, "History-Info")
    forwarded = [
        i
        for i, entry in enumerate(history)
        if i and (param(entry.uri.params, "cause") or _CAUSE.search(str(entry.uri)))
    ]
    if not forwarded:
        return ""
    before = history[forwarded[-1] - 1].uri
    return "" if _PRIVATE_ENTRY.search(str(before)) else number_of(before)


def _parties(request: Request) -> list[NameAddr]:
    return [*_addresses(request, "P-Asserted-Identity"), *_addresses(request, "Remote-Party-ID")]


def _privacy(values: tuple[str, ...]) -> set[str]:
    return {p.strip().lower() for v in values for p in v.replace(",", ";").split(";")}


def called_number(request: Request) -> str:
    """The number an INVITE is for: its Request-URI, else To; "" when neither is a number."""
    try:
        number = number_of(parse_uri(request.uri))
    except ProtocolError:
        number = ""
    return number or number_of(request.to.uri)


def dialled(request: Request) -> str:
    """What a seat dialled, as dialled: the user part of the Request-URI, at most NUMBER_MOST_CHARS, else ""."""
    try:
        number = dialled_in(parse_uri(request.uri))
    except ProtocolError:
        return ""
    return number if len(number) <= NUMBER_MOST_CHARS else ""


def dialled_in(uri: Uri) -> str:
    """The user part of a URI without its parameters, but for the phone-context that says whose local number it is: that
    of a country or area goes before it (RFC 3966 §5.1.5). ProtocolError where they cannot be read."""
    number, _, inside = uri.user.partition(";")
    context = param((*parse_params(inside), *uri.params), "phone-context") or ""
    return number if number.startswith("+") or not context.startswith("+") else context + number


def _addresses(request: Request, name: str) -> list[NameAddr]:
    found = []
    for value in request.headers.all(name):
        try:
            found.append(parse_name_addr(value))
        except ProtocolError:
            continue
    return found
