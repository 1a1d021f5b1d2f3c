"""质检标准 from YAML: parse_rubric gives a frozen Rubric, or RubricError with the line and a Chinese sentence.

The whole text is checked: names of operators, parameters, word lists, options and fatal items, types, patterns, ids that
appear twice. Scores are Decimal as written. The values themselves are in `scoring.criteria` and re-exported here.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TypeVar

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.conditions import ConditionReader, Names, read_check, read_words
from callqa.scoring.criteria import (
    CallTypeRow,
    Check,
    Condition,
    EvidenceRule,
    Example,
    FatalItem,
    FatalPolicy,
    Gate,
    Grade,
    Item,
    Level,
    Option,
    Outcome,
    Rubric,
    Scoring,
    Section,
)
from callqa.scoring.lexicon import Lexicon, SoundRule
from callqa.scoring.operators import REGISTRY
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
    "read_rubric",
]

T = TypeVar("T")
S = TypeVar("S")

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
SCORING_KEYS = [
    "method",
    "item_floor",
    "applicability",
    "na_rule",
    "na_warn_ratio",
    "rounding",
    "pass_line",
    "grades",
    "fatal_policy",
    "evidence_required",
]
AUTO = ("full", "assist", "none")


def parse_rubric(text: str) -> Rubric:
    """Read a rubric. Raise RubricError(line, message) for the first mistake."""
    rubric, mistakes = read_rubric(text)
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


NO_POLICY = FatalPolicy("zero", Decimal(0), (), True)  # in place of one with a mistake, to read on
NO_RULE = EvidenceRule(Decimal(0), True, ())


class _Reader:
    """Reads one rubric; remembers the ids it has met and the mistakes."""

    def __init__(self, root: yaml.Node, rubric_hash: str) -> None:
        self.node = root
        self.rubric_hash = rubric_hash
        self.mistakes: list[RubricError] = []
        self.ids: dict[str, int] = {}
        self.critical: tuple[str, ...] = ()
        self.names = Names({}, {}, ())

    def read(self) -> tuple[Rubric | None, tuple[RubricError, ...]]:
        """The rubric, or its mistakes."""
        rubric = self._try(self._rubric, None)
        if rubric is not None and not self.mistakes:
            rubric = self._try(partial(self._with_examples, rubric), None)
        return (None, tuple(self.mistakes)) if self.mistakes else (rubric, ())

    def _try(self, read: Callable[[], T], instead: S) -> T | S:
        """What is read; `instead` where it has a mistake, which is kept."""
        try:
            return read()
        except RubricError as mistake:
            self.mistakes.append(mistake)
            return instead

    def _each(self, nodes: Iterable[yaml.Node], read: Callable[[yaml.Node], T]) -> tuple[T, ...]:
        """All that can be read."""
        found = [self._try(partial(read, node), None) for node in nodes]
        return tuple(each for each in found if each is not None)

    def _group(self, node: yaml.Node, what: str, known: Collection[str]) -> marked.Mapping:
        return marked.mapping(node, what, known, complain=self.mistakes.append)

    def _rubric(self) -> Rubric | None:
        self.root = root = self._group(self.node, "评分标准", ROOT_KEYS)
        self._try(lambda: marked.choice(root.need("schema"), "schema", (SCHEMA,)), "")
        classes = self._texts_by_key("critical_classes")
        self.critical = tuple(classes)
        lexicons, phrases = self._lexicons(), self._phrases()
        self.names = Names(lexicons, phrases, self._fatal_ids())
        self._check_catalogue()
        gate, sound = self._try(self._machine, (Gate(), SoundRule()))
        sections = self._each(self._list("sections"), self._section)
        fatal_items = self._each(self._list("fatal_items") if root.get("fatal_items") else (), self._fatal)
        if sections and not self.mistakes and not any(section.items for section in sections):
            raise RubricError(marked.line_of(root.need("sections")), "评分标准没有任何评分项")
        rubric_id = self._try(lambda: marked.text(root.need("id"), "id"), "")
        version = self._try(lambda: marked.whole(root.need("version"), "version", low=1), 1)
        title = self._try(lambda: marked.text(root.need("title"), "title"), "")
        full = self._try(lambda: marked.decimal(root.need("full_score"), "full_score", low=Decimal(1)), Decimal(100))
        call_types = self._try(self._call_types, ())
        scoring = self._try(self._scoring, None)
        if self.mistakes or scoring is None:
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
        return self._try(lambda: marked.sequence(self.root.need(key), key), [])

    def _entries(self, key: str) -> Mapping[str, yaml.Node]:
        node = self.root.get(key)
        if node is None:
            return {}
        none = marked.Mapping(yaml.MappingNode("", []), {}, key)
        return self._try(lambda: marked.mapping(node, key, complain=self.mistakes.append), none).entries

    def _texts_by_key(self, key: str) -> dict[str, str]:
        return {
            name: self._try(partial(marked.text, value, f"{key} 的 {name}"), "")
            for name, value in self._entries(key).items()
        }

    def _lexicons(self) -> dict[str, Lexicon]:
        return {
            name: Lexicon(name, self._try(partial(read_words, words, f"词表 {name} "), ("？",)))
            for name, words in self._entries("lexicons").items()
        }

    def _phrases(self) -> dict[str, tuple[str, ...]]:
        return {
            name: self._try(partial(marked.texts, phrases, f"标准话术 {name} "), ("？",))
            for name, phrases in self._entries("required_phrases").items()
        }

    def _fatal_ids(self) -> tuple[str, ...]:
        """Those that can be read; what is wrong with the others is said where each is read."""
        node = self.root.get("fatal_items")
        entries = node.value if isinstance(node, yaml.SequenceNode) else []
        return _texts_of(entries, "id")

    def _check_catalogue(self) -> None:
        """The operators section is documentation: what it says must exist."""
        for name, row in self._entries("operators").items():
            self._try(partial(self._check_operator, name, row), None)

    def _check_operator(self, name: str, row: yaml.Node) -> None:
        operator = REGISTRY.get(name)
        if operator is None:
            raise RubricError(marked.line_of(row), f"算子目录里的“{name}”不存在{marked.near(name, REGISTRY)}")
        entry = self._group(row, f"算子 {name}", ("kind", "params", "hit"))
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

    # ---- settings ----

    def _call_types(self) -> tuple[CallTypeRow, ...]:
        rows = []
        for name, node in marked.mapping(self.root.need("call_types"), "call_types", tuple(CallType)).entries.items():
            row = marked.mapping(node, f"通话类型 {name}", ("label", "desc"))
            description = row.get("desc")
            rows.append(
                CallTypeRow(
                    CallType(name),
                    marked.text(row.need("label"), "label"),
                    marked.text(description, "desc") if description is not None else "",
                )
            )
        return tuple(rows)

    def _scoring(self) -> Scoring:
        scoring = self._group(self.root.need("scoring"), "scoring", SCORING_KEYS)
        for key, value in (
            ("method", "deduction"),
            ("applicability", "by_call_type"),
            ("na_rule", "exclude_and_rescale"),
        ):
            node = scoring.get(key)
            if node is not None:
                marked.choice(node, key, (value,))
        rounding = self._group(scoring.need("rounding"), "rounding", ("decimals", "mode"))
        marked.choice(rounding.need("mode"), "mode", ("half_up",))
        floor, warn = scoring.get("item_floor"), scoring.get("na_warn_ratio")
        return Scoring(
            marked.decimal(floor, "item_floor", low=Decimal(0)) if floor is not None else Decimal(0),
            marked.decimal(warn, "na_warn_ratio", low=Decimal(0), high=Decimal(1)) if warn is not None else Decimal(1),
            marked.whole(rounding.need("decimals"), "decimals"),
            self._try(lambda: marked.decimal(scoring.need("pass_line"), "pass_line", low=Decimal(0)), Decimal(0)),
            self._try(lambda: self._grades(scoring.need("grades")), ()),
            self._try(lambda: self._fatal_policy(scoring.need("fatal_policy")), NO_POLICY),
            self._try(lambda: self._evidence_rule(scoring.get("evidence_required")), NO_RULE),
        )

    def _grades(self, node: yaml.Node) -> tuple[Grade, ...]:
        grades = []
        for entry in marked.sequence(node, "grades"):
            row = self._group(entry, "等级", ("code", "label", "min"))
            minimum = marked.decimal(row.need("min"), "min", low=Decimal(0))
            grades.append(
                Grade(marked.text(row.need("code"), "code"), marked.text(row.need("label"), "label"), minimum)
            )
        if not grades or min(grade.minimum for grade in grades) != 0:
            raise RubricError(marked.line_of(node), "等级须有一档 min 为 0，否则低分没有等级")
        if len({grade.minimum for grade in grades}) != len(grades) or len({g.code for g in grades}) != len(grades):
            raise RubricError(marked.line_of(node), "等级的 code 或 min 有重复")
        return tuple(sorted(grades, key=lambda grade: -grade.minimum))

    def _fatal_policy(self, node: yaml.Node) -> FatalPolicy:
        keys = ("mode", "cap_score", "keep_quality_score", "confirmed_by", "second_confirm")
        policy = self._group(node, "fatal_policy", keys)
        mode = marked.choice(policy.need("mode"), "mode", ("zero", "cap"))
        cap, keep, second = policy.get("cap_score"), policy.get("keep_quality_score"), policy.get("second_confirm")
        if mode == "cap" and cap is None:
            raise RubricError(policy.line, "fatal_policy 的 mode 为 cap 时须写 cap_score")
        if keep is not None and not marked.flag(keep, "keep_quality_score"):
            raise RubricError(marked.line_of(keep), "keep_quality_score 须为 true：质量分用于统计均值与区间")
        if second is not None and not marked.flag(second, "second_confirm"):
            raise RubricError(marked.line_of(second), "second_confirm 须为 true：致命项必须两人认定")
        by = policy.get("confirmed_by")
        return FatalPolicy(
            mode,
            marked.decimal(cap, "cap_score", low=Decimal(0)) if cap is not None else Decimal(0),
            marked.texts(by, "confirmed_by") if by is not None else ("shift_leader",),
            True,
        )

    def _evidence_rule(self, node: yaml.Node | None) -> EvidenceRule:
        if node is None:
            return NO_RULE
        rule = self._group(node, "evidence_required", ("min_points", "fatal", "critical"))
        critical = rule.get("critical")
        return EvidenceRule(
            marked.decimal(rule.need("min_points"), "min_points", low=Decimal(0)),
            marked.flag(rule.need("fatal"), "fatal"),
            tuple(marked.choice(c, "critical", self.critical) for c in marked.sequence(critical, "critical"))
            if critical is not None
            else (),
        )

    def _machine(self) -> tuple[Gate, SoundRule]:
        node = self.root.get("machine")
        if node is None:
            return Gate(), SoundRule()
        machine = self._group(
            node, "machine", ("role", "result_states", "gate", "text_normalize", "homophone_match", "channels")
        )
        role = machine.get("role")
        if role is not None:
            marked.choice(role, "role", ("suggest_only",))
        return self._gate(machine.get("gate")), self._sound(machine.get("homophone_match"))

    def _gate(self, node: yaml.Node | None) -> Gate:
        if node is None:
            return Gate()
        gate = self._group(node, "gate", ("min_asr_confidence", "min_channel_speech_s", "require_two_channels"))
        return Gate(
            float(
                marked.decimal(gate.need("min_asr_confidence"), "min_asr_confidence", low=Decimal(0), high=Decimal(1))
            ),
            float(marked.decimal(gate.need("min_channel_speech_s"), "min_channel_speech_s", low=Decimal(0))),
            marked.flag(gate.need("require_two_channels"), "require_two_channels"),
        )

    def _sound(self, node: yaml.Node | None) -> SoundRule:
        if node is None:
            return SoundRule()
        rule = self._group(node, "homophone_match", ("enabled", "method", "max_edit", "min_chars"))
        marked.choice(rule.need("method"), "method", ("pinyin_no_tone",))
        return SoundRule(
            marked.flag(rule.need("enabled"), "enabled"),
            marked.whole(rule.need("max_edit"), "max_edit"),
            marked.whole(rule.need("min_chars"), "min_chars", low=1),
        )

    # ---- sections, items, checks ----

    def _section(self, node: yaml.Node) -> Section:
        section = self._group(node, "大类", ("id", "title", "items"))
        section_id = self._try(lambda: self._unique(section.need("id"), "大类 id"), "")
        title = self._try(lambda: marked.text(section.need("title"), "title"), "")
        entries = marked.sequence(section.need("items"), "items")
        return Section(section_id, title, self._each(entries, partial(self._item, section_id=section_id)))

    def _item(self, node: yaml.Node, section_id: str) -> Item:
        item = self._group(node, "评分项", ITEM_KEYS)
        item_id = self._unique(item.need("id"), "评分项 id")
        what, standard = f"{item_id} 的 max_points", item.get("standard")
        any_points = Decimal(10**6)
        max_points = self._try(lambda: marked.decimal(item.need("max_points"), what, low=Decimal("0.1")), any_points)
        options = self._try(lambda: self._options(item.need("options"), item_id, max_points), None)
        title = self._try(lambda: marked.text(item.need("title"), "title"), "")
        applies_to = self._try(lambda: self._applies_to(item), ())
        critical = self._try(lambda: self._critical_of(item), "none")
        said = self._try(lambda: marked.text(standard, "standard"), "") if standard is not None else ""
        na_when = self._try(lambda: self._na_when(item.get("na_when")), None)
        auto = self._try(lambda: self._auto(item), "none")
        codes = _texts_of(item.need("options").value, "code") if options is not None else None
        checks = self._try(lambda: self._checks(item, item_id, codes, fatal_only=False), ())
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
        return None if node is None else ConditionReader(self.names).read(node)

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
        return self._each(entries, lambda entry: self._coded(entry, item_id, max_points, codes))

    def _coded(self, entry: yaml.Node, item_id: str, max_points: Decimal, codes: set[str]) -> Option:
        row = self._group(entry, f"{item_id} 的扣分选项", OPTION_KEYS)
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
            check = read_check(part, owner_id, codes, self.names, fatal_only=fatal_only)
            self._unique(marked.mapping(part, "规则").need("id"), "规则 id")
            return check

        return self._each(marked.sequence(node, "checks"), read)

    def _fatal(self, node: yaml.Node) -> FatalItem:
        fatal = self._group(node, "致命项", FATAL_KEYS)
        fatal_id = self._unique(fatal.need("id"), "致命项 id")
        return FatalItem(
            fatal_id,
            self._try(lambda: marked.text(fatal.need("title"), "title"), ""),
            self._try(lambda: self._critical_of(fatal), "none"),
            self._try(lambda: self._applies_to(fatal), ()),
            self._try(lambda: self._auto(fatal), "none"),
            self._try(lambda: self._checks(fatal, fatal_id, (), fatal_only=True), ()),
            fatal.line,
        )

    # ---- examples ----

    def _with_examples(self, rubric: Rubric) -> Rubric:
        node = self.root.get("examples")
        if node is None:
            return rubric
        examples = tuple(_example(entry, rubric) for entry in marked.sequence(node, "examples"))
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


def _known(node: yaml.Node, what: str, known: Collection[str]) -> str:
    return marked.choice(node, what, known)


def _example(node: yaml.Node, rubric: Rubric) -> Example:
    keys = ("name", "call_type", "not_applicable", "deductions", "fatal", "expect")
    example = marked.mapping(node, "计分示例", keys)
    call_type = CallType(_known(example.need("call_type"), "call_type", tuple(CallType)))
    item_ids = [item.item_id for item in rubric.items_for(call_type)]
    expect = marked.mapping(example.need("expect"), "expect", ("quality_score", "final_score", "grade"))
    return Example(
        marked.text(example.need("name"), "name"),
        call_type,
        tuple(
            _known(part, "not_applicable", item_ids)
            for part in marked.sequence(example.need("not_applicable"), "not_applicable")
        ),
        _example_deductions(example.need("deductions"), rubric, item_ids),
        _example_fatals(example.get("fatal"), rubric),
        marked.decimal(expect.need("quality_score"), "quality_score"),
        marked.decimal(expect.need("final_score"), "final_score"),
        _known(expect.need("grade"), "grade", [grade.code for grade in rubric.scoring.grades]),
    )


def _example_deductions(
    node: yaml.Node, rubric: Rubric, item_ids: Collection[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    out = []
    for item_id, codes_node in marked.mapping(node, "deductions", item_ids).entries.items():
        codes = [option.code for option in rubric.item(item_id).options]
        out.append((item_id, tuple(_known(part, item_id, codes) for part in marked.sequence(codes_node, item_id))))
    return tuple(out)


def _example_fatals(node: yaml.Node | None, rubric: Rubric) -> tuple[str, ...]:
    """Fatal items of an example that two people have confirmed; those the machine suggested count for nothing."""
    if node is None:
        return ()
    confirmed = []
    for entry in marked.sequence(node, "fatal"):
        fatal = marked.mapping(entry, "fatal", ("id", "confirmed_by", "second_confirmed", "suggested_by"))
        fatal_id = _known(fatal.need("id"), "id", [item.fatal_id for item in rubric.fatal_items])
        second = fatal.get("second_confirmed")
        if fatal.get("confirmed_by") is not None and second is not None and marked.flag(second, "second_confirmed"):
            confirmed.append(fatal_id)
    return tuple(confirmed)
