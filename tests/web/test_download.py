"""Recordings as files from the page of a call: beeped unless somebody who may have the numbers asks otherwise."""

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from sqlmodel import select

from callqa.store.tables import AuditEntry, Call, TranscriptRow, UtteranceRow
from callqa.web.history import ACTION_LABELS
from callqa.web.permissions import PERMISSIONS
from tests.builders import Line, add_transcript
from tests.web.released import OTHER_CALL, OWN_CALL

LINES = (Line("a", 0.4, 4.6, "您好，请问有什么可以帮您？"), Line("c", 5.0, 9.0, "我的电话是幺三八七幺二零六三五八。"))


@pytest.fixture
def spoken(month, database) -> str:
    """A call of 801's, and one of 805's, in which a number is said."""
    with database.write() as session:
        for call_id in (OWN_CALL, OTHER_CALL):
            add_transcript(session, session.get_one(Call, call_id), LINES, version=9)
    return OWN_CALL


def master(settings, database, call_id: str) -> bytes:
    with database.read() as session:
        return Path(settings.recordings_dir / session.get_one(Call, call_id).recording_path).read_bytes()


def forget_words(database, call_id: str) -> None:
    with database.write() as session:
        for row in session.exec(select(TranscriptRow).where(TranscriptRow.call_id == call_id)):
            for line in session.exec(select(UtteranceRow).where(UtteranceRow.transcript_id == row.id)):
                session.delete(line)
            session.flush()
            session.delete(row)


def notes(database) -> list[tuple[str, str, bool]]:
    with database.read() as session:
        found = session.exec(select(AuditEntry).where(AuditEntry.action == "call.export_audio"))
        return [(entry.actor, entry.subject, entry.detail["beeped"]) for entry in found]


def test_the_leader_takes_it_whole_or_beeped(browser, spoken, settings, database):
    client = browser("shift_leader")
    whole, beeped = client.get(f"/calls/{spoken}/recording"), client.get(f"/calls/{spoken}/recording?beep=1")
    data = master(settings, database, spoken)
    assert whole.content == data != beeped.content
    assert len(beeped.content) == len(data)
    for answer, name in ((whole, f"{spoken}.wav"), (beeped, f"{spoken}-消音.wav")):
        assert answer.status_code == 200 and answer.headers["content-type"] == "audio/wav"
        assert unquote(answer.headers["content-disposition"]) == f"attachment; filename*=UTF-8''{name}"
        assert answer.headers["cache-control"] == "private, no-store"
    assert notes(database) == [("shift_leader", spoken, False), ("shift_leader", spoken, True)]
    assert master(settings, database, spoken) == data


@pytest.mark.parametrize("asked", ["", "?beep=", "?beep=0", "?beep=1"])
@pytest.mark.parametrize("role", ["agent", "client_supervisor"])
def test_others_get_it_beeped_whatever_they_ask(browser, spoken, settings, database, role, asked):
    answer = browser(role).get(f"/calls/{spoken}/recording{asked}")
    data = master(settings, database, spoken)
    assert answer.status_code == 200
    differs = [n for n in range(len(data)) if answer.content[n] != data[n]]
    head = len(data) % 16_000
    assert 5.25 < (differs[0] - head) / 16_000 < 5.6 and 9.0 < (differs[-1] - head) / 16_000 < 9.3
    assert notes(database) == [(role, spoken, True)]


def test_who_may_not_have_the_call_gets_nothing(browser, spoken, database):
    assert browser("agent").get(f"/calls/{OTHER_CALL}/recording").status_code == 403
    assert browser("admin").get(f"/calls/{spoken}/recording").status_code == 403
    assert browser("shift_leader").get("/calls/NOTHING/recording").status_code == 404
    assert notes(database) == []
    assert PERMISSIONS["calls.download_whole"] <= PERMISSIONS["calls.private"] & PERMISSIONS["calls.download"]


def test_without_a_transcript_it_is_refused_and_the_page_says_so(browser, spoken, database):
    forget_words(database, spoken)
    answer = browser("agent").get(f"/calls/{spoken}/recording")
    assert answer.status_code == 400 and "还没有转写" in answer.text
    assert "转写完成后可导出录音" in browser("agent").get(f"/calls/{spoken}").text
    leader = browser("shift_leader")
    assert leader.get(f"/calls/{spoken}/recording?beep=1").status_code == 400
    assert leader.get(f"/calls/{spoken}/recording").status_code == 200
    assert 'name="beep" value="1">' in leader.get(f"/calls/{spoken}").text, "not ticked: it could not be done"


def test_the_page_offers_what_the_role_may(browser, spoken):
    leader = browser("shift_leader").get(f"/calls/{spoken}").text
    assert f'action="/calls/{spoken}/recording"' in leader and 'name="beep" value="1" checked>' in leader
    for role in ("agent", "client_supervisor"):
        page = browser(role).get(f"/calls/{spoken}").text
        assert f'href="/calls/{spoken}/recording"' in page and 'name="beep"' not in page
    assert ACTION_LABELS["call.export_audio"] == "导出录音"


def test_who_may_not_see_a_number_does_not_hear_it_either(browser, spoken, settings, database):
    supervisor, leader = browser("client_supervisor"), browser("shift_leader")
    url = f"/calls/{spoken}/audio"
    whole, beeped = leader.get(url).content, supervisor.get(url).content
    assert browser("agent").get(url).content == whole and len(beeped) == len(whole)
    heard = np.frombuffer(beeped[44:], "<i2").reshape(-1, 2) != np.frombuffer(whole[44:], "<i2").reshape(-1, 2)
    differs_s = np.flatnonzero(heard.any(axis=1)) / 8000
    assert 5.25 < differs_s[0] < 5.6 and 9.0 < differs_s[-1] < 9.3
    part = supervisor.get(url, headers={"Range": "bytes=88000-104043"})
    assert part.content == beeped[88_000:104_044]
    assert "处以提示音代替" in supervisor.get(f"/calls/{spoken}").text
    assert "处以提示音代替" not in leader.get(f"/calls/{spoken}").text


def test_a_corrected_transcript_changes_what_is_a_tone(browser, spoken, database):
    client, url = browser("client_supervisor"), f"/calls/{spoken}/audio"
    before = client.get(url)
    with database.write() as session:
        call = session.get_one(Call, spoken)
        add_transcript(session, call, [LINES[0], Line("c", 5.0, 9.0, "我家没有水了。")], version=10)
    after = client.get(url, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200 and after.content != before.content
    assert after.content == browser("shift_leader").get(url).content


def test_without_a_transcript_who_may_not_see_numbers_hears_nothing(browser, spoken, database):
    forget_words(database, spoken)
    refused = browser("client_supervisor").get(f"/calls/{spoken}/audio")
    assert refused.status_code == 400 and "还没有转写" in refused.text
    assert browser("shift_leader").get(f"/calls/{spoken}/audio").status_code == 200
