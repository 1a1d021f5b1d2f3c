"""XML as a tree of local names, from hostile hands: no DTD, no entities but the five, bounded; total.

What comes before an error is kept, because recording clients cut their documents off or forget to escape a name.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

BYTES_MOST = 65_536  # a SIP message is not longer
ELEMENTS_MOST = 2_000  # a conference of twenty has some two hundred
DEPTH_MOST = 32
TEXT_MOST_CHARS = 1_024  # of one element or attribute
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9_-]{1,20})[\"'][^>]*\?>", re.IGNORECASE)
_CHINESE = frozenset({"gb2312", "gbk", "gb18030"})


@dataclass(slots=True)
class Node:
    """One element. name and the names of attributes: local, lower case; text: what stands directly in it, stripped."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def walk(self) -> list["Node"]:
        """This element and all below it, in order."""
        found = [self]
        for child in self.children:
            found += child.walk()
        return found

    def first(self, *names: str) -> str:
        """Text of the first element below of one of these names, or ""."""
        return next((node.text for node in self.walk()[1:] if node.name in names and node.text), "")

    def attribute(self, *names: str) -> str:
        """Value of the first of these attributes that it has, or ""."""
        for name in names:
            value = self.attributes.get(name)
            if value:
                return value
        return ""


class _Stop(Exception):
    """A bound was reached, or something forbidden came."""


@dataclass(slots=True)
class _Builder:
    root: Node | None = None
    open: list[Node] = field(default_factory=list)
    count: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > ELEMENTS_MOST or len(self.open) >= DEPTH_MOST:
            raise _Stop(f"more than {ELEMENTS_MOST} elements or {DEPTH_MOST} levels")
        known = {_local(n): v[:TEXT_MOST_CHARS] for n, v in attributes.items()}
        node = Node(_local(name), known)
        if self.open:
            self.open[-1].children.append(node)
        elif self.root is None:
            self.root = node
        self.open.append(node)

    def end(self, name: str) -> None:
        node = self.open.pop()
        node.text = node.text.strip()

    def text(self, data: str) -> None:
        if self.open and len(self.open[-1].text) < TEXT_MOST_CHARS:
            self.open[-1].text += data[: TEXT_MOST_CHARS - len(self.open[-1].text)]

    def forbidden(self, *_: object) -> None:
        raise _Stop("document type or entity declaration")


def read_xml(data: bytes) -> tuple[Node | None, str]:
    """(root, "") of a document; with what is wrong where it is not well-formed, and then as much as stood before."""
    builder = _Builder()
    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.forbidden
    parser.EntityDeclHandler = builder.forbidden
    problem = ""
    try:
        parser.Parse(_utf8(data[:BYTES_MOST]), True)
    except (expat.ExpatError, _Stop) as e:
        problem = str(e)
    for node in builder.open:
        node.text = node.text.strip()
    return builder.root, problem


def _utf8(data: bytes) -> bytes:
    """The document in UTF-8, whatever it says or is in, from its first <."""
    said = _DECLARATION.match(data)
    named = said[1].decode("ascii").lower() if said else ""
    text = ""
    for encoding in (*(("gb18030",) if named in _CHINESE else ()), "utf-8-sig", "gb18030", "latin-1"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    start = text.find("<")
    return (text[start:] if start >= 0 else text).rstrip("\0 \r\n\t").encode("utf-8", "replace")


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()
