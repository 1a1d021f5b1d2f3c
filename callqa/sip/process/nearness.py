"""How near the sender of a datagram is to what the signalling said of a leg's peer. Values only."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Self

from callqa.sip.events import Address

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Nearness(IntEnum):
    """How a sender's address fits what the signalling said of the peer."""

    ELSEWHERE = 0  # some carriers send from another machine than they name; nobody nearer was heard
    LISTED = 1  # one of the addresses of the trunk that the call goes through
    SAME_HOST = 2  # the host of its SDP, or the one its SIP comes from (NAT)
    NAMED = 3  # the address in its SDP


@dataclass(frozen=True, slots=True)
class Listed:
    """A trunk's addresses, made ready to be asked about at each stranger's datagram."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, addresses: Iterable[str]) -> Self:
        """Single addresses and networks such as 10.0.0.0/24; what is neither lists nobody."""
        each = tuple(addresses)
        networks = tuple(n for n in map(_network, (a for a in each if "/" in a)) if n is not None)
        return cls(frozenset(a for a in each if "/" not in a), networks)

    def __contains__(self, host: str) -> bool:
        if host in self.hosts:
            return True
        if not self.networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


NOBODY_LISTED = Listed()


@lru_cache(64)
def listed(addresses: tuple[str, ...]) -> Listed:
    """The same, made once for each trunk."""
    return Listed.of(addresses) if addresses else NOBODY_LISTED


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def nearness(address: Address, remote: Address | None, signalling_host: str, trunk: Listed) -> Nearness:
    """remote: the address in the peer's SDP; signalling_host: where its SIP comes from."""
    if address == remote:
        return Nearness.NAMED
    if address[0] == signalling_host or (remote is not None and address[0] == remote[0]):
        return Nearness.SAME_HOST
    return Nearness.LISTED if address[0] in trunk else Nearness.ELSEWHERE
