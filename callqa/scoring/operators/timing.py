"""Operators on who speaks when: silence, response_delay, overlap. Times come from speech spans, not from text."""

from collections.abc import Sequence
from itertools import pairwise

from callqa.scoring.acoustics import (
    TURN_JOIN_MS,
    agent_entries_over_citizen,
    intersection,
    joined,
    mutual_silences,
    total_ms,
)
from callqa.scoring.condition_tree import OperatorCall, Origin
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene
from callqa.scoring.operators.unheard import HIDING_MS
from callqa.speech import GapKind, Span
from callqa.text import normalised, simplified
from callqa.units import Channel

# After the farewell a phone is put down within this time. A line open for longer may be one on which nobody came back.
LATE_HANG_UP_MS = 15_000
# A hold is silence that both sides know of; every other gap hides whether somebody spoke.
_BLIND = frozenset((GapKind.LOST, GapKind.PAUSED, GapKind.NO_MEDIA))


def _seconds(span_ms: float) -> str:
    return f"{span_ms / 1000:.1f} 秒"


def _blind_in(scene: Scene, span: Span, channels: Sequence[Channel] = tuple(Channel)) -> bool:
    """Whether so much of a stretch carries no original audio that nobody can tell if it was silent."""
    blind = joined(
        common
        for gap in scene.facts.gaps
        if gap.kind in _BLIND and gap.channel in channels and (common := intersection(gap.span, span)) is not None
    )
    return total_ms(blind) >= max(HIDING_MS, span.duration_ms // 10)


def _counted(hits: Sequence[Hit], allowed: int, name: str, looked: Place, call: OperatorCall, scene: Scene) -> Finding:
    searched = (scene.searched(call, looked),)
    if len(hits) > allowed:
        longest = max(hit.span.duration_ms for hit in hits)
        return Finding(State.HIT, f"{name} {len(hits)} 次，最长 {_seconds(longest)}", tuple(hits), searched)
    return Finding(State.MISS, f"{name} {len(hits)} 次" if hits else f"没有{name}", tuple(hits), searched)


def silence(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when more than max_count stretches without any speech last min_s or longer."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    wanted_ms, allowed = call.params.number("min_s") * 1000, int(call.params.number("max_count", 0))
    hits, blind = [], 0
    for quiet in mutual_silences(scene.speech(Channel.CITIZEN), scene.speech(Channel.AGENT)):
        inside = intersection(quiet, place.span)
        if inside is None or inside.duration_ms < wanted_ms:
            continue
        if _blind_in(scene, inside):
            blind += 1
            continue
        hits.append(Hit(scene.stretch(call, None, inside, f"静音 {_seconds(inside.duration_ms)}")))
    if len(hits) <= allowed < len(hits) + blind:
        return not_checked(f"{blind} 处无声时段没有收到媒体，不能算静音，待人工")
    left = intersection(Span(scene.last_speech_ms, max(scene.last_speech_ms, scene.facts.duration_ms)), place.span)
    if len(hits) == allowed and left is not None and left.duration_ms >= max(wanted_ms, LATE_HANG_UP_MS):
        text = f"最后一句话之后 {_seconds(left.duration_ms)}才挂机，是等待还是迟挂，请核听"
        return Finding(
            State.UNSURE, text, (Hit(scene.stretch(call, None, left, text)),), (scene.searched(call, place),)
        )
    return _counted(hits, allowed, f"{call.params.number('min_s'):g} 秒以上静音", place, call, scene)


def response_delay(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the agent takes longer than max_s to speak: after the answer, or after the citizen's turns."""
    blocked = scene.blocked(call, needs_speech=False)
    if blocked:
        return blocked
    limit_ms = call.params.number("max_s") * 1000
    from_answer = call.scope is not None and call.scope.origin is Origin.ANSWER
    waits = [_wait_after_answer(scene)] if from_answer else _waits_after_citizen(scene, place_of(scene, call).span)
    long = [wait for wait in waits if wait.duration_ms > limit_ms]
    if any(_blind_in(scene, wait, (Channel.AGENT,)) for wait in long):
        return not_checked("等待时段坐席声道没有收到媒体，待人工")
    searched = (scene.searched(call, place_of(scene, call)),)
    if not long:
        longest = max((wait.duration_ms for wait in waits), default=0)
        return Finding(State.MISS, f"最长 {_seconds(longest)} 后坐席开口", (), searched)
    hits = tuple(
        Hit(scene.stretch(call, Channel.AGENT, wait, f"坐席 {_seconds(wait.duration_ms)}后开口")) for wait in long
    )
    what = "接通后" if from_answer else "诉求人说完后"
    return Finding(State.HIT, f"{what} {_seconds(max(w.duration_ms for w in long))}坐席才开口", hits, searched)


def _wait_after_answer(scene: Scene) -> Span:
    answered = min(scene.facts.answer_ms, scene.facts.duration_ms)
    starts = [span.start_ms for span in scene.speech(Channel.AGENT) if span.end_ms > answered]
    first = min(starts) if starts else scene.facts.duration_ms  # never spoke: waited to the end
    return Span(answered, max(answered, first))


def _waits_after_citizen(scene: Scene, within: Span) -> list[Span]:
    """From the end of each citizen's turn to the agent's next words, where the agent is the next to speak."""
    turns = [(turn, Channel.CITIZEN) for turn in joined(scene.speech(Channel.CITIZEN), TURN_JOIN_MS)]
    turns += [(turn, Channel.AGENT) for turn in joined(scene.speech(Channel.AGENT), TURN_JOIN_MS)]
    turns.sort(key=lambda pair: (pair[0].start_ms, pair[1]))
    return [
        Span(a.end_ms, b.start_ms)
        for (a, said), (b, answered) in pairwise(turns)
        if said is Channel.CITIZEN
        and answered is Channel.AGENT
        and a.end_ms <= b.start_ms
        and within.start_ms <= a.end_ms < within.end_ms
    ]


def overlap(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the agent starts to speak over the citizen more than max_count times, 附和语 left aside."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    wanted_ms = call.params.number("min_s") * 1000
    allowed = int(call.params.number("max_count", 0))
    entries = agent_entries_over_citizen(scene.speech(Channel.CITIZEN), scene.speech(Channel.AGENT))
    hits, doubtful = [], 0
    for turn, common in entries:
        if common.duration_ms < wanted_ms or intersection(common, place.span) is None:
            continue
        said = _said_during(scene, turn)
        if _is_backchannel(call, turn, said):
            continue
        if not said and _blind_in(scene, common):
            doubtful += 1
            continue
        note = f"重叠 {_seconds(common.duration_ms)}"
        hits.append(Hit(scene.stretch(call, Channel.AGENT, common, note, quote=said)))
    if len(hits) <= allowed < len(hits) + doubtful:
        return not_checked("重叠时段有音频缺口，待人工")
    return _counted(hits, allowed, "抢话", place, call, scene)


def _said_during(scene: Scene, span: Span) -> str:
    return " ".join(
        u.text
        for u in scene.utterances
        if u.speaker.channel is Channel.AGENT and intersection(u.span, span) is not None
    )


def _is_backchannel(call: OperatorCall, turn: Span, said: str) -> bool:
    rule = call.params.backchannel("ignore_backchannel")
    if turn.duration_ms <= rule.max_s * 1000:
        return True
    rest = "".join(char for char in simplified(said) if char.isalnum())
    if not rest:
        return False
    for word in sorted(rule.words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return not normalised(rest)


def _describe_counted(call: OperatorCall) -> str:
    allowed = int(call.params.number("max_count", 0))
    return f"{call.params.number('min_s'):g} 秒以上，多于 {allowed} 次"


_MIN_S = ParamSpec("min_s", ParamKind.NUMBER, required=True, minimum=0)
_MAX_COUNT = ParamSpec("max_count", ParamKind.WHOLE, minimum=0)


ROWS = (
    Operator(
        "silence",
        "静音",
        "voice",
        (_MIN_S, _MAX_COUNT),
        "存在双方同时无语音 ≥ min_s 的区间，且次数 > max_count（缺省 0）",
        silence,
        _describe_counted,
    ),
    Operator(
        "response_delay",
        "开口延迟",
        "voice",
        (ParamSpec("max_s", ParamKind.NUMBER, required=True, minimum=0),),
        "诉求人说完到坐席开口 > max_s；scope.from=answer 时为接通到坐席首句 > max_s",
        response_delay,
        lambda call: f"超过 {call.params.number('max_s'):g} 秒",
    ),
    Operator(
        "overlap",
        "抢话",
        "voice",
        (_MIN_S, _MAX_COUNT, ParamSpec("ignore_backchannel", ParamKind.BACKCHANNEL)),
        "坐席在诉求人说话时开口且重叠 ≥ min_s 的次数 > max_count（附和语除外）",
        overlap,
        _describe_counted,
    ),
)
