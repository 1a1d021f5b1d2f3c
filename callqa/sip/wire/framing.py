"""SIP messages out of a stream of bytes (RFC 3261 §18.3): framed by Content-Length, with hard limits.

Total: any bytes give messages, keep-alives or ProtocolError, in time linear in their number; after an error the stream
has no frame any more and its connection is closed. It does not parse the messages (message.py does, once for all
transports).
"""

import re

from callqa.errors import ProtocolError
from callqa.sip.wire.message import DATAGRAM_MOST_BYTES, HEADER_BLOCK_MOST_BYTES

BODY_MOST_BYTES = DATAGRAM_MOST_BYTES - HEADER_BLOCK_MOST_BYTES
PING = b"\r\n\r\n"  # RFC 5626 §3.5.1
PONG = b"\r\n"
_END = re.compile(rb"\r\n\r\n|\n\n|\n\r\n")
_LENGTH = re.compile(rb"(?:^|\n)(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)", re.IGNORECASE)


class StreamFramer:
    """One direction of one connection. pings: how many keep-alives came and want their answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no end of headers before here
        self._wanted = 0  # length of the message whose headers are complete; 0 = not known yet
        self.pings = 0

    @property
    def waiting(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and give the whole messages in it. ProtocolError: close the connection."""
        self._buffer += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> bytes | None:
        if not self._wanted:
            self._drop_keepalives()
            end = _END.search(self._buffer, max(0, self._searched - 3), HEADER_BLOCK_MOST_BYTES)
            if end is None:
                if len(self._buffer) >= HEADER_BLOCK_MOST_BYTES:
                    raise ProtocolError(f"no end of headers within {HEADER_BLOCK_MOST_BYTES} bytes of the stream")
                self._searched = len(self._buffer)
                return None
            self._wanted = end.end() + _body_length(bytes(self._buffer[: end.start()]))
        if len(self._buffer) < self._wanted:
            return None
        message = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._searched = self._wanted = 0
        return message

    def _drop_keepalives(self) -> None:
        n = 0
        while n < len(self._buffer) and self._buffer[n] in b"\r\n":
            n += 1
        if n:
            self.pings += n // len(PING)
            del self._buffer[:n]
            self._searched = 0


def _body_length(block: bytes) -> int:
    """Content-Length of a header block; without one there is no body (what TCP peers leave out, they do not send)."""
    values = {v.strip() for v in _LENGTH.findall(block)}
    if not values:
        return 0
    text = values.pop()
    if values or re.fullmatch(rb"[0-9]{1,10}", text) is None or int(text) > BODY_MOST_BYTES:
        raise ProtocolError(f"Content-Length is {text[:40]!r}, expected one number up to {BODY_MOST_BYTES}")
    return int(text)
