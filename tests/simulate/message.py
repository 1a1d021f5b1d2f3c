"""SIP messages as a peer of the simulation reads them: a small parser of its own, and framing on connections."""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Message:
    """method "" in a response. fields: lower-case name → values."""

    method: str
    status: int
    fields: dict[str, list[str]]
    body: str

    def first(self, name: str) -> str:
        return self.fields.get(name, [""])[0]

    @property
    def asked(self) -> str:
        """The method of the request that this is, or answers."""
        return self.method or self.first("cseq").split()[-1]

    @property
    def branch(self) -> str:
        return param(self.first("via"), "branch")


_LONG = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}


def parse(data: bytes) -> Message | None:
    """None for what is no SIP message."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            fields.setdefault(_LONG.get(name, name), []).append(value.strip())
    words = first.split(" ", 2)
    if first.startswith("SIP/2.0 ") and words[1].isdigit():
        return Message("", int(words[1]), fields, body)
    if len(words) == 3 and words[2] == "SIP/2.0":
        return Message(words[0], 0, fields, body)
    return None


def param(value: str, name: str) -> str:
    match = re.search(rf";\s*{name}=([^;>\s]+)", value)
    return match[1] if match else ""


def uri_of(value: str) -> str:
    match = re.search(r"<([^>]*)>", value)
    return match[1] if match else value.split(";")[0]


class Framer:
    """Whole messages out of the bytes of a connection; what lies between them but line ends is wrong."""

    def __init__(self, wrong: Callable[[str, str], None]) -> None:
        self._wrong = wrong
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer = (self._buffer + data).lstrip(b"\r\n")
        found = []
        while b"\r\n\r\n" in self._buffer:
            head = self._buffer.partition(b"\r\n\r\n")[0]
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if length is None:
                self._wrong("a message on a connection tells its length", head[:80].decode("latin-1"))
                self._buffer = b""
                break
            size = len(head) + 4 + int(length[1])
            if len(self._buffer) < size:
                break
            found.append(self._buffer[:size])
            self._buffer = self._buffer[size:].lstrip(b"\r\n")
        return found
