"""The day's figures: each inbound call once, in Shanghai's day, over a restart too."""

from callqa.journal import JournalEntry, JournalKind
from callqa.sip.process.today import Today

NOON = 1_795_320_000_000  # 2026-11-22 12:00 in Shanghai
HOUR = 3_600_000


def entry(kind, call_id, at_ms=NOON, direction="inbound", **facts):
    return JournalEntry(number=1, at_ms=at_ms, kind=kind, call_id=call_id, facts={"direction": direction, **facts})


def test_inbound_calls_are_counted_once_and_others_not():
    today = Today()
    today.take_all(
        [
            entry(JournalKind.CALL_ANSWERED, "A", ring_ms=4000),
            entry(JournalKind.CALL_ANSWERED, "A", ring_ms=4000),
            entry(JournalKind.CALL_ENDED, "A"),
            entry(JournalKind.CALL_ANSWERED, "O", direction="outbound", ring_ms=90_000),
            entry(JournalKind.CALL_UNANSWERED, "B", ring_ms=45_000),
            entry(JournalKind.CALL_ABANDONED, "C", ring_ms=61_000),
            entry(JournalKind.CALL_UNANSWERED, "P", direction="outbound"),
        ]
    )
    shown = today.at(NOON)
    assert (shown.answered, shown.missed, shown.longest_wait_ms) == (1, 2, 61_000)
    assert shown.answer_rate == 1 / 3


def test_the_day_begins_at_midnight_in_shanghai():
    today = Today()
    today.take(entry(JournalKind.CALL_ANSWERED, "A", NOON))
    assert today.at(NOON + 11 * HOUR + 3_599_999).answered == 1
    assert today.at(NOON + 12 * HOUR).answered == 0 and today.at(NOON + 12 * HOUR).answer_rate is None
    today.take(entry(JournalKind.CALL_ABANDONED, "B", NOON + 12 * HOUR))
    assert (today.at(NOON + 12 * HOUR).answered, today.at(NOON + 12 * HOUR).missed) == (0, 1)
    today.take(entry(JournalKind.CALL_ANSWERED, "C", NOON))  # the clock was set back
    assert (today.at(NOON + 12 * HOUR).answered, today.at(NOON + 12 * HOUR).missed) == (0, 1)
