"""Operators on whole phrases: regex, similar, context_repeat."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from callqa.matching import edit_distance
from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.hearing import Sought, anything, sought
from callqa.scoring.operators.finding import Evidence, Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Scene
from callqa.scoring.operators.unheard import ANYTHING, find_unheard
from callqa.scoring.operators.words import SENTENCE_END, missed, sentence_around, shown
from callqa.scoring.spellings import spellings
from callqa.text import Normalised, normalised, normalised_with_positions, spoken_with_positions, syllables

_PLACEHOLDER = re.compile(r"[×xX]{1,}")


@dataclass(frozen=True, slots=True)
class _Search:
    """What is looked for in single utterances.

    quotes: (quote, note) for every hit inside the utterance at a position. wanted: how it sounds, for what was not read
    clearly. ruled_out: whether the words at a position rule a hit out whatever else they say.
    """

    name: str
    quotes: Callable[[int], Sequence[tuple[str, str]]]
    wanted: Sequence[Sought]
    ruled_out: Callable[[int], bool] = lambda _: False


def _clear_and_doubtful(call: OperatorCall, scene: Scene, search: _Search) -> Finding:
    """Hit with a hit in a clear utterance; unsure with one only in doubtful ones; else miss or not_checked."""
    place = place_of(scene, call)
    clear: list[Hit] = []
    doubtful: list[Hit] = []
    for position in place.positions:
        for quote, note in search.quotes(position):
            hit = Hit(scene.evidence_of(position, call, note, quote), position)
            (clear if scene.reliable(scene.utterances[position]) else doubtful).append(hit)
    looked: tuple[Evidence, ...] = (scene.searched(call, place),)
    if clear:
        return Finding(State.HIT, f"{search.name} {len(clear)} 处", tuple(clear), looked, doubtful=tuple(doubtful))
    if doubtful:
        return Finding(State.UNSURE, f"只在识别不可靠的语句中有{search.name}", tuple(doubtful), looked)
    open_place = replace(place, positions=tuple(p for p in place.positions if not search.ruled_out(p)))
    unheard = find_unheard(scene, call.role, open_place, search.wanted)
    if unheard.why:
        return not_checked(f"没有找到，但{unheard.why}，待人工")
    return Finding(State.MISS, missed(f"没有{search.name}", unheard), (), looked)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def regex(call: OperatorCall, scene: Scene) -> Finding:
    """Hit for an utterance that matches pattern and not not_pattern, with numbers as said or as digits."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    pattern = _compiled(call.params.text("pattern"))
    not_pattern = _compiled(call.params.text("not_pattern")) if call.params.text("not_pattern") else None

    def forms(position: int) -> tuple[Normalised, Normalised]:
        text = scene.utterances[position].text
        return spoken_with_positions(text), normalised_with_positions(text)

    def ruled_out(position: int) -> bool:
        return not_pattern is not None and any(not_pattern.search(form.text) for form in forms(position))

    def quotes(position: int) -> Sequence[tuple[str, str]]:
        if ruled_out(position):
            return ()
        text = scene.utterances[position].text
        for form in forms(position):
            match = pattern.search(form.text)
            if match is not None:
                start, end = form.original_span(*match.span())
                return ((sentence_around(text, start, end), f"命中：{text[start:end]}"),)
        return ()

    sounds = spellings(call.params.text("pattern"))
    wanted = ANYTHING if sounds is None else sounds
    return _clear_and_doubtful(call, scene, _Search("匹配的语句", quotes, wanted, ruled_out))


@lru_cache(maxsize=1024)
def _phrase_parts(phrase: str) -> tuple[tuple[str, ...], ...]:
    """The fixed parts of a standard phrase, as syllables; ×× stands for anything."""
    parts = (syllables(normalised(part)) for part in _PLACEHOLDER.split(phrase))
    return tuple(part for part in parts if part)


@lru_cache(maxsize=4096)
def phrase_score(phrase: str, text: str) -> int:
    """How much of a standard phrase a text holds, by sound, 0 to 100: each fixed part at its best place in the text."""
    parts, heard = _phrase_parts(phrase), syllables(normalised(text))
    wanted = sum(len(part) for part in parts)
    if not wanted or not heard:
        return 0
    return round(100 * (1 - sum(_distance_inside(part, heard) for part in parts) / wanted))


def _distance_inside(wanted: tuple[str, ...], heard: tuple[str, ...]) -> int:
    """Edit distance of `wanted` to its best stretch of `heard`, both ends of which are free (Sellers 1980)."""
    row = [0] * (len(heard) + 1)
    for i, syllable in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (syllable != other))
    return min(row)


def similar(call: OperatorCall, scene: Scene) -> Finding:
    """Hit for an utterance that holds one of the phrases nearly word for word."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    phrases = call.params.texts("phrases")
    if not phrases:
        named = call.params.text("phrases")
        phrases = next((texts for name, texts in scene.required_phrases if name == named), ())
    wanted = call.params.number("min_score")

    def quotes(position: int) -> Sequence[tuple[str, str]]:
        text = scene.utterances[position].text
        best = max((phrase_score(phrase, text) for phrase in phrases), default=0)
        return ((text, f"相似度 {best}"),) if best >= wanted else ()

    sounds = tuple(sought(_PLACEHOLDER.sub("", phrase)) for phrase in phrases)
    return _clear_and_doubtful(call, scene, _Search("相近的话术", quotes, sounds))


@lru_cache(maxsize=8192)
def likeness(a: str, b: str) -> int:
    """How alike two sentences are, 0 to 100."""
    longest = max(len(a), len(b))
    if not longest or min(len(a), len(b)) * 100 < longest * 50:
        return 0
    return round(100 * (1 - edit_distance(a, b) / longest))


def context_repeat(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the same role says nearly the same sentence again for the nth time within look_back utterances."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    look_back, wanted = int(call.params.number("look_back")), call.params.number("min_score")
    nth, min_chars = int(call.params.number("nth", 1)), int(call.params.number("min_chars", 1))

    def sentences(position: int) -> list[tuple[str, str]]:
        parts = [part.strip() for part in SENTENCE_END.split(scene.utterances[position].text)]
        return [(part, form) for part in parts if len(form := normalised(part)) >= min_chars]

    def quotes(position: int) -> Sequence[tuple[str, str]]:
        speaker = scene.utterances[position].speaker
        earlier = [
            form
            for other in range(max(0, position - look_back), position)
            if scene.utterances[other].speaker is speaker and scene.reliable(scene.utterances[other])
            for _, form in sentences(other)
        ]
        out = []
        for sentence, form in sentences(position):
            again = sum(likeness(form, other) >= wanted for other in earlier)
            if again >= nth:
                out.append((sentence, f"第 {again} 次重复"))
        return out

    return _clear_and_doubtful(call, scene, _Search("重复的内容", quotes, anything(min_chars)))


def _describe_pattern(call: OperatorCall) -> str:
    excluded = call.params.text("not_pattern")
    return f"“{call.params.text('pattern')}”" + (f"，但不含“{excluded}”" if excluded else "")


def _describe_similar(call: OperatorCall) -> str:
    phrases = call.params.texts("phrases") or (f"标准话术“{call.params.text('phrases')}”",)
    return f"{shown(phrases)}，相似度不低于 {call.params.number('min_score'):g}"


def _describe_repeat(call: OperatorCall) -> str:
    return f"前 {call.params.number('look_back'):g} 句内第 {call.params.number('nth', 1):g} 次重复"


_MIN_SCORE = ParamSpec("min_score", ParamKind.NUMBER, required=True, minimum=0, maximum=100)


ROWS = (
    Operator(
        "regex",
        "句式匹配",
        "text",
        (ParamSpec("pattern", ParamKind.PATTERN, required=True), ParamSpec("not_pattern", ParamKind.PATTERN)),
        "某句匹配 pattern 且不匹配 not_pattern",
        regex,
        _describe_pattern,
    ),
    Operator(
        "similar",
        "与标准话术相近",
        "text",
        (ParamSpec("phrases", ParamKind.PHRASES, required=True), _MIN_SCORE),
        "与任一样例话术相似度（0-100）≥ min_score",
        similar,
        _describe_similar,
    ),
    Operator(
        "context_repeat",
        "重复内容",
        "text",
        (
            ParamSpec("look_back", ParamKind.WHOLE, required=True, minimum=1),
            _MIN_SCORE,
            ParamSpec("nth", ParamKind.WHOLE, minimum=1),
            ParamSpec("min_chars", ParamKind.WHOLE, minimum=1),
        ),
        "同一角色在前 look_back 句内第 nth 次重复相近内容（不足 min_chars 字的句子不查）",
        context_repeat,
        _describe_repeat,
    ),
)
