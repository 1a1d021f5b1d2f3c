"""YAML with line marks: typed reads of nodes that end in RubricError(line, Chinese message).

Aliases (`&a`, `*a`) and deep nesting are refused: they let a small text become a huge one.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import yaml

from callqa.errors import RubricError

Complain = Callable[[RubricError], None]

MAX_CHARS = 1_000_000  # the default rubric has 40 thousand
MAX_DEPTH = 40  # the default rubric nests 12 deep
_TAG = "tag:yaml.org,2002:"
_KIND_LABELS = {"str": "文字", "int": "整数", "float": "小数", "bool": "布尔值", "null": "空值", "timestamp": "日期"}


@dataclass(frozen=True, slots=True)
class Mapping:
    """A YAML mapping with text keys; every value keeps its line."""

    node: yaml.MappingNode
    entries: dict[str, yaml.Node]
    what: str

    @property
    def line(self) -> int:
        return line_of(self.node)

    def get(self, key: str) -> yaml.Node | None:
        """The value, or None when it is absent or null."""
        node = self.entries.get(key)
        return None if node is None or is_null(node) else node

    def need(self, key: str) -> yaml.Node:
        """The value. RubricError when it is absent or null."""
        node = self.get(key)
        if node is None:
            raise RubricError(self.line, f"{self.what}缺少“{key}”")
        return node


def compose(text: str) -> yaml.Node:
    """The root node of a YAML text. RubricError for anything that is no plain YAML document."""
    if len(text) > MAX_CHARS:
        raise RubricError(0, f"文件有 {len(text)} 个字符，超过上限 {MAX_CHARS}")
    try:
        _refuse_tricks(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RubricError(mark.line + 1 if mark else 0, f"YAML 语法错误：{error.problem}") from error
    except yaml.YAMLError as error:
        raise RubricError(0, f"YAML 语法错误：{error}") from error
    if root is None:
        raise RubricError(0, "文件是空的")
    return root


def _refuse_tricks(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise RubricError(_event_line(event), "不支持 YAML 别名（*名称），请把内容写全")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise RubricError(_event_line(event), f"嵌套超过 {MAX_DEPTH} 层")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _event_line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def line_of(node: yaml.Node) -> int:
    """1-based line a node starts on."""
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> str:
    """str, int, float, bool, null, timestamp for a scalar; map, seq otherwise."""
    return str(node.tag).removeprefix(_TAG)


def is_null(node: yaml.Node) -> bool:
    """Whether a node is null."""
    return isinstance(node, yaml.ScalarNode) and kind_of(node) == "null"


def near(name: str, known: Iterable[str]) -> str:
    """A hint such as `；是否想写“keyword_any”？`, or ""."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"；是否想写“{match[0]}”？" if match else ""


def mapping(
    node: yaml.Node, what: str, known: Collection[str] | None = None, *, complain: Complain | None = None
) -> Mapping:
    """A mapping; with `known`, no other key may stand in it. complain: told of each bad key instead, which is left out."""
    if not isinstance(node, yaml.MappingNode):
        raise RubricError(line_of(node), f"{what}应为“键: 值”的组，实际是{_say_kind(node)}")
    entries: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        mistake = _key_mistake(key_node, entries, what, known)
        if mistake is None:
            entries[str(key_node.value)] = value
        elif complain is None:
            raise mistake
        else:
            complain(mistake)
    return Mapping(node, entries, what)


def _key_mistake(
    key_node: yaml.Node, before: Collection[str], what: str, known: Collection[str] | None
) -> RubricError | None:
    if not isinstance(key_node, yaml.ScalarNode):
        return RubricError(line_of(key_node), f"{what}的键应为文字")
    key = str(key_node.value)
    if key in before:
        return RubricError(line_of(key_node), f"{what}里“{key}”写了两次")
    if known is not None and key not in known:
        return RubricError(line_of(key_node), f"{what}没有“{key}”这一项{near(key, known)}")
    return None


def sequence(node: yaml.Node, what: str) -> list[yaml.Node]:
    """The nodes of a list."""
    if not isinstance(node, yaml.SequenceNode):
        raise RubricError(line_of(node), f"{what}应为列表（[…]），实际是{_say_kind(node)}")
    return list(node.value)


def _say_kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"{_KIND_LABELS.get(kind_of(node), '文字')}“{node.value}”"
    return "列表" if isinstance(node, yaml.SequenceNode) else "一组键值"


def text(node: yaml.Node, what: str) -> str:
    """A text; numbers are taken as they are written, yes/no words and empty values are refused."""
    if not isinstance(node, yaml.ScalarNode) or kind_of(node) in ("null", "bool"):
        hint = "；请加引号" if isinstance(node, yaml.ScalarNode) and kind_of(node) == "bool" else ""
        raise RubricError(line_of(node), f"{what}应为文字，实际是{_say_kind(node)}{hint}")
    value = str(node.value)
    if not value.strip():
        raise RubricError(line_of(node), f"{what}不能为空")
    return value


def texts(node: yaml.Node, what: str) -> tuple[str, ...]:
    """A list of texts, at least one, none twice."""
    values: list[str] = []
    for entry in sequence(node, what):
        value = text(entry, what)
        if value in values:
            raise RubricError(line_of(entry), f"{what}里“{value}”写了两次")
        values.append(value)
    if not values:
        raise RubricError(line_of(node), f"{what}是空的")
    return tuple(values)


def choice(node: yaml.Node, what: str, known: Collection[str]) -> str:
    """One of the known words."""
    value = text(node, what)
    if value not in known:
        raise RubricError(line_of(node), f"{what}不能是“{value}”，可用：{'、'.join(known)}{near(value, known)}")
    return value


def flag(node: yaml.Node, what: str) -> bool:
    """true or false."""
    if not isinstance(node, yaml.ScalarNode) or kind_of(node) != "bool":
        raise RubricError(line_of(node), f"{what}应为 true 或 false，实际是{_say_kind(node)}")
    return str(node.value).lower() in ("true", "yes", "on")


def decimal(node: yaml.Node, what: str, *, low: Decimal | None = None, high: Decimal | None = None) -> Decimal:
    """A decimal number, exactly as written (0.1 stays 0.1)."""
    if not isinstance(node, yaml.ScalarNode) or kind_of(node) not in ("int", "float"):
        raise RubricError(line_of(node), f"{what}应为数字，实际是{_say_kind(node)}")
    written = str(node.value)
    try:
        value = Decimal(written) if re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+", written) else None
    except InvalidOperation:
        value = None
    if value is None:
        raise RubricError(line_of(node), f"{what}的数字“{written}”看不懂，请写成 10 或 0.5")
    if low is not None and value < low:
        raise RubricError(line_of(node), f"{what}为 {value}，不能小于 {low}")
    if high is not None and value > high:
        raise RubricError(line_of(node), f"{what}为 {value}，不能大于 {high}")
    return value


def whole(node: yaml.Node, what: str, *, low: int = 0) -> int:
    """A whole number."""
    value = decimal(node, what, low=Decimal(low))
    if value != int(value) or kind_of(node) != "int":
        raise RubricError(line_of(node), f"{what}应为整数，实际是“{value}”")
    return int(value)
