"""保存期限: which calls are older than the site keeps them, what holds some of them back, and the nightly deletion of the rest.

Nothing is deleted where `retention.recordings_days` is 0. A pass is bounded; it goes on where the last one stopped, since what it
deleted is gone and what is held back is looked at again, oldest first.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import tuple_
from sqlmodel import col, select

from callqa.periods import from_ms
from callqa.store.db import Database
from callqa.store.tables import Call
from callqa.usecases.delete import begin, finish, lock_call
from callqa.usecases.delete_files import Places
from callqa.usecases.held_back import DAY_MS, Reasons

log = logging.getLogger(__name__)

CALLS_A_PASS = 200
NIGHT_HOURS = range(1, 5)  # Asia/Shanghai: reports and appeals are somebody's daytime
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """The site's settings. recordings_days: 0 keeps everything."""

    recordings_days: int
    fatal_case_days: int


@dataclass(frozen=True, slots=True)
class Expired:
    """A call older than the period. held: why it may not go yet; empty = it goes."""

    call_id: str
    started_at_ms: int
    held: tuple[str, ...]


def expired_calls(db: Database, terms: Terms, *, now_ms: int) -> Iterator[Expired]:
    """Every call older than the period, oldest first."""
    if not terms.recordings_days:
        return
    before_ms, after = now_ms - terms.recordings_days * DAY_MS, (0, "")
    while True:
        with db.read() as session:
            reasons = Reasons(session, now_ms, terms.fatal_case_days)
            calls = session.exec(
                select(Call)
                .where(
                    col(Call.deleted_at_ms).is_(None),
                    col(Call.started_at_ms) < before_ms,
                    tuple_(col(Call.started_at_ms), col(Call.call_id)) > after,
                )
                .order_by(col(Call.started_at_ms), col(Call.call_id))
                .limit(_PAGE)
            ).all()
            page = [Expired(call.call_id, call.started_at_ms, reasons.of(call)) for call in calls]
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].started_at_ms, page[-1].call_id)


def delete_expired(
    db: Database, terms: Terms, *, places: Places, actor: str, now_ms: int, limit: int = CALLS_A_PASS
) -> tuple[str, ...]:
    """Delete up to `limit` calls whose period is over and that nothing holds back. Returns which."""
    due = list(islice((call for call in expired_calls(db, terms, now_ms=now_ms) if not call.held), limit))
    reason = f"保存期限 {terms.recordings_days} 天已满"
    begun = []
    for each in due:
        with db.write() as session:
            call = lock_call(session, each.call_id)
            if call.deleted_at_ms is not None or Reasons(session, now_ms, terms.fatal_case_days).of(call):
                continue  # a person was first
            begun.append(begin(session, call, kind="retention", reason=reason, actor=actor, now_ms=now_ms))
    done = finish(db, begun, places=places, now_ms=now_ms) if begun else ()
    if done:
        log.info("%d calls were deleted: their period of %d days is over", len(done), terms.recordings_days)
    return done


def is_night(now_ms: int) -> bool:
    """Whether the worker deletes by itself at this time."""
    return from_ms(now_ms).hour in NIGHT_HOURS


__all__ = ["Expired", "Terms", "delete_expired", "expired_calls", "is_night"]
