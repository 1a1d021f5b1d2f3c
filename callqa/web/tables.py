"""What a page shows, as a CSV file that a spreadsheet opens rightly: UTF-8 with BOM, no cell taken for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from fastapi.responses import Response

# Spreadsheets run cells that begin with these; phone numbers and texts come from outside.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_answer(file_name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A download named `file_name` (Chinese allowed)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
    return Response(
        text.getvalue().encode("utf-8-sig"),
        media_type="text/csv; charset=utf-8",
        headers={**attachment(file_name), "Cache-Control": "private, no-store"},
    )


def attachment(file_name: str) -> dict[str, str]:
    """The header that makes an answer a download named `file_name` (Chinese allowed)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name)}"}


def _safe(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
