"""The scene an operator looks at: a call, what of it may be trusted, and the evidence that points into it."""

from dataclasses import dataclass, replace

from callqa.scoring.acoustics import joined, total_ms
from callqa.scoring.condition_tree import OperatorCall, Role
from callqa.scoring.criteria import Gate
from callqa.scoring.facts import CallFacts
from callqa.scoring.hearing import Trust
from callqa.scoring.lexicon import SoundRule
from callqa.scoring.operators.finding import Evidence, Finding, Hit, not_checked
from callqa.scoring.operators.wording import ROLE_LABELS, params_text
from callqa.speech import Span, Utterance
from callqa.units import Channel

QUOTE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Place:
    """What a text operator looks through: a stretch of the call and the utterances of the wanted role in it.

    positions: places of these utterances in the transcript. reach: where words would belong to the place that were lost or
    not read, if that is more than the span: a place counted from the first words heard may have begun before them.
    """

    span: Span
    positions: tuple[int, ...]
    reach: Span | None = None

    @property
    def within_reach(self) -> Span:
        """Where lost words would have to lie to belong here."""
        return self.reach or self.span


@dataclass(frozen=True, slots=True)
class Scene:
    """A call as operators look at it.

    plain_reading: for na_when: words are taken as they were read, exactly, and a clear text hides only words of the very
    same sound. anchors: hits bound by name so far.
    """

    facts: CallFacts
    gate: Gate
    sound: SoundRule
    required_phrases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    plain_reading: bool = False
    anchors: tuple[tuple[str, Hit], ...] = ()

    def bound(self, alias: str, hit: Hit) -> "Scene":
        """The scene with a named hit."""
        return replace(self, anchors=(*self.anchors, (alias, hit)))

    def anchor(self, alias: str) -> Hit | None:
        """A named hit, or None when it was not found."""
        return next((hit for name, hit in reversed(self.anchors) if name == alias), None)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        return self.facts.transcript.utterances if self.facts.transcript else ()

    def speech(self, channel: Channel) -> tuple[Span, ...]:
        """Speech spans of one channel; none without a transcript."""
        return self.facts.transcript.speech_of(channel) if self.facts.transcript else ()

    def speech_of(self, role: Role) -> tuple[Span, ...]:
        """Speech spans of a role, of both sides joined for `any`."""
        return joined(span for channel in channels_of(role) for span in self.speech(channel))

    @property
    def last_speech_ms(self) -> int:
        """End of the last words of either side; the recording's end when nobody spoke."""
        ends = [span.end_ms for channel in Channel for span in self.speech(channel)]
        ends += [utterance.span.end_ms for utterance in self.utterances]
        return min(max(ends), self.facts.duration_ms) if ends else self.facts.duration_ms

    def first_speech_ms(self, role: Role) -> int:
        """Start of the first words of a role; the answer when it never spoke."""
        starts = [span.start_ms for span in self.speech_of(role)]
        starts += [utterance.span.start_ms for utterance in self.utterances if is_of(utterance, role)]
        return min(starts) if starts else self.facts.answer_ms

    def reliable(self, utterance: Utterance) -> bool:
        """Whether the engine is sure enough of these words for the machine to judge by them."""
        return utterance.reliable and utterance.confidence >= self.gate.min_asr_confidence

    def blocked(self, call: OperatorCall, *, needs_speech: bool = True) -> Finding | None:
        """The finding `not_checked` when the gate does not let the machine judge, else None."""
        reason = self._why_blocked(call.role, needs_speech)
        return not_checked(reason) if reason else None

    def _why_blocked(self, role: Role, needs_speech: bool) -> str:
        transcript = self.facts.transcript
        if transcript is None:
            return "没有转写，待人工"
        if not transcript.separated and (self.gate.require_two_channels or role is not Role.ANY):
            return "录音未分声道，无法区分坐席与诉求人，待人工"
        heard_ms = total_ms(self.speech_of(role))
        if needs_speech and heard_ms < self.gate.min_channel_speech_s * 1000:
            return f"{ROLE_LABELS[role]}声道语音只有 {heard_ms / 1000:.1f} 秒，待人工"
        return ""

    def trust(self, utterance: Utterance) -> Trust:
        """How far the words of an utterance count as heard."""
        if not utterance.text or utterance.confidence < self.gate.min_asr_confidence:
            return Trust.UNREADABLE
        return Trust.CLEAR if utterance.reliable else Trust.DOUBTFUL

    def evidence_of(self, position: int, call: OperatorCall, note: str = "", quote: str | None = None) -> Evidence:
        """Evidence that points at one utterance."""
        utterance = self.utterances[position]
        params = params_text(call) + (f"; {note}" if note else "")
        text = utterance.text if quote is None else quote
        return Evidence(
            utterance.speaker.channel, utterance.span.start_ms, utterance.span.end_ms, text, call.name, params
        )

    def searched(self, call: OperatorCall, place: Place) -> Evidence:
        """Evidence for a miss: where we looked, and what was heard there."""
        heard = " ".join(self.utterances[position].text for position in place.positions)
        quote = heard if len(heard) <= QUOTE_CHARS else heard[:QUOTE_CHARS] + "…"
        channel = {Role.AGENT: Channel.AGENT, Role.CITIZEN: Channel.CITIZEN}.get(call.role)
        return Evidence(channel, place.span.start_ms, place.span.end_ms, quote, call.name, params_text(call))

    def stretch(
        self, call: OperatorCall, channel: Channel | None, span: Span, note: str = "", quote: str = ""
    ) -> Evidence:
        """Evidence that is a stretch of sound."""
        params = params_text(call) + (f"; {note}" if note else "")
        return Evidence(channel, span.start_ms, span.end_ms, quote, call.name, params)

    def record(self, call: OperatorCall, quote: str) -> Evidence:
        """Evidence from signalling or the ticket, which has no place in the recording: the whole call, and what it says."""
        return Evidence(None, 0, self.facts.duration_ms, quote, call.name, params_text(call))


def channels_of(role: Role) -> tuple[Channel, ...]:
    """The channels a role speaks on."""
    return {Role.AGENT: (Channel.AGENT,), Role.CITIZEN: (Channel.CITIZEN,)}.get(role, tuple(Channel))


def is_of(utterance: Utterance, role: Role) -> bool:
    return role is Role.ANY or utterance.speaker is role.speaker
