"""The versions of a month's report that have been made."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from callqa.store.tables import ReportRow


def versions_of(session: Session, month: str) -> Sequence[ReportRow]:
    """All versions of a month, newest first."""
    return session.exec(select(ReportRow).where(ReportRow.month == month).order_by(col(ReportRow.version).desc())).all()


def months_with_reports(session: Session) -> Sequence[str]:
    """Months that have a report, newest first."""
    return session.exec(select(ReportRow.month).distinct().order_by(col(ReportRow.month).desc())).all()
