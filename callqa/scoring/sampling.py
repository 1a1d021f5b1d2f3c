"""Verifiable sampling 可验证抽样: commitment, seed, rank, quotas and the draw (docs/domain/sampling.md §3, §4).

Everything is a function of files and two nonces: `verify(frame_text, plan_json, nonce_a, nonce_b)` gives the same draw on any
machine, and scorecards/verify_draw.py does so without this package. Randomness is HMAC-SHA256 of (seed, call_id).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from callqa.errors import StateError
from callqa.scoring.frame import Frame, FrameEntry, parse_frame
from callqa.scoring.plan import REALLOCATION_ORDER, Quotas, Stratum, hash_of, quotas_of

MIN_NONCE_CHARS = 16  # §3.1 step 3


class Kind(StrEnum):
    """How a call came out of the draw."""

    SAMPLE = "sample"  # 样本
    RESERVE = "reserve"  # 递补


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn call. position: 1-based within its agent, stratum and kind."""

    entry: FrameEntry
    rank: str
    kind: Kind
    position: int

    @property
    def call_id(self) -> str:
        return self.entry.call_id

    @property
    def agent_no(self) -> str:
        return self.entry.agent_no

    @property
    def stratum(self) -> Stratum:
        return self.entry.stratum


@dataclass(frozen=True, slots=True)
class Draw:
    """The sample and its reserves, by agent, stratum, kind and position; and the seed that gave them."""

    seed: str
    entries: tuple[Drawn, ...]

    @property
    def sample(self) -> tuple[Drawn, ...]:
        """The calls to score."""
        return tuple(one for one in self.entries if one.kind is Kind.SAMPLE)

    @property
    def reserves(self) -> tuple[Drawn, ...]:
        """The calls that may follow, in order."""
        return tuple(one for one in self.entries if one.kind is Kind.RESERVE)


def check_nonce(nonce: str) -> str:
    """Return the nonce without white space at its ends. Raise StateError when it is too short."""
    text = nonce.strip()
    if len(text) < MIN_NONCE_CHARS:
        raise StateError(f"随机串只有 {len(text)} 个字符，至少要 {MIN_NONCE_CHARS} 个")
    return text


def commitment(nonce: str) -> str:
    """What a party hands in before the nonce itself."""
    return hash_of("callqa-nonce/1:" + nonce)


def derive_seed(frame_hash: str, plan_hash: str, nonce_a: str, nonce_b: str) -> str:
    """Seed of the draw, lower-case hex; no party alone can choose it."""
    return hash_of("\n".join(("callqa-seed/1", frame_hash, plan_hash, nonce_a, nonce_b)))


def rank_of(seed: str, call_id: str) -> str:
    """Rank of a call under a seed, lower-case hex; calls are taken in ascending order."""
    message = b"callqa-rank/1\x1f" + call_id.encode()
    return hmac.new(bytes.fromhex(seed), message, hashlib.sha256).hexdigest()


def allocate(sizes: Mapping[Stratum, int], quotas: Quotas) -> dict[Stratum, int]:
    """n_h of one agent's strata from their N_h (§4): quotas first, what is short goes one by one to the fullest stratum."""
    taken = {stratum: min(quotas.of(stratum), size) for stratum, size in sizes.items()}
    rest = quotas.per_agent - sum(taken.values())
    order = [stratum for stratum in REALLOCATION_ORDER if stratum in sizes]
    for _ in range(min(rest, sum(sizes.values()) - sum(taken.values()))):
        fullest = max(order, key=lambda s: (sizes[s] - taken[s], -order.index(s)))
        taken[fullest] += 1
    return taken


def draw(frame: Frame, quotas: Quotas, seed: str) -> Draw:
    """Draw every agent's sample and reserves. The order of the frame's entries does not matter."""
    groups: dict[str, dict[Stratum, list[FrameEntry]]] = {}
    for entry in frame.entries:
        groups.setdefault(entry.agent_no, {}).setdefault(entry.stratum, []).append(entry)
    drawn: list[Drawn] = []
    for agent_no in sorted(groups):
        strata = groups[agent_no]
        taken = allocate({stratum: len(entries) for stratum, entries in strata.items()}, quotas)
        for stratum in (s for s in Stratum if s in strata):
            drawn += _draw_stratum(strata[stratum], taken[stratum], quotas.reserves_per_stratum, seed)
    return Draw(seed, tuple(drawn))


def _draw_stratum(entries: Sequence[FrameEntry], n_sample: int, n_reserves: int, seed: str) -> list[Drawn]:
    ranked = sorted((rank_of(seed, entry.call_id), entry.call_id, entry) for entry in entries)
    sample = [Drawn(e, rank, Kind.SAMPLE, i) for i, (rank, _, e) in enumerate(ranked[:n_sample], 1)]
    rest = ranked[n_sample : n_sample + n_reserves]
    return sample + [Drawn(e, rank, Kind.RESERVE, i) for i, (rank, _, e) in enumerate(rest, 1)]


def verify(frame_text: str, plan_json: str, nonce_a: str, nonce_b: str) -> Draw:
    """Repeat a draw from the published files alone. Raise RubricError when a file is not what it should be."""
    frame = parse_frame(frame_text)
    seed = derive_seed(hash_of(frame_text), hash_of(plan_json), nonce_a, nonce_b)
    return draw(frame, quotas_of(plan_json), seed)
