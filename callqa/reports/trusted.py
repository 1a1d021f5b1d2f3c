"""How far machine and raters may be trusted, as a report tells it: figures made by `scoring/trust.py`, kept by name."""

from dataclasses import dataclass

from callqa.scoring.trust import Interval, ItemTrust, ScoreAgreement


@dataclass(frozen=True, slots=True)
class RaterPair:
    """Two raters of one session over the calls that both scored; differences are first − second."""

    first: str
    second: str
    scores: ScoreAgreement


@dataclass(frozen=True, slots=True)
class DisputedItem:
    """One item that raters differed on. interval: of AC1, by call; None where it cannot be told. n: calls."""

    item_id: str
    ac1: float
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One calibration session whose comparison was opened. lowest: what raters differed on, lowest AC1 first."""

    title: str
    opened_at_ms: int
    calls: int
    pairs: tuple[RaterPair, ...]
    lowest: tuple[DisputedItem, ...]


@dataclass(frozen=True, slots=True)
class Trusted:
    """All cards of the report's rubric version until the report was made; sessions with a call of the month; all re-scores."""

    n_cards: int = 0
    n_blind: int = 0
    items: tuple[ItemTrust, ...] = ()
    sessions: tuple[Calibrated, ...] = ()
    again: ScoreAgreement | None = None
