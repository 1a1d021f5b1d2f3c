"""What the appendices tell beside the chapters: the rubric's own text, what data lack, and what was changed afterwards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GapFact:
    """Something the month's data lack. what: 录音、工单、归属、转写…; from_ms, to_ms: when, None where it is spread over the
    month; count: calls or tickets it touches, None where nobody can count them; effect: on which numbers, and how."""

    what: str
    from_ms: int | None
    to_ms: int | None
    count: int | None
    words: str
    effect: str


@dataclass(frozen=True, slots=True)
class ChangeFact:
    """A score that was changed after it was first submitted. kind: revise | decide | fatal_confirmed."""

    call_label: str
    agent_no: str
    at_ms: int
    kind: str
    by: str
    reason: str
    quality: tuple[float, float]  # before, after
    final: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Appendix:
    """rubric_text: the quoted version as it was published."""

    rubric_text: str = ""
    gaps: tuple[GapFact, ...] = ()
    changes: tuple[ChangeFact, ...] = ()
