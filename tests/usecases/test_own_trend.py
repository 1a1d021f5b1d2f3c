"""An agent's own months: the report's estimate and interval, only when all is published, and nobody else's."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.periods import Month
from callqa.reports.results import agent_estimates, quality
from callqa.reports.trend import own_trend, trend_figure
from callqa.store.db import Database
from callqa.store.queries.evaluate import drawn_frame
from callqa.store.tables import Call, Evaluation
from callqa.usecases.own_trend import trend_of
from callqa.usecases.report_facts import load_sample
from tests.reports.builders import MonthMaker, add_people
from tests.store_fixture import make_database

MONTHS = (Month(2026, 9), Month(2026, 10))


@pytest.fixture
def two_months(tmp_path: Path):
    """Two agents, two months with every sampled call scored and released."""
    db = make_database(tmp_path)
    agents = add_people(db, 2)
    for month in MONTHS:
        maker = MonthMaker(db, month, agents, calls_per_agent=40)
        maker.fill()
        maker.evaluate(maker.sample())
    with db.write() as session:
        for row in session.exec(select(Evaluation)):
            row.status = "released"
            session.add(row)
    yield db
    db.dispose()


def trend(db: Database, agent_no: str = "801"):
    with db.read() as session:
        return trend_of(session, agent_no)


def test_it_is_the_reports_estimate_with_its_interval(two_months: Database) -> None:
    points = trend(two_months)
    assert [p.month for p in points] == list(MONTHS)
    for point in points:
        with two_months.read() as session:
            frame = drawn_frame(session, str(point.month))
            assert frame is not None
            theirs = agent_estimates(load_sample(session, frame, {}), quality)["801"]
        assert point.estimate == theirs and point.note == ""
        assert theirs.low is not None and theirs.value is not None and theirs.high is not None
        assert theirs.low < theirs.value < theirs.high
    figure = trend_figure(points)
    assert figure is not None and figure.categories == ("2026年9月", "2026年10月")
    assert figure.reference is None, "no line of the team to be held against"


def test_a_month_is_not_summed_before_all_of_the_own_is_published(two_months: Database) -> None:
    with two_months.write() as session:
        own = session.exec(
            select(Evaluation)
            .join(Call, Call.call_id == Evaluation.call_id)
            .where(Call.agent_no == "801", Call.started_at_ms >= MONTHS[1].start_ms)
        ).first()
        assert own is not None
        own.status = "submitted"
        session.add(own)
    first, second = trend(two_months)
    assert first.estimate is not None
    assert second.estimate is None and second.waiting == 1 and "还有 1 通没有发布" in second.note
    figure = trend_figure((second,))
    assert figure is None
    assert trend(two_months, "802")[1].estimate is not None  # what is kept back is only the own


def test_another_version_of_the_rubric_is_said(two_months: Database) -> None:
    with two_months.read() as session:
        samples = [
            load_sample(session, frame, {}) for m in MONTHS if (frame := drawn_frame(session, str(m))) is not None
        ]
    newer = tuple(
        replace(c, score=replace(c.score, rubric_hash="n" * 64)) if c.score is not None else c for c in samples[1].calls
    )
    points = own_trend([samples[0], replace(samples[1], calls=newer)], "801", {"released"})
    assert [p.new_rubric for p in points] == [False, True] and "换版" in points[1].note
    assert own_trend(samples, "899", {"released"}) == ()
