"""What every operator is made of: its registry row, its findings with evidence, and the scene it looks at.

A finding is hit, miss, unsure (the evidence itself is doubtful) or not_checked (what is needed was not there). The last two
never lead to a suggestion: not heard is not the same as not said.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from callqa.scoring.acoustics import intersection, joined, total_ms
from callqa.scoring.criteria import Gate, OperatorCall, Origin, ParamValue, Reach, Role, Scope, Unit, Where
from callqa.scoring.facts import CallFacts
from callqa.scoring.hearing import CLEAR_LIKENESS, SAME_SOUND, Hidden, Sought, Trust, anything, hidden_in
from callqa.scoring.lexicon import Lexicon, SoundRule
from callqa.speech import SPEAKER_LABELS, Gap, GapKind, Span, Speaker, Utterance
from callqa.units import Channel

# A gap or unheard speech shorter than this cannot hide a phrase.
HIDING_MS = 500
# A phone stops sending a moment before its BYE arrives: silence of this length at the very end hides nothing.
ENDING_MS = 3000
# Speech that voice activity found but no utterance covers: words the engine did not give us.
UNHEARD_SPEECH_MS = 1500
# An utterance that starts this little before an anchor's end still comes after it.
ORDER_SLACK_MS = 300
QUOTE_CHARS = 200
ANYTHING = anything(2)
ROLE_LABELS = {Role.AGENT: "坐席", Role.CITIZEN: "诉求人", Role.ANY: "双方"}


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


class ParamKind(StrEnum):
    """What a parameter of the rubric may be."""

    NUMBER = "number"
    WHOLE = "whole"
    FLAG = "flag"
    CHOICE = "choice"
    CHOICES = "choices"
    PATTERN = "pattern"
    WORDS = "words"
    GROUPS = "groups"
    LEXICON = "lexicon"
    PHRASES = "phrases"
    BACKCHANNEL = "backchannel"


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter of an operator. choices: what CHOICE and CHOICES may hold. minimum, maximum: of a number."""

    name: str
    kind: ParamKind
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


Evaluate = Callable[[OperatorCall, "Scene"], Finding]


@dataclass(frozen=True, slots=True)
class Operator:
    """算子: one row of the registry. at_least_one: parameters of which one at least must be given.

    meaning: what a hit means, in Chinese. describe_params: the parameters of one use in Chinese words.
    """

    name: str
    label: str
    kind: str  # text | voice | call | ticket
    params: tuple[ParamSpec, ...]
    meaning: str
    evaluate: Evaluate
    describe_params: Callable[[OperatorCall], str]
    at_least_one: tuple[str, ...] = ()

    def param(self, name: str) -> ParamSpec | None:
        """The parameter with this name."""
        return next((spec for spec in self.params if spec.name == name), None)

    def describe(self, call: OperatorCall) -> str:
        """One use in Chinese: who, where, what."""
        if self.kind in ("call", "ticket"):
            return f"{self.label}：{self.describe_params(call)}"
        return f"{ROLE_LABELS[call.role]}，{describe_place(call)}，{self.label}：{self.describe_params(call)}"


def _plain(number: float) -> str:
    return f"{number:g}"


def describe_place(call: OperatorCall) -> str:
    """Where a use looks, in Chinese: 开头 15 秒内, “gap” 之前 10 秒内, 全程."""
    if call.anchor is not None and call.where is not None:
        side = {Where.BEFORE: "之前", Where.AFTER: "之后", Where.AROUND: "前后", Where.SAME: "同一处"}[call.where]
        return f"“{call.anchor}”{side}{_describe_reach(call.reach)}"
    if call.scope is None:
        return "全程"
    origin = {Origin.START: "开头", Origin.END: "结尾", Origin.ANSWER: "接通后"}[call.scope.origin]
    if call.scope.unit is Unit.RATIO:
        return f"{origin} {_plain(call.scope.within * 100)}% 时段"
    return f"{origin} {_plain(call.scope.within)} {'秒' if call.scope.unit is Unit.SECONDS else '句'}内"


def _describe_reach(reach: Reach | None) -> str:
    if reach is None:
        return ""
    return f" {_plain(reach.amount)} {'秒' if reach.unit is Unit.SECONDS else '句'}内"


def params_text(call: OperatorCall) -> str:
    """The parameters of one use as short text for the evidence: `min_hits=1; lexicon=agent_id`."""
    return "; ".join(f"{name}={_param_text(value)}" for name, value in call.params.entries)


def _param_text(value: ParamValue) -> str:
    if isinstance(value, Lexicon):
        return value.name or "、".join(value.words)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "、".join(part if isinstance(part, str) else "/".join(part) for part in value)
    return f"max_s={_plain(value.max_s)}, words={'、'.join(value.words)}"


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
class Unheard:
    """Words that were not heard. why: the reason they may have been said all the same, "" when they were not.

    set_aside: for the explanation of a miss: what was unclear but cannot hold them.
    """

    why: str = ""
    set_aside: str = ""


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
        starts += [utterance.span.start_ms for utterance in self.utterances if _is_of(utterance, role)]
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

    def place(self, call: OperatorCall) -> Place:
        """Where an operator looks: around its anchor, or in its scope."""
        if call.anchor is not None and call.where is not None:
            hit = self.anchor(call.anchor)
            if hit is None:
                return Place(Span(0, 0), ())
            return self._around(call, hit, call.where)
        if call.scope is None:
            return self._in_span(call.role, Span(0, self.facts.duration_ms))
        return self._in_scope(call.role, call.scope)

    def _in_span(self, role: Role, span: Span) -> Place:
        positions = tuple(
            position
            for position, utterance in enumerate(self.utterances)
            if _is_of(utterance, role) and intersection(utterance.span, span) is not None
        )
        return Place(span, positions)

    def _in_scope(self, role: Role, scope: Scope) -> Place:
        end_ms = self.facts.duration_ms
        if scope.unit is Unit.UTTERANCES:
            own = [position for position, utterance in enumerate(self.utterances) if _is_of(utterance, role)]
            count = int(scope.within)
            chosen = own[-count:] if scope.origin is Origin.END else own[:count]
            return self._counted(chosen, complete=len(own) >= count, from_end=scope.origin is Origin.END)
        length_ms = int(scope.within * (end_ms if scope.unit is Unit.RATIO else 1000))
        if scope.origin is Origin.END:
            # Counted back from the last words: a line left open afterwards does not push the farewell out of the scope.
            last_ms = self.last_speech_ms
            return self._in_span(role, Span(max(0, last_ms - length_ms), end_ms))
        # Counted from the role's own first words: a late start has its own check, and must not hide a proper greeting.
        first_ms = self.first_speech_ms(role) if scope.origin is Origin.START else self.facts.answer_ms
        first_ms = min(first_ms, end_ms)
        place = self._in_span(role, Span(first_ms, min(first_ms + length_ms, end_ms)))
        # The first words heard need not be the first ones said: what was lost between the answer and them belongs here too.
        return replace(place, reach=Span(min(self.facts.answer_ms, first_ms), place.span.end_ms))

    def _counted(self, chosen: Sequence[int], *, complete: bool, from_end: bool) -> Place:
        """The first or last utterances, with the stretch in which an unheard one would have been among them."""
        span = self._cover(chosen)
        answer_ms = min(self.facts.answer_ms, self.facts.duration_ms)
        start_ms = span.start_ms if from_end and complete else min(answer_ms, span.start_ms)
        end_ms = span.end_ms if not from_end and complete else self.facts.duration_ms
        return Place(span, tuple(chosen), Span(start_ms, max(end_ms, span.end_ms)))

    def _cover(self, positions: Iterable[int]) -> Span:
        spans = [self.utterances[position].span for position in positions]
        if not spans:
            return Span(0, 0)
        return Span(min(span.start_ms for span in spans), max(span.end_ms for span in spans))

    def _around(self, call: OperatorCall, hit: Hit, where: Where) -> Place:
        if where is Where.SAME:
            return self._in_span(call.role, hit.span)
        reach = call.reach or Reach(Unit.SECONDS, self.facts.duration_ms / 1000)
        if reach.unit is Unit.SECONDS:
            reach_ms = int(reach.amount * 1000)
            start_ms = max(0, hit.span.start_ms - reach_ms) if where is not Where.AFTER else hit.span.start_ms
            end_ms = min(self.facts.duration_ms, hit.span.end_ms + reach_ms)
            end_ms = end_ms if where is not Where.BEFORE else hit.span.end_ms
            return self._in_span(call.role, Span(min(start_ms, end_ms), end_ms))
        return self._around_by_count(call.role, hit, where, int(reach.amount))

    def _around_by_count(self, role: Role, hit: Hit, where: Where, count: int) -> Place:
        if hit.position is not None:
            before = list(range(max(0, hit.position - count), hit.position))
            after = list(range(hit.position + 1, min(len(self.utterances), hit.position + 1 + count)))
            own = [hit.position]
        else:
            slack = ORDER_SLACK_MS
            earlier = [i for i, u in enumerate(self.utterances) if u.span.end_ms <= hit.span.start_ms + slack]
            later = [i for i, u in enumerate(self.utterances) if u.span.start_ms >= hit.span.end_ms - slack]
            before, after, own = earlier[-count:], later[:count], []
        # The anchor's own utterance belongs to both sides: 不归我们管，我帮您转 stands in one breath.
        wanted = own + (before if where is not Where.AFTER else []) + (after if where is not Where.BEFORE else [])
        chosen = sorted(position for position in wanted if _is_of(self.utterances[position], role))
        # From the anchor on to the last utterance counted; to the end of the call where there are not so many.
        start_ms, end_ms = hit.span.start_ms, hit.span.end_ms
        if where is not Where.AFTER:
            start_ms = min(start_ms, self._cover(before).start_ms) if len(before) >= count else 0
        if where is not Where.BEFORE:
            end_ms = max(end_ms, self._cover(after).end_ms) if len(after) >= count else self.facts.duration_ms
        return Place(self._cover(wanted), tuple(chosen), Span(start_ms, max(start_ms, end_ms)))

    def trust(self, utterance: Utterance) -> Trust:
        """How far the words of an utterance count as heard."""
        if not utterance.text or utterance.confidence < self.gate.min_asr_confidence:
            return Trust.UNREADABLE
        return Trust.CLEAR if utterance.reliable else Trust.DOUBTFUL

    def unheard(self, role: Role, place: Place, wanted: Sequence[Sought] = ANYTHING, *, exact: bool = False) -> Unheard:
        """Whether wanted words may have been said at a place without our having read them.

        exact: words that only sound alike are none of these, so that a clear text holds what it says.
        """
        clear_likeness = SAME_SOUND if self.plain_reading else CLEAR_LIKENESS
        # Parts of speech beside the place do not matter; an utterance at its edge was searched as a whole.
        for channel in channels_of(role):
            gaps = (g for g in self.facts.gaps if not _is_ending(g, self.facts.duration_ms))
            gap = next((gap for gap in gaps if _hides(gap, channel, place.within_reach)), None)
            if gap is not None:
                return Unheard(f"{_clock(gap.span)} {SPEAKER_LABELS[_speaker(channel)]}声道有音频缺口")
        set_aside = []
        for position in place.positions:
            utterance = self.utterances[position]
            trust = self.trust(utterance)
            if trust is Trust.CLEAR and exact:
                continue
            hidden = hidden_in(wanted, utterance.text, utterance.span.duration_ms, trust, clear_likeness)
            if hidden is not None:
                return Unheard(_may_hide(utterance, trust, hidden))
            if trust is not Trust.CLEAR:
                set_aside.append(utterance)
        for channel in channels_of(role):
            missed = self._unread_speech(channel, place.within_reach)
            if missed is not None:
                return Unheard(f"{_clock(missed)} {SPEAKER_LABELS[_speaker(channel)]}有语音但没有文字")
        if not set_aside:
            return Unheard()
        return Unheard(
            "", f"另有 {len(set_aside)} 句识别不可靠（如 {_clock(set_aside[0].span)}），但时长或读音与此不符"
        )

    def _unread_speech(self, channel: Channel, span: Span) -> Span | None:
        read = [u.span for u in self.utterances if u.speaker.channel is channel]
        for speech in self.speech(channel):
            inside = intersection(speech, span)
            if inside is None:
                continue
            covered = total_ms(joined(part for text in read if (part := intersection(text, inside)) is not None))
            if inside.duration_ms - covered >= UNHEARD_SPEECH_MS:
                return inside
        return None

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


def not_checked(reason: str) -> Finding:
    """A finding without a judgement."""
    return Finding(State.NOT_CHECKED, reason)


def _may_hide(utterance: Utterance, trust: Trust, hidden: Hidden) -> str:
    at = _clock(utterance.span)
    what = f"“{hidden.wanted.text}”" if hidden.wanted.text else "所查内容"
    if trust is Trust.CLEAR:
        return f"{at} 的“{hidden.behind}”与{what}读音相近"
    unclear = "有一句无法辨认" if trust is Trust.UNREADABLE else "有一句识别不可靠"
    return f"{at} {unclear}{f'（“{hidden.behind}”）' if hidden.behind else ''}，不能排除{what}"


def channels_of(role: Role) -> tuple[Channel, ...]:
    """The channels a role speaks on."""
    return {Role.AGENT: (Channel.AGENT,), Role.CITIZEN: (Channel.CITIZEN,)}.get(role, tuple(Channel))


def _speaker(channel: Channel) -> Speaker:
    return Speaker.AGENT if channel is Channel.AGENT else Speaker.CITIZEN


def _is_of(utterance: Utterance, role: Role) -> bool:
    return role is Role.ANY or utterance.speaker is role.speaker


def _is_ending(gap: Gap, duration_ms: int) -> bool:
    at_the_end = gap.span.end_ms >= duration_ms - HIDING_MS
    return gap.kind is GapKind.NO_MEDIA and at_the_end and gap.span.duration_ms <= ENDING_MS


def _hides(gap: Gap, channel: Channel, span: Span) -> bool:
    # A hold keeps both sides from being heard by each other; what the agent says then is not meant for the citizen.
    return gap.channel is channel and gap.kind is not GapKind.HELD and gap.span.overlap_ms(span) >= HIDING_MS


def _clock(span: Span) -> str:
    return f"{span.start_ms // 60_000}:{span.start_ms // 1000 % 60:02d}"
