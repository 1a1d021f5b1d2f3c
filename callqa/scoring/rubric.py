"""质检标准 from YAML: parse_rubric gives a frozen Rubric, or RubricError with the line and a Chinese sentence.

The whole text is checked: names of operators, parameters, word lists, options and fatal items, types, patterns, ids that
appear twice. Scores are Decimal as written. The values themselves are in `scoring.criteria` and re-exported here.
Here are names, sections, items and their checks; settings and examples have files of their own.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.condition_tree import Condition, Refused
from callqa.scoring.conditions import ConditionReader, Names, read_check, read_words
from callqa.scoring.criteria import Check, FatalItem, Gate, Item, Level, Option, Outcome, Rubric, Section
from callqa.scoring.lexicon import Lexicon, SoundRule
from callqa.scoring.mistakes import Mistakes
from callqa.scoring.operators import REGISTRY
from callqa.scoring.rubric_examples import read_examples
from callqa.scoring.rubric_settings import read_call_types, read_machine, read_scoring
from callqa.units import CallType

__all__ = [
    "Check",
    "FatalItem",
    "Item",
    "Level",
    "Lexicon",
    "Option",
    "Outcome",
    "Rubric",
    "Section",
    "parse_rubric",
    "parse_stored",
    "read_rubric",
]

SCHEMA = "callqa-rubric/1"
ROOT_KEYS = [
    "schema",
    "id",
    "version",
    "title",
    "language",
    "full_score",
    "call_types",
    "scoring",
    "critical_classes",
    "machine",
    "operators",
    "lexicons",
    "required_phrases",
    "sections",
    "fatal_items",
    "examples",
]
ITEM_KEYS = ["id", "title", "max_points", "applies_to", "critical", "standard", "options", "na_when", "auto", "checks"]
FATAL_KEYS = ["id", "title", "critical", "applies_to", "auto", "checks", "standard"]
OPTION_KEYS = ["code", "label", "points", "per", "max_times", "exclusive"]
AUTO = ("full", "assist", "none")


def parse_rubric(text: str) -> Rubric:
    """Read a rubric. Raise RubricError(line, message) for the first mistake."""
    rubric, mistakes = read_rubric(text)
    if rubric is None:
        raise mistakes[0]
    return rubric


def parse_stored(text: str) -> Rubric:
    """Read a version that was published once. It loads although today's rules would not let it be published again.

    A check or na_when that is refused today is not evaluated (`criteria.Refused`, with the reason); so are those that use a
    word list refused today. Examples and unknown keys that cannot be read are left out. Raise RubricError for what a score
    cannot be read without: names, items, points. A new rule for anything but a check has to leave stored versions readable.
    """
    rubric, mistakes = _Reader(marked.compose(text), hashlib.sha256(text.encode()).hexdigest(), stored=True).read()
    if rubric is None:
        raise mistakes[0]
    return rubric


def read_rubric(text: str) -> tuple[Rubric | None, tuple[RubricError, ...]]:
    """The rubric, or every mistake as far as one does not hide another: one in broken YAML, one a rule, all others.

    A mistake in a word list, an option or a fatal item is said there, and not again wherever its name is used. The examples
    are only looked at when all the rest is right.
    """
    try:
        root = marked.compose(text)
        rubric_hash = hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError:
        return None, (RubricError(0, "文件含有不成对的代理字符，请另存为 UTF-8"),)
    except RubricError as error:
        return None, (error,)
    return _Reader(root, rubric_hash).read()


class _Reader:
    """Reads one rubric; remembers the ids it has met and the mistakes."""

    def __init__(self, root: yaml.Node, rubric_hash: str, *, stored: bool = False) -> None:
        self.node = root
        self.rubric_hash = rubric_hash
        self.stored = stored
        self.mistakes = Mistakes(forgiving=stored)
        self.refused: dict[str, RubricError] = {}
        self.ids: dict[str, int] = {}
        self.critical: tuple[str, ...] = ()
        self.names = Names({}, {}, ())

    def read(self) -> tuple[Rubric | None, tuple[RubricError, ...]]:
        """The rubric, or its mistakes."""
        rubric = self.mistakes.attempt(self._rubric, None)
        if rubric is not None and not self.mistakes.found:
            whole = self.mistakes.attempt(partial(self._with_examples, rubric), None)
            if self.stored:
                return whole or rubric, ()
            rubric = whole
        return (None, tuple(self.mistakes.found)) if self.mistakes.found else (rubric, ())

    def _rubric(self) -> Rubric | None:
        self.root = root = self.mistakes.group(self.node, "评分标准", ROOT_KEYS)
        self.mistakes.attempt(lambda: marked.choice(root.need("schema"), "schema", (SCHEMA,)), "")
        classes = self._texts_by_key("critical_classes")
        self.critical = tuple(classes)
        lexicons, phrases = self._lexicons(), self._phrases()
        self.names = Names(lexicons, phrases, self._fatal_ids(), self.refused)
        if not self.stored:
            self._check_catalogue()
        gate, sound = self.mistakes.attempt(lambda: read_machine(root, self.mistakes), (Gate(), SoundRule()))
        sections = self.mistakes.each(self._list("sections"), self._section)
        fatal_items = self.mistakes.each(self._list("fatal_items") if root.get("fatal_items") else (), self._fatal)
        if sections and not self.mistakes.found and not any(section.items for section in sections):
            raise RubricError(marked.line_of(root.need("sections")), "评分标准没有任何评分项")
        rubric_id = self.mistakes.attempt(lambda: marked.text(root.need("id"), "id"), "")
        version = self.mistakes.attempt(lambda: marked.whole(root.need("version"), "version", low=1), 1)
        title = self.mistakes.attempt(lambda: marked.text(root.need("title"), "title"), "")
        full = self.mistakes.attempt(
            lambda: marked.decimal(root.need("full_score"), "full_score", low=Decimal(1)), Decimal(100)
        )
        call_types = self.mistakes.attempt(lambda: read_call_types(root), ())
        scoring = self.mistakes.attempt(lambda: read_scoring(root, self.critical, self.mistakes), None)
        if self.mistakes.found or scoring is None:
            return None
        return Rubric(
            rubric_id,
            version,
            title,
            self.rubric_hash,
            full,
            call_types,
            scoring,
            gate,
            sound,
            tuple(classes.items()),
            tuple(lexicons.values()),
            tuple(phrases.items()),
            sections,
            fatal_items,
        )

    # ---- names ----

    def _list(self, key: str) -> Sequence[yaml.Node]:
        return self.mistakes.attempt(lambda: marked.sequence(self.root.need(key), key), [])

    def _entries(self, key: str) -> Mapping[str, yaml.Node]:
        node = self.root.get(key)
        if node is None:
            return {}
        none = marked.Mapping(yaml.MappingNode("", []), {}, key)
        return self.mistakes.attempt(
            lambda: marked.mapping(node, key, complain=self.mistakes.found.append), none
        ).entries

    def _texts_by_key(self, key: str) -> dict[str, str]:
        return {
            name: self.mistakes.attempt(partial(marked.text, value, f"{key} 的 {name}"), "")
            for name, value in self._entries(key).items()
        }

    def _lexicons(self) -> dict[str, Lexicon]:
        return {
            name: Lexicon(name, self._list_of(name, partial(read_words, words, f"词表 {name} ")))
            for name, words in self._entries("lexicons").items()
        }

    def _phrases(self) -> dict[str, tuple[str, ...]]:
        return {
            name: self._list_of(name, partial(marked.texts, phrases, f"标准话术 {name} "))
            for name, phrases in self._entries("required_phrases").items()
        }

    def _list_of(self, name: str, read: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        if not self.stored:
            return self.mistakes.attempt(read, ("？",))
        try:
            return read()
        except RubricError as mistake:
            self.refused[name] = mistake
            return ()

    def _fatal_ids(self) -> tuple[str, ...]:
        """Those that can be read; what is wrong with the others is said where each is read."""
        node = self.root.get("fatal_items")
        entries = node.value if isinstance(node, yaml.SequenceNode) else []
        return _texts_of(entries, "id")

    def _check_catalogue(self) -> None:
        """The operators section is documentation: what it says must exist."""
        for name, row in self._entries("operators").items():
            self.mistakes.attempt(partial(self._check_operator, name, row), None)

    def _check_operator(self, name: str, row: yaml.Node) -> None:
        operator = REGISTRY.get(name)
        if operator is None:
            raise RubricError(marked.line_of(row), f"算子目录里的“{name}”不存在{marked.near(name, REGISTRY)}")
        entry = self.mistakes.group(row, f"算子 {name}", ("kind", "params", "hit"))
        kind = marked.text(entry.need("kind"), "kind")
        if kind != operator.kind:
            line = marked.line_of(entry.need("kind"))
            raise RubricError(line, f"算子 {name} 的 kind 应为 {operator.kind}，不是“{kind}”")
        known = [spec.name for spec in operator.params]
        for param_node in marked.sequence(entry.need("params"), "params"):
            for param in marked.text(param_node, "params").split("|"):
                if param not in known:
                    line = marked.line_of(param_node)
                    raise RubricError(line, f"算子 {name} 没有参数“{param}”{marked.near(param, known)}")

    def _unique(self, node: yaml.Node, what: str) -> str:
        value = marked.text(node, what)
        if value in self.ids:
            raise RubricError(marked.line_of(node), f"{what}“{value}”与第 {self.ids[value]} 行重复")
        self.ids[value] = marked.line_of(node)
        return value

    # ---- sections, items, checks ----

    def _section(self, node: yaml.Node) -> Section:
        section = self.mistakes.group(node, "大类", ("id", "title", "items"))
        section_id = self.mistakes.attempt(lambda: self._unique(section.need("id"), "大类 id"), "")
        title = self.mistakes.attempt(lambda: marked.text(section.need("title"), "title"), "")
        entries = marked.sequence(section.need("items"), "items")
        return Section(section_id, title, self.mistakes.each(entries, partial(self._item, section_id=section_id)))

    def _item(self, node: yaml.Node, section_id: str) -> Item:
        item = self.mistakes.group(node, "评分项", ITEM_KEYS)
        item_id = self._unique(item.need("id"), "评分项 id")
        what, standard = f"{item_id} 的 max_points", item.get("standard")
        any_points = Decimal(10**6)
        max_points = self.mistakes.attempt(
            lambda: marked.decimal(item.need("max_points"), what, low=Decimal("0.1")), any_points
        )
        options = self.mistakes.attempt(lambda: self._options(item.need("options"), item_id, max_points), None)
        title = self.mistakes.attempt(lambda: marked.text(item.need("title"), "title"), "")
        applies_to = self.mistakes.attempt(lambda: self._applies_to(item), ())
        critical = self.mistakes.attempt(lambda: self._critical_of(item), "none")
        said = self.mistakes.attempt(lambda: marked.text(standard, "standard"), "") if standard is not None else ""
        na_when = self.mistakes.attempt(lambda: self._na_when(item.get("na_when")), None)
        auto = self.mistakes.attempt(lambda: self._auto(item), "none")
        codes = _texts_of(item.need("options").value, "code") if options is not None else None
        checks = self.mistakes.attempt(lambda: self._checks(item, item_id, codes, fatal_only=False), ())
        return Item(
            item_id,
            title,
            max_points,
            applies_to,
            critical,
            said,
            options or (),
            na_when,
            auto,
            checks,
            section_id,
            item.line,
        )

    def _na_when(self, node: yaml.Node | None) -> Condition | None:
        if node is None:
            return None
        try:
            return ConditionReader(self.names).read(node)
        except RubricError as mistake:
            return self._refused(mistake)

    def _refused(self, mistake: RubricError) -> Refused:
        """What stands for a condition of a stored version; a mistake of any other text is raised again."""
        if not self.stored:
            raise mistake
        return Refused(f"这一版标准第 {mistake.line} 行的写法已不再接受，本条不检：{mistake.message}")

    def _applies_to(self, entry: marked.Mapping) -> tuple[CallType, ...]:
        node = entry.need("applies_to")
        names = [marked.choice(part, "applies_to", tuple(CallType)) for part in marked.sequence(node, "applies_to")]
        if not names or len(set(names)) != len(names):
            raise RubricError(marked.line_of(node), "applies_to 须列出通话类型，且不重复")
        return tuple(CallType(name) for name in names)

    def _critical_of(self, entry: marked.Mapping) -> str:
        node = entry.get("critical")
        return "none" if node is None else marked.choice(node, "critical", (*self.critical, "none"))

    def _auto(self, entry: marked.Mapping) -> str:
        node = entry.get("auto")
        return "none" if node is None else marked.choice(node, "auto", AUTO)

    def _options(self, node: yaml.Node, item_id: str, max_points: Decimal) -> tuple[Option, ...]:
        entries = marked.sequence(node, "options")
        if not entries:
            raise RubricError(marked.line_of(node), f"{item_id} 没有扣分选项")
        codes: set[str] = set()
        return self.mistakes.each(entries, lambda entry: self._coded(entry, item_id, max_points, codes))

    def _coded(self, entry: yaml.Node, item_id: str, max_points: Decimal, codes: set[str]) -> Option:
        row = self.mistakes.group(entry, f"{item_id} 的扣分选项", OPTION_KEYS)
        code = marked.text(row.need("code"), "code")
        if code in codes:
            raise RubricError(marked.line_of(row.need("code")), f"{item_id} 的扣分选项“{code}”重复")
        codes.add(code)
        what = f"{item_id}.{code} 的 points"
        points = marked.decimal(row.need("points"), what, low=Decimal("0.1"), high=max_points)
        return self._option(row, code, points)

    def _option(self, row: marked.Mapping, code: str, points: Decimal) -> Option:
        per_node, times_node, exclusive_node = row.get("per"), row.get("max_times"), row.get("exclusive")
        per = marked.choice(per_node, "per", ("call", "occurrence")) if per_node is not None else "call"
        if per == "call" and times_node is not None:
            raise RubricError(marked.line_of(times_node), "per: call 的选项只扣一次，不能写 max_times")
        if per == "occurrence" and times_node is None:
            raise RubricError(row.line, "per: occurrence 的选项须写 max_times")
        return Option(
            code,
            marked.text(row.need("label"), "label"),
            points,
            per,
            marked.whole(times_node, "max_times", low=1) if times_node is not None else 1,
            exclusive_node is not None and marked.flag(exclusive_node, "exclusive"),
        )

    def _checks(
        self, entry: marked.Mapping, owner_id: str, codes: tuple[str, ...] | None, *, fatal_only: bool
    ) -> tuple[Check, ...]:
        """codes: of the item's options; None where they could not be read, so that rules cannot be either."""
        node = entry.get("checks")
        if node is None or codes is None:
            return ()

        def read(part: yaml.Node) -> Check:
            try:
                check = read_check(part, owner_id, codes, self.names, fatal_only=fatal_only)
            except RubricError as mistake:
                check_id = marked.text(marked.mapping(part, "规则").need("id"), "规则 id")
                check = Check(check_id, owner_id, self._refused(mistake), line=marked.line_of(part))
            self._unique(marked.mapping(part, "规则").need("id"), "规则 id")
            return check

        return self.mistakes.each(marked.sequence(node, "checks"), read)

    def _fatal(self, node: yaml.Node) -> FatalItem:
        fatal = self.mistakes.group(node, "致命项", FATAL_KEYS)
        fatal_id = self._unique(fatal.need("id"), "致命项 id")
        return FatalItem(
            fatal_id,
            self.mistakes.attempt(lambda: marked.text(fatal.need("title"), "title"), ""),
            self.mistakes.attempt(lambda: self._critical_of(fatal), "none"),
            self.mistakes.attempt(lambda: self._applies_to(fatal), ()),
            self.mistakes.attempt(lambda: self._auto(fatal), "none"),
            self.mistakes.attempt(lambda: self._checks(fatal, fatal_id, (), fatal_only=True), ()),
            fatal.line,
        )

    # ---- examples ----

    def _with_examples(self, rubric: Rubric) -> Rubric:
        node = self.root.get("examples")
        if node is None:
            return rubric
        examples = read_examples(node, rubric)
        values = {name: getattr(rubric, name) for name in Rubric.__dataclass_fields__ if name != "examples"}
        return Rubric(**values, examples=examples)


def _texts_of(entries: Iterable[yaml.Node], key: str) -> tuple[str, ...]:
    """The texts under one key of every mapping in a list, as far as they are texts."""
    found = []
    for entry in entries:
        for key_node, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
            if key_node.value == key and isinstance(value, yaml.ScalarNode):
                found.append(str(value.value))
    return tuple(found)
