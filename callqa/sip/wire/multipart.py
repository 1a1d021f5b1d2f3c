"""Multipart bodies (RFC 2046 §5.1, RFC 5621): the parts of a body by type. Bounded and total; a part without its final
boundary ends with the body, as some recording clients write it. Nested multiparts are not opened.
"""

import re

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import param, parse_params

PARTS_MOST = 16
_HEAD_MOST_BYTES = 4_096


def content_type(value: str | None) -> str:
    """The type of a body, lower case, without parameters; SDP where nothing is said."""
    return (value or "application/sdp").partition(";")[0].strip().lower()


def sdp_of(value: str | None, body: bytes) -> bytes | None:
    """The SDP of a body: all of it, or its first SDP part; None where it has none. value: Content-Type."""
    kind = content_type(value)
    if kind == "application/sdp":
        return body
    if not kind.startswith("multipart/"):
        return None
    return next((part for name, part in parts_of(value or "", body) if name == "application/sdp"), None)


def parts_of(value: str, body: bytes) -> list[tuple[str, bytes]]:
    """(type, content) of every part. ProtocolError without a usable boundary."""
    boundary = param(parse_params(value.partition(";")[2]), "boundary") or ""
    if not 0 < len(boundary) <= 70 or not boundary.isascii() or not boundary.isprintable():
        raise ProtocolError(f"multipart boundary {boundary[:80]!r} has not 1 to 70 printable characters")
    line = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r?\n|$)")
    pieces: list[bytes] = []
    at = None
    for match in line.finditer(body):
        if at is not None:
            pieces.append(body[at : match.start()])
        at = match.end()
        if match[1] or len(pieces) >= PARTS_MOST:
            at = None
            break
    if at is not None:
        pieces.append(body[at:])
    return [_part(p) for p in pieces]


def _part(piece: bytes) -> tuple[str, bytes]:
    if piece.startswith((b"\r\n", b"\n")):  # no headers at all
        return "text/plain", piece.lstrip(b"\r\n")
    end = re.search(rb"\r?\n\r?\n", piece[:_HEAD_MOST_BYTES])
    head, content = (piece[: end.start()], piece[end.end() :]) if end else (piece, b"")
    found = re.search(rb"(?:^|\n)content-type[ \t]*:([^\r\n]*)", head, re.IGNORECASE)
    return content_type(found[1].decode("ascii", "replace") if found else "text/plain"), content
