"""月度质检报告: the stored report as a page, its versions, its files, the texts the leader writes, and making a new version.

The page shows the values stored with a version, so its numbers are those of the files.
"""

from pathlib import PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, Response

from callqa.errors import CallqaError
from callqa.periods import Month
from callqa.reports.document import UNFILLED, Cards, Figure, Paragraph, Table, from_json
from callqa.reports.render_svg import figure_svg
from callqa.store.queries import report_versions as queries
from callqa.store.queries.confidential import hidden_from
from callqa.store.queries.report import accounts, texts_of
from callqa.usecases.note_access import note_access
from callqa.usecases.publish_report import publish_report
from callqa.usecases.report_texts import write_text
from callqa.web.deps import (
    DbDep,
    NowDep,
    PageNotFound,
    Person,
    PersonDep,
    SettingsDep,
    page,
    redirect,
    require,
)
from callqa.web.navigation import NavItem

router = APIRouter(prefix="/reports")
NAV = (NavItem("月度报告", "/reports", "report.view", "report", group="质检"),)

BLOCKS = {Cards: "cards", Table: "table", Figure: "figure", Paragraph: "paragraph"}


@router.get("", dependencies=[require("report.view")])
def newest(request: Request, db: DbDep, now_ms: NowDep, month: str | None = None) -> Response:
    """The month asked for, else the newest one with a report, else the present one."""
    if month:
        return redirect(f"/reports/{Month.parse(month)}")
    with db.read() as session:
        months = queries.months_with_reports(session)
    return redirect(f"/reports/{months[0] if months else Month.of(now_ms)}")


@router.get("/{month}", dependencies=[require("report.view")])
def month_page(request: Request, month: str, db: DbDep, person: PersonDep, version: int | None = None) -> Response:
    """One version, the newest unless another is asked for."""
    return _month_page(request, db, Month.parse(month), person, version=version)


@router.post("/{month}/publish", dependencies=[require("report.publish")])
def publish(
    request: Request, month: str, db: DbDep, person: PersonDep, settings: SettingsDep, now_ms: NowDep
) -> Response:
    """Make a new version with its files."""
    period = Month.parse(month)
    try:
        row = publish_report(
            db,
            period,
            exports_dir=settings.exports_dir,
            actor=person.username,
            now_ms=now_ms,
            hotline_name=settings.hotline.name,
            organisation=settings.hotline.organisation,
            scorecards_dir=settings.scorecards_dir,
        )
    except CallqaError as e:
        return _month_page(request, db, period, person, problem=str(e))
    return redirect(f"/reports/{period}", f"已生成第 {row.version} 版（{row.report_no}）")


@router.post("/{month}/text", dependencies=[require("report.write")])
def text(
    request: Request,
    month: str,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    slot: Annotated[str, Form()],
    words: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Keep a text of the leader's; it enters the next version."""
    period = Month.parse(month)
    write_text(db, str(period), slot=slot, text=words, actor=person.username, now_ms=now_ms)
    return redirect(f"/reports/{period}#slot-{quote(slot)}", "文字已保存，生成新版本后进入报告")


@router.get("/{month}/{version}/files/{name}", dependencies=[require("report.export")])
def download(
    request: Request,
    month: str,
    version: int,
    name: str,
    db: DbDep,
    person: PersonDep,
    settings: SettingsDep,
    now_ms: NowDep,
) -> Response:
    """One file of a version, as listed with it; written to the audit chain."""
    with db.read() as session:
        versions = queries.versions_of(session, str(Month.parse(month)))
    row = next((r for r in versions if r.version == version), None)
    listed = next((f for f in row.files if PurePath(f["name"]).name == name), None) if row else None
    path = settings.exports_dir / listed["name"] if listed else None
    if path is None or not path.is_file():
        raise PageNotFound("没有这个文件；可能已被移走，请重新生成一个版本")
    note_access(
        db,
        actor=person.username,
        action="report.export",
        subject=f"{month}/{version}",
        detail={"file": name},
        now_ms=now_ms,
    )
    return FileResponse(path, headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"})


def _month_page(
    request: Request, db: DbDep, period: Month, person: Person, *, version: int | None = None, problem: str = ""
) -> Response:
    with db.read() as session:
        versions = queries.versions_of(session, str(period))
        texts = texts_of(session, str(period))
        names = {account.username: account.display_name for account in accounts(session).values()}
        hidden = hidden_from(session, person.account_id)
    row = next((r for r in versions if version in (None, r.version)), None)
    if version is not None and row is None:
        raise PageNotFound(f"{period.label}的报告没有第 {version} 版")
    return page(
        request,
        "report/month.html",
        status_code=409 if problem else 200,
        period=period,
        versions=versions,
        row=row,
        report=from_json(row.values) if row else None,
        texts=texts,
        names=names,
        hidden=hidden,
        # Texts are written for the next version; an old one stays as it was.
        editable=row is not None and row is versions[0] and person.can("report.write"),
        unfilled=UNFILLED,
        problem=problem,
        kind_of=lambda block: BLOCKS[type(block)],
        figure_svg=figure_svg,
    )
