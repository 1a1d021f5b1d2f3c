"""Operators on how somebody speaks: speech_rate, volume, talk_ratio. Times come from speech spans, not from text."""

from collections.abc import Sequence
from statistics import median

from callqa.scoring.acoustics import (
    intersection,
    total_ms,
)
from callqa.scoring.condition_tree import OperatorCall, Role
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene, channels_of
from callqa.text import speech_chars
from callqa.units import Channel

MS_PER_MINUTE = 60_000
# Rates over a shorter stretch say more about the clock than about the speaker.
MIN_VOICED_MS = 1000


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


def _describe_volume(call: OperatorCall) -> str:
    floor, jump = call.params.optional_number("min_dbfs"), call.params.optional_number("max_jump_db")
    parts = [f"均值低于 {floor:g} dBFS"] if floor is not None else []
    return " 或 ".join([*parts, f"高出本人中位数 {jump:g} dB 以上"] if jump is not None else parts)


ROWS = (
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
