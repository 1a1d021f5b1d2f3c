"""The demo's files: the ticket export knows of no call, one ticket is nobody's, payloads are whole frames."""

import csv
import io
from datetime import datetime
from pathlib import Path

import pytest

from callqa.demo import citizens
from callqa.demo.data import SEATS, demo_calls, roster_csv, ticket_csv
from callqa.periods import SHANGHAI
from callqa.tickets.importers import read_roster, read_tickets

NOW = datetime(2026, 11, 22, 14, 5, tzinfo=SHANGHAI)


def test_the_ticket_file_is_read_without_a_complaint_and_names_no_call() -> None:
    data = ticket_csv(NOW)
    read = read_tickets("工单.csv", data)
    assert read.errors == ()
    assert len(read.rows) == 5
    header = next(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    assert not any("录音" in column or "通话" in column for column in header)


def test_every_call_has_its_ticket_and_one_ticket_is_nobodys() -> None:
    numbers = [row.ticket_no for row in read_tickets("工单.csv", ticket_csv(NOW)).rows]
    wanted = [call.ticket_no for call in demo_calls(NOW)]
    assert len(set(numbers)) == 5
    assert set(wanted) < set(numbers)


def test_one_inbound_call_carries_no_ticket_header_and_one_is_outbound() -> None:
    calls = demo_calls(NOW)
    assert sum(not c.outbound and not c.ticket_header for c in calls) == 1
    assert sum(c.outbound for c in calls) == 1
    assert {c.extension for c in calls} == {extension for extension, _, _ in SEATS}


@pytest.mark.parametrize(
    "now", [NOW, datetime(2027, 2, 1, 0, 5, tzinfo=SHANGHAI), datetime(2026, 11, 3, 1, 0, tzinfo=SHANGHAI)]
)
def test_the_callback_is_about_the_latest_third_of_november_that_is_over(now: datetime) -> None:
    number = next(c.ticket_no for c in demo_calls(now) if c.outbound)
    day = datetime.strptime(number[2:10], "%Y%m%d").replace(tzinfo=SHANGHAI)
    assert (day.month, day.day) == (11, 3)
    assert 0 < (now - day).days < 366


def test_the_roster_is_read_without_a_complaint() -> None:
    read = read_roster("排班.csv", roster_csv(NOW))
    assert read.errors == ()
    assert len(read.rows) == 3 * 4 * 2


def test_payload_files_are_whole_frames_for_both_sides() -> None:
    for call in demo_calls(NOW):
        for side in ("citizen", "agent"):
            data = Path(citizens.CALLS / f"{call.code}.{side}.ul").read_bytes()
            assert len(data) % 160 == 0
            assert len(data) > 50 * 8000
