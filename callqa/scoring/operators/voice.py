"""Operators on sound: silence, response_delay, overlap, speech_rate, volume, talk_ratio. Times from speech spans, not text."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from callqa.scoring.acoustics import (
    TURN_JOIN_MS,
    agent_entries_over_citizen,
    intersection,
    joined,
    mutual_silences,
    total_ms,
)
from callqa.scoring.condition_tree import OperatorCall, Origin, Role
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene, channels_of
from callqa.scoring.operators.unheard import HIDING_MS
from callqa.speech import GapKind, Span
from callqa.text import normalised, simplified, speech_chars
from callqa.units import Channel

MS_PER_MINUTE = 60_000
# Rates over a shorter stretch say more about the clock than about the speaker.
MIN_VOICED_MS = 1000
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


def speech_rate(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when characters per minute of voiced time leave [min_cpm, max_cpm], for the call or for single utterances."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    rated = [position for position in place.positions if scene.reliable(scene.utterances[position])]
    min_chars = int(call.params.number("min_chars", 1))
    if call.params.text("per") == "utterance":
        return _rate_by_utterance(call, scene, place, rated, min_chars)
    chars, voiced_ms = _spoken_in(scene, rated)
    searched = scene.searched(call, place)
    if chars < min_chars or voiced_ms < MIN_VOICED_MS:
        return _rate_estimated(call, scene, place, min_chars) or not_checked(
            f"可用文字只有 {chars} 字，不足以算语速，待人工"
        )
    cpm = chars * MS_PER_MINUTE / voiced_ms
    text = f"每分钟 {cpm:.0f} 字"
    if _rate_outside(call, cpm):
        return Finding(
            State.HIT,
            text,
            (Hit(scene.stretch(call, searched.channel, place.span, text, searched.quote)),),
            (searched,),
        )
    return Finding(State.MISS, text, (), (searched,))


def _spoken_in(scene: Scene, positions: Sequence[int]) -> tuple[int, int]:
    """Characters written and voiced milliseconds of some utterances."""
    chars = sum(speech_chars(scene.utterances[position].text) for position in positions)
    return chars, sum(_voiced_ms(scene, position) for position in positions)


def _rate_estimated(call: OperatorCall, scene: Scene, place: Place, min_chars: int) -> Finding | None:
    """Too fast by all that was written, doubtful text included: a hint to listen, as hurried speech is what engines garble.

    They write fewer syllables of it than there were, so that nothing follows from a rate that is not too high.
    """
    positions = [position for position in place.positions if scene.utterances[position].text]
    chars, voiced_ms = _spoken_in(scene, positions)
    limit = call.params.optional_number("max_cpm")
    if limit is None or chars < min_chars or voiced_ms < MIN_VOICED_MS:
        return None
    cpm = chars * MS_PER_MINUTE / voiced_ms
    if cpm <= limit:
        return None
    text = f"识别多不可靠，估计每分钟 {cpm:.0f} 字，请核听"
    searched = scene.searched(call, place)
    hit = Hit(scene.stretch(call, searched.channel, place.span, text, searched.quote), exact=False)
    return Finding(State.HIT, text, (hit,), (searched,))


def _rate_by_utterance(call: OperatorCall, scene: Scene, place: Place, rated: Sequence[int], min_chars: int) -> Finding:
    hits, counted = [], 0
    for position in rated:
        chars, voiced_ms = speech_chars(scene.utterances[position].text), _voiced_ms(scene, position)
        if chars < min_chars or voiced_ms < MIN_VOICED_MS:
            continue
        counted += 1
        cpm = chars * MS_PER_MINUTE / voiced_ms
        if _rate_outside(call, cpm):
            hits.append(Hit(scene.evidence_of(position, call, f"每分钟 {cpm:.0f} 字"), position))
    if not counted:
        return not_checked("没有足够长且识别可靠的语句，待人工")
    searched = (scene.searched(call, place),)
    if hits:
        return Finding(State.HIT, f"{len(hits)} 句语速超出范围", tuple(hits), searched)
    return Finding(State.MISS, f"{counted} 句语速都在范围内", (), searched)


def _voiced_ms(scene: Scene, position: int) -> int:
    """Voiced time of an utterance; its whole length where voice activity marks nothing in it."""
    utterance = scene.utterances[position]
    channel = utterance.speaker.channel
    if channel is None:
        return utterance.span.duration_ms
    parts = [common for speech in scene.speech(channel) if (common := intersection(speech, utterance.span)) is not None]
    return total_ms(parts) or utterance.span.duration_ms


def _rate_outside(call: OperatorCall, cpm: float) -> bool:
    high, low = call.params.optional_number("max_cpm"), call.params.optional_number("min_cpm")
    return (high is not None and cpm > high) or (low is not None and cpm < low)


def volume(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the mean level lies under min_dbfs, or utterances lie more than max_jump_db above the speaker's median."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    if not scene.facts.loudness:
        return not_checked("没有测得音量，待人工")
    levels = [
        (position, level) for position in place.positions if (level := scene.facts.loudness[position]) is not None
    ]
    if not levels:
        return not_checked("没有测得音量，待人工")
    searched = (scene.searched(call, place),)
    weights = [max(1, _voiced_ms(scene, position)) for position, _ in levels]
    mean = sum(level * weight for (_, level), weight in zip(levels, weights, strict=True)) / sum(weights)
    middle = median(level for _, level in levels)
    floor, jump = call.params.optional_number("min_dbfs"), call.params.optional_number("max_jump_db")
    if floor is not None and mean < floor:
        text = f"平均音量 {mean:.1f} dBFS，低于 {floor:g}"
        return Finding(State.HIT, text, (Hit(scene.stretch(call, searched[0].channel, place.span, text)),), searched)
    loud = [(position, level) for position, level in levels if jump is not None and level - middle > jump]
    if loud:
        hits = tuple(
            Hit(scene.evidence_of(position, call, f"高出本人中位数 {level - middle:.1f} dB"), position)
            for position, level in loud
        )
        return Finding(State.HIT, f"{len(hits)} 句音量突高", hits, searched)
    return Finding(State.MISS, f"平均音量 {mean:.1f} dBFS", (), searched)


def talk_ratio(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the agent's share of all speech leaves [min_agent, max_agent]."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    spoken = {
        channel: total_ms(c for span in scene.speech(channel) if (c := intersection(span, place.span)) is not None)
        for channel in channels_of(Role.ANY)
    }
    if not sum(spoken.values()):
        return not_checked("范围内没有语音，待人工")
    share = spoken[Channel.AGENT] / sum(spoken.values())
    high, low = call.params.optional_number("max_agent"), call.params.optional_number("min_agent")
    text = f"坐席说话占 {share:.0%}"
    searched = (scene.searched(call, place),)
    if (high is not None and share > high) or (low is not None and share < low):
        return Finding(State.HIT, text, (Hit(scene.stretch(call, None, place.span, text)),), searched)
    return Finding(State.MISS, text, (), searched)


def _limits(call: OperatorCall, low: str, high: str, unit: str) -> str:
    parts = []
    if call.params.optional_number(low) is not None:
        parts.append(f"低于 {call.params.number(low):g}{unit}")
    if call.params.optional_number(high) is not None:
        parts.append(f"高于 {call.params.number(high):g}{unit}")
    return " 或 ".join(parts)


def _describe_counted(call: OperatorCall) -> str:
    allowed = int(call.params.number("max_count", 0))
    return f"{call.params.number('min_s'):g} 秒以上，多于 {allowed} 次"


def _describe_volume(call: OperatorCall) -> str:
    floor, jump = call.params.optional_number("min_dbfs"), call.params.optional_number("max_jump_db")
    parts = [f"均值低于 {floor:g} dBFS"] if floor is not None else []
    return " 或 ".join([*parts, f"高出本人中位数 {jump:g} dB 以上"] if jump is not None else parts)


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
    Operator(
        "speech_rate",
        "语速",
        "voice",
        (
            ParamSpec("per", ParamKind.CHOICE, required=True, choices=("call", "utterance")),
            ParamSpec("max_cpm", ParamKind.NUMBER, minimum=1),
            ParamSpec("min_cpm", ParamKind.NUMBER, minimum=0),
            ParamSpec("min_chars", ParamKind.WHOLE, minimum=1),
        ),
        "每分钟字数 > max_cpm 或 < min_cpm（per 取 call/utterance，按有声时长计）",
        speech_rate,
        lambda call: (
            ("全程" if call.params.text("per") == "call" else "单句") + _limits(call, "min_cpm", "max_cpm", " 字/分钟")
        ),
        ("max_cpm", "min_cpm"),
    ),
    Operator(
        "volume",
        "音量",
        "voice",
        (ParamSpec("min_dbfs", ParamKind.NUMBER, maximum=0), ParamSpec("max_jump_db", ParamKind.NUMBER, minimum=0)),
        "坐席有声段均值 < min_dbfs，或高出本人中位数 > max_jump_db",
        volume,
        _describe_volume,
        ("min_dbfs", "max_jump_db"),
    ),
    Operator(
        "talk_ratio",
        "说话占比",
        "voice",
        (
            ParamSpec("max_agent", ParamKind.NUMBER, minimum=0, maximum=1),
            ParamSpec("min_agent", ParamKind.NUMBER, minimum=0, maximum=1),
        ),
        "坐席说话时长占比超出区间",
        talk_ratio,
        lambda call: "坐席" + _limits(call, "min_agent", "max_agent", ""),
        ("max_agent", "min_agent"),
    ),
)
