"""What an operator found, and the evidence for it.

A finding is hit, miss, unsure (the evidence itself is doubtful) or not_checked (what is needed was not there). The last two
never lead to a suggestion: not heard is not the same as not said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from callqa.speech import Span
from callqa.units import Channel


class State(StrEnum):
    """结果状态."""

    HIT = "hit"
    MISS = "miss"
    UNSURE = "unsure"
    NOT_CHECKED = "not_checked"


STATE_LABELS = {
    State.HIT: "命中",
    State.MISS: "未命中",
    State.UNSURE: "存疑，待人工",
    State.NOT_CHECKED: "未检，待人工",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """证据: where in the recording and in which words. channel None: both sides, or no sound at all (ticket, signalling)."""

    channel: Channel | None
    start_ms: int
    end_ms: int
    quote: str
    operator: str
    params: str


HitPlace = int | tuple[int, int]  # what tells one occurrence from another: an utterance, or a stretch of sound


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where an operator found what it looks for. position: the utterance's place in the transcript, if it has one.

    exact is False when only the sound of the words agrees, or when it rests on an estimate: never more than a hint.
    """

    evidence: Evidence
    position: int | None = None
    exact: bool = True

    @property
    def span(self) -> Span:
        """Where it lies in the recording."""
        return Span(self.evidence.start_ms, self.evidence.end_ms)

    @property
    def place(self) -> HitPlace:
        """Two hits at one place are one occurrence."""
        return self.position if self.position is not None else (self.evidence.start_ms, self.evidence.end_ms)


def is_exact(hits: Sequence[Hit]) -> bool:
    """Whether a result may be taken for more than a hint: one of its hits at least is no mere likeness; so is one without any."""
    return not hits or any(hit.exact for hit in hits)


def hits_by_sound(hits: Iterable[Hit]) -> tuple[Hit, ...]:
    """The hits of a result that needs a mere likeness among them: then none of them is more than a hint."""
    return tuple(replace(hit, exact=False) for hit in hits)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an operator or a condition found. explanation: a Chinese sentence.

    searched: what was looked through, for a miss to show. supporting: what belongs to a hit without being one (the stretch
    after a silence in which no thanks were heard). doubtful: of a hit, further ones in utterances that were not read clearly.
    """

    state: State
    explanation: str
    hits: tuple[Hit, ...] = ()
    searched: tuple[Evidence, ...] = ()
    supporting: tuple[Evidence, ...] = ()
    doubtful: tuple[Hit, ...] = ()


def not_checked(reason: str) -> Finding:
    """A finding without a judgement."""
    return Finding(State.NOT_CHECKED, reason)
