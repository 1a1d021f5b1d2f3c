"""A PBX's call list as PBXs write it: what is read, and what is said of what cannot be."""

from pathlib import Path

import pytest

from callqa.errors import ImportFileError
from callqa.periods import from_ms
from callqa.tickets.importers.cdr import CDR_COLUMNS, parse_talk, read_cdr
from callqa.tickets.importers.columns import check_mapping
from callqa.tickets.importers.sheet import Cell
from callqa.tickets.importers.values import CellRefused

CHINESE = """话单（2026-11-03）
呼叫时间,主叫号码,被叫号码,通话结果,通话时长,坐席分机
2026-11-03 08:14:30,138-7120-6358,02784770000,已接听,1分3秒,8001
2026/11/3 8:20:05,+8613900001111,02784770000,无人接听,0,
2026-11-03 09:00:00,anonymous,02784770000,已接听,00:45,8002
2026-11-03 09:10:00,138****6358,02784770000,已接听,30,8002
昨天,13800000000,02784770000,已接听,30,8002
"""
DATA = Path(__file__).resolve().parent.parent / "data" / "import"


def clock(at_ms: int) -> str:
    return f"{from_ms(at_ms):%H:%M:%S}"


def test_a_list_in_chinese_with_bad_cells_named() -> None:
    file = read_cdr("话单.csv", CHINESE.encode("gb18030"))
    assert [(clock(r.started_at_ms), r.from_number, r.answered, r.talk_ms, r.seat_extension) for r in file.rows] == [
        ("08:14:30", "13871206358", True, 63_000, "8001"),
        ("08:20:05", "13900001111", False, 0, ""),
        ("09:00:00", "", True, 45_000, "8002"),
    ]
    assert [(e.row, e.column) for e in file.errors] == [(6, "主叫"), (7, "开始时间")]
    assert "已脱敏" in file.errors[0].message


@pytest.mark.parametrize(
    ("name", "ids"), [("cdr_asterisk.csv", ("1730.1", "1730.2")), ("cdr_freeswitch.csv", ("uuid-1", "uuid-2"))]
)
def test_lists_without_a_header(name: str, ids: tuple[str, str]) -> None:
    file = read_cdr(name, (DATA / name).read_bytes())
    assert not file.errors
    first, second = file.rows
    assert (first.row, first.from_number, first.to_number, first.pbx_id) == (1, "13871206358", "96510", ids[0])
    assert (first.answered, first.talk_ms, clock(first.answered_at_ms or 0)) == (True, 63_000, "08:14:36")
    assert (second.answered, second.answered_at_ms, second.pbx_id) == (False, None, ids[1])


def test_asterisk_names_the_seat_in_its_channel() -> None:
    assert read_cdr("Master.csv", (DATA / "cdr_asterisk.csv").read_bytes()).rows[0].seat_extension == "8001"


def test_columns_of_other_names_by_a_mapping() -> None:
    data = "建立,甲方,乙方\n2026-11-03 08:14:30,13871206358,96510\n".encode()
    with pytest.raises(ImportFileError, match="缺少“开始时间”或“接通时间”列"):
        read_cdr("x.csv", data)
    mapping = check_mapping(CDR_COLUMNS, {"建立": "开始时间", "甲方": "主叫"})
    (row,) = read_cdr("x.csv", data, mapping).rows
    assert (row.from_number, row.answered) == ("13871206358", None)
    with pytest.raises(ImportFileError, match="右边可写"):
        check_mapping(CDR_COLUMNS, {"建立": "时间点"})


@pytest.mark.parametrize(
    ("text", "ms"),
    [("63", 63_000), ("63.5", 63_500), ("01:03", 63_000), ("1:01:03", 3_663_000), ("1小时01分03秒", 3_663_000),
     ("2分钟", 120_000), ("45秒", 45_000), ("", None), ("—", None)],
)  # fmt: skip
def test_lengths_of_talk(text: str, ms: int | None) -> None:
    assert parse_talk(Cell(text)) == ms


def test_a_length_that_is_none_is_refused() -> None:
    with pytest.raises(CellRefused, match="看不懂时长"):
        parse_talk(Cell("很久"))


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"a,b\n1,2\n", b"PK\x03\x04 no zip", "只有一行字".encode()])
def test_what_is_no_call_list_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(ImportFileError):
        read_cdr("x.csv", data)
