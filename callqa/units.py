"""Units and numbers every room uses: channels, rounding, ratios that keep both of their numbers."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import IntEnum, StrEnum


class Channel(IntEnum):
    """Column of a stereo recording: left = citizen 诉求人, right = agent 坐席."""

    CITIZEN = 0
    AGENT = 1


class Direction(StrEnum):
    """Direction of a call as the hotline sees it."""

    INBOUND = "inbound"  # 呼入
    OUTBOUND = "outbound"  # 呼出


class CallType(StrEnum):
    """通话类型, as the rubric's `call_types`."""

    INBOUND = "inbound"  # 呼入受理
    VERIFY = "verify"  # 呼出核实
    CALLBACK = "callback"  # 呼出回访


DIRECTION_LABELS = {Direction.INBOUND: "呼入", Direction.OUTBOUND: "呼出"}
CALL_TYPE_LABELS = {CallType.INBOUND: "呼入受理", CallType.VERIFY: "呼出核实", CallType.CALLBACK: "呼出回访"}
DISPOSITION_LABELS = {  # 通话处置
    "answered_on_call": "当场答复",
    "no_ticket_needed": "无需建单",
    "not_reached": "未接通",
    "dropped": "掉线",
    "transferred": "已转接",
}
PARTY_LABELS = {"agent": "坐席", "citizen": "诉求人", "network": "网络"}  # 挂机方
MATTER_LABELS = {  # 事项类别
    "water_supply": "供水",
    "drainage": "排水",
    "waterlogging": "积水",
    "river_lake": "河湖",
    "flood": "防汛",
    "saving": "节水",
    "enforcement": "执法",
    "other": "其他",
}


def half_up(value: Decimal | float | int | str, decimals: int = 1) -> Decimal:
    """Round half away from zero to `decimals` places. A float is read by its shortest decimal text."""
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A share that keeps numerator and denominator; a zero denominator has no value, never 0 % or 100 %."""

    numerator: int
    denominator: int

    @property
    def value(self) -> float | None:
        """The share in [0, 1], or None when the denominator is 0."""
        return self.numerator / self.denominator if self.denominator else None

    def percent(self, decimals: int = 1) -> str:
        """Text such as `97.5%`, or `—` when there is nothing to divide by."""
        if not self.denominator:
            return "—"
        exact = Decimal(self.numerator) * 100 / Decimal(self.denominator)
        return f"{half_up(exact, decimals)}%"
