"""Months, days and times of the hotline: stored in UTC milliseconds, shown in Asia/Shanghai."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from callqa.errors import CallqaError

SHANGHAI = ZoneInfo("Asia/Shanghai")


FIRST_YEAR, LAST_YEAR = 2000, 2999  # beyond them no day has a next one that every clock can tell


def parse_day(text: str) -> date:
    """The day `2026-11-06`. Raise CallqaError otherwise."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError as e:
        raise CallqaError(f"看不懂日期“{text[:40]}”；请写成 2026-11-06") from e
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise CallqaError(f"日期 {day} 不在 {FIRST_YEAR} 至 {LAST_YEAR} 年之间；请核对年份")
    return day


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A report month 报告期: [day 1 00:00, next month's day 1 00:00) in Asia/Shanghai."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and FIRST_YEAR <= self.year <= LAST_YEAR):
            raise CallqaError(f"月份 {self.year:04d}-{self.month:02d} 不存在；请写成 2026-11")

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Parse `2026-11`. Raise CallqaError otherwise."""
        match = re.fullmatch(r"(\d{4})-(\d{2})", text.strip())
        if match is None:
            raise CallqaError(f"看不懂月份“{text}”；请写成 2026-11")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, instant_ms: int) -> "Month":
        """The month an instant falls in, on the hotline's clock."""
        local = from_ms(instant_ms)
        return cls(local.year, local.month)

    def next(self) -> "Month":
        """The month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> "Month":
        """The month before this one."""
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    @property
    def start_ms(self) -> int:
        """First instant of the month, UTC milliseconds."""
        return to_ms(datetime(self.year, self.month, 1, tzinfo=SHANGHAI))

    @property
    def end_ms(self) -> int:
        """First instant after the month, UTC milliseconds."""
        return self.next().start_ms

    @property
    def label(self) -> str:
        """`2026年11月`."""
        return f"{self.year}年{self.month}月"

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def to_ms(instant: datetime) -> int:
    """UTC milliseconds of an aware datetime."""
    if instant.tzinfo is None:
        raise ValueError("instant has no time zone")
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(instant_ms: int) -> datetime:
    """Aware datetime in Asia/Shanghai of UTC milliseconds."""
    whole, rest = divmod(instant_ms, 1000)
    return datetime.fromtimestamp(whole, tz=SHANGHAI).replace(microsecond=rest * 1000)


def say_instant(instant_ms: int | None) -> str:
    """`2026年11月22日 14:05`, or `—`."""
    if instant_ms is None:
        return "—"
    t = from_ms(instant_ms)
    return f"{t.year}年{t.month}月{t.day}日 {t:%H:%M}"


def say_short(instant_ms: int | None) -> str:
    """`11月22日 14:05`, or `—`."""
    if instant_ms is None:
        return "—"
    t = from_ms(instant_ms)
    return f"{t.month:02d}月{t.day:02d}日 {t:%H:%M}"


def say_day(day: str) -> str:
    """`11月22日` of an ISO day."""
    return f"{day[5:7]}月{day[8:10]}日"


def say_until(instant_ms: int | None) -> str:
    """An end that no longer counts, as people say it: midnight is `11月22日 24:00`, of the day that ends with it; or `—`."""
    if instant_ms is None:
        return "—"
    t = from_ms(instant_ms)
    return say_short(instant_ms) if t.hour or t.minute else say_short(instant_ms - 1)[:6] + " 24:00"


def say_duration(duration_ms: int | None) -> str:
    """`3分12秒`, `42秒`, `1小时02分05秒`, or `—`."""
    if duration_ms is None:
        return "—"
    total = (duration_ms + 500) // 1000
    hours, rest = divmod(total, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}小时{minutes:02d}分{seconds:02d}秒"
    return f"{minutes}分{seconds:02d}秒" if minutes else f"{seconds}秒"


def say_offset(offset_ms: int) -> str:
    """Position in a recording: `1:05`."""
    minutes, seconds = divmod(max(0, offset_ms) // 1000, 60)
    return f"{minutes}:{seconds:02d}"
