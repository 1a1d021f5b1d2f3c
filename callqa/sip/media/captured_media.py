"""Media of captures that is not plain RTP of a signalled call: encrypted with keys in the captured SDP, or without signalling."""

from collections.abc import Iterable, Sequence

from callqa.sip.media.captured import CapturedCall, Party, may_be_rtp
from callqa.sip.media.layers import Address, Datagram
from callqa.sip.media.srtp import Unlocker
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdes import CryptoLine
from callqa.sip.wire.sdp import G711

FEWEST_PACKETS = 50  # a second of speech: less is chance, or somebody probing
FLOWS_MOST = 2000
QUIET_NS = 60_000_000_000  # after so long the same two addresses have another call


def unlock_call(call: CapturedCall) -> int:
    """Put plain RTP in the place of a call's encrypted packets; how many could not be unlocked, those are left out.

    A call is encrypted where both descriptions have keys. Each party's keys are tried in the order they were told, the
    last that fitted first.
    """
    if not all(session.crypto for session in call.sessions.values()) or len(call.sessions) < len(Party):
        return 0
    lockers = {party: _unlockers(call.crypto[party], call.crypto[party.other]) for party in Party}
    plain: list[tuple[int, Party, bytes]] = []
    failed = 0
    for at_ns, party, data in call.packets:
        found = _unlock(lockers[party], data)
        if found is None:
            failed += 1
        else:
            plain.append((at_ns, party, found))
    call.packets = plain
    return failed


def _unlockers(own: Sequence[CryptoLine], others: Sequence[CryptoLine]) -> list[Unlocker]:
    shared = {line.suite for line in others}
    return [Unlocker(line.suite, line.key) for line in own if line.suite in shared]


def _unlock(unlockers: list[Unlocker], data: bytes) -> bytes | None:
    for i, unlocker in enumerate(unlockers):
        plain = unlocker.unlock(data)
        if plain is not None:
            if i:
                unlockers.insert(0, unlockers.pop(i))
            return plain
    return None


def calls_without_signalling(datagrams: Iterable[Datagram]) -> list[CapturedCall]:
    """RTP between two addresses as a call between two unknown parties, the first sender as the caller. G.711 only is sure:
    nobody said what other numbers mean, but for the static ones of RFC 3551."""
    flows: dict[tuple[Address, Address], list[Datagram]] = {}
    done: list[list[Datagram]] = []
    for datagram in datagrams:
        if datagram.stream or not may_be_rtp(datagram.data):
            continue
        key = min(datagram.source, datagram.destination), max(datagram.source, datagram.destination)
        if key in flows and datagram.at_ns - flows[key][-1].at_ns > QUIET_NS:
            done.append(flows.pop(key))
        if key not in flows and len(flows) >= FLOWS_MOST:
            continue
        flows.setdefault(key, []).append(datagram)
    found = [_call_of(flow) for flow in (*done, *flows.values()) if len(flow) >= FEWEST_PACKETS]
    return sorted(found, key=lambda call: call.started_ns)


def _call_of(flow: list[Datagram]) -> CapturedCall:
    first, last = flow[0], flow[-1]
    name = f"{first.at_ns}-{_say(first.source)}-{_say(first.destination)}"
    headers = Headers.of(
        ("From", "<sip:anonymous@anonymous.invalid>;tag=a"), ("To", "<sip:anonymous@anonymous.invalid>"),
        ("Call-ID", name), ("CSeq", "1 INVITE"),
    )  # fmt: skip
    invite = Request("INVITE", "sip:anonymous@anonymous.invalid", headers)
    call = CapturedCall(name, invite, first.at_ns, (first.source, first.destination), "a", "b")
    call.answered_ns, call.ended_ns = first.at_ns, last.at_ns
    static = tuple((number, named) for number, named in ((8, G711[0]), (0, G711[1])))
    call.media = [(first.at_ns, party, static, False) for party in Party]
    call.packets = [(d.at_ns, Party.CALLER if d.source == first.source else Party.CALLEE, d.data) for d in flow]
    return call


def _say(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
