"""Which column is which: titles, their synonyms, and what to say when a file has the wrong ones.

One table per kind of file (TICKET_COLUMNS, ROSTER_COLUMNS); the code name itself is always accepted too.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from callqa.errors import ImportFileError
from callqa.tickets.importers.sheet import Sheet, SheetRow


@dataclass(frozen=True, slots=True)
class Column:
    """field: code name; title: the Chinese name on screen and in exports; synonyms: other platforms' names.

    required: columns of the same non-empty group need at least one present.
    """

    field: str
    title: str
    synonyms: tuple[str, ...] = ()
    required: str = ""


TICKET_COLUMNS = (
    Column("ticket_no", "工单编号", ("工单号", "工单编码", "诉求编号", "诉求件编号", "受理编号", "单号"), "ticket_no"),
    Column("title", "标题", ("工单标题", "诉求标题", "主题")),
    Column("category", "诉求性质", ("诉求类型", "工单类型", "诉求类别", "性质")),
    Column("matter_category", "事项类别", ("事项分类", "业务类别", "诉求分类", "事项类型")),
    Column("caller_number", "来电号码", ("主叫号码", "来电电话", "呼入号码"), "number"),
    Column("contact_phone", "联系电话", ("联系方式", "联系号码", "手机号", "手机号码", "电话"), "number"),
    Column("citizen_name", "诉求人", ("诉求人姓名", "来电人", "来电人姓名", "联系人", "市民姓名", "姓名")),
    Column("district", "行政区", ("所属区域", "区域", "所属区", "行政区划")),
    Column("location", "地点", ("诉求地点", "事发地址", "事发地点", "发生地点", "地址", "详细地址")),
    Column("content", "诉求内容", ("工单内容", "诉求描述", "问题描述", "内容")),
    Column("occurred_at", "发生时间", ("事发时间", "问题发生时间")),
    Column("accepted_at", "受理时间", ("建单时间", "创建时间", "登记时间", "受理日期"), "accepted_at"),
    Column("accepted_by_agent_no", "受理工号", ("受理人工号", "坐席工号", "话务员工号", "工号", "受理坐席")),
    Column("handling_unit", "承办单位", ("办理单位", "经办部门", "承办部门", "处理单位")),
    Column("dispatched_at", "交办时间", ("派单时间", "转办时间", "派发时间")),
    Column("due_at", "办理时限", ("办结时限", "截止时间", "到期时间", "时限")),
    Column("result_received_at", "结果反馈时间", ("反馈时间", "办理反馈时间", "承办单位反馈时间", "回复时间")),
    Column("closed_at", "办结时间", ("完结时间", "结案时间", "关闭时间")),
    Column("result", "办理结果", ("处理结果", "办结内容", "办理情况", "反馈内容")),
    Column("callback_done_at", "回访时间", ("回访完成时间", "回访日期")),
    Column("callback_attempts", "回访次数", ("回访呼叫次数",)),
    Column("satisfaction", "满意度", ("满意度评价", "评价", "评价等级", "回访满意度")),
    Column("urgent_flag", "险情加急", ("是否加急", "加急", "是否险情", "紧急")),
    Column("reported_at", "上报时间", ("险情上报时间",)),
    Column("parent_ticket_no", "原工单编号", ("原工单号", "关联工单编号", "关联工单", "父工单编号")),
    Column("rework_requested_at", "二次办理时间", ("二次办理发起时间", "重办时间")),
    Column("verify_note", "核实情况", ("核实记录", "甄别意见", "核实结果")),
)

# Only in our own exports with masked numbers; a file with this column is refused (see tickets/export.py).
MASKED_TITLE = "号码已脱敏，不可导入"

ROSTER_COLUMNS = (
    Column("day", "日期", ("排班日期", "值班日期", "上班日期"), "day"),
    Column("shift", "班次", ("班别", "班次名称", "班种"), "shift"),
    Column("agent_no", "工号", ("坐席工号", "话务员工号", "员工号", "员工编号"), "agent_no"),
    Column("name", "姓名", ("坐席姓名", "员工姓名", "话务员")),
    Column("seat_extension", "席位", ("席位号", "座席", "座席号", "分机", "分机号", "坐席")),
    Column("start", "开始", ("开始时间", "上班时间", "上班", "起始时间"), "start"),
    Column("end", "结束", ("结束时间", "下班时间", "下班", "终止时间"), "end"),
)

_HEADER_ROWS_TRIED = 10  # platforms put a title and a line of conditions above the header
_NEAR_MISS = 0.55


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns are. fields: code name -> index; unknown: index -> header text; width: cells of the header."""

    header_row: int
    fields: tuple[tuple[str, int], ...]
    unknown: tuple[tuple[int, str], ...]
    width: int

    @property
    def present(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.fields)


def find_layout(sheet: Sheet, columns: Sequence[Column], what: str) -> Layout:
    """Find the header among the first rows and map it. Raise ImportFileError naming missing and near columns.

    what: the kind of file for people, `工单`.
    """
    candidates = sheet.rows[:_HEADER_ROWS_TRIED]
    if not candidates:
        raise ImportFileError(f"{what}文件里没有任何内容")
    header = max(candidates, key=lambda r: (_matches(r, columns), -r.row))
    layout = _map(header, columns)
    missing = _missing(layout.present, columns)
    if missing:
        raise ImportFileError(_describe_missing(missing, layout, what))
    return layout


def columns_with(columns: Sequence[Column], mapping: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns where a mapped header {header of the file: field} counts as a name of its column and of no other."""
    given = {clean_header(header): field for header, field in mapping.items()}
    found = []
    for column in columns:
        own = tuple(header for header, field in given.items() if field == column.field)
        synonyms = tuple(s for s in column.synonyms if given.get(clean_header(s), column.field) == column.field)
        title = column.title
        if given.get(clean_header(title), column.field) != column.field:
            title = own[0] if own else column.field  # the file uses our title for something else
        found.append(replace(column, title=title, synonyms=(*synonyms, *own)))
    return tuple(found)


def check_mapping(columns: Sequence[Column], mapping: Mapping[str, str]) -> dict[str, str]:
    """{header of the file: field}, from a mapping to our columns by title, synonym or field. Raise ImportFileError."""
    fields = {clean_header(name): c.field for c in columns for name in c.synonyms}
    fields |= {clean_header(name): c.field for c in columns for name in (c.field, c.title)}
    checked: dict[str, str] = {}
    for header, wanted in mapping.items():
        field = fields.get(clean_header(wanted))
        if not header.strip():
            raise ImportFileError(f"列对应“{header}={wanted}”不对：等号左边要写文件里的列名")
        if field is None:
            titles = "、".join(c.title for c in columns)
            raise ImportFileError(f"列对应“{header}={wanted}”不对：没有“{wanted}”这一列；等号右边可写：{titles}")
        checked[header.strip()] = field
    return checked


def clean_header(text: str) -> str:
    """A header for comparison: NFKC, no spaces, marks or invisible characters, lower case."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Zs")).strip("*:：'").lower()


def _names(columns: Sequence[Column]) -> dict[str, str]:
    """Cleaned header -> field. A title beats a synonym of another column."""
    names = {s: c.field for c in columns for s in c.synonyms}
    return names | {c.title: c.field for c in columns} | {c.field: c.field for c in columns}


def _field_of(header: str, names: dict[str, str]) -> str | None:
    cleaned = clean_header(header)
    return names.get(cleaned) or names.get(re.sub(r"\(.*\)$", "", cleaned))


def _matches(row: SheetRow, columns: Sequence[Column]) -> int:
    names = _names(columns)
    return len({f for f in (_field_of(c.text, names) for c in row.cells) if f})


def _map(header: SheetRow, columns: Sequence[Column]) -> Layout:
    names, titles = _names(columns), {c.field: c.title for c in columns}
    claims: dict[str, list[int]] = {}
    for index, cell in enumerate(header.cells):
        field = _field_of(cell.text, names)
        if field:
            claims.setdefault(field, []).append(index)
    fields: dict[str, int] = {}
    for field, indexes in claims.items():
        exact = [i for i in indexes if clean_header(header.cells[i].text) == titles[field]]
        if len(exact) > 1 or (not exact and len(indexes) > 1):
            places = "、".join(f"第 {i + 1} 列“{header.cells[i].text.strip()}”" for i in exact or indexes)
            raise ImportFileError(f"有几列都像“{titles[field]}”：{places}；请只留一列")
        fields[field] = (exact or indexes)[0]
    used = set(fields.values())
    unknown = tuple((i, c.text.strip()) for i, c in enumerate(header.cells) if i not in used and c.text.strip())
    return Layout(header.row, tuple(fields.items()), unknown, len(header.cells))


def _missing(present: frozenset[str], columns: Sequence[Column]) -> list[tuple[Column, ...]]:
    groups: dict[str, list[Column]] = {}
    for column in columns:
        if column.required:
            groups.setdefault(column.required, []).append(column)
    return [tuple(g) for g in groups.values() if not any(c.field in present for c in g)]


def _describe_missing(missing: Sequence[tuple[Column, ...]], layout: Layout, what: str) -> str:
    found = [text for _, text in layout.unknown]
    cleaned = {clean_header(text): text for text in found}
    parts = []
    for group in missing:
        names = [n for c in group for n in (c.title, *c.synonyms)]
        near: list[str] = []
        for name in names:
            near += difflib.get_close_matches(name, cleaned, n=2, cutoff=_NEAR_MISS)
        part = f"缺少“{'”或“'.join(c.title for c in group)}”列"
        if near:
            part += f"（表中有相近的“{'”“'.join(cleaned[n] for n in dict.fromkeys(near))}”，若就是它请改名）"
        parts.append(part)
    header = "、".join(found[:12]) if found else ""
    seen = f"；未识别的列：{header}{'……' if len(found) > 12 else ''}" if header else ""
    return f"不是{what}表：{'；'.join(parts)}{seen}。表头应在前 {_HEADER_ROWS_TRIED} 行内"
