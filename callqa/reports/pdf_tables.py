"""Tables on paper: how wide each column is, which way the page lies, in which size, and where a table must be split.

Widths are reckoned from the text (a Chinese character takes one em), so that no number is broken and nothing leaves
the page: upright or across, in smaller type, with short texts broken between words, at last in parts that repeat the
first column. A word that is wider than its column all the same (a hash) may break anywhere. Pure; sizes in points.
"""

import math
import re
from dataclasses import dataclass, replace
from itertools import pairwise

from callqa.reports.document import Chapter, Table

UPRIGHT_PT, ACROSS_PT = 481.8, 728.4  # 17.0 cm and 25.7 cm: A4 less the side margins of report.typ
SIZES_PT = (9.0, 8.0, 7.5)
PAD_PT = 3.2  # left and right of a cell's text
_PADS_PT = 2 * PAD_PT + 0.5  # and its rule
_SLACK_EM = 0.25  # our reckoning against the font's own widths
_LONGEST_EM = 16.0  # a longer word may break
_SHORT_EM = 11.5  # what is no longer stays on one line where it can
_AIR_EM = 2.0  # beside a short text, where another column is prose
_PROSE_EM = 8.0  # narrower, a long text is a pillar
_CROWDED = 11  # columns; more do not stand upright, however narrow they are
_SHORT_ROWS = 9
BREAK_HERE = "\u200b"  # ZERO WIDTH SPACE
_WORD = re.compile(r"[^\s\u2e80-\uffef]+[，。；：、！？）》」”％]?")
_NO_LINE_BEGINS = frozenset("，。；：、！？）》」”％")
_WIDE_LETTERS = frozenset("MWmw@%‰—…①②③④⑤⑥⑦⑧⑨⑩≥≤±−×÷→←≈∞“”‘’")


@dataclass(frozen=True, slots=True)
class _Need:
    """What a column asks for, in em. least: for its longest word; good: so that it reads well. is_prose: it takes more."""

    least: float
    good: float
    is_prose: bool


@dataclass(frozen=True, slots=True)
class Laid:
    """A table, or one part of it, as it stands on paper. widths_pt: outer widths, one a column."""

    table: Table
    widths_pt: tuple[float, ...]
    size_pt: float

    @property
    def is_short(self) -> bool:
        """Whether it is kept on one page."""
        rows = range(len(self.table.rows))
        return len(rows) <= _SHORT_ROWS and sum(map(self.lines, rows)) <= 2 * _SHORT_ROWS

    def lines(self, row: int) -> int:
        """How many lines a row takes, about."""
        texts = [cell.text.split("\n") for cell in self.table.rows[row]]
        return max(sum(_lines(line, self._room_em(i)) for line in text) for i, text in enumerate(texts))

    def text(self, words: str, column: int) -> str:
        """The words with places to break in what is wider than the column."""
        return breakable(words, self._room_em(column))

    def head(self, column: int) -> str:
        """The column's head in lines of like length; what stands in brackets begins a line."""
        label, room = self.table.columns[column].label, self._room_em(column)
        if width_em(label) <= room:
            return label
        name, bracket, rest = label.partition("（")
        if bracket:
            return f"{_even(name, room)}\n{_even(bracket + rest, room)}"
        return _even(label, room)

    def _room_em(self, column: int) -> float:
        return (self.widths_pt[column] - _PADS_PT) / self.size_pt


def breakable(words: str, room_em: float) -> str:
    """The words with places to break in each that is wider than the room."""
    return _WORD.sub(lambda m: BREAK_HERE.join(m[0]) if width_em(m[0]) > room_em else m[0], words)


def _even(words: str, room_em: float) -> str:
    """Chinese words that take several lines, in lines of like length; as `breakable` where that does not come out."""
    length = -(-len(words) // -(-len(words) // max(1, int(room_em))))
    lines = [words[at : at + length] for at in range(0, len(words), length)]
    if any(char < "\u2e80" for char in words) or any(line[0] in _NO_LINE_BEGINS for line in lines):
        return breakable(words, room_em)
    return "\n".join(lines)


def width_em(words: str) -> float:
    """Width of one line, about, in em; never less than it is by much. Between Chinese and Latin stands a quarter."""
    wide = [char >= "\u2e80" for char in words]
    return sum(map(_char_em, words)) + 0.25 * sum(a != b for a, b in pairwise(wide))


def _char_em(char: str) -> float:
    if char >= "\u2e80" or char in _WIDE_LETTERS:
        return 1.0
    if char.isupper():
        return 0.7
    return 0.36 if char in " .,:;'|!()[]{}il" else 0.58


def _lines(words: str, room_em: float) -> int:
    return max(1, -(-int(width_em(words) * 10) // max(1, int(room_em * 10))))


def lies_across(chapter: Chapter) -> bool:
    """Whether the chapter's pages lie across: one of its tables does not stand well upright."""
    return any(not _stands(block) for block in chapter.blocks if isinstance(block, Table))


def _stands(table: Table) -> bool:
    good = [need.good for need in _needs(table)]
    return len(good) <= _CROWDED and _outer(good, SIZES_PT[0]) <= UPRIGHT_PT


def lay(table: Table, room_pt: float) -> tuple[Laid, ...]:
    """The table for a page of that width: one part, or several where even the smallest type does not hold it."""
    needs = _needs(table)
    good, least = [need.good for need in needs], [need.least for need in needs]
    for size in SIZES_PT[:2]:
        if _outer(good, size) <= room_pt:
            return (Laid(table, _widths(table, good, _tops(needs), room_pt, size), size),)
    for size in SIZES_PT[1:]:
        spare = room_pt - _outer(least, size)
        if spare >= 0:  # each column comes equally near to what it asks for
            part = spare / max(1e-9, _outer(good, size) - _outer(least, size))
            widths = [(low + (high - low) * part) * size + _PADS_PT for low, high in zip(least, good, strict=True)]
            return (Laid(table, tuple(widths), size),)
    size = SIZES_PT[-1]
    parts: list[list[int]] = [[0]]
    for index in range(1, len(least)):
        if len(parts[-1]) > 1 and _outer([least[i] for i in (*parts[-1], index)], size) > room_pt:
            parts.append([0])
        parts[-1].append(index)
    return tuple(_part(table, part, number, needs, room_pt) for number, part in enumerate(parts))


def _part(table: Table, columns: list[int], number: int, needs: list[_Need], room_pt: float) -> Laid:
    """One part, number from 0; the notes stand under the last."""
    last = columns[-1] == len(table.columns) - 1
    part = replace(
        table,
        title=f"{table.title}（续 {number}）" if number else table.title,
        columns=tuple(table.columns[i] for i in columns),
        rows=tuple(tuple(row[i] for i in columns) for row in table.rows),
        notes=table.notes if last else (),
    )
    size = SIZES_PT[-1]
    asked = [needs[i] for i in columns]
    return Laid(part, _widths(part, [need.least for need in asked], _tops(asked), room_pt, size), size)


def _tops(needs: list[_Need]) -> list[float]:
    """The widest that each column becomes, in em: beside prose, short texts take no room that they do not need."""
    prose = any(need.is_prose for need in needs)
    return [need.good + _AIR_EM if prose and not need.is_prose else math.inf for need in needs]


def _outer(widths_em: list[float], size_pt: float) -> float:
    return sum(width * size_pt + _PADS_PT for width in widths_em)


def _needs(table: Table) -> list[_Need]:
    return [_need(column.label, [row[i].text for row in table.rows]) for i, column in enumerate(table.columns)]


def _need(label: str, texts: list[str]) -> _Need:
    """A head may take three lines, or two where there is room."""
    words = max((width_em(word) for text in (label, *texts) for word in _WORD.findall(text)), default=0.0)
    widest = max((width_em(line) for text in texts for line in text.split("\n")), default=0.0)
    least = max(min(words, _LONGEST_EM), width_em(label) / 3, 2.0) + _SLACK_EM
    good = max(least, min(width_em(label), max(4.0, width_em(label) / 2)) + _SLACK_EM)
    is_prose = widest > _SHORT_EM
    return _Need(least, max(good, _PROSE_EM if is_prose else widest + _SLACK_EM), is_prose)


def _widths(
    table: Table, floors_em: list[float], tops_em: list[float], room_pt: float, size_pt: float
) -> tuple[float, ...]:
    """Widths by the columns' own shares, but none below its floor or above its top."""
    floors, tops = ([em * size_pt + _PADS_PT for em in limits] for limits in (floors_em, tops_em))
    fixed: dict[int, float] = {}
    while len(fixed) < len(floors):
        free = [i for i in range(len(floors)) if i not in fixed]
        room = room_pt - sum(fixed.values())
        shares = sum(table.columns[i].width for i in free)
        given = {i: room * table.columns[i].width / shares for i in free}
        narrow = {i: floors[i] for i in free if given[i] < floors[i]}
        wide = {i: max(floors[i], tops[i]) for i in free if given[i] > tops[i]}
        fixed |= narrow or wide or given
    total = sum(fixed.values())
    return tuple(fixed[i] * room_pt / total for i in range(len(floors)))
