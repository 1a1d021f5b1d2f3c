"""Lists whose state is their address: filters, sorting and paging as URL parameters, so a view can be sent on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from urllib.parse import urlencode

from callqa.periods import SHANGHAI, Month, parse_day, to_ms

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class ListView:
    """One page of a list. params: the filters as given, without empty ones."""

    path: str
    params: Mapping[str, str]
    sort: str
    descending: bool
    page: int
    total: int
    per_page: int = PER_PAGE

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def filtered(self) -> bool:
        """Whether any filter but the month is set."""
        return any(key != "month" for key in self.params)

    def query(self, **changes: object) -> str:
        """The query string with some parameters changed; a new filter or order starts at page 1."""
        merged: dict[str, str] = {**self.params, "sort": ("-" if self.descending else "") + self.sort}
        merged.update({key: str(value) for key, value in changes.items()})
        return urlencode({key: value for key, value in merged.items() if value != ""})

    def url_with(self, **changes: object) -> str:
        """The address of the same list with some parameters changed."""
        return f"{self.path}?{self.query(**changes)}"


def view_of(
    given: Mapping[str, str], path: str, names: Sequence[str], sorts: Mapping[str, object], default: str, total: int
) -> ListView:
    """The page of a list that an address asks for. given: its query; names: of the filters; default: of the order."""
    sort, descending = read_sort(given.get("sort", ""), sorts, default)
    params = {name: given[name] for name in names if given.get(name)}
    return ListView(path, params, sort, descending, read_page(given.get("page", "")), total)


def read_sort(text: str, allowed: Mapping[str, object], default: str) -> tuple[str, bool]:
    """(key, descending) of `-time`; an unknown key gives the default."""
    key = text.removeprefix("-")
    if key not in allowed:
        return default.removeprefix("-"), default.startswith("-")
    return key, text.startswith("-")


def read_page(text: str) -> int:
    """A page number from the address, at least 1."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 8 else 1


def read_period(month: str, day: str, now_ms: int) -> tuple[int | None, int | None]:
    """[start, end) of a date or a month; no month = this month, `all` = everything. Raise CallqaError in Chinese."""
    if day:
        return read_day(day)
    if month == "all":
        return None, None
    found = Month.parse(month) if month else Month.of(now_ms)
    return found.start_ms, found.end_ms


def read_day(text: str) -> tuple[int, int]:
    """[start, end) of `2026-11-06` in the hotline's time. Raise CallqaError."""
    start = datetime.combine(parse_day(text), time.min, SHANGHAI)
    return to_ms(start), to_ms(start + timedelta(days=1))
