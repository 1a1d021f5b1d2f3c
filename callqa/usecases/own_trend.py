"""An agent's own monthly means with their intervals, for 我的质检. Loads; the sums are reports/trend.py's."""

from sqlmodel import Session

from callqa.reports.trend import TrendPoint, own_trend
from callqa.store.queries.evaluate import drawn_frame, drawn_months
from callqa.store.queries.reviews import VISIBLE_TO_AGENT
from callqa.usecases.report_facts import load_sample

MONTHS = 6


def trend_of(session: Session, agent_no: str) -> tuple[TrendPoint, ...]:
    """The last months with a sample, oldest first; months in which none of the agent's calls was drawn are left out."""
    frames = [drawn_frame(session, month) for month in drawn_months(session)[:MONTHS]]
    return own_trend([load_sample(session, f, {}) for f in frames if f is not None], agent_no, VISIBLE_TO_AGENT)
