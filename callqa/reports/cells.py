"""Numbers as the report prints them: one place for decimals, dashes, intervals and the words beside them."""

from callqa.reports.document import MISSING, UNFILLED, Cell, CellKind, Tone
from callqa.reports.kpi import STATE_LABELS
from callqa.scoring.statistics import Basis, Estimate, is_significant
from callqa.units import Ratio, half_up

_STATE_TONES = {"met": Tone.GOOD, "missed": Tone.BAD, "no_data": Tone.MUTED, "": Tone.NONE}
_SHORT_REASONS = {
    Basis.CENSUS: "全检",
    Basis.NO_DIFFERENCE: "无差异，不可估",
    Basis.TOO_FEW: "样本不足",
    Basis.ONE_CALL: "不可估",
    Basis.NO_DATA: MISSING,
}


def fixed(value: float, decimals: int = 1) -> str:
    """Decimal text, rounded half up after clearing binary dust; never `-0.0`."""
    text = str(half_up(round(value, 9), decimals))
    return text.lstrip("-") if not float(text) else text


def percent(share: float, decimals: int = 1) -> str:
    """`97.5%` of a share in [0, 1]."""
    return f"{fixed(share * 100, decimals)}%"


def signed(value: float, decimals: int = 1) -> str:
    """`+1.2`, `−0.4`, `0.0`, with a real minus sign."""
    text = fixed(value, decimals)
    return f"−{text[1:]}" if text.startswith("-") else (f"+{text}" if float(text) else text)


def text(value: str, tone: Tone = Tone.NONE) -> Cell:
    """A text cell; empty becomes a dash."""
    return Cell(value or MISSING, tone=tone)


def number(value: float | None, decimals: int = 0, *, tone: Tone = Tone.NONE, calls: tuple[str, ...] = ()) -> Cell:
    """A number as printed; the stored number is the printed one, so that no format shows another."""
    if value is None:
        return Cell(MISSING)
    printed = fixed(value, decimals)
    return Cell(printed, CellKind.NUMBER, float(printed), tone, call_ids=calls)


def share(value: float | None, decimals: int = 1) -> Cell:
    """A weighted share as a percentage."""
    if value is None:
        return Cell(MISSING)
    printed = fixed(value * 100, decimals)
    return Cell(f"{printed}%", CellKind.PERCENT, float(printed) / 100)


def ratio(value: Ratio) -> Cell:
    """`97.5%（78/80）`; a dash and both numbers where the denominator is 0."""
    return Cell(ratio_text(value))


def ratio_text(value: Ratio) -> str:
    """The same as plain text."""
    return f"{value.percent()}（{value.numerator}/{value.denominator}）"


def interval(estimate: Estimate, *, percentage: bool = False) -> Cell:
    """`90.6–97.8`, or why there is none."""
    return Cell(interval_text(estimate, percentage=percentage))


def interval_text(estimate: Estimate, *, percentage: bool = False) -> str:
    """The interval, or the short reason for its absence."""
    if estimate.basis is not Basis.INTERVAL or estimate.low is None or estimate.high is None:
        return _SHORT_REASONS.get(estimate.basis, MISSING)
    say = percent if percentage else fixed
    return f"{say(estimate.low)}–{say(estimate.high)}"


def change(estimate: Estimate | None, *, points: float = 1) -> tuple[Cell, Cell, Cell]:
    """Difference to an earlier month: value, its interval, and 是否显著. points: 100 for percentage points."""
    if estimate is None or estimate.value is None:
        return Cell(MISSING), Cell(MISSING), Cell(MISSING)
    value = Cell(signed(estimate.value * points), CellKind.TEXT)
    significant = is_significant(estimate)
    if significant is None or estimate.low is None or estimate.high is None:
        return value, Cell(MISSING), Cell("不作推断", tone=Tone.MUTED)
    bounds = Cell(f"{signed(estimate.low * points)}–{signed(estimate.high * points)}".replace("–", " ~ "))
    return value, bounds, Cell("显著" if significant else "变化不显著", tone=Tone.WARN if significant else Tone.NONE)


def state(code: str) -> Cell:
    """达标 / 未达标 / 无数据."""
    return Cell(STATE_LABELS[code] or MISSING, tone=_STATE_TONES[code])


def fill(slot: str, written: str | None) -> Cell:
    """A text of the leader's, or （待补充）."""
    return Cell(written or UNFILLED, CellKind.FILL, tone=Tone.NONE if written else Tone.WARN, slot=slot)
