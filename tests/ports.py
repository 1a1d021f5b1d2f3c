"""Ports for programs that bind them by themselves: each is one process's own until that process ends.

A port asked of the system, closed and bound again later may meanwhile be another socket's. These lie below the range from
which the system picks, and a lease held by name keeps them apart between test processes that run side by side.
"""

import os
import socket

_FIRST, _LAST = 10_000, 19_996  # the product's own media range begins at 20000
_BLOCK = 4  # media programs take the ports above the named one for RTCP
_blocks = range(_FIRST, _LAST, _BLOCK)
_next = os.getpid() * 97 % len(_blocks)
_leases: list[socket.socket] = []  # kept open until the process ends


def own_port() -> int:
    """A port that nobody else has or will be given, free for UDP and TCP on every address; the three above it too."""
    global _next
    for _ in _blocks:
        port, _next = _blocks[_next], (_next + 1) % len(_blocks)
        if (lease := _lease(port)) is None:
            continue
        if all(
            _free(port + above, kind) for above in range(_BLOCK) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ):
            _leases.append(lease)
            return port
        lease.close()
    raise RuntimeError(f"no port left between {_FIRST} and {_LAST}")


def _lease(port: int) -> socket.socket | None:
    """A name in the system's list of local sockets; it goes with the process."""
    lease = socket.socket(socket.AF_UNIX)
    try:
        lease.bind(f"\0callqa-test-port-{port}")
    except OSError:
        lease.close()
        return None
    return lease


def _free(port: int, kind: socket.SocketKind) -> bool:
    families = [socket.AF_INET, *([socket.AF_INET6] if socket.has_dualstack_ipv6() else [])]
    for family in families:
        with socket.socket(family, kind) as s:
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                s.bind(("", port))
            except OSError:
                return False
    return True
