"""The text of a sampling plan 抽检方案 → SamplingPlan, every value checked; a mistake is refused with its line.

`must_review`, `blind_rescore` and `double_score` belong to the plan's hash; of them only must_review is read here. The
canonical JSON of a plan is a text of it too: what a frame was frozen with is read again by this.
"""

from collections.abc import Mapping
from decimal import Decimal

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.marked import line_of
from callqa.scoring.plan import (
    EXCLUSION_LABELS,
    GAP_LABELS,
    Condition,
    MustReview,
    NewStaff,
    SamplingPlan,
    Stratum,
    StratumRule,
    canonical_json,
)
from callqa.scoring.satisfaction import SATISFACTION_ORDER
from callqa.units import CallType

SCHEMA = "callqa-sampling/1"
MAX_QUOTA = 1000  # calls an agent, stratum and month; a bound against a slip of the finger
RESERVES = 3  # an agent and stratum, where the plan does not say

_TOP_KEYS = (
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
)
_ELIGIBLE_KEYS = ("connected", "min_duration_s", "recording_status", "agent_attribution")
_MUST_REVIEW_KEYS = ("when", "within_hours", "extra_per_week")
_CONDITION_KEYS: Mapping[str, tuple[str, ...]] = {
    "ticket": ("satisfaction_in", "repeat_complaint", "urgent_flag"),
    "call": ("duration_top_ratio", "type"),
    "auto": ("suspected_fatal",),
}


def parse_plan(text: str) -> SamplingPlan:
    """Parse and check a plan. Raise RubricError with the line of the first mistake."""
    top = marked.mapping(marked.compose(text), "方案", _TOP_KEYS)
    plan_json = _canonical(text)
    marked.choice(top.need("schema"), "schema", (SCHEMA,))
    eligible = marked.mapping(top.need("eligible"), "eligible", _ELIGIBLE_KEYS)
    strata = _strata(top.need("strata"))
    _codes(top.get("frame_gaps"), "frame_gaps", GAP_LABELS)  # gaps are always counted; the list is for the reader
    shortfall, reserves = top.get("reallocate_shortfall"), top.get("reserves_per_stratum")
    if shortfall is not None:
        marked.choice(shortfall, "reallocate_shortfall", ("largest_remaining",))
    must_review, new_staff = _must_review(top.get("must_review"))
    return SamplingPlan(
        plan_id=marked.text(top.need("id"), "id"),
        min_duration_ms=_whole(eligible.need("min_duration_s"), "min_duration_s", 0, 3600) * 1000,
        exclude=_codes(top.get("exclude"), "exclude", EXCLUSION_LABELS),
        strata=strata,
        quota=_quota(top.need("quota_per_agent"), strata),
        reserves_per_stratum=RESERVES if reserves is None else _whole(reserves, "reserves_per_stratum", 0, 100),
        must_review=must_review,
        plan_json=plan_json,
        new_staff=new_staff,
    )


def _canonical(text: str) -> str:
    try:
        return canonical_json(yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:  # a tag that names no plain value
        mark = error.problem_mark
        raise RubricError(mark.line + 1 if mark else 0, f"YAML 语法错误：{error.problem}") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise RubricError(0, "方案里有不能写成 JSON 的值（例如未加引号的日期、无穷大），请加引号或改正") from error


def _items(node: yaml.Node, what: str) -> list[yaml.Node]:
    items = marked.sequence(node, what)
    if not items:
        raise RubricError(line_of(node), f"{what}是空的")
    return items


def _whole(node: yaml.Node, what: str, low: int, high: int) -> int:
    """Also of a number in quotes, which frozen plans may have."""
    text = marked.text(node, what)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise RubricError(line_of(node), f"{what}为“{text}”，应是 {low} 到 {high} 的整数")
    return int(text)


def _share(node: yaml.Node, what: str) -> Decimal:
    text = marked.text(node, what)
    digits = text.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(text) <= 12 and 0 < Decimal(text) <= 1):
        raise RubricError(line_of(node), f"{what}为“{text}”，应是大于 0、不超过 1 的小数，例如 0.05")
    return Decimal(text)


def _true(node: yaml.Node, what: str) -> bool:
    if not marked.flag(node, what):
        raise RubricError(line_of(node), f"{what}只能写 true")
    return True


def _codes(node: yaml.Node | None, what: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """Reason codes of a list, each one we can count; all of them when the plan has no list."""
    if node is None:
        return tuple(known)
    entries = (marked.mapping(entry, what, ("code", "desc")) for entry in _items(node, what))
    return tuple(marked.choice(entry.need("code"), f"{what}的 code", known) for entry in entries)


def _strata(node: yaml.Node) -> tuple[StratumRule, ...]:
    rules: list[StratumRule] = []
    for entry in _items(node, "strata"):
        fields = marked.mapping(entry, "层", ("code", "any"))
        code = marked.choice(fields.need("code"), "层的 code", list(Stratum))
        if any(rule.stratum == code for rule in rules):
            raise RubricError(line_of(fields.need("code")), f"层 {code} 写了两次")
        conditions = tuple(_condition(child) for child in _items(fields.need("any"), "层的 any"))
        rules.append(StratumRule(Stratum(code), conditions))
    if not any(condition.group == "always" for condition in rules[-1].any_of):
        raise RubricError(line_of(node), "最后一层必须写 any: [true]，否则有的通话不属于任何层")
    return tuple(rules)


def _condition(node: yaml.Node) -> Condition:
    if isinstance(node, yaml.ScalarNode):
        return Condition("always", "true", _true(node, "条件"))
    group, body = _only(marked.mapping(node, "条件", _CONDITION_KEYS))
    key, value = _only(marked.mapping(body, f"条件 {group}", _CONDITION_KEYS[group]))
    return Condition(group, key, _condition_value(key, value))


def _only(found: marked.Mapping) -> tuple[str, yaml.Node]:
    if len(found.entries) != 1:
        raise RubricError(found.line, f"{found.what}只写一项")
    return next(iter(found.entries.items()))


def _condition_value(key: str, node: yaml.Node) -> tuple[str, ...] | Decimal | bool:
    if key == "satisfaction_in":
        return tuple(marked.choice(child, "满意度", SATISFACTION_ORDER) for child in _items(node, key))
    if key == "type":
        return (marked.choice(node, "通话类型", list(CallType)),)
    return _share(node, key) if key == "duration_top_ratio" else _true(node, key)


def _quota(node: yaml.Node, strata: tuple[StratumRule, ...]) -> tuple[tuple[Stratum, int], ...]:
    names = [rule.stratum.value for rule in strata]
    table = marked.mapping(node, "quota_per_agent", names)
    return tuple(sorted((Stratum(name), _whole(table.need(name), f"层 {name} 的配额", 0, MAX_QUOTA)) for name in names))


def _must_review(node: yaml.Node | None) -> tuple[tuple[MustReview, ...], NewStaff | None]:
    """Rules with a time limit, and the first one by tenure: {when: {agent: {tenure_days_lt: 90}}, extra_per_week: 2}."""
    rules: list[MustReview] = []
    new_staff: NewStaff | None = None
    for entry in _items(node, "must_review") if node is not None else ():
        fields = marked.mapping(entry, "must_review", _MUST_REVIEW_KEYS)
        when, hours, extra = fields.need("when"), fields.get("within_hours"), fields.get("extra_per_week")
        if hours is not None:
            rules.append(MustReview(_condition(when), _whole(hours, "within_hours", 1, 8760)))
        if extra is not None and new_staff is None:
            new_staff = _new_staff(when, extra)
    return tuple(rules), new_staff


def _new_staff(when: yaml.Node, extra: yaml.Node) -> NewStaff:
    agent = marked.mapping(marked.mapping(when, "when", ("agent",)).need("agent"), "agent", ("tenure_days_lt",))
    days = _whole(agent.need("tenure_days_lt"), "tenure_days_lt", 1, 3650)
    return NewStaff(days, _whole(extra, "extra_per_week", 1, 100))
