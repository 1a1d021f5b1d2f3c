"""The rubric's text as an editor needs it: word lists read and replaced in place, and the schema's help. Pure.

Replacing a list touches nothing but that list: comments, order and line breaks elsewhere stay as somebody wrote them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.operator import ParamKind

_PLAIN = re.compile(r"[一-鿿A-Za-z][一-鿿A-Za-z0-9]*")
_NOT_PLAIN = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
LINE_CHARS = 110


@dataclass(frozen=True, slots=True)
class WordList:
    """One lexicon as it stands in the text. line: where its words begin."""

    name: str
    words: tuple[str, ...]
    line: int


def word_lists(text: str) -> tuple[WordList, ...]:
    """Every lexicon in the text's order. RubricError for a text that is no YAML or has no lexicons."""
    return tuple(
        WordList(name, marked.texts(node, name), marked.line_of(node)) for name, node in _lexicon_nodes(text).items()
    )


def with_words(text: str, name: str, words: Sequence[str]) -> str:
    """The text with one lexicon's words replaced. RubricError when there is no such list, or none of its words is left."""
    nodes = _lexicon_nodes(text)
    node = nodes.get(name)
    if node is None:
        raise RubricError(0, f"没有词表“{name}”{marked.near(name, nodes)}")
    kept = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if not kept:
        raise RubricError(marked.line_of(node), f"词表“{name}”不能是空的；不用的词表请在标准文本里连同规则一起删去")
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        # A block list ends where the next key begins: keep the line break and what stands between.
        end = max(part.end_mark.index for part in node.value)
    indent = " " * node.start_mark.column
    return text[:start] + _flow_list(kept, indent) + text[end:]


def _lexicon_nodes(text: str) -> dict[str, yaml.Node]:
    root = marked.mapping(marked.compose(text), "评分标准")
    return marked.mapping(root.need("lexicons"), "lexicons").entries


def _flow_list(words: Sequence[str], indent: str) -> str:
    lines, line = [], "["
    for position, word in enumerate(words):
        piece = _quoted(word) + ("]" if position == len(words) - 1 else ", ")
        if len(line) + len(piece) > LINE_CHARS:
            lines.append(line.rstrip())
            line = indent + " "
        line += piece
    return "\n".join([*lines, line])


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word) and word.lower() not in _NOT_PLAIN:
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---------- help ----------

KIND_LABELS = {
    ParamKind.NUMBER: "数",
    ParamKind.WHOLE: "整数",
    ParamKind.FLAG: "true 或 false",
    ParamKind.CHOICE: "其一",
    ParamKind.CHOICES: "列表，取自",
    ParamKind.PATTERN: "正则表达式",
    ParamKind.WORDS: "词语列表",
    ParamKind.GROUPS: "词语列表的列表",
    ParamKind.LEXICON: "词表名",
    ParamKind.PHRASES: "标准话术名或话术列表",
    ParamKind.BACKCHANNEL: "{max_s, words}",
}
OPERATOR_KINDS = {"text": "文本", "voice": "语音", "call": "话单", "ticket": "工单"}


@dataclass(frozen=True, slots=True)
class OperatorHelp:
    """One operator for the editor. params: (name, what it holds, whether it must be given)."""

    name: str
    label: str
    kind: str
    meaning: str
    params: tuple[tuple[str, str, bool], ...]


def operator_help() -> tuple[OperatorHelp, ...]:
    """Every operator, made from the registry."""
    found = []
    for operator in REGISTRY.values():
        params = []
        for spec in operator.params:
            text = KIND_LABELS[spec.kind]
            if spec.choices:
                text += "：" + "、".join(spec.choices)
            if spec.minimum is not None or spec.maximum is not None:
                low = "" if spec.minimum is None else f"{spec.minimum:g}"
                high = "" if spec.maximum is None else f"{spec.maximum:g}"
                text += f"（{low}–{high}）" if low and high else f"（≥ {low}）" if low else f"（≤ {high}）"
            params.append((spec.name, text, spec.required))
        found.append(
            OperatorHelp(operator.name, operator.label, OPERATOR_KINDS[operator.kind], operator.meaning, tuple(params))
        )
    return tuple(found)


SCHEMA_HELP = (
    ("项（items）", "id、title、max_points、applies_to、critical、standard、options、na_when、auto、checks"),
    ("扣分选项（options）", "code、label、points、per: call | occurrence、max_times、exclusive"),
    (
        "规则（checks）",
        "id，条件，when（前置），on_hit / on_miss: {suggest, suggest_fatal, level: hint, min_occurrences}",
    ),
    ("条件", "op，或 all / any / not，或 call / ticket / call_type；role: agent | citizen | any；as 命名一处命中"),
    ("范围（scope）", "all，或 {from: start | end | answer, unit: s | utt | ratio, within: 数}"),
    ("时序", "anchor: 前面 as 的名字，where: before | after | around | same，within: {utt: 句} 或 {s: 秒}"),
)
