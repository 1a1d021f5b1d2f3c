"""How much each source may send us before anything is read: token buckets, one per source.

Three classes: a phone that is registered from exactly this address, a trunk, a stranger. A stranger's bucket is that of his
host (IPv6: of his /64), so that new ports buy nothing; a registered phone has one of its own, so that nobody beside it behind
the same NAT can use it up, and a trunk has that of its exact host, so that nobody beside it in the same /64 can. A wrong password costs as much as many messages and its answer is held back, longer each time:
guessing is slow, and nobody is ever locked out.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from callqa.sip.events import Address


@dataclass(frozen=True, slots=True)
class Budget:
    """Messages: so many at once, then so many a second."""

    burst: float
    rate_hz: float


class Standing(Enum):
    """Who a source is to us."""

    PHONE = Budget(600, 100)  # one phone rings, holds and refreshes: a few messages a second
    TRUNK = Budget(10_000, 4_000)  # 200 new calls a second, each of about 14 messages
    STRANGER = Budget(400, 50)  # every phone of an office registering again after a power cut


WRONG_PASSWORD_COST = 15
HELD_BACK_FIRST_S, HELD_BACK_MOST_S = 0.5, 8.0
FREE_ERRORS = 2  # typing errors are answered at once
FORGIVEN_AFTER_S = 300.0
SOURCES_MOST = 20_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    errors: int = 0
    erred: float = 0.0
    told: float = float("-inf")


class Door:
    """Buckets of all sources. standing: who a source is; asked for every message, so it must be quick."""

    def __init__(self, standing: Callable[[Address], Standing]) -> None:
        self._standing = standing
        self._buckets: OrderedDict[Address | str, _Bucket] = OrderedDict()
        self.refused_count = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, source: Address, now: float) -> bool:
        """Whether one more message of that source is looked at."""
        standing = self._standing(source)
        bucket = self._bucket(source, standing, now)
        if bucket.tokens < 1:
            self.refused_count += 1
            return False
        bucket.tokens -= 1
        return True

    def is_news(self, source: Address, now: float, every_s: float = 60.0) -> bool:
        """Whether a refusal of that source should be told."""
        bucket = self._bucket(source, self._standing(source), now)
        if now - bucket.told < every_s:
            return False
        bucket.told = now
        return True

    def wrong_password(self, source: Address, now: float) -> float:
        """Note a wrong password; gives how many seconds its answer is held back."""
        bucket = self._bucket(source, self._standing(source), now)
        bucket.errors = bucket.errors + 1 if now - bucket.erred < FORGIVEN_AFTER_S else 1
        bucket.erred = now
        bucket.tokens = max(-4.0 * WRONG_PASSWORD_COST, bucket.tokens - WRONG_PASSWORD_COST)
        over = bucket.errors - FREE_ERRORS
        return 0.0 if over <= 0 else min(HELD_BACK_FIRST_S * 2.0 ** min(over - 1, 8), HELD_BACK_MOST_S)

    def _bucket(self, source: Address, standing: Standing, now: float) -> _Bucket:
        key = _whose(source, standing)
        budget: Budget = standing.value
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(budget.burst, now)
            if len(self._buckets) > SOURCES_MOST:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(budget.burst, bucket.tokens + max(0.0, now - bucket.filled) * budget.rate_hz)
            bucket.filled = now
        return bucket


def _whose(source: Address, standing: Standing) -> Address | str:
    """What a source shares its bucket with. A host is either a trunk's or a stranger's, so those keys never meet."""
    if standing is Standing.PHONE:
        return source
    return source[0] if standing is Standing.TRUNK else network(source[0])


def network(host: str) -> str:
    """What one stranger has for certain: his IPv4 address, or all of an IPv6 /64 (RFC 4291 §2.5.1)."""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
