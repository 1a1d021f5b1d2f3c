"""Estimated quality of what one side could be heard at: the E-model of ITU-T G.107, simplified for recorded streams.

R = 93.2 - Id - Ie,eff: the default values of G.107 for all that a stream does not tell (levels, echo, noise), the delay
impairment Id of G.107 §7.4 without echo, and the equipment impairment of G.107 §7.5 with the codec's Ie and Bpl from
G.113 appendix I. MOS from R as in G.107 annex B. Losses are taken as random (BurstR = 1) unless told otherwise.

Does not do: wideband (G.107.1) - a wideband codec is rated on the narrowband scale and cannot exceed 4.5.
"""

from dataclasses import dataclass
from math import log10

DEFAULT_R = 93.2  # G.107 §7: all parameters at their defaults
MAX_R = 100.0
# A jitter buffer holds about twice the jitter, and never less than a frame of waiting.
MIN_BUFFER_MS, MAX_BUFFER_MS = 20.0, 500.0
_FRAME_MS = 20.0


@dataclass(frozen=True, slots=True)
class Impairment:
    """ie: equipment impairment without loss; bpl: robustness against loss in percent. G.113 appendix I, G.729A for G.729."""

    ie: float
    bpl: float


# G.711 with the concealment of its appendix I, as phones have it; G.722 and Opus are rated like G.711 (see above).
IMPAIRMENTS = {
    "PCMA": Impairment(0, 25.1),
    "PCMU": Impairment(0, 25.1),
    "G722": Impairment(0, 25.1),
    "opus": Impairment(0, 25.1),
    "G729": Impairment(11, 19.0),
    "GSM": Impairment(20, 10.0),
    "AMR": Impairment(5, 10.0),
}
_UNKNOWN = Impairment(11, 10.0)


def delay_impairment(one_way_ms: float) -> float:
    """Idd of G.107 §7.4: nothing up to 100 ms, then rising; no echo is assumed."""
    if one_way_ms <= 100:
        return 0.0
    x = log10(one_way_ms / 100) / log10(2)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def loss_impairment(codec: Impairment, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Ie,eff of G.107 §7.5."""
    loss = min(max(loss_percent, 0.0), 100.0)
    if not loss:
        return codec.ie
    return codec.ie + (95 - codec.ie) * loss / (loss / burst_ratio + codec.bpl)


def rating(codec: Impairment, *, loss_percent: float, one_way_ms: float, burst_ratio: float = 1.0) -> float:
    """R in [0, 100]."""
    r = DEFAULT_R - delay_impairment(one_way_ms) - loss_impairment(codec, loss_percent, burst_ratio)
    return min(max(r, 0.0), MAX_R)


def mos_of_rating(r: float) -> float:
    """MOS-CQE in [1, 4.5] of R, G.107 annex B."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def mos_of_stream(codec: str, *, packets: int, lost: int, jitter_ms: float, path_ms: float = 0.0) -> float | None:
    """MOS of one recorded stream, two decimals; None without audio. path_ms: one-way network delay where it is known.

    What the stream itself tells of delay is one frame and the jitter buffer that it would need.
    """
    if not packets or not codec:
        return None
    buffer_ms = min(max(2 * jitter_ms, MIN_BUFFER_MS), MAX_BUFFER_MS)
    r = rating(
        IMPAIRMENTS.get(codec, _UNKNOWN),
        loss_percent=100 * lost / (packets + lost),
        one_way_ms=path_ms + _FRAME_MS + buffer_ms,
    )
    return round(mos_of_rating(r), 2)
