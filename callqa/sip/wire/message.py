"""SIP messages: bytes of one UDP datagram <-> requests and responses (RFC 3261 §7, §18.3).

Total: any bytes give a message or ProtocolError, in time linear in their length. A message that leaves the parser
has a readable top Via, From, To, Call-ID and CSeq, so the rest of the core need not check again.
Content-Length is not kept among the headers: it is written anew from the body. It does not frame streams (TCP).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import (
    REMEMBERED,
    SPLIT,
    CSeq,
    Headers,
    NameAddr,
    Via,
    is_token,
    parse_cseq,
    parse_name_addr,
    parse_number,
    parse_uri,
    parse_via,
    split_outside,
    usual_name,
)

DATAGRAM_MOST_BYTES = 65_535  # what UDP can carry
HEADER_BLOCK_MOST_BYTES = 16_384  # real INVITEs stay under 4 kB; SBCs with long Record-Route under 8 kB
FIELDS_MOST = 200  # after splitting lists; RFC 4475's longest message has about 50
URI_MOST_CHARS = 2_048
_FORWARDS_MOST = 255
_FORWARDS_USUAL = 70
VERSION = "SIP/2.0"
_END_OF_HEADERS = re.compile(rb"\r\n\r\n|\n\n|\n\r\n")

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
    202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
    415: "Unsupported Media Type", 420: "Bad Extension", 423: "Interval Too Brief", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
    501: "Not Implemented", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}  # fmt: skip


class _Headed:
    """What the headers of requests and responses alike tell."""

    __slots__ = ()
    headers: Headers

    @property
    def via(self) -> Via:
        return parse_via(self.headers.first("Via") or "")

    @property
    def cseq(self) -> CSeq:
        return parse_cseq(self.headers.first("CSeq") or "")

    @property
    def call_id(self) -> str:
        return self.headers.first("Call-ID") or ""

    @property
    def to(self) -> NameAddr:
        return parse_name_addr(self.headers.first("To") or "")

    @property
    def to_tag(self) -> str:
        return self.to.param("tag") or ""


@dataclass(frozen=True, slots=True)
class Request(_Headed):
    """A request. uri: the Request-URI as text."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} {VERSION}"

    @property
    def from_(self) -> NameAddr:
        return parse_name_addr(self.headers.first("From") or "")

    @property
    def from_tag(self) -> str:
        return self.from_.param("tag") or ""

    @property
    def forwards(self) -> int:
        """Max-Forwards; ProtocolError where it is none."""
        text = self.headers.first("Max-Forwards")
        return parse_number(text, "Max-Forwards", _FORWARDS_MOST) if text is not None else _FORWARDS_USUAL


@dataclass(frozen=True, slots=True)
class Response(_Headed):
    """A response."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def start_line(self) -> str:
        return f"{VERSION} {self.status} {self.reason}"


Message = Request | Response


def is_keepalive(data: bytes) -> bool:
    """Whether a datagram is only a keep-alive (CRLFs, or the zero bytes that some phones send)."""
    return not data.strip(b"\r\n\0 ")


def parse_message(data: bytes) -> Message:
    """Read one datagram. Bytes after Content-Length are cut; without it the body is the rest. ProtocolError otherwise."""
    if len(data) > DATAGRAM_MOST_BYTES:
        raise ProtocolError(f"message has {len(data)} bytes, limit {DATAGRAM_MOST_BYTES}")
    data = data.lstrip(b"\r\n")
    end = _END_OF_HEADERS.search(data, 0, HEADER_BLOCK_MOST_BYTES)
    if end is None:
        raise ProtocolError(f"no end of headers within {min(len(data), HEADER_BLOCK_MOST_BYTES)} bytes")
    lines = _unfold(_text(data[: end.start()]))
    fields = _fields(lines[1:])
    body = data[end.end() :]
    lengths = {v.strip() for n, v in fields if n == "Content-Length"}
    if len(lengths) > 1:
        raise ProtocolError(f"Content-Length is given {len(lengths)} times, differently")
    if lengths:
        length = parse_number(lengths.pop(), "Content-Length", DATAGRAM_MOST_BYTES)
        if length > len(body):
            raise ProtocolError(f"body has {len(body)} bytes, Content-Length says {length}")
        body = body[:length]
    message = _start(lines[0], Headers(tuple([f for f in fields if f[0] != "Content-Length"])), body)
    _check(message)
    return message


def serialise(message: Message) -> bytes:
    """The datagram of a message; Content-Length last. Line breaks inside a value become spaces (no header injection)."""
    lines = [message.start_line, *(f"{n}: {_flat(v)}" for n, v in message.headers.fields)]
    lines.append(f"Content-Length: {len(message.body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + message.body


def _flat(value: str) -> str:
    return re.sub(r"[\r\n]+", " ", value) if "\r" in value or "\n" in value else value


def _text(block: bytes) -> str:
    """RFC 3261 says UTF-8; older Chinese PBXs send display names in GB18030. Neither: bytes are carried through."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return block.decode(encoding)
        except UnicodeDecodeError:
            continue
    return block.decode("utf-8", "surrogateescape")


def _unfold(block: str) -> list[str]:
    lines: list[str] = []
    for line in re.split(r"\r\n|\n|\r", block):
        if line[:1] in (" ", "\t") and len(lines) > 1:
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return lines


@lru_cache(REMEMBERED)
def _field_name(text: str) -> str:
    """A header name in its usual spelling, or "" where it is none."""
    name = usual_name(text.strip())
    return name if is_token(name) else ""


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in lines:
        before, colon, value = line.partition(":")
        name = _field_name(before)
        if not colon or not name:
            raise ProtocolError(f"header line {line[:60]!r} is not name: value")
        if name in SPLIT:
            fields += [(name, v) for v in split_outside(value, ",")]
        else:
            fields.append((name, value.strip()))
        if len(fields) > FIELDS_MOST:
            raise ProtocolError(f"more than {FIELDS_MOST} header fields")
    return fields


def is_request_uri(text: str) -> bool:
    """Whether it can stand in a start line: not empty, not endless, no blanks or control characters in it."""
    return 0 < len(text) <= URI_MOST_CHARS and text.isprintable() and " " not in text


def _start(line: str, headers: Headers, body: bytes) -> Message:
    parts = line.split(" ", 2)
    if parts[0].upper() == VERSION:
        if len(parts) < 2 or re.fullmatch(r"[1-6][0-9][0-9]", parts[1]) is None:
            raise ProtocolError(f"status line {line[:60]!r} has no status from 100 to 699")
        return Response(int(parts[1]), parts[2] if len(parts) > 2 else "", headers, body)
    if len(parts) != 3 or parts[2].strip().upper() != VERSION or not is_token(parts[0]):
        raise ProtocolError(f"start line {line[:60]!r} is no SIP/2.0 request or status line")
    if not is_request_uri(parts[1]):
        raise ProtocolError(f"Request-URI has {len(parts[1])} characters or unprintable ones, limit {URI_MOST_CHARS}")
    return Request(parts[0], parts[1], headers, body)


_ONCE = ("From", "To", "Call-ID", "CSeq")


def _check(message: Message) -> None:
    names = [n for n, _ in message.headers.fields]
    for name in _ONCE:
        if names.count(name) != 1:
            raise ProtocolError(f"{name} occurs {names.count(name)} times, needs 1")
    if not message.call_id:
        raise ProtocolError("Call-ID is empty")
    parse_name_addr(message.headers.first("From") or "")
    parse_name_addr(message.headers.first("To") or "")
    parse_via(message.headers.first("Via") or "")
    cseq = message.cseq
    if isinstance(message, Request):
        parse_uri(message.uri)
    if isinstance(message, Request) and cseq.method != message.method:
        raise ProtocolError(f"CSeq says {cseq.method}, the request is {message.method}")


def reply(
    request: Request,
    status: int,
    *,
    to_tag: str = "",
    fields: tuple[tuple[str, str | None], ...] = (),
    body: bytes = b"",
) -> Response:
    """The response to a request with the headers RFC 3261 §8.2.6 copies. to_tag: added where To has none yet."""
    to = request.headers.first("To") or ""
    if to_tag and not request.to_tag:
        to = f"{to};tag={to_tag}"
    headers = Headers.of(
        *(("Via", v) for v in request.headers.all("Via")),
        *(("Record-Route", v) for v in request.headers.all("Record-Route") if 100 < status < 300),
        ("From", request.headers.first("From")),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", str(request.cseq)),
        *fields,
        ("Content-Type", "application/sdp" if body else None),
    )
    return Response(status, REASONS.get(status, "Unknown"), headers, body)
