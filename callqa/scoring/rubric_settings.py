"""The settings of a rubric: types of calls, how points become scores and grades, when the machine may speak."""

from collections.abc import Sequence
from decimal import Decimal

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.criteria import CallTypeRow, EvidenceRule, FatalPolicy, Gate, Grade, Scoring
from callqa.scoring.lexicon import SoundRule
from callqa.scoring.mistakes import Mistakes
from callqa.units import CallType

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
NO_POLICY = FatalPolicy("zero", Decimal(0), (), True)  # in place of one with a mistake, to read on
NO_RULE = EvidenceRule(Decimal(0), True, ())


def read_call_types(root: marked.Mapping) -> tuple[CallTypeRow, ...]:
    """The types of calls that the rubric tells apart."""
    rows = []
    for name, node in marked.mapping(root.need("call_types"), "call_types", tuple(CallType)).entries.items():
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


def read_scoring(root: marked.Mapping, critical_classes: Sequence[str], mistakes: Mistakes) -> Scoring:
    """How points become scores and grades. critical_classes: that the rubric has."""
    scoring = mistakes.group(root.need("scoring"), "scoring", SCORING_KEYS)
    for key, value in (
        ("method", "deduction"),
        ("applicability", "by_call_type"),
        ("na_rule", "exclude_and_rescale"),
    ):
        node = scoring.get(key)
        if node is not None:
            marked.choice(node, key, (value,))
    rounding = mistakes.group(scoring.need("rounding"), "rounding", ("decimals", "mode"))
    marked.choice(rounding.need("mode"), "mode", ("half_up",))
    floor, warn = scoring.get("item_floor"), scoring.get("na_warn_ratio")
    return Scoring(
        marked.decimal(floor, "item_floor", low=Decimal(0)) if floor is not None else Decimal(0),
        marked.decimal(warn, "na_warn_ratio", low=Decimal(0), high=Decimal(1)) if warn is not None else Decimal(1),
        marked.whole(rounding.need("decimals"), "decimals"),
        mistakes.attempt(lambda: marked.decimal(scoring.need("pass_line"), "pass_line", low=Decimal(0)), Decimal(0)),
        mistakes.attempt(lambda: _grades(scoring.need("grades"), mistakes), ()),
        mistakes.attempt(lambda: _fatal_policy(scoring.need("fatal_policy"), mistakes), NO_POLICY),
        mistakes.attempt(lambda: _evidence_rule(scoring.get("evidence_required"), critical_classes, mistakes), NO_RULE),
    )


def _grades(node: yaml.Node, mistakes: Mistakes) -> tuple[Grade, ...]:
    grades = []
    for entry in marked.sequence(node, "grades"):
        row = mistakes.group(entry, "等级", ("code", "label", "min"))
        minimum = marked.decimal(row.need("min"), "min", low=Decimal(0))
        grades.append(Grade(marked.text(row.need("code"), "code"), marked.text(row.need("label"), "label"), minimum))
    if not grades or min(grade.minimum for grade in grades) != 0:
        raise RubricError(marked.line_of(node), "等级须有一档 min 为 0，否则低分没有等级")
    if len({grade.minimum for grade in grades}) != len(grades) or len({g.code for g in grades}) != len(grades):
        raise RubricError(marked.line_of(node), "等级的 code 或 min 有重复")
    return tuple(sorted(grades, key=lambda grade: -grade.minimum))


def _fatal_policy(node: yaml.Node, mistakes: Mistakes) -> FatalPolicy:
    keys = ("mode", "cap_score", "keep_quality_score", "confirmed_by", "second_confirm")
    policy = mistakes.group(node, "fatal_policy", keys)
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


def _evidence_rule(node: yaml.Node | None, critical_classes: Sequence[str], mistakes: Mistakes) -> EvidenceRule:
    if node is None:
        return NO_RULE
    rule = mistakes.group(node, "evidence_required", ("min_points", "fatal", "critical"))
    critical = rule.get("critical")
    return EvidenceRule(
        marked.decimal(rule.need("min_points"), "min_points", low=Decimal(0)),
        marked.flag(rule.need("fatal"), "fatal"),
        tuple(marked.choice(c, "critical", tuple(critical_classes)) for c in marked.sequence(critical, "critical"))
        if critical is not None
        else (),
    )


def read_machine(root: marked.Mapping, mistakes: Mistakes) -> tuple[Gate, SoundRule]:
    """When the machine speaks at all, and what it takes for the same sound."""
    node = root.get("machine")
    if node is None:
        return Gate(), SoundRule()
    machine = mistakes.group(
        node, "machine", ("role", "result_states", "gate", "text_normalize", "homophone_match", "channels")
    )
    role = machine.get("role")
    if role is not None:
        marked.choice(role, "role", ("suggest_only",))
    return _gate(machine.get("gate"), mistakes), _sound(machine.get("homophone_match"), mistakes)


def _gate(node: yaml.Node | None, mistakes: Mistakes) -> Gate:
    if node is None:
        return Gate()
    gate = mistakes.group(node, "gate", ("min_asr_confidence", "min_channel_speech_s", "require_two_channels"))
    return Gate(
        float(marked.decimal(gate.need("min_asr_confidence"), "min_asr_confidence", low=Decimal(0), high=Decimal(1))),
        float(marked.decimal(gate.need("min_channel_speech_s"), "min_channel_speech_s", low=Decimal(0))),
        marked.flag(gate.need("require_two_channels"), "require_two_channels"),
    )


def _sound(node: yaml.Node | None, mistakes: Mistakes) -> SoundRule:
    if node is None:
        return SoundRule()
    rule = mistakes.group(node, "homophone_match", ("enabled", "method", "max_edit", "min_chars"))
    marked.choice(rule.need("method"), "method", ("pinyin_no_tone",))
    return SoundRule(
        marked.flag(rule.need("enabled"), "enabled"),
        marked.whole(rule.need("max_edit"), "max_edit"),
        marked.whole(rule.need("min_chars"), "min_chars", low=1),
    )
