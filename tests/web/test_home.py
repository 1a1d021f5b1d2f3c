"""工作台: the sample at work on, in the first days of a month too; its counts are those of the pages behind them."""

import re

import pytest
from sqlmodel import select

from callqa.live import LiveSeat
from callqa.periods import Month, from_ms, say_until, to_ms
from callqa.store.queries.evaluate import drawn_queue
from callqa.store.queries.figures import samples_at_work
from callqa.store.tables import Call, Evaluation
from callqa.usecases.evaluate import open_evaluation
from callqa.web.live_board import SeatRow
from tests.drawn_month import MONTH, add_drawable_month, draw_month
from tests.web.conftest import NOW_MS

DECEMBER_MS = NOW_MS + 12 * 86_400_000


@pytest.fixture
def lived(database, settings, accounts):
    """November's calls, nothing drawn."""
    with database.write() as session:
        add_drawable_month(session, settings.recordings_dir, NOW_MS)
    return database


def cards(browser) -> list[str]:
    return re.findall(r"<h2>([^<]*抽检)</h2>", browser("shift_leader").get("/").text)


def test_a_month_that_is_over_and_not_frozen_stands_before_the_new_one(browser, lived, clock):
    assert cards(browser) == ["本月抽检"], "October had no calls"
    clock.now_ms = DECEMBER_MS
    assert cards(browser) == ["2026年11月抽检", "本月抽检"]
    html = browser("shift_leader").get("/").text
    assert "已满月，还没有冻结抽样框" in html and 'href="/sampling/2026-11"' in html
    assert "请班长到“抽检”页冻结" in browser("client_supervisor").get("/").text


def test_last_months_sample_stays_until_all_of_it_is_scored(browser, lived, clock):
    draw_month(lived, now_ms=NOW_MS)
    clock.now_ms = DECEMBER_MS
    html = browser("shift_leader").get("/").text
    assert 'href="/evaluate/next?month=2026-11"' in html and "通已评" in html
    with lived.write() as session:
        last, own = samples_at_work(session, Month(2026, 12))
        assert (last.month, own.figures) == (MONTH, None)
        assert last.figures is not None and last.figures.sampled > last.figures.scored == 0
    browser("shift_leader").get("/evaluate/next")  # a draft is no score
    assert cards(browser) == ["2026年11月抽检", "本月抽检"]
    score_all(lived)
    assert cards(browser) == ["本月抽检"]


def score_all(database) -> None:
    """Every drawn call has a submitted first evaluation."""
    with database.read() as session:
        drawn = [row.call.call_id for row in drawn_queue(session, str(MONTH))[1]]
    assert drawn
    for call_id in drawn:
        evaluation_id = open_evaluation(database, call_id, evaluator_id=1, now_ms=DECEMBER_MS)
        with database.write() as session:
            session.get_one(Evaluation, evaluation_id).status = "submitted"


def test_unattributed_calls_are_counted_as_their_page_lists_them(browser, lived, clock):
    listed = browser("shift_leader").get("/links").text.count('aria-label="依据"')
    assert listed
    for clock.now_ms in (NOW_MS, DECEMBER_MS):  # last month's are as unknown in this one
        assert f'坐席归属不明</a><b class="cq-todo-n">{listed}</b>' in browser("shift_leader").get("/").text


def test_figures_say_what_they_are_a_share_of(browser, lived):
    html = browser("shift_leader").get("/").text
    with lived.read() as session:
        calls = [c for c in session.exec(select(Call)) if c.started_at_ms >= Month(2026, 11).start_ms]
    answered = sum(c.outcome == "answered" for c in calls)
    assert f"（{answered} ÷ {len(calls)} 通）" in html


@pytest.mark.parametrize(
    ("instant", "said"),
    [
        ((2026, 12, 7, 0, 0), "12月06日 24:00"),
        ((2026, 12, 1, 0, 0), "11月30日 24:00"),
        ((2026, 12, 7, 9, 5), "12月07日 09:05"),
    ],
)
def test_a_deadline_at_midnight_belongs_to_the_day_that_ends(instant, said):
    zone = from_ms(0).tzinfo
    assert say_until(to_ms(from_ms(0).replace(*instant, tzinfo=zone))) == said
    assert say_until(None) == "—"


@pytest.mark.parametrize(
    ("contact", "shown"),
    [
        ("10.1.2.11:5060", "10.1.2.11:5060"),
        ("sip:8001-0x55e6@10.1.2.11:5062", "10.1.2.11:5062"),
        ("<sip:8001@10.1.2.11:5060;transport=tcp>;expires=60", "10.1.2.11:5060"),
        ("sips:10.1.2.11", "10.1.2.11"),
        ("sip:8001@[fd00::1]:5060", "[fd00::1]:5060"),
        ("", ""),
    ],
)
def test_a_phones_contact_is_shown_as_host_and_port(contact, shown):
    phone = LiveSeat(extension="8001", registered=True, contact=contact)
    row = SeatRow(extension="8001", label="", agent_no=None, agent_name=None, phone=phone, call=None)
    assert row.phone_at == shown
