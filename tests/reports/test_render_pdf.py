"""The report as PDF: the same bytes each time, every word inside its page, and nothing that a person wrote is markup."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callqa.reports import render_pdf
from callqa.reports.document import Cell, Chapter, Column, MonthlyReport, Paragraph, Table
from callqa.reports.pdf_tables import ACROSS_PT, UPRIGHT_PT, lay, lies_across, width_em
from tests.reports.pdf_text import pdf_pages, places, unspaced
from tests.reports.test_document import small_report

REPORT = replace(small_report(), made_at_ms=1_793_498_400_000)
ACROSS = (841.89, 595.276)  # A4 in points


def table(columns: int, rows: list[list[str]], *, total_rows: int = 0, width: float = 1.0) -> Table:
    cells = tuple(tuple(Cell(text) for text in row) for row in rows)
    heads = tuple(Column(f"列{index}", width, "left") for index in range(columns))
    return Table("1-1", "例", heads, cells, total_rows=total_rows, notes=("末注",))


def with_blocks(*blocks: Table | Paragraph, report: MonthlyReport = REPORT) -> MonthlyReport:
    return replace(report, chapters=(Chapter("one", "一", "章", blocks),), attachments=())


def is_archival(pdf: bytes) -> bool:
    return b"pdfaid:part" in pdf


# ---- the file


def test_the_same_report_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Also with another order of hashing and another zone of time: nothing of the machine is in the file."""
    data = render_pdf.render(REPORT)
    path = tmp_path / "other.pdf"
    code = (
        "import sys, pathlib; from callqa.reports import render_pdf; from tests.reports.test_render_pdf import REPORT;"
        "pathlib.Path(sys.argv[1]).write_bytes(render_pdf.render(REPORT))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7", "TZ": "America/Lima"}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment, timeout=60)
    assert path.read_bytes() == data == render_pdf.render(REPORT)
    assert b"D:20261101" in data and is_archival(data)
    assert render_pdf.render(replace(REPORT, made_at_ms=REPORT.made_at_ms + 60_000)) != data


def test_cover_contents_chapters_footer_and_page_numbers(tmp_path: Path) -> None:
    pages = pdf_pages(render_pdf.render(REPORT), tmp_path)
    assert "月度质检报告" in pages[0] and "采购人确认" in pages[0] and "签字" in pages[0]
    assert all(unspaced(label + value) in pages[0] for label, value in REPORT.cover)
    assert pages[1].startswith(unspaced(REPORT.title)) and "一、摘要" in pages[1] and "二、概况" in pages[1]
    for number, page in enumerate(pages[1:], 2):
        assert unspaced(f"{REPORT.footer}第 {number} 页 / 共 {len(pages)} 页") in page
    words = "".join(pages)
    assert "附件1" in words and "见同名XLSX文件" in words and "无数据" in words
    for figure in REPORT.figures():
        assert unspaced(figure.caption) in words and all(unspaced(category) in words for category in figure.categories)


@pytest.mark.parametrize("demo", [False, True])
def test_a_demo_says_so_on_every_page(demo: bool, tmp_path: Path) -> None:
    pages = pdf_pages(render_pdf.render(replace(REPORT, demo=demo)), tmp_path)
    assert [("演示数据" in page) for page in pages] == [demo] * len(pages)


def test_an_empty_table_says_so(tmp_path: Path) -> None:
    assert any(
        "列0列1本月无注：末注" in page for page in pdf_pages(render_pdf.render(with_blocks(table(2, []))), tmp_path)
    )


# ---- what people wrote

MARKUP = [
    "#",
    "*",
    "_",
    "$",
    "[",
    "]",
    "{",
    "}",
    "\\",
    '"',
    "'",
    "`",
    "@",
    "<",
    ">",
    "//",
    "/*",
    "*/",
    "=",
    "-",
    "+",
    "~",
    "&",
]
PHRASES = [
    '#panic("x")',
    '#import "a.typ"',
    "]#pagebreak()[",
    "$x^2$",
    "\\u{41}",
    "= 标题",
    "- 项",
    "<b>",
    "&amp;",
    "王",
    "</svg>",
]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(MARKUP + PHRASES), min_size=1, max_size=12).map("".join))
@example("#" * 300)
@example('")#panic("')
def test_no_text_is_read_as_markup(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    """A name, an opinion, a label, a head: each stands in the file as it was written, and the rest stays as it was."""
    folder = tmp_path_factory.mktemp("pdf")
    marked = f"〈{words}〉"
    written = Table("1-1", marked, (Column(marked), Column("二")), ((Cell(marked), Cell("7")),), notes=(marked,))
    report = with_blocks(Paragraph(marked, label=marked), written)
    report = replace(report, organisation=marked, hotline_name=marked, cover=(("编制人", marked),), title=marked)
    plain = "".join(pdf_pages(render_pdf.render(report), folder))
    assert plain.count(unspaced(marked)) >= 8
    assert unspaced(f"{marked}7") in plain and "一、章" in plain and "见同名XLSX文件" in plain


def test_a_character_without_a_glyph_or_place_in_a_file_ends_nothing(tmp_path: Path) -> None:
    odd = with_blocks(Paragraph("雨🌧\x00\x07天\ufffe"), table(1, [["一\r\n二\t三"]]))
    data = render_pdf.render(odd)
    words = "".join(pdf_pages(data, tmp_path))
    assert not is_archival(data) and "一二三" in words and "天" in words and "\x07" not in words


def test_the_fonts_have_every_character_of_the_national_sets() -> None:
    """An archival PDF may lack no glyph: GB2312 whole, what reports print beside it, and rarer characters of names."""
    pairs = (bytes((high, low)) for high in range(0xA1, 0xF8) for low in range(0xA1, 0xFF))
    characters = "".join(pair.decode("gb2312", "ignore") for pair in pairs)
    assert len(characters) == 7445  # 682 signs and 6763 characters
    special = "㈠①—–～≥≤±−×÷→…“”‘’《》〔〕·％κ喆堃犇垚珺龑㛃𬱖"
    assert is_archival(
        render_pdf.render(with_blocks(Paragraph(characters + special), table(1, [[characters + special]])))
    )


# ---- the pages


def test_wide_chapters_lie_across_and_heads_stand_on_every_page(tmp_path: Path) -> None:
    rows = [[f"行{row}", *(["12.5%"] * 15)] for row in range(70)]
    data = render_pdf.render(with_blocks(table(16, rows, total_rows=1)))
    sizes = {place.page: (place.page_width, place.page_height) for place in places(data, tmp_path)}
    assert sizes[1] == sizes[2] == pytest.approx((ACROSS[1], ACROSS[0]), abs=0.1)
    assert sizes[3] == pytest.approx(ACROSS, abs=0.1)
    pages = pdf_pages(data, tmp_path)[2:]
    with_rows = [page for page in pages if "12.5%" in page]
    assert len(with_rows) > 2 and all("列0列1列2" in page for page in with_rows)
    assert "注：末注" in with_rows[-1] and "行68" in with_rows[-1]  # sums and notes are never alone
    words = "".join(pages)
    assert all(f"行{row}" + "12.5%" * 15 in words for row in range(70))


def test_nothing_leaves_the_page(tmp_path: Path) -> None:
    """Hashes in narrow columns, a word without end, an opinion of 4000 characters in a table, a table of 40 columns."""
    long_rows = [["801 王", "意见" * 2000, "f" * 64], ["802 李", "好", "0" * 64]]
    wide = [["802 李", *(f"{index}234.5%" for index in range(39))]]
    report = with_blocks(Paragraph("a" * 500), table(3, long_rows, width=0.1), table(40, wide), Paragraph("b " * 400))
    report = replace(report, cover=(("编制单位", "x" * 200),))
    data = render_pdf.render(report)
    for place in places(data, tmp_path):
        assert place.left > 50 and place.right < place.page_width - 50, place
        assert place.top > 20 and place.bottom < place.page_height - 20, place
    words = "".join(pdf_pages(data, tmp_path))
    assert words.count("意") == 2000 and "f" * 64 in words and "a" * 500 in words and "x" * 200 in words
    assert all(f"{index}234.5%" in words for index in range(39)) and words.count("（续") >= 1


# ---- tables on paper

CELLS = st.text(st.sampled_from("水务局801王abc0123.5%（）–、 "), max_size=30)


@given(
    st.integers(1, 30).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), max_size=5)), st.booleans()
)
def test_every_column_is_laid_once_and_fits(rows: list[list[str]], across: bool) -> None:
    columns = len(rows[0]) if rows else 3
    given_table = table(columns, rows)
    room = ACROSS_PT if across else UPRIGHT_PT
    parts = lay(given_table, room)
    for part in parts:
        assert sum(part.widths_pt) <= room + 0.01 and min(part.widths_pt) > 0
        assert all(len(row) == len(part.widths_pt) == len(part.table.columns) for row in part.table.rows)
        assert part.table.columns[0] == given_table.columns[0]
    labels = [column.label for part in parts for column in part.table.columns]
    assert sorted(labels) == sorted([c.label for c in given_table.columns] + ["列0"] * (len(parts) - 1))
    assert [bool(part.table.notes) for part in parts] == [False] * (len(parts) - 1) + [True]


def test_numbers_stay_whole_and_prose_gives_way() -> None:
    rows = [[f"80{n} 王", "97.5%（78/80）", "88.0–92.0", "说明" * 60] for n in range(3)]
    (laid,) = lay(table(4, rows), UPRIGHT_PT)
    for index in range(3):
        assert laid.widths_pt[index] > width_em(rows[0][index]) * laid.size_pt
    assert laid.size_pt == 9.0 and laid.text("88.0–92.0", 2) == "88.0–92.0" and laid.lines(0) > 3


def test_short_texts_leave_the_room_to_prose() -> None:
    (laid,) = lay(table(3, [["1", "97.5%", "说明" * 40]]), ACROSS_PT)
    assert laid.widths_pt[2] > 550 and sum(laid.widths_pt) == pytest.approx(ACROSS_PT)
    (even,) = lay(table(3, [["1", "97.5%", "说明"]]), ACROSS_PT)
    assert even.widths_pt == pytest.approx([ACROSS_PT / 3] * 3)


def test_a_paragraph_stays_with_the_table_it_leads_to(tmp_path: Path) -> None:
    """A chapter's head and first words are not left behind at the foot of a page."""
    for rows in range(14, 34):
        before = Chapter("one", "一", "前章", (table(2, [["甲", "乙"]] * rows),))
        lead = Chapter("two", "二", "后章", (Paragraph("先说一句。"), table(2, [["丙", "丁"]] * 9)))
        pages = pdf_pages(render_pdf.render(replace(REPORT, chapters=(before, lead), attachments=())), tmp_path)
        assert [page for page in pages[2:] if "二、后章" in page] == [page for page in pages if "丙丁" in page]


def test_where_not_everything_fits_each_column_gives_some() -> None:
    rows = [[*(["100.0%（1/1）"] * 12), "说明" * 9]]
    (laid,) = lay(table(13, rows), ACROSS_PT)
    assert sum(laid.widths_pt) == pytest.approx(ACROSS_PT) and laid.size_pt == 8.0
    assert len({round(width) for width in laid.widths_pt[:12]}) == 1
    assert width_em("100.0%") * 8 < laid.widths_pt[0] < width_em("100.0%（1/1）") * 8 + 7


def test_numbers_alone_stand_in_the_smallest_type_before_a_table_is_split() -> None:
    (laid,) = lay(table(16, [["12345678"] * 16]), ACROSS_PT)
    assert laid.size_pt == 7.5 and sum(laid.widths_pt) <= ACROSS_PT
    assert len(lay(table(18, [["12345678"] * 18]), ACROSS_PT)) == 2


def test_heads_break_before_brackets_and_into_even_lines() -> None:
    heads = ("命中率（加权）", "第二确认人", "测试、演练", "不足 20 秒", "编号")
    wide = Table("1-1", "例", tuple(Column(head) for head in heads), ())
    (laid,) = lay(wide, 5 * 46.0)
    assert [laid.head(index) for index in range(5)] == [
        "命中率\n（加权）",
        "第二确\n认人",
        "测试、\n演练",
        "不足 20 秒",
        "编号",
    ]


def test_a_chapter_lies_across_when_a_table_does_not_stand_well() -> None:
    assert not lies_across(Chapter("x", "一", "x", (table(5, [["1"] * 5]),)))
    assert lies_across(Chapter("x", "一", "x", (table(12, [["1"] * 12]),)))
    assert lies_across(Chapter("x", "一", "x", (table(9, [["说明" * 20] * 9]),)))
