"""Figures that a run has to reach, as `--require name=limit`: a number that is quoted and not guarded gets worse unseen.

    --require "capture_leg_s_per_cpu_s>=1300" --require "crosstalk=0" --require "restart_s<=3"

A figure that is missing, or null because the run did not measure it, is missed too.
"""

import argparse
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

HOLDS: dict[str, Callable[[float, float], bool]] = {"=": operator.eq, ">=": operator.ge, "<=": operator.le}
_WRITTEN = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(>=|<=|=)\s*([0-9]+(?:\.[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One limit of one figure of the JSON line."""

    name: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.limit:g}"

    def missed_by(self, figures: Mapping[str, object]) -> str:
        """What is wrong, or ""."""
        if self.name not in figures:
            return f"{self}: 没有这一项"
        value = figures[self.name]
        if not isinstance(value, int | float) or isinstance(value, bool):
            return f"{self}: 没有测（{value}）"
        return "" if HOLDS[self.sign](value, self.limit) else f"{self}: 测得 {value}"


def requirement(text: str) -> Requirement:
    """Read one, for argparse."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} 应写成 名称>=数、名称<=数 或 名称=数，例如 restart_s<=3")
    return Requirement(match[1], match[2], float(match[3]))


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option, the same for every bench."""
    parser.add_argument(
        "--require",
        action="append",
        type=requirement,
        default=[],
        metavar="名称>=数",
        help="达不到就以状态 1 结束并说明；可写多次",
    )


def missed(figures: Mapping[str, object], wanted: Sequence[Requirement]) -> list[str]:
    """What was not reached, one line each."""
    return [text for text in (r.missed_by(figures) for r in wanted) if text]
