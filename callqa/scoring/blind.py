"""盲评卡, 复测卡, 双评卡: which cards hide the machine's hints, which are scored again by the same person, which by a second
one; chosen as the sample is.

- When the sample is revealed the system takes a random string and publishes its commitment
  SHA-256("callqa-blind/1:" + string), before any card is opened. Until the month's cards are scored nobody is shown it.
- key = SHA-256("callqa-blind-key/1\\n" + seed + "\\n" + string). A card's rank is HMAC-SHA256(key, LABEL + 0x1F + call_id);
  of n drawn cards the round(ratio × n) of lowest rank are blind (half up). A reserve takes over what the card it replaces was.
- With the string anybody repeats the choice from the published sample; without it nobody knows it beforehand, as the seed
  of the draw does not give it away, and the string was committed to before it could be chosen to suit anybody.
"""

import hashlib
import hmac
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

BLIND_RATIO = 0.10
BLIND_LABEL = "callqa-blind/1"
RESCORE_LABEL = "callqa-rescore/1"
RESCORE_RATIO = 0.05
RESCORE_MIN = 4
RESCORE_AFTER_DAYS = 14
DOUBLE_LABEL = "callqa-double/1"
DOUBLE_RATIO = 0.10
DOUBLE_MIN = 8


def blind_commitment(secret: str) -> str:
    """What is published of the string before it is shown."""
    return hashlib.sha256(f"{BLIND_LABEL}:{secret}".encode()).hexdigest()


def blind_cards(seed: str, secret: str, call_ids: Iterable[str]) -> frozenset[str]:
    """The cards that hide the machine's hints."""
    ranked = _ranked(seed, secret, BLIND_LABEL, call_ids)
    return frozenset(ranked[: _count(BLIND_RATIO, len(ranked))])


def rescore_cards(
    seed: str, secret: str, call_ids: Iterable[str], ratio: float = RESCORE_RATIO, least: int = RESCORE_MIN
) -> tuple[str, ...]:
    """The cards that are scored a second time by the same person, in order; at least `least` where there are so many."""
    ranked = _ranked(seed, secret, RESCORE_LABEL, call_ids)
    return tuple(ranked[: max(least, _count(ratio, len(ranked)))])


def double_cards(
    seed: str, secret: str, call_ids: Iterable[str], ratio: float = DOUBLE_RATIO, least: int = DOUBLE_MIN
) -> tuple[str, ...]:
    """The cards that a second person scores, in order; at least `least` where there are so many."""
    ranked = _ranked(seed, secret, DOUBLE_LABEL, call_ids)
    return tuple(ranked[: max(least, _count(ratio, len(ranked)))])


def _count(ratio: float, n: int) -> int:
    return int((Decimal(str(ratio)) * n).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _ranked(seed: str, secret: str, label: str, call_ids: Iterable[str]) -> list[str]:
    key = hashlib.sha256(f"callqa-blind-key/1\n{seed}\n{secret}".encode()).digest()
    distinct = sorted(set(call_ids))
    return sorted(distinct, key=lambda call_id: hmac.new(key, f"{label}\x1f{call_id}".encode(), "sha256").digest())
