"""Make a version of the 《月度质检报告》: gather, build, render, write the files, store the values (report-outline.md).

A version is never changed: a new score or text gives a new version with its own files. The stored values are the ones
in the files, so the page shows the same numbers.
"""

import os
from hashlib import sha256
from pathlib import Path

from sqlmodel import select

from callqa.errors import ConflictError, StoreError
from callqa.periods import Month
from callqa.refusals import os_reason
from callqa.reports import monthly, render_docx, render_pdf, render_xlsx
from callqa.reports.document import MonthlyReport, to_json
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries import report as queries
from callqa.store.queries.sampling import active_frame
from callqa.store.tables import Account, ReportRow
from callqa.usecases.report_assessment import find_rules
from callqa.usecases.report_facts import ReportHead, gather

_RENDERERS = ((".docx", render_docx.render), (".xlsx", render_xlsx.render), (".pdf", render_pdf.render))


def publish_report(
    db: Database,
    month: Month,
    *,
    exports_dir: Path,
    actor: str,
    now_ms: int,
    hotline_name: str,
    organisation: str,
    scorecards_dir: Path | None = None,
) -> ReportRow:
    """Make the month's next version, with its DOCX, XLSX and PDF under exports_dir/YYYY-MM/vNN/.

    scorecards_dir: where the assessment rules lie; without, chapter fourteen says that there are none.
    Raise StateError where no sample was drawn, ConflictError when somebody made the same version meanwhile.
    """
    rules = find_rules(scorecards_dir)
    with db.read() as session:
        latest = queries.latest_report(session, str(month))
        version = latest.version + 1 if latest else 1
        account = session.exec(select(Account).where(Account.username == actor)).first()
        head = ReportHead(
            made_at_ms=now_ms,
            report_no=f"SWZJ-{month.year}{month.month:02d}-{version:02d}",
            version=version,
            hotline_name=hotline_name,
            organisation=organisation,
            prepared_by=account.display_name if account else actor,
        )
        facts = gather(session, month, head, rules)
        frame = active_frame(session, str(month))
    db.refuse_open_transaction("rendering a report")
    report = monthly.build(facts)
    files = _write_files(report, exports_dir)
    row = ReportRow(
        month=str(month),
        version=version,
        report_no=head.report_no,
        state="draft",
        demo=report.demo,
        frame_id=frame.id if frame else None,
        made_at_ms=now_ms,
        made_by=actor,
        values=to_json(report),
        files=files,
    )
    with db.write() as session:
        newest = queries.latest_report(session, str(month))
        if newest is not None and newest.version >= version:
            raise ConflictError(f"{month.label}的第 {version} 版刚刚已由 {newest.made_by} 生成，请刷新后再试")
        session.add(row)
        session.flush()
        detail = {"month": row.month, "version": version, "frame_hash": report.frame_hash, "files": files}
        audit.append(
            session, actor=actor, action="report.publish", subject=head.report_no, detail=detail, now_ms=now_ms
        )
    return row


def _write_files(report: MonthlyReport, exports_dir: Path) -> list[dict[str, str | int]]:
    """Render every format and put it in place whole; names are relative to exports_dir."""
    folder = exports_dir / report.month / f"v{report.version:02d}"
    written: list[dict[str, str | int]] = []
    for ending, render in _RENDERERS:
        data = render(report)
        path = folder / f"{_safe(report.file_stem)}{ending}"
        _write_whole(path, data)
        name = path.relative_to(exports_dir).as_posix()
        written.append({"name": name, "sha256": sha256(data).hexdigest(), "bytes": len(data)})
    return written


def _safe(stem: str) -> str:
    """The file name without characters that a file system or an address would trip over."""
    return "".join("_" if ch in '/\\:*?"<>|' or ord(ch) < 32 else ch for ch in stem).strip(". ") or "report"


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside, sync, rename: a reader sees the old file or the whole new one."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise StoreError(f"报告文件写不进 {path.parent}（{os_reason(exc)}）；请检查磁盘空间与目录权限") from exc
