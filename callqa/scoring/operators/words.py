"""Operators on words of a list: keyword_any, keyword_all, keyword_none."""

import re
from collections.abc import Sequence

from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.hearing import sought
from callqa.scoring.lexicon import EXACT_ONLY, Lexicon, WordMatch, find_words
from callqa.scoring.operators.finding import Finding, Hit, State, hits_by_sound, is_exact, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene
from callqa.scoring.operators.unheard import Unheard, find_unheard

SENTENCE_END = re.compile(r"[。！？!?；;]")
WORDS_SHOWN = 6


def _words_of(call: OperatorCall, words: tuple[str, ...], scene: Scene, place: Place) -> list[tuple[int, WordMatch]]:
    """Every word of the list in every utterance of the place (a word once an utterance)."""
    rule = EXACT_ONLY if scene.plain_reading else scene.sound
    strict = call.params.lexicon().strict
    return [
        (position, match)
        for position in place.positions
        for match in find_words(words, scene.utterances[position].text, rule, strict=strict)
    ]


def _hits(call: OperatorCall, scene: Scene, found: Sequence[tuple[int, WordMatch]]) -> tuple[Hit, ...]:
    """One hit per word and utterance, each quoting its sentence."""
    hits = []
    for position, match in found:
        note = f"命中：{match.word}" + ("" if match.exact else "（同音）")
        quote = sentence_around(scene.utterances[position].text, match.start, match.end)
        hits.append(Hit(scene.evidence_of(position, call, note, quote), position, match.exact))
    return tuple(hits)


def sentence_around(text: str, start: int, end: int) -> str:
    """The sentence(s) of a text that hold [start, end)."""
    left = max((match.end() for match in SENTENCE_END.finditer(text, 0, start)), default=0)
    right = SENTENCE_END.search(text, max(start, end - 1))
    return text[left : right.end() if right else len(text)].strip()


def shown(words: Sequence[str]) -> str:
    """Words for an explanation, each once, the first WORDS_SHOWN."""
    distinct = list(dict.fromkeys(words))
    tail = " 等" if len(distinct) > WORDS_SHOWN else ""
    return "、".join(distinct[:WORDS_SHOWN]) + tail


def _by_words(call: OperatorCall, scene: Scene, place: Place, words: tuple[str, ...], wanted: int) -> Finding:
    """Hit with enough words heard clearly; unsure with enough only when doubtful ones count; else miss or not_checked."""
    found = _words_of(call, words, scene, place)
    clear = [(position, match) for position, match in found if scene.reliable(scene.utterances[position])]
    exact = [(position, match) for position, match in clear if match.exact]
    looked = (scene.searched(call, place),)
    enough = exact if len(exact) >= wanted else clear
    if len(enough) >= wanted:
        by_sound = "（仅读音相符）" if len(exact) < wanted else ""
        text = f"听到 {len(enough)} 处{by_sound}：{shown([match.word for _, match in enough])}"
        hits = _hits(call, scene, enough)
        doubtful = _hits(call, scene, [each for each in found if each not in clear])
        return Finding(State.HIT, text, hits_by_sound(hits) if by_sound else hits, looked, doubtful=doubtful)
    if len(found) >= wanted:
        text = f"只在识别不可靠的语句中听到：{shown([match.word for _, match in found])}"
        return Finding(State.UNSURE, text, _hits(call, scene, found), looked)
    unheard = find_unheard(
        scene, call.role, place, tuple(sought(word) for word in words), exact=call.params.lexicon().strict
    )
    if unheard.why:
        return not_checked(f"没有听到，但{unheard.why}，待人工")
    count = f"只听到 {len(found)} 处（要求 {wanted} 处）" if found else "没有听到"
    return Finding(State.MISS, missed(f"{count}所列词语", unheard), _hits(call, scene, clear), looked)


def missed(text: str, unheard: Unheard) -> str:
    """The explanation of a miss, with what was unclear but cannot hold the words."""
    return f"{text}（{unheard.set_aside}）" if unheard.set_aside else text


def keyword_any(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when words of the list are heard at least min_hits times."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    return _by_words(call, scene, place, call.params.lexicon().words, int(call.params.number("min_hits", 1)))


def keyword_all(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when each group has a word that is heard."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    groups = call.params.groups("groups")
    parts = [_by_words(call, scene, place, group, 1) for group in groups]
    looked = (scene.searched(call, place),)
    missing = [group for group, part in zip(groups, parts, strict=True) if part.state is State.MISS]
    hits = tuple(hit for part in parts for hit in part.hits)
    if missing:
        unheard = find_unheard(scene, call.role, place, tuple(sought(word) for group in missing for word in group))
        text = missed(f"没有听到：{shown(['/'.join(group) for group in missing])}", unheard)
        return Finding(State.MISS, text, hits, looked)
    doubtful = next((part for part in parts if part.state is not State.HIT), None)
    if doubtful is not None:
        return Finding(doubtful.state, doubtful.explanation, hits, looked)
    by_sound = any(not is_exact(part.hits) for part in parts)
    return Finding(State.HIT, "各组词语都已听到", hits_by_sound(hits) if by_sound else hits, looked)


def keyword_none(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when no word of the list is heard, and everything at the place was heard clearly."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    part = _by_words(call, scene, place, call.params.lexicon().words, 1)
    if part.state is State.HIT:
        return Finding(State.MISS, part.explanation, (), tuple(hit.evidence for hit in part.hits))
    if part.state is State.MISS:
        looked = part.searched
        return Finding(State.HIT, part.explanation, tuple(Hit(evidence) for evidence in looked), looked)
    return part


def _describe_words(call: OperatorCall) -> str:
    lexicon: Lexicon = call.params.lexicon()
    name = f"词表“{lexicon.name}”（{shown(lexicon.words)}）" if lexicon.name else shown(lexicon.words)
    wanted = int(call.params.number("min_hits", 1))
    return name + (f"，不少于 {wanted} 处" if wanted > 1 else "")


def _describe_groups(call: OperatorCall) -> str:
    return "；".join("/".join(group) for group in call.params.groups("groups"))


_WORD_PARAMS = (ParamSpec("lexicon", ParamKind.LEXICON), ParamSpec("words", ParamKind.WORDS))


ROWS = (
    Operator(
        "keyword_any",
        "出现词语",
        "text",
        (*_WORD_PARAMS, ParamSpec("min_hits", ParamKind.WHOLE, minimum=1)),
        "范围内命中次数 ≥ min_hits（同一词在同一句只计一次）",
        keyword_any,
        _describe_words,
        ("lexicon", "words"),
    ),
    Operator(
        "keyword_all",
        "各组词语都出现",
        "text",
        (ParamSpec("groups", ParamKind.GROUPS, required=True),),
        "每组至少命中一个词",
        keyword_all,
        _describe_groups,
    ),
    Operator(
        "keyword_none",
        "词语都未出现",
        "text",
        _WORD_PARAMS,
        "一个词都没有出现",
        keyword_none,
        _describe_words,
        ("lexicon", "words"),
    ),
)
