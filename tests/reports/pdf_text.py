"""What a PDF says, by poppler's pdftotext: its words in the order they were set, and where each stands on its page."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from callqa.reports.pdf_tables import BREAK_HERE
from tests.conftest import need_tool


def unspaced(text: str) -> str:
    """The text without spaces, line ends and places to break."""
    return re.sub(rf"[\s{BREAK_HERE}]+", "", text)


def pdf_pages(data: bytes, folder: Path) -> list[str]:
    """Each page's text, cell by cell and row by row, without its spaces."""
    pages = _run(data, folder, "-raw").split("\f")
    return [unspaced(page) for page in pages[:-1]]


@dataclass(frozen=True, slots=True)
class Place:
    """A word's box and its page's size, in points."""

    word: str
    page: int
    left: float
    right: float
    top: float
    bottom: float
    page_width: float
    page_height: float


def places(data: bytes, folder: Path) -> list[Place]:
    """Every word with its box."""
    root = ElementTree.fromstring(_run(data, folder, "-bbox"))
    space = "{http://www.w3.org/1999/xhtml}"
    return [
        Place(
            word.text or "",
            number,
            *(float(word.attrib[edge]) for edge in ("xMin", "xMax", "yMin", "yMax")),
            float(page.attrib["width"]),
            float(page.attrib["height"]),
        )
        for number, page in enumerate(root.iter(f"{space}page"), 1)
        for word in page.iter(f"{space}word")
    ]


def _run(data: bytes, folder: Path, option: str) -> str:
    path = folder / "report.pdf"
    path.write_bytes(data)
    command = [need_tool("pdftotext"), option, "-enc", "UTF-8", str(path), "-"]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.decode()
