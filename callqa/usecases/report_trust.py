"""Gather what the report says of machine and raters: the figures that the trust page and the calibration pages show."""

from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.reports.trusted import Calibrated, DisputedItem, RaterPair, Trusted
from callqa.scoring.rubric import parse_stored
from callqa.store.tables import CalibrationSession, Call, RubricVersion
from callqa.usecases.calibrate import session_view
from callqa.usecases.trust import rescored, version_trust

NOBODY = 0  # whose view of a session: one who was named for no confidential call
LOWEST = 3


def gather_trust(session: Session, month: Month, rubric_hash: str) -> Trusted:
    """rubric_hash: of the version that the report quotes."""
    row = session.get(RubricVersion, rubric_hash)
    if row is None:
        return Trusted(sessions=_sessions(session, month), again=rescored(session).scores)
    found = version_trust(session, row, parse_stored(row.source))
    return Trusted(found.n_cards, found.n_blind, found.items, _sessions(session, month), rescored(session).scores)


def _sessions(session: Session, month: Month) -> tuple[Calibrated, ...]:
    """The opened sessions that hold a call of the month, oldest first."""
    opened = session.exec(
        select(CalibrationSession)
        .where(col(CalibrationSession.opened_at_ms).is_not(None))
        .order_by(col(CalibrationSession.opened_at_ms), col(CalibrationSession.id))
    ).all()
    found = []
    for row in opened:
        calls = session.exec(select(Call.started_at_ms).where(col(Call.call_id).in_(row.call_ids))).all()
        view = session_view(session, row.id or 0, NOBODY)
        if view is None or not any(month.start_ms <= started < month.end_ms for started in calls):
            continue
        items = [
            DisputedItem(i.item_id, ac1, i.figures.intervals.get("ac1"), i.n_calls)
            for i in view.items
            if (ac1 := i.agreement.ac1) is not None and ac1 < 1
        ]
        found.append(
            Calibrated(
                title=row.title,
                opened_at_ms=row.opened_at_ms or 0,
                calls=len(row.call_ids),
                pairs=tuple(RaterPair(pair.first, pair.second, pair.scores) for pair in view.pairs),
                lowest=tuple(sorted(items, key=lambda item: (item.ac1, item.item_id))[:LOWEST]),
            )
        )
    return tuple(found)
