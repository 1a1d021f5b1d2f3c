"""The monthly sampling plan 抽检方案: YAML text → frozen values, canonical JSON and its hash (docs/domain/sampling.md §2, §3.1).

A mistake is refused with its line. The three strata are the field's own (risk 风险, callback 回访, normal 普通); which
conditions fill them, the quotas and the reserves are data. `must_review`, `blind_rescore` and `double_score` are kept in
the plan (they belong to its hash); of them only the rules of must_review are read here.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import yaml

from callqa.errors import RubricError
from callqa.units import CallType

SCHEMA = "callqa-sampling/1"
MAX_QUOTA = 1000  # calls an agent, stratum and month; a bound against a slip of the finger


class Stratum(StrEnum):
    """层."""

    RISK = "risk"  # 风险
    CALLBACK = "callback"  # 回访
    NORMAL = "normal"  # 普通


STRATUM_LABELS = {Stratum.RISK: "风险", Stratum.CALLBACK: "回访", Stratum.NORMAL: "普通"}
REALLOCATION_ORDER = (Stratum.NORMAL, Stratum.CALLBACK, Stratum.RISK)  # ties of §4

EXCLUSION_LABELS = {
    "test_call": "测试、演练",
    "internal_call": "分机互拨",
    "wrong_number": "骚扰、打错",
    "overflow": "溢出到外线",
    "under_20s": "不足 20 秒",
    "confidential": "保密件",
}
GAP_LABELS = {"recording_missing": "录音缺失", "recording_corrupt": "录音损坏", "attribution_unknown": "归属不明"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a stratum; `group` and `key` name a row of CONDITIONS, `value` is its checked parameter."""

    group: str  # ticket | call | auto | always
    key: str
    value: tuple[str, ...] | Decimal | bool


@dataclass(frozen=True, slots=True)
class StratumRule:
    """A stratum and the conditions of which any one puts a call into it."""

    stratum: Stratum
    any_of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """抽检方案, checked. plan_json is the whole document, keys sorted, no white space, UTF-8."""

    plan_id: str
    min_duration_ms: int
    exclude: tuple[str, ...]
    strata: tuple[StratumRule, ...]
    quota: tuple[tuple[Stratum, int], ...]
    reserves_per_stratum: int
    must_review: tuple["MustReview", ...]
    plan_json: str
    new_staff: "NewStaff | None" = None

    @property
    def plan_hash(self) -> str:
        """SHA-256 of plan_json, lower-case hex."""
        return hash_of(self.plan_json)

    @property
    def quotas(self) -> "Quotas":
        """What the draw needs of this plan."""
        return Quotas(self.quota, self.reserves_per_stratum)


@dataclass(frozen=True, slots=True)
class MustReview:
    """定向必检: calls that meet the condition are reviewed within so many hours; outside any inference."""

    condition: Condition
    within_hours: int


@dataclass(frozen=True, slots=True)
class NewStaff:
    """定向必检 of new staff: so many calls a week more of each agent in the first days of service."""

    tenure_days: int
    extra_per_week: int


@dataclass(frozen=True, slots=True)
class Quotas:
    """Calls an agent and stratum, and how many reserves follow the sample."""

    quota: tuple[tuple[Stratum, int], ...]
    reserves_per_stratum: int

    @property
    def per_agent(self) -> int:
        """Quota of one agent over all strata."""
        return sum(count for _, count in self.quota)

    def of(self, stratum: Stratum) -> int:
        """Quota of one stratum; 0 when the plan names none."""
        return dict(self.quota).get(stratum, 0)


def hash_of(text: str) -> str:
    """SHA-256 of the UTF-8 text, lower-case hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no white space, characters unescaped."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_plan(text: str) -> SamplingPlan:
    """Parse and check a plan. Raise RubricError with the line of the first mistake."""
    root = _compose(text)
    top = _mapping(root, allowed=_TOP_KEYS, required=("schema", "id", "eligible", "strata", "quota_per_agent"))
    if _text(top["schema"]) != SCHEMA:
        raise RubricError(_line(top["schema"]), f"schema 应为 {SCHEMA}，这里是“{_text(top['schema'])}”")
    eligible = _mapping(top["eligible"], allowed=_ELIGIBLE_KEYS, required=("min_duration_s",))
    exclude = _codes(top.get("exclude"), EXCLUSION_LABELS)
    _codes(top.get("frame_gaps"), GAP_LABELS)  # gaps are always counted; the list is for the reader
    strata = _parse_strata(top["strata"])
    reserves = _whole(top["reserves_per_stratum"], 0, 100) if "reserves_per_stratum" in top else 3
    if "reallocate_shortfall" in top and _text(top["reallocate_shortfall"]) != "largest_remaining":
        raise RubricError(_line(top["reallocate_shortfall"]), "reallocate_shortfall 目前只支持 largest_remaining")
    must_review = _parse_must_review(top.get("must_review"))
    document = yaml.safe_load(text)
    try:
        plan_json = canonical_json(document)
    except (TypeError, ValueError) as exc:
        raise RubricError(0, "方案里有不能写成 JSON 的值（例如未加引号的日期、无穷大），请加引号或改正") from exc
    return SamplingPlan(
        plan_id=_text(top["id"]),
        min_duration_ms=_whole(eligible["min_duration_s"], 0, 3600) * 1000,
        exclude=exclude,
        strata=strata,
        quota=_parse_quota(top["quota_per_agent"], strata),
        reserves_per_stratum=reserves,
        must_review=must_review,
        plan_json=plan_json,
        new_staff=_parse_new_staff(top.get("must_review")),
    )


def quotas_of(plan_json: str) -> Quotas:
    """Read quotas and reserves out of a canonical plan, whole (`quota_per_agent`) or short (`quota`).

    This is what a verifier has in hand. Raise RubricError when the text is no such JSON.
    """
    try:
        document = json.loads(plan_json)
        table = document["quota_per_agent"] if "quota_per_agent" in document else document["quota"]
        reserves = document.get("reserves_per_stratum", 3)
        quota = tuple((Stratum(code), int(count)) for code, count in sorted(table.items()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RubricError(0, "方案 JSON 里读不出各层配额（quota_per_agent 或 quota）") from exc
    if not isinstance(reserves, int) or reserves < 0 or any(count < 0 for _, count in quota):
        raise RubricError(0, "方案 JSON 里的配额或递补数不是非负整数")
    return Quotas(quota, reserves)


_TOP_KEYS = [
    "schema",
    "id",
    "timezone",
    "period",
    "freeze_at",
    "eligible",
    "exclude",
    "frame_gaps",
    "strata",
    "quota_per_agent",
    "reallocate_shortfall",
    "reserves_per_stratum",
    "must_review",
    "blind_rescore",
    "double_score",
]
_ELIGIBLE_KEYS = ["connected", "min_duration_s", "recording_status", "agent_attribution"]
_CONDITION_KEYS: Mapping[str, tuple[str, ...]] = {
    "ticket": ("satisfaction_in", "repeat_complaint", "urgent_flag"),
    "call": ("duration_top_ratio", "type"),
    "auto": ("suspected_fatal",),
}
_SATISFACTION = ("非常满意", "满意", "基本满意", "不满意", "非常不满意")


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)  # constructs every value: a bad timestamp or merge key shows here, with its mark
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise RubricError(line, f"YAML 写法有误：{exc.problem or '无法解析'}") from exc
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as exc:
        raise RubricError(0, f"YAML 写法有误：{exc}") from exc
    if root is None:
        raise RubricError(0, "方案是空的")
    return root


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _mapping(node: yaml.Node, *, allowed: list[str], required: tuple[str, ...] = ()) -> dict[str, yaml.Node]:
    """Children by key; refuse unknown, doubled and missing keys."""
    if not isinstance(node, yaml.MappingNode):
        raise RubricError(_line(node), "这里应是“键: 值”的写法")
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _text(key_node)
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f"，是否想写 {near[0]}" if near else f"；可用：{'、'.join(allowed)}"
            raise RubricError(_line(key_node), f"不认识的键“{key}”{hint}")
        if key in found:
            raise RubricError(_line(key_node), f"键“{key}”写了两次")
        found[key] = value
    missing = [key for key in required if key not in found]
    if missing:
        raise RubricError(_line(node), f"缺少 {'、'.join(missing)}")
    return found


def _sequence(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise RubricError(_line(node), "这里应是非空的列表")
    return list(node.value)


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise RubricError(_line(node), "这里应是一个值，不是列表或表")
    return str(node.value)


def _whole(node: yaml.Node, low: int, high: int) -> int:
    text = _text(node)
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high and len(text) <= 9):
        raise RubricError(_line(node), f"“{text}”应是 {low} 到 {high} 的整数")
    return int(text)


def _true(node: yaml.Node) -> bool:
    if _text(node) != "true":
        raise RubricError(_line(node), f"这里只能写 true，现在是“{_text(node)}”")
    return True


def _codes(node: yaml.Node | None, known: Mapping[str, str]) -> tuple[str, ...]:
    """Reason codes of a list, each one we can count; all of them when the plan has no list."""
    if node is None:
        return tuple(known)
    codes: list[str] = []
    for entry in _sequence(node):
        code = _mapping(entry, allowed=["code", "desc"], required=("code",))["code"]
        if _text(code) not in known:
            raise RubricError(_line(code), f"不认识的原因代码“{_text(code)}”；可用：{'、'.join(known)}")
        codes.append(_text(code))
    return tuple(codes)


def _parse_strata(node: yaml.Node) -> tuple[StratumRule, ...]:
    rules: list[StratumRule] = []
    for entry in _sequence(node):
        fields = _mapping(entry, allowed=["code", "any"], required=("code", "any"))
        code = _text(fields["code"])
        if code not in list(Stratum):
            raise RubricError(_line(fields["code"]), f"不认识的层“{code}”；可用：{'、'.join(Stratum)}")
        if any(rule.stratum == code for rule in rules):
            raise RubricError(_line(fields["code"]), f"层 {code} 写了两次")
        conditions = tuple(_parse_condition(child) for child in _sequence(fields["any"]))
        rules.append(StratumRule(Stratum(code), conditions))
    if not any(condition.group == "always" for condition in rules[-1].any_of):
        raise RubricError(_line(node), "最后一层必须写 any: [true]，否则有的通话不属于任何层")
    return tuple(rules)


def _parse_condition(node: yaml.Node) -> Condition:
    if isinstance(node, yaml.ScalarNode):
        return Condition("always", "true", _true(node))
    groups = _mapping(node, allowed=list(_CONDITION_KEYS))
    if len(groups) != 1:
        raise RubricError(_line(node), "一个条件只写一项")
    group, body = next(iter(groups.items()))
    fields = _mapping(body, allowed=list(_CONDITION_KEYS[group]))
    if len(fields) != 1:
        raise RubricError(_line(body), "一个条件只写一项")
    key, value = next(iter(fields.items()))
    return Condition(group, key, _condition_value(key, value))


def _condition_value(key: str, node: yaml.Node) -> tuple[str, ...] | Decimal | bool:
    if key == "satisfaction_in":
        levels = tuple(_text(child) for child in _sequence(node))
        for child in _sequence(node):
            if _text(child) not in _SATISFACTION:
                raise RubricError(_line(child), f"不认识的满意度“{_text(child)}”；可用：{'、'.join(_SATISFACTION)}")
        return levels
    if key == "type":
        if _text(node) not in list(CallType):
            raise RubricError(_line(node), f"不认识的通话类型“{_text(node)}”；可用：{'、'.join(CallType)}")
        return (_text(node),)
    if key == "duration_top_ratio":
        return _share(node)
    return _true(node)


def _share(node: yaml.Node) -> Decimal:
    text = _text(node)
    digits = text.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(text) <= 12 and 0 < Decimal(text) <= 1):
        raise RubricError(_line(node), f"“{text}”应是大于 0、不超过 1 的小数，例如 0.05")
    return Decimal(text)


def _parse_quota(node: yaml.Node, strata: tuple[StratumRule, ...]) -> tuple[tuple[Stratum, int], ...]:
    names = [rule.stratum.value for rule in strata]
    table = _mapping(node, allowed=names, required=tuple(names))
    return tuple(sorted((Stratum(code), _whole(value, 0, MAX_QUOTA)) for code, value in table.items()))


def _parse_must_review(node: yaml.Node | None) -> tuple[MustReview, ...]:
    rules: list[MustReview] = []
    for entry in _sequence(node) if node is not None else []:
        fields = _mapping(entry, allowed=["when", "within_hours", "extra_per_week"], required=("when",))
        if "within_hours" in fields:  # a rule by tenure asks for calls a week: _parse_new_staff
            rules.append(MustReview(_parse_condition(fields["when"]), _whole(fields["within_hours"], 1, 8760)))
    return tuple(rules)


def _parse_new_staff(node: yaml.Node | None) -> NewStaff | None:
    """The rule `{when: {agent: {tenure_days_lt: 90}}, extra_per_week: 2}`; None where the plan has none."""
    for entry in _sequence(node) if node is not None else []:
        fields = _mapping(entry, allowed=["when", "within_hours", "extra_per_week"], required=("when",))
        if "extra_per_week" not in fields:
            continue
        when = _mapping(fields["when"], allowed=["agent"], required=("agent",))
        agent = _mapping(when["agent"], allowed=["tenure_days_lt"], required=("tenure_days_lt",))
        return NewStaff(_whole(agent["tenure_days_lt"], 1, 3650), _whole(fields["extra_per_week"], 1, 100))
    return None
