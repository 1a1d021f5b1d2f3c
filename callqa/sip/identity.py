"""Who calls and who is called, in canonical numbers (matching.canonical_number); a withheld caller is "".

Order for a trusted peer (a trunk): P-Asserted-Identity, Remote-Party-ID, From (RFC 3325 §9.1). What asks for privacy
stays withheld, even when the network told us the number (RFC 3323). Diversion is not read.
"""

from callqa.errors import ProtocolError
from callqa.matching import canonical_number
from callqa.sip.headers import NameAddr, Uri, parse_name_addr, parse_uri
from callqa.sip.message import Request

NUMBER_MOST_CHARS = 40
_PRIVATE = frozenset({"id", "user", "header", "critical"})


def number_of(uri: Uri) -> str:
    """Canonical number of a sip or tel URI, or ""."""
    return canonical_number(uri.user) if len(uri.user) <= NUMBER_MOST_CHARS else ""


def caller_number(request: Request) -> str:
    """The citizen's number of an INVITE that a trunk sent, or "" when withheld or no number."""
    privacy = {p.strip().lower() for v in request.headers.all("Privacy") for p in v.replace(",", ";").split(";")}
    sender = request.from_
    if privacy & _PRIVATE or sender.uri.user.lower() == "anonymous" or sender.uri.host == "anonymous.invalid":
        return ""
    parties = [*_addresses(request, "P-Asserted-Identity"), *_addresses(request, "Remote-Party-ID")]
    if any((p.param("privacy") or "off").lower() not in ("off", "name") for p in parties):
        return ""
    return next((n for n in (number_of(p.uri) for p in (*parties, sender)) if n), "")


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
        user = parse_uri(request.uri).user
    except ProtocolError:
        return ""
    return user if len(user) <= NUMBER_MOST_CHARS else ""


def _addresses(request: Request, name: str) -> list[NameAddr]:
    found = []
    for value in request.headers.all(name):
        try:
            found.append(parse_name_addr(value))
        except ProtocolError:
            continue
    return found
