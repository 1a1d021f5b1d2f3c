"""The text of the assessment rules 考核规则 (schema callqa-assessment/1) → AssessmentRules; a mistake is refused with its line."""

import hashlib
import re
from decimal import Decimal

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked
from callqa.scoring.assessment import Adjustment, Asks, AssessmentRules, Atom, Band, Measure, Part
from callqa.scoring.marked import line_of

SCHEMA = "callqa-assessment/1"
_TOP = ("schema", "title", "requires", "composite", "max_score", "adjustments", "grades", "measures")
_REQUIRES = ("status", "appeal_window_closed", "window_months", "min_samples", "min_ratings")
_RUN = re.compile(r"(.+?)\s*连续\s*(\d{1,2})\s*个月")
_FATALS = re.compile(r"当月致命\s*(\d{1,2})\s*起")
_GRADE = re.compile(r"(?:grade\s*==\s*)?(.+)")
_MOST_MONTHS = 12


def parse_assessment(text: str) -> AssessmentRules:
    """Parse and check the rules. Raise RubricError with the line of the first mistake."""
    top = marked.mapping(marked.compose(text), "考核规则", _TOP)
    marked.choice(top.need("schema"), "schema", (SCHEMA,))
    requires = marked.mapping(top.need("requires"), "requires", _REQUIRES)
    marked.choice(requires.need("status"), "requires.status", ("finalized",))
    if not marked.flag(requires.need("appeal_window_closed"), "appeal_window_closed"):
        raise RubricError(line_of(requires.need("appeal_window_closed")), "appeal_window_closed 只能写 true")
    bands = _bands(top.need("grades"))
    measures = top.get("measures")
    adjustments = top.get("adjustments")
    return AssessmentRules(
        title=marked.text(top.need("title"), "title"),
        rules_hash=hashlib.sha256(text.encode()).hexdigest(),
        window_months=_whole(requires.need("window_months"), "window_months", 1, _MOST_MONTHS),
        min_samples=_whole(requires.need("min_samples"), "min_samples", 1, 10_000),
        min_ratings=_whole(requires.need("min_ratings"), "min_ratings", 1, 10_000),
        weights=_weights(top.need("composite")),
        max_score=marked.decimal(top.need("max_score"), "max_score", low=Decimal(1), high=Decimal(1000)),
        adjustments=() if adjustments is None else _adjustments(adjustments),
        bands=bands,
        measures=() if measures is None else tuple(
            _measure(node, {band.label for band in bands}) for node in marked.sequence(measures, "measures")
        ),
    )  # fmt: skip


def _whole(node: yaml.Node, what: str, low: int, high: int) -> int:
    value = marked.decimal(node, what, low=Decimal(low), high=Decimal(high))
    if value != int(value):
        raise RubricError(line_of(node), f"{what}为 {value}，应是整数")
    return int(value)


def _weights(node: yaml.Node) -> tuple[tuple[Part, Decimal], ...]:
    fields = marked.mapping(node, "composite", [part.value for part in Part])
    weights = tuple(
        (part, marked.decimal(fields.need(part.value), part.value, low=Decimal(0), high=Decimal(1)))
        for part in Part
        if part.value in fields.entries
    )
    total = sum(weight for _, weight in weights)
    if total != 1 or Part.QUALITY not in dict(weights):
        raise RubricError(line_of(node), f"composite 各权重之和为 {total}，应等于 1，且须有 {Part.QUALITY}")
    return weights


def _adjustments(node: yaml.Node) -> tuple[Adjustment, ...]:
    found: list[Adjustment] = []
    for entry in marked.sequence(node, "adjustments"):
        fields = marked.mapping(entry, "加减分", ("code", "points", "cap", "desc"))
        code, points = marked.text(fields.need("code"), "code"), marked.decimal(fields.need("points"), "points")
        cap_node = fields.get("cap")
        cap = None if cap_node is None else marked.decimal(cap_node, "cap")
        if any(each.code == code for each in found):
            raise RubricError(line_of(entry), f"加减分 {code} 写了两次")
        if cap is not None and cap * points <= 0:
            raise RubricError(line_of(entry), f"加减分 {code} 的 cap 应与 points 同号")
        if points < 0 and not code.startswith("fatal_"):
            raise RubricError(
                line_of(entry),
                f"扣分 {code} 没有第二确认的来源；扣分只能用 fatal_customer、fatal_business、fatal_compliance",
            )
        found.append(Adjustment(code, points, cap, marked.text(fields.need("desc"), "desc")))
    return tuple(found)


def _bands(node: yaml.Node) -> tuple[Band, ...]:
    bands: list[Band] = []
    for entry in marked.sequence(node, "grades"):
        fields = marked.mapping(entry, "等级", ("min", "label", "coefficient", "amount"))
        amount = fields.get("amount")
        band = Band(
            marked.decimal(fields.need("min"), "min", low=Decimal(0)),
            marked.text(fields.need("label"), "label"),
            marked.decimal(fields.need("coefficient"), "coefficient", low=Decimal(0), high=Decimal(10)),
            None if amount is None else marked.decimal(amount, "amount"),
        )
        if any(band.minimum >= each.minimum or band.label == each.label for each in bands):
            raise RubricError(line_of(entry), "grades 应从高到低，下限与名称都不能重复")
        bands.append(band)
    if not bands or bands[-1].minimum != 0:
        raise RubricError(line_of(node), "grades 的最后一级下限应为 0，使每个分数都有等级")
    return tuple(bands)


def _measure(node: yaml.Node, labels: set[str]) -> Measure:
    fields = marked.mapping(node, "措施", ("when", "do"))
    when = marked.text(fields.need("when"), "when")
    line = line_of(fields.need("when"))
    any_of = tuple(
        tuple(_atom(words.strip(), labels, line) for words in choice.split("且")) for choice in when.split("或")
    )
    return Measure(when, any_of, marked.texts(fields.need("do"), "do"))


def _atom(words: str, labels: set[str], line: int) -> Atom:
    if words == "团队第一档":
        return Atom(Asks.FIRST_TIER)
    if (fatals := _FATALS.fullmatch(words)) and int(fatals[1]):
        return Atom(Asks.FATALS, times=int(fatals[1]))
    run = _RUN.fullmatch(words)
    if run and run[1] in labels and 1 <= int(run[2]) <= _MOST_MONTHS:
        return Atom(Asks.GRADE, run[1], int(run[2]))
    grade = _GRADE.fullmatch(words)
    if grade and grade[1] in labels:
        return Atom(Asks.GRADE, grade[1])
    known = "、".join(sorted(labels))
    raise RubricError(
        line, f"看不懂条件“{words}”；可写：grade == 等级、等级连续 2 个月、当月致命 2 起、团队第一档（等级有 {known}）"
    )
