"""Words that may have been said without our having read them: in a gap, in an unclear utterance, in speech without text."""

from collections.abc import Sequence
from dataclasses import dataclass

from callqa.scoring.acoustics import intersection, joined, total_ms
from callqa.scoring.condition_tree import Role
from callqa.scoring.hearing import CLEAR_LIKENESS, SAME_SOUND, Hidden, Sought, Trust, anything, hidden_in
from callqa.scoring.operators.scene import Place, Scene, channels_of
from callqa.speech import SPEAKER_LABELS, Gap, GapKind, Span, Speaker, Utterance
from callqa.units import Channel

# A gap or unheard speech shorter than this cannot hide a phrase.
HIDING_MS = 500
# A phone stops sending a moment before its BYE arrives: silence of this length at the very end hides nothing.
ENDING_MS = 3000
# Speech that voice activity found but no utterance covers: words the engine did not give us.
UNHEARD_SPEECH_MS = 1500
ANYTHING = anything(2)


@dataclass(frozen=True, slots=True)
class Unheard:
    """Words that were not heard. why: the reason they may have been said all the same, "" when they were not.

    set_aside: for the explanation of a miss: what was unclear but cannot hold them.
    """

    why: str = ""
    set_aside: str = ""


def find_unheard(
    scene: Scene, role: Role, place: Place, wanted: Sequence[Sought] = ANYTHING, *, exact: bool = False
) -> Unheard:
    """Whether wanted words may have been said at a place without our having read them.

    exact: words that only sound alike are none of these, so that a clear text holds what it says.
    """
    clear_likeness = SAME_SOUND if scene.plain_reading else CLEAR_LIKENESS
    # Parts of speech beside the place do not matter; an utterance at its edge was searched as a whole.
    for channel in channels_of(role):
        gaps = (g for g in scene.facts.gaps if not _is_ending(g, scene.facts.duration_ms))
        gap = next((gap for gap in gaps if _hides(gap, channel, place.within_reach)), None)
        if gap is not None:
            return Unheard(f"{_clock(gap.span)} {SPEAKER_LABELS[_speaker(channel)]}声道有音频缺口")
    set_aside = []
    for position in place.positions:
        utterance = scene.utterances[position]
        trust = scene.trust(utterance)
        if trust is Trust.CLEAR and exact:
            continue
        hidden = hidden_in(wanted, utterance.text, utterance.span.duration_ms, trust, clear_likeness)
        if hidden is not None:
            return Unheard(_may_hide(utterance, trust, hidden))
        if trust is not Trust.CLEAR:
            set_aside.append(utterance)
    for channel in channels_of(role):
        missed = _unread_speech(scene, channel, place.within_reach)
        if missed is not None:
            return Unheard(f"{_clock(missed)} {SPEAKER_LABELS[_speaker(channel)]}有语音但没有文字")
    if not set_aside:
        return Unheard()
    return Unheard("", f"另有 {len(set_aside)} 句识别不可靠（如 {_clock(set_aside[0].span)}），但时长或读音与此不符")


def _unread_speech(scene: Scene, channel: Channel, span: Span) -> Span | None:
    read = [u.span for u in scene.utterances if u.speaker.channel is channel]
    for speech in scene.speech(channel):
        inside = intersection(speech, span)
        if inside is None:
            continue
        covered = total_ms(joined(part for text in read if (part := intersection(text, inside)) is not None))
        if inside.duration_ms - covered >= UNHEARD_SPEECH_MS:
            return inside
    return None


def _may_hide(utterance: Utterance, trust: Trust, hidden: Hidden) -> str:
    at = _clock(utterance.span)
    what = f"“{hidden.wanted.text}”" if hidden.wanted.text else "所查内容"
    if trust is Trust.CLEAR:
        return f"{at} 的“{hidden.behind}”与{what}读音相近"
    unclear = "有一句无法辨认" if trust is Trust.UNREADABLE else "有一句识别不可靠"
    return f"{at} {unclear}{f'（“{hidden.behind}”）' if hidden.behind else ''}，不能排除{what}"


def _speaker(channel: Channel) -> Speaker:
    return Speaker.AGENT if channel is Channel.AGENT else Speaker.CITIZEN


def _is_ending(gap: Gap, duration_ms: int) -> bool:
    at_the_end = gap.span.end_ms >= duration_ms - HIDING_MS
    return gap.kind is GapKind.NO_MEDIA and at_the_end and gap.span.duration_ms <= ENDING_MS


def _hides(gap: Gap, channel: Channel, span: Span) -> bool:
    # A hold keeps both sides from being heard by each other; what the agent says then is not meant for the citizen.
    return gap.channel is channel and gap.kind is not GapKind.HELD and gap.span.overlap_ms(span) >= HIDING_MS


def _clock(span: Span) -> str:
    return f"{span.start_ms // 60_000}:{span.start_ms // 1000 % 60:02d}"
