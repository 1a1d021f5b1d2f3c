"""Conditions and checks of the rubric, from marked YAML to the values of `criteria`. Used by `scoring.rubric` alone."""

import re
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from decimal import Decimal

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.condition_tree import (
    AllOf,
    AnyOf,
    Backchannel,
    CallIs,
    Condition,
    Constant,
    Not,
    OperatorCall,
    Origin,
    Params,
    ParamValue,
    Reach,
    Role,
    Scope,
    TicketIs,
    Unit,
    Where,
)
from callqa.scoring.criteria import Check, Level, Outcome
from callqa.scoring.facts import CALL_FIELDS, TICKET_FIELDS
from callqa.scoring.lexicon import Lexicon
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.patterns import why_endless
from callqa.scoring.satisfaction import SATISFACTION_ORDER
from callqa.text import normalised
from callqa.units import MATTER_LABELS, CallType

CHECK_KEYS = ("id", "on_hit", "on_miss", "when", "calibrate")
LEAF_KEYS = ("op", "role", "scope", "params", "as", "anchor", "where", "within", "calibrate")
OUTCOME_KEYS = ("suggest", "suggest_fatal", "level", "min_occurrences")
CALL_VALUES: dict[str, tuple[str, ...]] = {
    "disposition": ("answered_on_call", "no_ticket_needed", "not_reached", "dropped", "transferred"),
    "direction": ("inbound", "outbound"),
    "hangup_party": ("agent", "citizen", "network"),
    "type": tuple(CallType),
}
# What a ticket holds of these; anything else would never be met, without a word.
TICKET_VALUES: dict[str, tuple[str, ...]] = {
    "category": ("consult", "help", "complaint", "report", "suggestion", "praise"),
    "matter_category": tuple(MATTER_LABELS),
    "satisfaction": SATISFACTION_ORDER,
}
MAX_PATTERN_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Names:
    """What a check may refer to."""

    lexicons: MappingType[str, Lexicon]
    phrases: MappingType[str, tuple[str, ...]]
    fatal_ids: tuple[str, ...]
    refused: MappingType[str, RubricError] = field(default_factory=dict)  # lists of a stored version, not read any more


@dataclass(slots=True)
class ConditionReader:
    """Reads the conditions of one check or one na_when; remembers the aliases named so far.

    bound: those that an anchor may refer to here. A term is bound by its name only in its own `all`, for the terms after it.
    """

    names: Names
    aliases: set[str] = field(default_factory=set)
    bound: tuple[str, ...] = ()

    def read(self, node: yaml.Node) -> Condition:
        """One condition of any form."""
        if isinstance(node, yaml.ScalarNode):
            return Constant(marked.flag(node, "条件"))
        entries = marked.mapping(node, "条件").entries
        forms = [key for key in ("op", "all", "any", "not", "call", "ticket", "call_type") if key in entries]
        if len(forms) != 1:
            line = marked.line_of(node)
            raise RubricError(
                line, "条件须恰好含 op、all、any、not、call、ticket、call_type 之一" + _near_form(entries)
            )
        form = forms[0]
        if form == "op":
            return self._leaf(node)
        marked.mapping(node, f"条件 {form}", (form,))
        value = entries[form]
        if form in ("all", "any"):
            terms = self._terms(form, value)
            if not terms:
                raise RubricError(marked.line_of(value), f"条件 {form} 是空的")
            return AllOf(terms) if form == "all" else AnyOf(terms)
        if form == "not":
            return Not(self.read(value))
        return self._fact(form, value)

    def _terms(self, form: str, node: yaml.Node) -> tuple[Condition, ...]:
        before, terms = self.bound, []
        for entry in marked.sequence(node, f"条件 {form}"):
            term = self.read(entry)
            terms.append(term)
            if form == "all" and isinstance(term, OperatorCall) and term.alias is not None:
                self.bound = (*self.bound, term.alias)
        self.bound = before
        return tuple(terms)

    def _fact(self, form: str, node: yaml.Node) -> Condition:
        if form == "call_type":
            return CallIs("type", marked.choice(node, "call_type", tuple(CallType)))
        known = CALL_FIELDS if form == "call" else TICKET_FIELDS
        facts = marked.mapping(node, form, tuple(known))
        terms: list[Condition] = []
        for name, value in facts.entries.items():
            read: str | bool
            if marked.kind_of(value) == "bool":
                read = marked.flag(value, name)
            elif name in (values := CALL_VALUES if form == "call" else TICKET_VALUES):
                read = marked.choice(value, name, values[name])
            else:
                read = marked.text(value, name)
            terms.append(CallIs(name, read) if form == "call" else TicketIs(name, read))
        if not terms:
            raise RubricError(marked.line_of(node), f"{form} 条件是空的")
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _leaf(self, node: yaml.Node) -> OperatorCall:
        leaf = marked.mapping(node, "算子", LEAF_KEYS)
        name = marked.text(leaf.need("op"), "op")
        operator = REGISTRY.get(name)
        if operator is None:
            raise RubricError(marked.line_of(leaf.need("op")), f"没有算子“{name}”{marked.near(name, REGISTRY)}")
        role_node = leaf.get("role")
        scope_node = leaf.get("scope")
        anchor, where, reach = self._anchor(leaf)
        if anchor is not None and scope_node is not None:
            raise RubricError(marked.line_of(scope_node), "有 anchor 时不能再写 scope")
        call = OperatorCall(
            name,
            self._params(operator, leaf),
            Role(marked.choice(role_node, "role", tuple(Role))) if role_node is not None else Role.ANY,
            read_scope(scope_node) if scope_node is not None else None,
            self._alias(leaf),
            anchor,
            where,
            reach,
            leaf.line,
        )
        return call

    def _alias(self, leaf: marked.Mapping) -> str | None:
        node = leaf.get("as")
        if node is None:
            return None
        alias = marked.text(node, "as")
        if alias in self.aliases:
            raise RubricError(marked.line_of(node), f"as 的名称“{alias}”在本规则里已用过")
        self.aliases.add(alias)
        return alias

    def _anchor(self, leaf: marked.Mapping) -> tuple[str | None, Where | None, Reach | None]:
        anchor_node, where_node, within_node = leaf.get("anchor"), leaf.get("where"), leaf.get("within")
        if anchor_node is None:
            extra = where_node or within_node
            if extra is not None:
                raise RubricError(marked.line_of(extra), "where 和 within 只能与 anchor 一起用")
            return None, None, None
        anchor = marked.text(anchor_node, "anchor")
        if anchor not in self.aliases:
            hint = marked.near(anchor, self.aliases)
            raise RubricError(marked.line_of(anchor_node), f"anchor“{anchor}”在前面没有用 as 命名{hint}")
        if anchor not in self.bound:
            why = "as 只对同一个 all 里写在它后面的条件有效，any、not 里面的命名在外面用不了"
            raise RubricError(marked.line_of(anchor_node), f"anchor“{anchor}”在这里引用不到：{why}")
        if where_node is None:
            raise RubricError(marked.line_of(anchor_node), "有 anchor 时须写 where（before、after、around、same）")
        where = Where(marked.choice(where_node, "where", tuple(Where)))
        return anchor, where, _reach(within_node) if within_node is not None else None

    def _params(self, operator: Operator, leaf: marked.Mapping) -> Params:
        node = leaf.get("params")
        line = leaf.line
        given = marked.mapping(node, f"算子 {operator.name} 的参数") if node is not None else None
        entries: list[tuple[str, ParamValue]] = []
        for name, value in (given.entries if given else {}).items():
            spec = operator.param(name)
            if spec is None:
                known = [spec.name for spec in operator.params]
                listed = f"（可用：{'、'.join(known)}）"
                raise RubricError(
                    marked.line_of(value), f"算子 {operator.name} 没有参数“{name}”{listed}{marked.near(name, known)}"
                )
            entries.append((name, self._param(spec, value)))
        names = {name for name, _ in entries}
        missing = [spec.name for spec in operator.params if spec.required and spec.name not in names]
        if missing:
            raise RubricError(line, f"算子 {operator.name} 缺少参数“{missing[0]}”")
        if operator.at_least_one and not names & set(operator.at_least_one):
            raise RubricError(line, f"算子 {operator.name} 须给出 {'、'.join(operator.at_least_one)} 之一")
        if {"lexicon", "words"} <= names:
            raise RubricError(line, "lexicon 与 words 只能写一个")
        return Params(tuple(entries))

    def _param(self, spec: ParamSpec, node: yaml.Node) -> ParamValue:
        low = None if spec.minimum is None else Decimal(str(spec.minimum))
        high = None if spec.maximum is None else Decimal(str(spec.maximum))
        if spec.kind is ParamKind.NUMBER:
            return float(marked.decimal(node, spec.name, low=low, high=high))
        if spec.kind is ParamKind.WHOLE:
            return float(marked.whole(node, spec.name, low=int(spec.minimum or 0)))
        if spec.kind is ParamKind.FLAG:
            return marked.flag(node, spec.name)
        if spec.kind is ParamKind.CHOICE:
            return marked.choice(node, spec.name, spec.choices)
        if spec.kind is ParamKind.CHOICES:
            return tuple(
                marked.choice(part, spec.name, spec.choices)
                for part in _not_empty(node, marked.sequence(node, spec.name))
            )
        if spec.kind is ParamKind.PATTERN:
            return read_pattern(node, spec.name)
        if spec.kind is ParamKind.WORDS:
            return read_words(node, spec.name)
        if spec.kind is ParamKind.GROUPS:
            return tuple(read_words(part, spec.name) for part in _not_empty(node, marked.sequence(node, spec.name)))
        if spec.kind is ParamKind.LEXICON:
            return self._lexicon(node)
        if spec.kind is ParamKind.PHRASES:
            return self._phrases(node)
        return _backchannel(node)

    def _lexicon(self, node: yaml.Node) -> Lexicon:
        name = marked.text(node, "lexicon")
        lexicon = self.names.lexicons.get(name)
        if name in self.names.refused:
            raise self.names.refused[name]
        if lexicon is None:
            raise RubricError(marked.line_of(node), f"没有词表“{name}”{marked.near(name, self.names.lexicons)}")
        return lexicon

    def _phrases(self, node: yaml.Node) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            return marked.texts(node, "phrases")
        name = marked.text(node, "phrases")
        if name in self.names.refused:
            raise self.names.refused[name]
        if name not in self.names.phrases:
            raise RubricError(marked.line_of(node), f"没有标准话术“{name}”{marked.near(name, self.names.phrases)}")
        return self.names.phrases[name]


def _near_form(entries: MappingType[str, yaml.Node]) -> str:
    for key in entries:
        hint = marked.near(key, ("op", "all", "any", "not", "call", "ticket", "call_type"))
        if hint:
            return f"（现有“{key}”{hint}）"
    return ""


def _not_empty(node: yaml.Node, parts: list[yaml.Node]) -> list[yaml.Node]:
    if not parts:
        raise RubricError(marked.line_of(node), "列表是空的")
    return parts


def read_pattern(node: yaml.Node, what: str) -> str:
    """A regular expression that compiles, and comes to an end on any sentence."""
    pattern = marked.text(node, what)
    if len(pattern) > MAX_PATTERN_CHARS:
        raise RubricError(marked.line_of(node), f"{what} 有 {len(pattern)} 个字符，超过上限 {MAX_PATTERN_CHARS}")
    try:
        re.compile(pattern)
    except re.error as error:
        raise RubricError(marked.line_of(node), f"{what} 的正则表达式“{pattern}”有误：{error.msg}") from error
    why = why_endless(pattern)
    if why:
        raise RubricError(marked.line_of(node), f"{what} 的正则表达式“{pattern}”可能算不完：{why}")
    return pattern


def read_words(node: yaml.Node, what: str) -> tuple[str, ...]:
    """Words to look for; a word of fillers and marks alone can never be found and is refused."""
    words = marked.texts(node, what)
    for word, entry in zip(words, marked.sequence(node, what), strict=True):
        if not normalised(word):
            raise RubricError(marked.line_of(entry), f"{what}里的“{word}”只有语气词或标点，永远匹配不到")
    return words


def _backchannel(node: yaml.Node) -> Backchannel:
    rule = marked.mapping(node, "ignore_backchannel", ("max_s", "words"))
    max_s, words = rule.get("max_s"), rule.get("words")
    return Backchannel(
        float(marked.decimal(max_s, "max_s", low=Decimal(0))) if max_s is not None else 0.0,
        marked.texts(words, "words") if words is not None else (),
    )


def _reach(node: yaml.Node) -> Reach:
    within = marked.mapping(node, "within", ("utt", "s"))
    if len(within.entries) != 1:
        raise RubricError(within.line, "within 须写 utt（句数）或 s（秒数）之一")
    if "utt" in within.entries:
        return Reach(Unit.UTTERANCES, float(marked.whole(within.need("utt"), "utt", low=1)))
    return Reach(Unit.SECONDS, float(marked.decimal(within.need("s"), "s", low=Decimal(0))))


def read_scope(node: yaml.Node) -> Scope | None:
    """`all` gives None; else {from, unit, within}."""
    if isinstance(node, yaml.ScalarNode):
        marked.choice(node, "scope", ("all",))
        return None
    scope = marked.mapping(node, "scope", ("from", "unit", "within"))
    origin = Origin(marked.choice(scope.need("from"), "from", tuple(Origin)))
    unit = Unit(marked.choice(scope.need("unit"), "unit", tuple(Unit)))
    if unit is Unit.UTTERANCES:
        return Scope(origin, unit, float(marked.whole(scope.need("within"), "within", low=1)))
    high = Decimal(1) if unit is Unit.RATIO else None
    within = marked.decimal(scope.need("within"), "within", low=Decimal(0), high=high)
    if not within:
        raise RubricError(marked.line_of(scope.need("within")), "within 须大于 0：范围是空的，什么也听不到")
    return Scope(origin, unit, float(within))


def read_check(
    node: yaml.Node, item_id: str, option_codes: tuple[str, ...], names: Names, *, fatal_only: bool = False
) -> Check:
    """One check: its condition, its precondition, and what its hit and miss suggest."""
    rule = marked.mapping(node, f"{item_id} 的规则", (*CHECK_KEYS, *LEAF_KEYS, "all", "any", "not", "call", "ticket"))
    check_id = marked.text(rule.need("id"), "规则 id")
    pairs = [pair for pair in rule.node.value if pair[0].value not in ("id", "on_hit", "on_miss", "when")]
    bare = yaml.MappingNode(rule.node.tag, pairs, rule.node.start_mark, rule.node.end_mark)
    calibrate_node = rule.get("calibrate")
    calibrate = calibrate_node is not None and marked.flag(calibrate_node, "calibrate")
    if "op" not in rule.entries:
        bare.value = [pair for pair in bare.value if pair[0].value != "calibrate"]
    condition = ConditionReader(names).read(bare)
    when_node = rule.get("when")
    outcomes = [
        _outcome(rule.get(key), f"规则 {check_id} 的 {key}", option_codes, names, fatal_only=fatal_only)
        for key in ("on_hit", "on_miss")
    ]
    if outcomes[1] is not None and outcomes[1].min_occurrences > 1:
        line = marked.line_of(rule.need("on_miss"))
        raise RubricError(line, f"规则 {check_id} 的 on_miss 不能写 min_occurrences：没有命中，就没有次数可数")
    if outcomes == [None, None]:
        raise RubricError(rule.line, f"规则 {check_id} 须有 on_hit 或 on_miss")
    return Check(
        check_id,
        item_id,
        condition,
        ConditionReader(names).read(when_node) if when_node is not None else None,
        outcomes[0],
        outcomes[1],
        calibrate,
        rule.line,
    )


def _outcome(
    node: yaml.Node | None, what: str, option_codes: tuple[str, ...], names: Names, *, fatal_only: bool
) -> Outcome | None:
    if node is None:
        return None
    outcome = marked.mapping(node, what, OUTCOME_KEYS)
    option_node, fatal_node = outcome.get("suggest"), outcome.get("suggest_fatal")
    if option_node is None and fatal_node is None:
        raise RubricError(outcome.line, f"{what}须有 suggest 或 suggest_fatal")
    option_code = fatal_id = None
    if option_node is not None:
        option_code = marked.text(option_node, "suggest")
        if fatal_only:
            raise RubricError(marked.line_of(option_node), f"{what}：致命项没有扣分选项，请用 suggest_fatal")
        if option_code not in option_codes:
            line = marked.line_of(option_node)
            listed = "、".join(option_codes) or "无"
            raise RubricError(line, f"{what}：本项没有扣分选项“{option_code}”（现有：{listed}）")
    if fatal_node is not None:
        fatal_id = marked.text(fatal_node, "suggest_fatal")
        if fatal_id not in names.fatal_ids:
            line = marked.line_of(fatal_node)
            raise RubricError(line, f"{what}：没有致命项“{fatal_id}”{marked.near(fatal_id, names.fatal_ids)}")
    level_node, count_node = outcome.get("level"), outcome.get("min_occurrences")
    return Outcome(
        option_code,
        fatal_id,
        Level(marked.choice(level_node, "level", tuple(Level))) if level_node is not None else Level.PRESELECT,
        marked.whole(count_node, "min_occurrences", low=1) if count_node is not None else 1,
    )
