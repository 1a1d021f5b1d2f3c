"""Recordings as files: whole or beeped, from the newest transcript of that very recording, each noted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import decode_audio
from callqa.errors import StoreError
from callqa.sip.media.beep import TONE_HZ, TONE_PEAK
from callqa.store.db import Database
from callqa.store.tables import Account, AuditEntry, Call, ConfidentialCall, TranscriptRow, UtteranceRow
from callqa.usecases.export_audio import AudioExport, export_audio, export_beeped
from tests.builders import Line, add_call, add_people, add_transcript, at, record
from tests.store_fixture import make_database

CALL = "20261106T072210000Z-T1"
STORY = (
    Line("a", 0.4, 4.6, "您好，武汉水务热线，请问有什么可以帮您？"),
    Line("c", 5.0, 9.0, "我的电话是幺三八七幺二零六三五八。"),
    Line("a", 9.5, 14.0, "好的，请您保持电话畅通。"),
)
TONE = (5_400, 9_100)  # within the tone: five characters in front take half a second at least


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    db = make_database(tmp_path)
    with db.write() as session:
        add_people(session)
        call = record(add_call(session, CALL, at("2026-11-06 07:22:10")), tmp_path, STORY, 16.0)
        session.add(call)
        add_transcript(session, call, STORY)
    yield db
    db.dispose()


def export(db: Database, folder: Path, *, call_id: str = CALL, whole: bool = False) -> AudioExport:
    verb = export_audio if whole else export_beeped
    return verb(db, call_id, recordings=folder, actor="banzhang", now_ms=7)


def master(folder: Path) -> bytes:
    return (folder / f"2026/11/06/{CALL}.wav").read_bytes()


def notes(db: Database) -> list[tuple[str, str, dict]]:
    with db.read() as session:
        return [
            (e.actor, e.subject, e.detail) for e in session.exec(select(AuditEntry)) if e.action == "call.export_audio"
        ]


def test_the_number_is_a_tone_on_both_sides_and_all_else_is_as_recorded(database: Database, tmp_path: Path) -> None:
    before = master(tmp_path)
    made = export(database, tmp_path)
    assert master(tmp_path) == before, "the recording itself is never changed"
    (span,) = made.beeped
    assert 5_000 < span.start_ms <= 5_356 and span.end_ms >= 9_000
    head = len(before) - 2 * 8 * 16_000
    first, last = head + span.start_ms * 16, head + span.end_ms * 16  # two bytes a sample, eight samples a millisecond
    assert made.data[:first] == before[:first] and made.data[last:] == before[last:]
    was, now = (decode_audio(data, "").samples[TONE[0] * 8 : TONE[1] * 8].astype(float) for data in (before, made.data))
    for channel in (0, 1):
        part = now[:, channel]
        spectrum = np.abs(np.fft.rfft(part)) ** 2
        at_hz = np.fft.rfftfreq(len(part), 1 / 8000)
        assert abs(at_hz[int(spectrum.argmax())] - TONE_HZ) < 2
        assert spectrum[np.abs(at_hz - TONE_HZ) > 30].sum() < 0.005 * spectrum.sum()
        assert np.sqrt(np.mean(part**2)) == pytest.approx(TONE_PEAK / np.sqrt(2), rel=0.04)
    voice = was[:, 0]
    assert np.sqrt(np.mean(voice**2)) > 1000, "somebody spoke there"
    assert abs(np.corrcoef(voice, now[:, 0])[0, 1]) < 0.05


def test_whole_is_the_master_byte_by_byte(database: Database, tmp_path: Path) -> None:
    made = export(database, tmp_path, whole=True)
    assert made.data == master(tmp_path) and made.beeped == ()


def test_each_export_is_noted_with_what_was_taken_out(database: Database, tmp_path: Path) -> None:
    (span,) = export(database, tmp_path).beeped
    size = len(export(database, tmp_path, whole=True).data)
    assert notes(database) == [
        (
            "banzhang",
            CALL,
            {
                "beeped": True,
                "bytes": size,
                "transcript_version": 1,
                "stretches_ms": [[span.start_ms, span.end_ms]],
            },
        ),
        ("banzhang", CALL, {"beeped": False, "bytes": size}),
    ]


def test_the_newest_transcript_counts(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        later = (
            *STORY[:1],
            Line("c", 5.0, 9.0, "我没有什么号码。"),
            Line("a", 9.5, 14.0, "您是幺三八七幺二零六三五八？"),
        )
        add_transcript(session, session.get_one(Call, CALL), later, version=2)
    (span,) = export(database, tmp_path).beeped
    assert span.start_ms > 9_000


def test_without_a_transcript_only_the_whole_recording_is_given(database: Database, tmp_path: Path) -> None:
    other = "20261106T090000000Z-T2"
    with database.write() as session:
        session.add(record(add_call(session, other, at("2026-11-06 09:00")), tmp_path, STORY, 16.0))
    with pytest.raises(StoreError, match=r"还没有转写.*请等转写完成后再导出"):
        export(database, tmp_path, call_id=other)
    assert notes(database) == []
    assert export(database, tmp_path, call_id=other, whole=True).data


def test_a_transcript_of_another_recording_says_nothing_of_this(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        row = session.exec(select(TranscriptRow)).one()
        row.recording_sha256 = "0" * 64
        session.add(row)
    with pytest.raises(StoreError, match="不是由现在这份录音做的"):
        export(database, tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_what_cannot_be_exported_is_said(database: Database, tmp_path: Path, whole: bool) -> None:
    def refused(why: str, call_id: str = CALL) -> None:
        with pytest.raises(StoreError, match=why):
            export(database, tmp_path, call_id=call_id, whole=whole)

    refused("没有通话 NONE", "NONE")
    path = tmp_path / f"2026/11/06/{CALL}.wav"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    refused("校验和不符")
    path.unlink()
    refused("录音读不了：不存在")
    path.write_bytes(data)
    with database.write() as session:
        session.add(Account(id=1, username="li", display_name="李", role="shift_leader", password_hash="x"))
        session.flush()
        session.add(ConfidentialCall(call_id=CALL, reason="投诉", marked_by=1, marked_at_ms=1))
    refused("保密件")
    with database.write() as session:
        session.delete(session.get_one(ConfidentialCall, CALL))
        call = session.get_one(Call, CALL)
        call.recording_path = "../../etc/passwd"
        session.add(call)
    refused("拒绝打开")
    with database.write() as session:
        call = session.get_one(Call, CALL)
        call.recording_status, call.recording_path = "missing", None
        session.add(call)
    refused("没有可导出的录音")
    assert notes(database) == []


def test_what_the_machine_wrote_before_a_correction_and_doubted_words_are_taken_out_too(
    database: Database, tmp_path: Path
) -> None:
    """A person who blots a number out of the text does not blot it out of the sound; nor does recognition that doubts it."""
    with database.write() as session:
        later = (*STORY[:1], Line("c", 5.0, 9.0, "我的电话是号码略去。"), Line("a", 9.5, 14.0, "门牌零六三五。", 0.3))
        made = add_transcript(session, session.get_one(Call, CALL), later, version=2)
        corrected = session.exec(
            select(UtteranceRow).where(UtteranceRow.transcript_id == made.id, UtteranceRow.index == 1)
        ).one()
        corrected.raw_text = STORY[1].text
        session.add(corrected)
    beeped = export(database, tmp_path).beeped
    assert any(span.start_ms <= 5_356 and span.end_ms >= 9_000 for span in beeped), "the number that was blotted out"
    assert any(span.start_ms <= 9_500 and span.end_ms >= 14_000 for span in beeped), "the doubted digits"
    assert beeped[0].start_ms > 4_600, "what was understood stays"
