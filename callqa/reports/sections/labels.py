"""Short labels that several chapters share."""

from callqa.periods import Month


def month_label(month: Month) -> str:
    """`26年10月`, for an axis."""
    return f"{month.year % 100:02d}年{month.month}月"
