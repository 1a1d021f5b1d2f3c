"""The monthly sampling plan 抽检方案: its values, canonical JSON and hash (docs/domain/sampling.md §2, §3.1).

The three strata are the field's own (risk 风险, callback 回访, normal 普通); which conditions fill them, the quotas and the
reserves are data, read by plan_text.
"""

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from callqa.errors import RubricError


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
    """One condition of a stratum; `group` and `key` name what is looked at, `value` is its checked parameter."""

    group: str  # ticket | call | auto | always
    key: str
    value: tuple[str, ...] | Decimal | bool


@dataclass(frozen=True, slots=True)
class StratumRule:
    """A stratum and the conditions of which any one puts a call into it."""

    stratum: Stratum
    any_of: tuple[Condition, ...]


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


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """抽检方案, checked. plan_json is the whole document, keys sorted, no white space, UTF-8."""

    plan_id: str
    min_duration_ms: int
    exclude: tuple[str, ...]
    strata: tuple[StratumRule, ...]
    quota: tuple[tuple[Stratum, int], ...]
    reserves_per_stratum: int
    must_review: tuple[MustReview, ...]
    plan_json: str
    new_staff: NewStaff | None = None

    @property
    def plan_hash(self) -> str:
        """SHA-256 of plan_json, lower-case hex."""
        return hash_of(self.plan_json)

    @property
    def quotas(self) -> Quotas:
        """What the draw needs of this plan."""
        return Quotas(self.quota, self.reserves_per_stratum)


def hash_of(text: str) -> str:
    """SHA-256 of the UTF-8 text, lower-case hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no white space, characters unescaped."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


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
