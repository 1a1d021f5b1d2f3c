"""SIP header fields (RFC 3261 §7.3, §20, §25): an immutable list of fields, and the values inside them.

Names are kept in their usual spelling (`Call-ID`, whatever case or compact form came in); the list headers that
matter for routing are split at parse time, one value a field, so that `first("Via")` is the topmost hop.
Every parser here is total: a text gives a value or ProtocolError. It does not parse dates or credentials (auth.py).
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from callqa.errors import ProtocolError

COMPACT = {
    "i": "Call-ID", "m": "Contact", "e": "Content-Encoding", "l": "Content-Length", "c": "Content-Type", "f": "From",
    "s": "Subject", "k": "Supported", "t": "To", "v": "Via", "o": "Event", "r": "Refer-To", "b": "Referred-By",
    "x": "Session-Expires", "u": "Allow-Events", "d": "Request-Disposition", "y": "Identity",
}  # fmt: skip
_USUAL = {
    name.lower(): name
    for name in (
        *COMPACT.values(), "Accept", "Allow", "Authorization", "Contact", "CSeq", "Date", "Diversion", "Expires", "History-Info", "Min-SE", "RAck", "RSeq",
        "Max-Forwards", "Min-Expires", "P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Proxy-Authenticate",
        "Proxy-Authorization", "Proxy-Require", "Reason", "Record-Route", "Remote-Party-ID", "Require", "Retry-After",
        "Route", "Server", "Unsupported", "User-Agent", "User-to-User", "Via", "Warning", "WWW-Authenticate",
        "X-Ticket-Id",
    )
}  # fmt: skip
# Fields whose commas separate values that we look at one by one.
SPLIT = frozenset({"Via", "Route", "Record-Route", "Contact", "P-Asserted-Identity", "Diversion", "History-Info"})

# The same few values are asked for again and again while a message is handled: nine times each, measured.
REMEMBERED = 128

_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_UNESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
_SPECIAL = re.compile(r'[\\"<>,;]')
_NUMBER = re.compile(r"[0-9]{1,10}")
_SENT_BY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?:\s*:\s*([0-9]{1,5}))?")
_URI = re.compile(
    r"(sips?):(?:([^@]*)@)?(\[[0-9A-Fa-f:.]+\]|[^:;?\[\]@]+)(?::([0-9]{1,5}))?([;?].*)?", re.IGNORECASE | re.DOTALL
)


def usual_name(name: str) -> str:
    """The spelling we use for a header name: `v` and `VIA` -> `Via`; an unknown name stays as it came."""
    if len(name) == 1:
        name = COMPACT.get(name.lower(), name)
    return _USUAL.get(name.lower(), name)


def is_token(text: str) -> bool:
    """Whether text is a `token` of RFC 3261 §25.1."""
    return _TOKEN.fullmatch(text) is not None


def parse_number(text: str, what: str, most: int) -> int:
    """A decimal number up to `most`; ProtocolError otherwise."""
    if _NUMBER.fullmatch(text.strip()) is None or int(text) > most:
        raise ProtocolError(f"{what} is {text[:40]!r}, expected a number up to {most}")
    return int(text)


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator (comma or semicolon) that stands outside quotes and angle brackets; parts are stripped, empty ones
    left out."""
    if '"' not in text and "<" not in text:
        return [p for part in text.split(separator) if (p := part.strip())]
    parts, start, quoted, depth, escaped = [], 0, False, 0, -1
    for found in _SPECIAL.finditer(text):
        c, i = found[0], found.start()
        if i == escaped:
            continue
        if quoted:
            if c == "\\":
                escaped = i + 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "<":
            depth += 1
        elif c == ">":
            depth = max(0, depth - 1)
        elif c == separator and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [p for p in parts if p]


@dataclass(frozen=True, slots=True)
class Headers:
    """Fields in order, names in their usual spelling."""

    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, *fields: tuple[str, str | None]) -> "Headers":
        """Build from pairs; a value None leaves the field out."""
        return cls(tuple((usual_name(n), v) for n, v in fields if v is not None))

    def first(self, name: str) -> str | None:
        """Value of the topmost field of that name, or None."""
        for n, v in self.fields:
            if n == name:
                return v
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Values of every field of that name, top to bottom."""
        return tuple(v for n, v in self.fields if n == name)

    def tokens(self, name: str) -> tuple[str, ...]:
        """Comma-separated tokens of every field of that name (Require, Supported, Allow)."""
        return tuple(t for v in self.all(name) for t in split_outside(v, ","))

    def replaced(self, name: str, *values: str) -> "Headers":
        """These headers with all fields of that name replaced, at the place of the first one (else at the end)."""
        kept = [f for f in self.fields if f[0] != name]
        at = next((i for i, f in enumerate(self.fields) if f[0] == name), len(kept))
        return Headers((*kept[:at], *((name, v) for v in values), *kept[at:]))

    def on_top(self, name: str, value: str) -> "Headers":
        """These headers with one more field above all others."""
        return Headers(((name, value), *self.fields))

    def plus(self, *fields: tuple[str, str | None]) -> "Headers":
        """These headers with more fields at the end; None leaves a field out."""
        return Headers((*self.fields, *Headers.of(*fields).fields))


Params = tuple[tuple[str, str | None], ...]


def parse_params(text: str) -> Params:
    """`;a=1;b` -> (("a", "1"), ("b", None)); names in lower case, quotes of a value removed."""
    found: list[tuple[str, str | None]] = []
    for part in split_outside(text, ";"):
        name, equals, value = part.partition("=")
        found.append((name.strip().lower(), unquote(value.strip()) if equals else None))
    return tuple(found)


def plain(text: str) -> str:
    """Text from the wire as it may be stored and shown: bytes in no known encoding become ?, control characters spaces."""
    whole = text.encode("utf-8", "replace").decode() if not text.isascii() else text
    return "".join(c if c.isprintable() else " " for c in whole) if not whole.isprintable() else whole


def unquote(text: str) -> str:
    """The inside of a quoted string; other text as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def quote(text: str) -> str:
    """A quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def param(params: Params, name: str) -> str | None:
    """Value of a parameter; "" for one without value, None where it is absent."""
    return next((v or "" for n, v in params if n == name), None)


@dataclass(frozen=True, slots=True)
class Uri:
    """A sip, sips, tel or other URI. user, host and port are only filled for sip and sips (user also for tel)."""

    scheme: str
    user: str = ""
    host: str = ""
    port: int | None = None
    params: Params = ()
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return (
            self.text
            or f"{self.scheme}:{f'{self.user}@' if self.user else ''}{self.host}{f':{self.port}' if self.port else ''}"
        )


def _check_host(host: str) -> None:
    """RFC 5118: what stands in brackets is an IPv6 address; an old grammar allowed others."""
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError as e:
            raise ProtocolError(f"host {host[:60]!r} is no IPv6 address") from e


@lru_cache(REMEMBERED)
def parse_uri(text: str) -> Uri:
    """Read a URI. Passwords are dropped from `user`; anything with a scheme is a URI, else ProtocolError."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not is_token(scheme) or re.search(r"[\s<>\"]", text):
        raise ProtocolError(f"{text[:60]!r} is no URI")
    scheme = scheme.lower()
    if scheme == "tel":
        number, _, params = rest.partition(";")
        return Uri("tel", number, params=parse_params(params), text=text)
    if scheme not in ("sip", "sips"):
        return Uri(scheme, text=text)
    match = _URI.fullmatch(text)
    if match is None:
        raise ProtocolError(f"{text[:60]!r} is no SIP URI")
    _check_host(match[3])
    port = parse_number(match[4], "port", 65535) if match[4] else None
    params = (match[5] or "").partition("?")[0]
    return Uri(scheme, (match[2] or "").partition(":")[0], match[3].lower(), port, parse_params(params), text)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """Value of From, To, Contact, Route …: display name, URI, header parameters."""

    uri: Uri
    display: str = ""
    params: Params = ()

    def param(self, name: str) -> str | None:
        """Value of a header parameter, None where it is absent."""
        return param(self.params, name)

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>" + "".join(
            f";{n}" if v is None else f";{n}={v if is_token(v) else quote(v)}" for n, v in self.params
        )


@lru_cache(REMEMBERED)
def parse_name_addr(text: str) -> NameAddr:
    """Read `"张三" <sip:a@b;lr>;tag=1`, `张三 <sip:a@b>` or `sip:a@b;tag=1` (there the parameters are the header's)."""
    text = text.strip()
    if text.count('"') % 2 and _UNESCAPED_QUOTE.subn("", text)[1] % 2:
        raise ProtocolError(f"address {text[:60]!r} lacks a closing quote")
    pieces = split_outside(text, ";")
    if not pieces:
        raise ProtocolError("address is empty")
    address, rest = pieces[0], text[text.find(pieces[0]) + len(pieces[0]) :]
    if "<" in address:
        before, _, inside = address.rpartition("<") if not address.startswith("<") else ("", "<", address[1:])
        if not inside.endswith(">"):
            raise ProtocolError(f"address {text[:60]!r} lacks its closing >")
        return NameAddr(parse_uri(inside[:-1]), unquote(before.strip()), parse_params(rest))
    return NameAddr(parse_uri(address), "", parse_params(rest))


@dataclass(frozen=True, slots=True)
class Via:
    """One hop. host without brackets is never needed: IPv6 keeps them."""

    transport: str
    host: str
    port: int | None
    params: Params

    @property
    def branch(self) -> str:
        return param(self.params, "branch") or ""

    @property
    def sent_by(self) -> str:
        return f"{self.host.lower()}:{self.port or 5060}"

    def __str__(self) -> str:
        at = f":{self.port}" if self.port else ""
        return f"SIP/2.0/{self.transport} {self.host}{at}" + "".join(
            f";{n}" if v is None else f";{n}={v}" for n, v in self.params
        )


_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9-]+)\s+([^;\s]+(?:\s*:\s*[0-9]+)?)\s*(;.*)?", re.IGNORECASE | re.DOTALL
)


@lru_cache(REMEMBERED)
def parse_via(text: str) -> Via:
    """Read one Via value."""
    match = _VIA.fullmatch(text.strip())
    sent_by = _SENT_BY.fullmatch(match[2]) if match else None
    if match is None or sent_by is None:
        raise ProtocolError(f"Via {text[:80]!r} is not SIP/2.0/transport host[:port]")
    _check_host(sent_by[1])
    port = parse_number(sent_by[2], "port in Via", 65535) if sent_by[2] else None
    return Via(match[1].upper(), sent_by[1], port, parse_params(match[3] or ""))


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


CSEQ_MOST = 2**31 - 1  # RFC 3261 §8.1.1.5


def parse_cseq(text: str) -> CSeq:
    """Read `1 INVITE`."""
    parts = text.split()
    if len(parts) != 2 or not is_token(parts[1]):
        raise ProtocolError(f"CSeq {text[:40]!r} is not a number and a method")
    return CSeq(parse_number(parts[0], "CSeq", CSEQ_MOST), parts[1])


def one_line(values: Iterable[str]) -> str:
    """Comma list for one field."""
    return ", ".join(values)
