"""Names the recorder gives: call_ids, tokens for tags and branches, its own address as each peer sees it."""

import base64
import functools
import hashlib
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

_NODE_CHARS = 4
_RANDOM_CHARS = 6


def node_name() -> str:
    """Four characters [2-7A-Z] that tell this machine's call_ids from another's."""
    digest = hashlib.sha256(socket.gethostname().encode()).digest()
    return base64.b32encode(digest).decode()[:_NODE_CHARS]


def call_ids(node: str, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> Callable[[], str]:
    """A maker of call_ids such as `20261122T054346123Z-K7QD-8F3K2M`: [0-9A-Z-], in order of time, never twice."""
    last_ms = 0

    def make() -> str:
        nonlocal last_ms
        last_ms = max(now_ms(), last_ms + 1)  # two calls in one millisecond still sort
        at = datetime.fromtimestamp(last_ms // 1000, UTC)
        random = base64.b32encode(secrets.token_bytes(5)).decode()[:_RANDOM_CHARS]
        return f"{at:%Y%m%dT%H%M%S}{last_ms % 1000:03d}Z-{node}-{random}"

    return make


def new_token() -> str:
    """Unguessable text for tags, branches and Call-IDs."""
    return secrets.token_hex(12)


def host_finder(listen_host: str, advertised_host: str) -> Callable[[str], str]:
    """Our IP address as a peer reaches it: the one set, else the one we listen on, else the one of the route."""
    fixed = advertised_host or ("" if listen_host in ("", "0.0.0.0", "::") else listen_host)

    @functools.lru_cache(maxsize=1024)
    def find(peer: str) -> str:
        return fixed or _route_source(peer)

    return find


def _route_source(peer: str) -> str:
    """The source address the system would use towards `peer`; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.connect((peer, 9))
        except OSError:
            return "127.0.0.1"
        return str(s.getsockname()[0])
