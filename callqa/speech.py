"""What was said and heard in one call, as frozen values: spans, gaps, utterances, transcript.

All times are integer milliseconds from the start of the recording.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from callqa.units import Channel


class Speaker(StrEnum):
    """说话人."""

    CITIZEN = "citizen"  # 诉求人
    AGENT = "agent"  # 坐席
    UNKNOWN = "unknown"  # 未分离 (mono import)

    @property
    def channel(self) -> Channel | None:
        """The stereo column this speaker is on; None for a mono import."""
        return {"citizen": Channel.CITIZEN, "agent": Channel.AGENT}.get(self.value)


SPEAKER_LABELS = {Speaker.CITIZEN: "诉求人", Speaker.AGENT: "坐席", Speaker.UNKNOWN: "未分离"}
SIDES_BY_LABEL = {SPEAKER_LABELS[side]: side.value for side in (Speaker.CITIZEN, Speaker.AGENT)}  # as people type them


class GapKind(StrEnum):
    """音频缺口."""

    LOST = "lost"  # 丢失
    CONCEALED = "concealed"  # 补偿
    HELD = "held"  # 保持
    PAUSED = "paused"  # 暂停
    NO_MEDIA = "no_media"  # 无媒体


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open stretch of the recording [start_ms, end_ms)."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms <= self.end_ms:
            raise ValueError(f"span {self.start_ms}..{self.end_ms} is not in order")

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms

    def overlap_ms(self, other: "Span") -> int:
        """Length both spans share."""
        return max(0, min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms))


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of one channel that carries no original audio, and why."""

    channel: Channel
    span: Span
    kind: GapKind


@dataclass(frozen=True, slots=True)
class Repair:
    """[start, end) of an utterance's text stands where `was` stood: 同音修正 by the machine, 更正 by a person.

    A person may also have put in words where nothing stood (was ""), or taken some out (start == end).
    """

    start: int
    end: int
    was: str


@dataclass(frozen=True, slots=True)
class Unprompted:
    """What a decode without prompt made of the same speech; confidence and reliable as in `Utterance`."""

    text: str
    confidence: float
    reliable: bool


@dataclass(frozen=True, slots=True)
class Utterance:
    """语句: one turn of one speaker.

    text: simplified Chinese with punctuation; raw_text: as the engine wrote it.
    confidence: mean word probability in [0, 1]; reliable: False where a guard doubts the text.
    repairs: what homophone repair wrote, in order; no finding may rest on such characters alone.
    unprompted: where `text` is from a decode with a prompt, the other one; None: `text` itself came without.
    corrections: what a person wrote over the machine's text, in order; such an utterance is confirmed as a whole.
    """

    index: int
    speaker: Speaker
    span: Span
    text: str
    raw_text: str
    confidence: float
    reliable: bool = True
    repairs: tuple[Repair, ...] = ()
    unprompted: Unprompted | None = None
    corrections: tuple[Repair, ...] = ()

    @property
    def without_prompt(self) -> "Utterance":
        """The same as a decode without prompt wrote it."""
        other = self.unprompted
        if other is None:
            return self
        return replace(
            self, text=other.text, confidence=other.confidence, reliable=other.reliable, repairs=(), unprompted=None
        )

    @property
    def as_heard(self) -> "Utterance":
        """The same before repair: the engine's own characters, with the punctuation of `text`."""
        return replace(self, text=_before(self.text, self.repairs), repairs=()) if self.repairs else self

    @property
    def machine_text(self) -> str:
        """What stood here before a person corrected it."""
        return _before(self.text, self.corrections)


def _before(text: str, changes: tuple[Repair, ...]) -> str:
    out, at = "", 0
    for change in changes:
        out, at = out + text[at : change.start] + change.was, change.end
    return out + text[at:]


@dataclass(frozen=True, slots=True)
class Made:
    """What made a transcript, so that it can be made again: engine, model hash, options, audio hash."""

    engine: str
    model_sha256: str
    options: tuple[tuple[str, str], ...]
    recording_sha256: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """转写: utterances in order of start, and the speech spans that voice activity found per channel.

    speech: (citizen spans, agent spans), from VAD and not from text; the base of all timing figures.
    separated: False for a mono import, whose utterances are all Speaker.UNKNOWN.
    """

    utterances: tuple[Utterance, ...]
    speech: tuple[tuple[Span, ...], tuple[Span, ...]]
    duration_ms: int
    made: Made
    separated: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def as_heard(self) -> "Transcript":
        """The same before homophone repair; itself where nothing was repaired."""
        if not any(utterance.repairs for utterance in self.utterances):
            return self
        return replace(self, utterances=tuple(utterance.as_heard for utterance in self.utterances))

    @property
    def without_prompt(self) -> "Transcript":
        """The same from decodes without prompt; itself where no text came from another."""
        if all(utterance.unprompted is None for utterance in self.utterances):
            return self
        return replace(self, utterances=tuple(utterance.without_prompt for utterance in self.utterances))

    def speech_of(self, channel: Channel) -> tuple[Span, ...]:
        """Speech spans of one channel, in order, not overlapping."""
        return self.speech[channel]
