"""The watched folder: files are taken once they are whole, wait for their facts, and trouble is told once."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.audiofile import wav_bytes
from callqa.config import load_settings
from callqa.store.db import Database
from callqa.store.tables import AuditEntry, Call
from callqa.usecases import watch_folder
from callqa.usecases.watch_folder import WatchedFolder, WatchRules
from tests.media.captures import Talk, pcap
from tests.store_fixture import make_database
from tests.usecases.test_import_calls import STEREO, tone

NOW_MS = 1_793_670_000_000
RULES = {"settle_ms": 10_000, "wait_facts_ms": 600_000}


@dataclass
class Post:
    """A folder somebody drops files into. age_ms: how long ago a file was last written."""

    folder: Path
    recordings: Path
    db: Database
    watched: WatchedFolder

    def drop(self, name: str, data: bytes | str, age_ms: int) -> None:
        path = self.folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        at_s = (NOW_MS - age_ms) / 1000
        os.utime(path, (at_s, at_s))

    def look(self, later_ms: int = 0):
        return self.watched.look(self.db, recordings=self.recordings, now_ms=NOW_MS + later_ms)

    def faults(self) -> list[str]:
        with self.db.read() as session:
            rows = session.exec(select(AuditEntry).where(AuditEntry.action == "ingest.fault")).all()
        return [str(row.detail["message"]) for row in rows]


@pytest.fixture
def post(tmp_path: Path) -> Post:
    folder, recordings = tmp_path / "watched", tmp_path / "recordings"
    folder.mkdir()
    recordings.mkdir()
    return Post(folder, recordings, make_database(tmp_path), WatchedFolder(WatchRules(folder, **RULES)))


WAV = wav_bytes(STEREO, 8000)
FACTS = "录音文件,开始时间,主叫\na.wav,2026-11-03 08:14:30,13871206358\n"


def test_a_recording_with_facts_is_taken_as_soon_as_it_has_settled(post: Post) -> None:
    post.drop("a.wav", WAV, age_ms=9_000)
    post.drop("清单.csv", FACTS, age_ms=60_000)
    assert post.look().new == [], "it may still be growing"
    (call_id,) = post.look(later_ms=2_000).new
    with post.db.read() as session:
        call = session.get(Call, call_id)
    assert call is not None and call.citizen_number == "13871206358"
    assert post.look(later_ms=3_000).new == []


def test_a_recording_without_facts_waits_for_them(post: Post) -> None:
    post.drop("a.wav", WAV, age_ms=60_000)
    assert post.look().new == []
    post.drop("清单.csv", FACTS, age_ms=-20_000)
    assert post.look(later_ms=25_000).new == [], "the table is not whole yet"
    assert len(post.look(later_ms=31_000).new) == 1


def test_a_recording_whose_facts_never_come_is_taken_by_its_name(post: Post) -> None:
    post.drop("20261103-081430_13871206358.wav", WAV, age_ms=60_000)
    assert post.look(later_ms=530_000).new == []
    (call_id,) = post.look(later_ms=540_000).new
    assert call_id.startswith("20261103T001430")


def test_a_row_whose_recording_never_comes_is_told_once_and_late(post: Post) -> None:
    post.drop("清单.csv", FACTS, age_ms=60_000)
    post.look()
    assert post.faults() == []
    post.look(later_ms=600_000)
    post.look(later_ms=700_000)
    WatchedFolder(post.watched.rules).look(post.db, recordings=post.recordings, now_ms=NOW_MS + 800_000)
    (fault,) = post.faults()
    assert "找不到 a.wav" in fault


def test_a_bad_file_is_told_once_and_tried_again_when_it_changes(post: Post) -> None:
    post.drop("a.wav", "不是录音", age_ms=700_000)
    post.drop("b.wav", WAV, age_ms=700_000)
    assert len(post.look().new) == 1
    post.look(later_ms=20_000)
    assert len(post.faults()) == 1 and "a.wav" in post.faults()[0]
    post.drop("a.wav", wav_bytes(tone(440), 8000), age_ms=650_000)
    assert len(post.look(later_ms=30_000).new) == 1


def test_a_worker_that_starts_again_takes_nothing_twice(post: Post) -> None:
    post.drop("a.wav", WAV, age_ms=700_000)
    first = post.look().new
    again = WatchedFolder(post.watched.rules).look(post.db, recordings=post.recordings, now_ms=NOW_MS)
    assert (again.new, again.known) == ([], first)


def test_many_files_are_taken_a_few_at_a_time(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_folder, "FILES_A_LOOK", 2)
    for n in range(5):
        post.drop(f"{n}.wav", wav_bytes(tone(300 + n, 0.1), 8000), age_ms=700_000)
    assert [len(post.look(later_ms=n).new) for n in range(4)] == [2, 2, 1, 0]


def test_captures_in_the_folder_are_taken_too(post: Post) -> None:
    post.drop("a.pcap", pcap(Talk().all()), age_ms=20_000)
    post.look()
    assert "不知道哪一方是坐席" in post.faults()[0]


def test_a_quiet_folder_is_not_read_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.drop("a.wav", WAV, age_ms=700_000)
    post.look()
    monkeypatch.setattr(watch_folder, "survey", lambda *_, **__: pytest.fail("nothing has changed"))
    post.look(later_ms=1_000)


def test_a_folder_that_is_not_there_is_told_once(post: Post) -> None:
    post.folder.rmdir()
    post.look()
    post.look(later_ms=10_000)
    assert len(post.faults()) == 1 and "不存在" in post.faults()[0]


def test_a_file_from_the_future_is_taken(post: Post) -> None:
    post.drop("a.wav", WAV, age_ms=-3_600_000)
    assert len(post.look().new) == 1


def test_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "callqa.toml"
    assert load_settings(path, {}).watch_folder is None
    path.write_text('[imports]\nwatch_folder = "inbox"\n')
    assert load_settings(path, {}).watch_folder == tmp_path / "inbox"
