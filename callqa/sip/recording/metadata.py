"""What a recording client tells of the call it records: RFC 7865, its drafts, and relatives of its own making.

Elements are known by their local name whatever the namespace: `urn:ietf:params:xml:ns:recording:1`, the drafts' one without
number, none at all, and BroadWorks' own root are all on the wire. Identifiers may stand in `participant_id`, `id` or
`participantid`, addresses in nameID's `aor` or in an element. Nothing here refuses: what cannot be read is told as a problem.

Does not do: the times of RFC 7865 (our own clock orders what happens), and names in several languages (the first counts).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from callqa.sip.wire.headers import plain
from callqa.sip.wire.xml_tree import Node, read_xml

PARTICIPANTS_MOST = 32
NAME_MOST_CHARS = 128
_IDS = {kind: (f"{kind}_id", f"{kind}id", "id", kind) for kind in ("participant", "stream")}


class Role(StrEnum):
    """Who called whom, where it is told."""

    CALLING = "calling"
    CALLED = "called"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody on the call. key: what the client calls him; address: a URI or a bare number. ours: told to be the agent."""

    key: str
    name: str = ""
    address: str = ""
    role: Role = Role.UNKNOWN
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """One document. streams: (key, label); sends: (participant, stream); gone: participants who left; call_keys: what names
    the call itself, for whoever sees several sessions of it; partial: the rest stays as it was told before."""

    partial: bool = False
    participants: tuple[Participant, ...] = ()
    streams: tuple[tuple[str, str], ...] = ()
    sends: tuple[tuple[str, str], ...] = ()
    gone: frozenset[str] = frozenset()
    call_keys: tuple[str, ...] = ()
    problem: str = ""


def read_metadata(data: bytes) -> Metadata:
    """Read one document; problem says what is wrong with it, and what stood before that is kept."""
    root, problem = read_xml(data)
    if root is None:
        return Metadata(problem=problem or "empty document")
    nodes = root.walk()
    mode = next((n.text.lower() for n in nodes if n.name == "datamode" and n.text), "complete")
    participants = list(_participants(nodes)) or list(_numbers(root))
    return Metadata(
        mode in ("partial", "update"),
        tuple(participants[:PARTICIPANTS_MOST]),
        tuple(_streams(nodes)),
        tuple(_sends(nodes)),
        frozenset(_gone(nodes)),
        tuple(key for key in dict.fromkeys(_call_keys(nodes)) if key),
        problem,
    )


def _id(node: Node, kind: str) -> str:
    return plain(node.attribute(*_IDS[kind]))


def _participants(nodes: list[Node]) -> Iterator[Participant]:
    for node in nodes:
        if node.name != "participant":
            continue
        address = next((n.attribute("aor") for n in node.walk() if n.attribute("aor")), "") or node.first("aor")
        key = _id(node, "participant") or address
        name = node.first("name", "displayname") or node.attribute("name", "displayname")
        if key:
            yield Participant(key, plain(name)[:NAME_MOST_CHARS], plain(address))


def _streams(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if node.name != "stream":
            continue
        label = node.first("label") or node.attribute("label")
        key = _id(node, "stream") or label
        if key:
            yield key, plain(label)


def _sends(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    """Both the association of RFC 7865 and the drafts' <send> inside of <participant>."""
    for node in nodes:
        if node.name not in ("participantstreamassoc", "participant"):
            continue
        who = _id(node, "participant")
        for child in node.children:
            what = plain(child.text or _id(child, "stream"))
            if child.name == "send" and who and what:
                yield who, what


def _gone(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if node.name == "participantsessionassoc" and node.first("disassociate-time", "disassociatetime"):
            yield _id(node, "participant")


# Roots of their own tell numbers, not participants. BroadWorks: the half of the call that is its user's says which is ours.
_CALLING = ("callingpartynumber", "callingparty", "caller", "calling", "ani", "from")
_CALLED = ("calledpartynumber", "calledparty", "callee", "called", "dnis", "to")
_CALLING_NAME, _CALLED_NAME = ("callingpartyname", "callername"), ("calledpartyname", "calleename")


def _numbers(root: Node) -> Iterator[Participant]:
    halves = {node.name for node in root.walk()}
    ours = Role.CALLING if "origcall" in halves else Role.CALLED if "termcall" in halves else Role.UNKNOWN
    for role, numbers, names in ((Role.CALLING, _CALLING, _CALLING_NAME), (Role.CALLED, _CALLED, _CALLED_NAME)):
        number = root.first(*numbers)
        if number:
            yield Participant(
                role.value, plain(root.first(*names))[:NAME_MOST_CHARS], plain(number), role, role is ours
            )


# Element -> how the key is called; all of them name one call across recording sessions.
_KEYS = {
    "ucid": "UCID", "gucid": "UCID", "guid": "GUID", "ciscoguid": "GUID", "cisco-guid": "GUID", "refci": "REFCI",
    "x-refci": "REFCI", "exttrackingid": "TRACKING", "calluuid": "UUID",
}  # fmt: skip


def _call_keys(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if node.name in _KEYS:
            yield call_key(_KEYS[node.name], node.text)
        elif node.name == "session":
            yield call_key("SESSION", node.attribute("session_id", "sessionid", "id"))


# Avaya's UCID as User-to-User carries it: protocol discriminator, tag FA, eight bytes. Other data there may be the same in
# every call.
UUI_UCID = re.compile(r"(?:00|04)?FA08([0-9A-F]{16})", re.IGNORECASE)
_LEAST_CHARS = {"SESSION": 16}  # unique by RFC 7865, and a mere counter with some


def call_key(kind: str, value: str) -> str:
    """`UCID:0018…` of a value, or "" where it names nothing: too short, or all zeros."""
    packed = UUI_UCID.match(value.strip()) if kind == "UCID" else None
    value = packed[1] if packed else value
    text = re.sub(r"[^0-9A-Za-z@.:+/=_-]", "", value.partition(";")[0]).upper()[:128]
    return f"{kind}:{text}" if len(text) >= _LEAST_CHARS.get(kind, 4) and text.strip("0-") else ""


@dataclass(slots=True)
class Picture:
    """What one session has told so far. A complete document takes the place of all before, a partial one adds. left: who was
    on the call and is no more, because he was said to have left or a later complete document does not name him."""

    participants: dict[str, Participant] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # stream -> label
    sends: set[tuple[str, str]] = field(default_factory=set)
    left: dict[str, Participant] = field(default_factory=dict)

    def take(self, told: Metadata) -> None:
        """Add one document."""
        known = dict(self.participants)
        if not told.partial:
            self.labels.clear()
            self.sends.clear()
            self.participants.clear()
        for p in told.participants:
            before = self.participants.get(p.key)
            if before is None and len(self.participants) >= PARTICIPANTS_MOST:
                continue
            if before is not None:  # an update may name only what is new
                p = Participant(p.key, p.name or before.name, p.address or before.address, p.role, p.ours)
            self.participants[p.key] = p
        self.labels.update(told.streams[: 2 * PARTICIPANTS_MOST])
        again = {who for who, _ in told.sends}
        self.sends = {pair for pair in self.sends if pair[0] not in again} | set(told.sends[: 4 * PARTICIPANTS_MOST])
        self.sends = {pair for pair in self.sends if pair[0] not in told.gone}
        self._see_who_left(told, known)

    def _see_who_left(self, told: Metadata, known: dict[str, Participant]) -> None:
        """A document without participants, or one that breaks off, says of nobody that he is not there."""
        here = {p.key for p in told.participants} - told.gone
        here_too = {self.participants[key].address for key in here if key in self.participants} - {""}
        self.left = {key: p for key, p in self.left.items() if key not in here and p.address not in here_too}
        missing = known.keys() - here if here and not told.partial and not told.problem else frozenset()
        for key in (*told.gone, *missing):
            p = self.participants.get(key) or known.get(key)
            if p is not None and p.address not in here_too and len(self.left) < PARTICIPANTS_MOST:
                self.left.setdefault(key, p)

    def senders(self, label: str) -> tuple[str, ...]:
        """Participants who send the stream of a label."""
        streams = {key for key, known in self.labels.items() if label and known == label} | ({label} - {""})
        return tuple(dict.fromkeys(who for who in self.participants if any((who, s) in self.sends for s in streams)))
