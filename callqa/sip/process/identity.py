"""Names the recorder gives: call_ids, tokens for tags and branches, its own address as each peer sees it."""

import base64
import hashlib
import ipaddress
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

_NODE_CHARS = 4
_RANDOM_CHARS = 6
ROUTE_KEPT_S = 60.0  # our address may change (DHCP, another uplink); asking the system costs some microseconds
ROUTES_MOST = 1024


def node_name() -> str:
    """Four characters [2-7A-Z] that tell this machine's call_ids from another's."""
    digest = hashlib.sha256(socket.gethostname().encode()).digest()
    return base64.b32encode(digest).decode()[:_NODE_CHARS]


def call_ids(
    node: str,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Callable[[], str]:
    """A maker of call_ids such as `20261122T054346123Z-K7QD-8F3K2M`: [0-9A-Z-], in order of time, never twice."""
    last_ms = 0

    def make() -> str:
        nonlocal last_ms
        last_ms = max(now_ms(), last_ms + 1)  # two calls in one millisecond still sort
        at = datetime.fromtimestamp(last_ms // 1000, UTC)
        tail = base64.b32encode(random(5)).decode()[:_RANDOM_CHARS]
        return f"{at:%Y%m%dT%H%M%S}{last_ms % 1000:03d}Z-{node}-{tail}"

    return make


def host_finder(
    listen_host: str, advertised_host: str, now: Callable[[], float] = time.monotonic
) -> Callable[[str], str]:
    """Our IP address as a peer reaches it: the one set, else the one we listen on, else the one of the route."""
    fixed = advertised_host or ("" if listen_host in ("", "0.0.0.0", "::") else listen_host)
    known: dict[str, tuple[str, float]] = {}

    def find(peer: str) -> str:
        if fixed:
            return fixed
        host, at = known.get(peer, ("", -ROUTE_KEPT_S))
        if now() - at >= ROUTE_KEPT_S:
            if len(known) >= ROUTES_MOST:
                known.clear()
            found = _route_source(peer)
            if found is not None:  # a route that is missing just now may be back with the next call
                known[peer] = (found, now())
            host = found or host or "127.0.0.1"
        return host

    return find


def _route_source(peer: str) -> str | None:
    """The source address the system would use towards an IP address, None without a route; nothing is sent."""
    try:
        ipaddress.ip_address(peer)
    except ValueError:
        return None  # a name: looking it up would hold up every call
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.connect((peer, 9))
        except OSError:
            return None
        return str(s.getsockname()[0])
