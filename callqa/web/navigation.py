"""The navigation: its entries, and the headings they stand under. What is used every day stands first, without one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

NAV_GROUPS = ("", "质检", "管理")  # 管理 is shut where the list is long: see base.html


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the navigation. permission: who sees it. icon: a name in templates/icons.html.

    counter: given a session, how much waits there; shown beside the label when it is not 0.
    group: under which heading; "" stands first, without one. Groups stand in the order of NAV_GROUPS.
    """

    label: str
    path: str
    permission: str
    icon: str
    counter: Callable[[Any], int] | None = None
    group: str = ""


def grouped(items: Iterable[NavItem]) -> list[tuple[str, list[NavItem]]]:
    """The entries under their headings, empty groups left out. KeyError for a heading that is not in NAV_GROUPS."""
    found: dict[str, list[NavItem]] = {group: [] for group in NAV_GROUPS}
    for item in items:
        found[item.group].append(item)
    return [(group, under) for group, under in found.items() if under]
