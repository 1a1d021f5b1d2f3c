"""Audio and peaks: what is played, who may, and that it is noted."""

import io
import wave

import numpy as np
from sqlmodel import select

from callqa.audiofile import read_audio
from callqa.store.tables import AuditEntry, Call


def plays(database) -> list[tuple[str, str]]:
    with database.read() as session:
        return [(e.actor, e.subject) for e in session.exec(select(AuditEntry).where(AuditEntry.action == "call.play"))]


def test_audio_is_the_master_as_16_bit_pcm(browser, month, settings):
    answer = browser("shift_leader").get(f"/calls/{month}/audio")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["accept-ranges"] == "bytes"
    with wave.open(io.BytesIO(answer.content)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, 2)
    master = read_audio(settings.recordings_dir / f"2026/11/06/{month}.wav")
    assert np.array_equal(samples, master.samples)


def test_ranges_add_up_to_the_whole(browser, month):
    client = browser("shift_leader")
    url = f"/calls/{month}/audio"
    whole = client.get(url).content
    parts, at = b"", 0
    while at < len(whole):
        answer = client.get(url, headers={"Range": f"bytes={at}-{at + 299_999}"})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {at}-{min(at + 299_999, len(whole) - 1)}/{len(whole)}"
        assert int(answer.headers["content-length"]) == len(answer.content)
        parts += answer.content
        at += 300_000
    assert parts == whole
    beyond = client.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"


def test_etag_and_if_range(browser, month):
    client = browser("shift_leader")
    url = f"/calls/{month}/audio"
    head = client.head(url)
    etag = head.headers["etag"]
    assert head.status_code == 200 and not head.content and int(head.headers["content-length"]) > 1_000_000
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"old"'}).status_code == 200


def test_one_listening_is_one_audit_entry_whatever_the_ranges(browser, month, database, clock):
    client = browser("shift_leader")
    for first in (500, 0, 900_000, 44):  # beginning in the middle is listening too
        client.get(f"/calls/{month}/audio", headers={"Range": f"bytes={first}-"})
    assert plays(database) == [("shift_leader", month)]
    clock.now_ms += 6 * 60_000
    client.get(f"/calls/{month}/audio", headers={"Range": "bytes=0-"})
    assert len(plays(database)) == 2


def test_opening_the_page_is_not_listening(browser, month, database):
    client = browser("shift_leader")
    assert client.get(f"/calls/{month}").status_code == 200
    assert client.get(f"/calls/{month}/peaks.json").status_code == 200
    assert plays(database) == []


def test_who_may_only_hear_gets_nothing_to_keep(browser, month):
    assert "no-store" not in browser("shift_leader").get(f"/calls/{month}/audio").headers["cache-control"]
    own = browser("agent").get("/calls/20261107T011200000Z-A2/audio")
    assert own.status_code == 200
    assert own.headers["cache-control"] == "private, no-store"


def test_agents_hear_their_own_calls_only_and_administrators_none(browser, month, database):
    assert browser("agent").get(f"/calls/{month}/audio").status_code == 403
    assert browser("admin").get(f"/calls/{month}/audio").status_code == 403
    assert browser("agent").get(f"/calls/{month}/peaks.json").status_code == 403
    assert plays(database) == []


def test_missing_recordings_and_calls_say_so(browser, month, database, settings):
    client = browser("shift_leader")
    assert client.get("/calls/20261121T041500000Z-A4/audio").status_code == 404
    assert client.get("/calls/NOTHING/audio").status_code == 404
    (settings.recordings_dir / f"2026/11/06/{month}.wav").unlink()
    assert "不在原处" in client.get(f"/calls/{month}/audio").text
    with database.write() as session:
        call = session.get(Call, month)
        call.recording_path = "../../../etc/passwd"
        session.add(call)
    answer = client.get(f"/calls/{month}/audio")
    assert answer.status_code == 400 and "拒绝打开" in answer.text


def test_a_damaged_recording_is_an_error_page_and_stops_nothing(browser, month, settings):
    (settings.recordings_dir / f"2026/11/06/{month}.wav").write_bytes(b"this is no audio at all")
    answer = browser("shift_leader").get(f"/calls/{month}/audio")
    assert answer.status_code == 400
    assert "没有完成" in answer.text


def test_peaks_show_who_speaks_and_are_kept(browser, month, settings):
    client = browser("shift_leader")
    answer = client.get(f"/calls/{month}/peaks.json")
    peaks = answer.json()
    assert peaks["duration_s"] == 54.0
    citizen, agent = peaks["channels"]
    second = len(citizen) // 54
    assert max(agent[second : 4 * second]) > 0.1 > max(citizen[second : 4 * second])
    assert len(list((settings.var_dir / "cache" / "peaks").iterdir())) == 1
    again = client.get(f"/calls/{month}/peaks.json", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
