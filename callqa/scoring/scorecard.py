"""计分: from deductions to scores. Decimal throughout, rounded half up once, at the end.

得分 = 100 × Σ得分 ÷ Σ适用项满分; an item never falls under its floor; not-applicable items leave the denominator; an exclusive
option stands alone in its item; a confirmed fatal item makes the final score 0 or caps it, never the quality score.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from callqa.errors import CallqaError
from callqa.scoring.criteria import Grade, Item, Rubric
from callqa.units import CallType, half_up

Deductions = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class ItemScore:
    """单项得分; points None when the item does not apply."""

    item_id: str
    max_points: Decimal
    points: Decimal | None


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """One call's scores. na_ratio: share of the applicable type's points marked 不适用; na_warning: too much of it."""

    quality_score: Decimal
    final_score: Decimal
    grade: str
    items: tuple[ItemScore, ...]
    na_ratio: Decimal
    na_warning: bool


def total(
    rubric: Rubric,
    call_type: CallType,
    *,
    not_applicable: Collection[str],
    deductions: Deductions,
    confirmed_fatals: Collection[str],
) -> ScoreCard:
    """Add up one call. deductions: item id -> option code -> times. Raise CallqaError for names that do not exist."""
    items = rubric.items_for(call_type)
    _check_names(rubric, items, not_applicable, deductions, confirmed_fatals)
    scores = tuple(
        ItemScore(
            item.item_id,
            item.max_points,
            None
            if item.item_id in not_applicable
            else _item_points(item, deductions.get(item.item_id, {}), rubric.scoring.item_floor),
        )
        for item in items
    )
    whole = sum((score.max_points for score in scores), Decimal(0))
    applicable = sum((score.max_points for score in scores if score.points is not None), Decimal(0))
    if not applicable:
        raise CallqaError("所有评分项都标了“不适用”，无法计分；请至少保留一项")
    earned = sum((score.points for score in scores if score.points is not None), Decimal(0))
    quality = half_up(rubric.full_score * earned / applicable, rubric.scoring.decimals)
    final = final_score(rubric, quality, has_fatal=bool(confirmed_fatals))
    na_ratio = (whole - applicable) / whole
    return ScoreCard(
        quality, final, grade_of(rubric, final).code, scores, na_ratio, na_ratio > rubric.scoring.na_warn_ratio
    )


def final_score(rubric: Rubric, quality_score: Decimal, *, has_fatal: bool) -> Decimal:
    """最终得分: the quality score, or what the fatal policy leaves of it."""
    if not has_fatal:
        return quality_score
    policy = rubric.scoring.fatal_policy
    left = Decimal(0) if policy.mode == "zero" else min(quality_score, policy.cap_score)
    return half_up(left, rubric.scoring.decimals)


def grade_of(rubric: Rubric, final: Decimal) -> Grade:
    """The highest grade whose minimum the final score reaches."""
    return next(grade for grade in rubric.scoring.grades if final >= grade.minimum)


def item_deduction(item: Item, chosen: Mapping[str, int]) -> Decimal:
    """Points an item loses for its chosen options, before its floor. An exclusive option stands alone (the dearest of several)."""
    taken = [
        (option, min(times, option.max_times)) for option in item.options if (times := chosen.get(option.code, 0)) > 0
    ]
    exclusive = [option.points * times for option, times in taken if option.exclusive]
    if exclusive:
        return max(exclusive)
    return sum((option.points * times for option, times in taken), Decimal(0))


def _item_points(item: Item, chosen: Mapping[str, int], floor: Decimal) -> Decimal:
    return max(min(floor, item.max_points), item.max_points - item_deduction(item, chosen))


def _check_names(
    rubric: Rubric,
    items: Collection[Item],
    not_applicable: Collection[str],
    deductions: Deductions,
    confirmed_fatals: Collection[str],
) -> None:
    by_id = {item.item_id: item for item in items}
    for item_id in [*not_applicable, *deductions]:
        if item_id not in by_id:
            raise CallqaError(f"评分项 {item_id} 不在本类型通话的评分标准里；请刷新页面后重新评分")
    for item_id, chosen in deductions.items():
        codes = {option.code for option in by_id[item_id].options}
        for code, times in chosen.items():
            if code not in codes:
                raise CallqaError(f"评分项 {item_id} 没有扣分选项 {code}；请刷新页面后重新评分")
            if times < 0:
                raise CallqaError(f"评分项 {item_id} 的扣分选项 {code} 次数为 {times}，不能为负数")
    known = {fatal.fatal_id for fatal in rubric.fatal_items}
    for fatal_id in confirmed_fatals:
        if fatal_id not in known:
            raise CallqaError(f"评分标准里没有致命项 {fatal_id}；请刷新页面后重新评分")
