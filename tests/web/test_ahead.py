"""The next card made ready ahead: nothing is opened, nothing counts as heard."""

from sqlmodel import select

from callqa.store.tables import AuditEntry, Evaluation
from callqa.web.media import AHEAD_MOST_BYTES

AHEAD = {"X-Ahead": "1"}
BEGINNING = {**AHEAD, "Range": f"bytes=0-{AHEAD_MOST_BYTES - 1}"}


def noted(database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.exec(select(AuditEntry).where(AuditEntry.action.like("call.p%")))
        return [(e.actor, e.action) for e in rows]


def test_it_opens_no_card_and_says_nothing(browser, month, database):
    answer = browser("shift_leader").get(f"/evaluate/ahead/{month}")
    assert (answer.status_code, answer.content) == (204, b"")
    with database.read() as session:
        assert session.exec(select(Evaluation)).all() == []
        assert [e.action for e in session.exec(select(AuditEntry))] == ["session.sign_in"]


def test_only_who_scores_and_only_calls_that_there_are(browser, month):
    assert browser("agent").get(f"/evaluate/ahead/{month}").status_code == 403
    assert browser("client_supervisor").get(f"/evaluate/ahead/{month}").status_code == 403
    assert browser("shift_leader").get("/evaluate/ahead/NOTHING").status_code == 404


def test_the_first_seconds_are_noted_as_fetched_and_a_playback_as_heard(browser, month, database):
    client = browser("shift_leader")
    url = f"/calls/{month}/audio"
    assert len(client.get(url, headers=BEGINNING).content) == AHEAD_MOST_BYTES
    client.get(url, headers=BEGINNING)
    assert noted(database) == [("shift_leader", "call.preload")]
    client.get(url, headers={"Range": "bytes=0-"})
    assert noted(database)[1:] == [("shift_leader", "call.play")]


def test_a_header_does_not_make_listening_unheard(browser, month, database):
    client = browser("shift_leader")
    for at, range_ in enumerate(("bytes=0-", f"bytes=0-{AHEAD_MOST_BYTES}", "bytes=131072-262143", "")):
        client.get(f"/calls/{month}/audio", headers={**AHEAD, "Range": range_} if range_ else AHEAD)
        assert noted(database) == [("shift_leader", "call.play")], at
    own = "20261107T011200000Z-A2"
    browser("agent").get(f"/calls/{own}/audio", headers=BEGINNING)
    assert noted(database)[1:] == [("agent", "call.play")]


def test_the_words_of_a_card_are_those_of_its_own_version_masked_or_not(browser, month, database):
    from callqa.store.tables import Call
    from tests.builders import Line, add_transcript

    client = browser("shift_leader")
    client.get(f"/evaluate/ahead/{month}")
    first = client.get(f"/evaluate/call/{month}", follow_redirects=True).text
    assert first.count("data-utterance") == 10 and "工号八零五" in first
    with database.write() as session:
        add_transcript(session, session.get(Call, month), (Line("a", 0.4, 4.6, "后来的一版"),), version=2)
    again = client.get(f"/evaluate/call/{month}", follow_redirects=True).text
    assert "后来的一版" not in again and "工号八零五" in again
