"""Regular expressions that a leader may write: which ones could take for ever on a sentence that nearly matches.

Python's engine tries one way after the other. Where a part that may be long or short is itself repeated, `(好+)+`, the ways
double with every character: 24 characters take seconds, 60 take years, and the one worker stands still. Such patterns are
refused when the rubric is read. Bounded in another way: parts of any length that follow each other directly, `.*.*`, and
more than MAX_ENDLESS of them in one pattern. What this does not do: judge whether a pattern says what was meant.
"""

import re
from dataclasses import dataclass, field

MAX_ENDLESS = 6  # parts of any length in one pattern: the default rubric has none
MANY = 1000  # stands for no upper bound
_BOUNDS = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")


@dataclass(slots=True)
class _Group:
    """What is inside the brackets being read. varies: a part that may be longer or shorter, or may match one text in several ways; branches: those that are over,
    the last of them from branch_begin on."""

    begin: int
    varies: bool = False
    endless_last: bool = False  # the part just read is any text of any length
    branches: list[str] = field(default_factory=list)
    branch_begin: int = 0


def why_endless(pattern: str) -> str:
    """Why a pattern that compiles may take for ever, in Chinese; "" when it may not."""
    groups = [_Group(0)]
    at, n_endless = 0, 0
    while at < len(pattern):
        begin, char = at, pattern[at]
        group = groups[-1]
        if char == "(":
            at += _opening(pattern, at)
            groups.append(_Group(at, branch_begin=at))
            continue
        if char == "|":
            group.branches.append(pattern[group.branch_begin : at])
            group.branch_begin, group.endless_last = at + 1, False
            at += 1
            continue
        inner: _Group | None = None
        if char == ")" and len(groups) > 1:
            inner = groups.pop()
            inner.branches.append(pattern[inner.branch_begin : at])
            group, begin, at = groups[-1], inner.begin, at + 1
        else:
            at = _atom_end(pattern, at)
        least, most, at = _repetition(pattern, at)
        part = pattern[begin:at]
        ambiguous = inner is not None and _ambiguous(inner)
        if ambiguous and most > 1:
            return f"“({part}”里面的内容长短不定，又整体重复，遇到差一点就匹配的长句会算不完；请去掉一层重复"
        endless = most >= MANY and _is_wide(part)
        if endless and group.endless_last:
            return f"“{part}”前面已是任意长短的内容，两段连写会越算越慢；请合成一段"
        n_endless += endless
        if n_endless > MAX_ENDLESS:
            return (
                f"任意长短的部分（.*、.+）多于 {MAX_ENDLESS} 处，句子一长会越算越慢；请改用 .{{0,12}} 这样有上限的写法"
            )
        group.endless_last = endless
        group.varies = group.varies or least != most or ambiguous
    return ""


def _opening(pattern: str, at: int) -> int:
    """How many characters open a group: `(`, `(?:`, `(?=`, `(?P<name>`."""
    opened = re.compile(r"\((?:\?(?:P<\w+>|<[=!]|[:=!>]|[a-zA-Z-]+:))?").match(pattern, at)
    return len(opened[0]) if opened else 1


def _atom_end(pattern: str, at: int) -> int:
    if pattern[at] == "\\":
        return at + 2
    if pattern[at] != "[":
        return at + 1
    at += 2 if pattern.startswith("[^", at) else 1
    at += pattern.startswith("]", at)  # a bracket that comes first stands for itself
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _repetition(pattern: str, at: int) -> tuple[int, int, int]:
    """(least, most, end) of what follows a part; a possessive one (`++`) never tries another length, so that it counts as one."""
    least, most, end = 1, 1, at
    mark = pattern[at : at + 1]
    if mark and mark in "?*+":
        least, most, end = {"?": (0, 1), "*": (0, MANY), "+": (1, MANY)}[mark] + (at + 1,)
    elif (bounds := _BOUNDS.match(pattern, at)) is not None and (bounds[1] or bounds[2]):
        least = int(bounds[1] or 0)
        most = least if not bounds[2] else int(bounds[3]) if bounds[3] else MANY
        end = bounds.end()
    if end > at and pattern[end : end + 1] == "+":
        return 1, 1, end + 1
    if end > at and pattern[end : end + 1] == "?":
        end += 1
    return least, most, end


def _ambiguous(group: _Group) -> bool:
    """Whether what a repeated group holds can match one stretch of text in several ways."""
    if group.varies:
        return True
    plain = all(not re.search(r"[.\\\[(]", branch) for branch in group.branches)
    if len(group.branches) > 1 and not plain:
        return True
    return any(
        a is not b and a.startswith(b) for a in group.branches for b in group.branches
    )  # (好|好的)+ may take 好的 as one or leave 的


def _is_wide(part: str) -> bool:
    """Whether a part takes nearly any character."""
    return part.startswith((".", "[^", "\\w", "\\W", "\\S", "\\D"))
