"""Captures become calls in the database; a call's spool goes back to Wireshark while it is there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import read_audio
from callqa.cli import main
from callqa.errors import StoreError
from callqa.sidecar import load_sidecar
from callqa.sip.media.pcap import is_capture, write_pcap
from callqa.sip.process.finalize import finalise
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import AuditEntry, Call
from callqa.units import Direction
from callqa.usecases.export_pcap import export_pcap
from callqa.usecases.import_calls import ImportResult
from callqa.usecases.import_pcap import import_captures
from callqa.usecases.ingest import ingest_lost
from tests.media.builders import Sender, call, spool_bytes
from tests.media.captures import Talk, in_time, pcapng
from tests.store_fixture import make_database

NOW_MS = 1_793_670_000_000
TALK = Talk()


def run(db: Database, path: Path, **options) -> ImportResult:
    result = ImportResult()
    import_captures(db, [path], result, recordings=path.parent / "recordings", actor="admin", now_ms=NOW_MS, **options)
    return result


@pytest.fixture
def db(tmp_path: Path) -> Database:
    (tmp_path / "recordings").mkdir()
    return make_database(tmp_path)


def save(tmp_path: Path, *talks: Talk, name: str = "a.pcapng") -> Path:
    path = tmp_path / name
    path.write_bytes(pcapng(in_time(frame for talk in talks for frame in talk.all())))
    return path


def call_of(db: Database, call_id: str) -> Call:
    with db.read() as session:
        found = session.get(Call, call_id)
    assert found is not None
    return found


def test_calls_of_a_capture_are_calls_with_their_audio(db: Database, tmp_path: Path) -> None:
    out = Talk(
        caller="8002", callee="13971112222", call_id="out", start_ms=20_000, answer_ms=22_000, seed=3, bye_by="callee",
        caller_rtp=("10.0.0.1", 30002),
    )  # fmt: skip
    result = run(db, save(tmp_path, TALK, out), seats=["8001", "8002"])
    assert result.errors == []
    first, second = (call_of(db, call_id) for call_id in sorted(result.new))
    assert (first.mode, first.direction, first.citizen_number, first.seat_extension) == (
        "import", "inbound", "13871206358", "8001",
    )  # fmt: skip
    assert (first.ring_ms, first.hangup_party, first.recording_encoding) == (3000, "citizen", "alaw")
    assert (second.direction, second.citizen_number, second.seat_extension) == ("outbound", "13971112222", "8002")
    assert second.hangup_party == "citizen"
    assert [s["lost"] for s in first.streams] == [0, 0]
    body = (tmp_path / "recordings" / str(first.recording_path)).read_bytes()[-32_000:]
    stereo = np.frombuffer(body, np.uint8).reshape(-1, 2)
    for channel, sender in enumerate(TALK.senders()):
        assert sender.audio()[:-320] in stereo[:, channel].tobytes()
    sidecar = load_sidecar((tmp_path / "recordings" / str(first.recording_path)).with_suffix(".json"))
    assert sidecar.source is not None and sidecar.source.name == "a.pcapng"
    assert sidecar.sip_call_ids == ("talk-1",)


def test_overlapping_captures_bring_each_call_once(db: Database, tmp_path: Path) -> None:
    other = Talk(call_id="second", start_ms=30_000, answer_ms=31_000)
    first = run(db, save(tmp_path, TALK), direction=Direction.INBOUND)
    again = run(db, save(tmp_path, TALK, other, name="b.pcapng"), direction=Direction.INBOUND)
    assert (len(first.new), len(again.new), again.known) == (1, 1, first.new)


def test_what_cannot_be_imported_is_said(db: Database, tmp_path: Path) -> None:
    unknown_sides = run(db, save(tmp_path, TALK))
    assert "不知道哪一方是坐席（双方是 13871206358、8001）" in unknown_sides.errors[0]
    (tmp_path / "silent.pcap").write_bytes(write_pcap(TALK.signalling()))
    assert "没有它的 RTP 媒体" in run(db, tmp_path / "silent.pcap", seats=["8001"]).errors[0]
    (tmp_path / "no.pcap").write_bytes(b"hello")
    assert "不是抓包文件" in run(db, tmp_path / "no.pcap").errors[0]
    (tmp_path / "rtp.pcap").write_bytes(write_pcap(TALK.media()))
    assert "没有找到 SIP 通话" in run(db, tmp_path / "rtp.pcap").errors[0]
    (tmp_path / "busy.pcap").write_bytes(write_pcap(TALK.signalling("INVITE", "486", "ACK")))
    assert run(db, tmp_path / "busy.pcap").notes == ["busy.pcap：1 个呼叫没有接通，没有录音可导入"]
    secret = save(tmp_path, Talk(profile="RTP/SAVP"), name="secret.pcapng")
    assert "媒体是加密的" in run(db, secret, seats=["8001"]).errors[0]
    assert "没有这个文件" in run(db, tmp_path / "gone.pcap").errors[0]


def recorded(tmp_path: Path, db: Database) -> str:
    """A call as the recorder leaves it: spool, master, sidecar, row."""
    spool = tmp_path / "recordings" / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    records = call([*Sender(0, 50).records(), *Sender(1, 50, seed=2, ssrc=7).records()], 1000)
    path = spool / f"{records[0].call_id}.spool"  # type: ignore[union-attr]
    path.write_bytes(spool_bytes(records))
    finalise(tmp_path / "recordings", path, recovered=False)
    return ingest_lost(db, recordings=tmp_path / "recordings", now_ms=NOW_MS).completed[0]


def test_a_spool_is_exported_and_imports_as_the_same_audio(db: Database, tmp_path: Path) -> None:
    call_id = recorded(tmp_path, db)
    spool = tmp_path / "recordings" / "spool"
    data = export_pcap(db, call_id, spool=spool, keep_days=7, actor="admin", now_ms=NOW_MS)
    assert is_capture(data)
    (tmp_path / "x.pcap").write_bytes(data)
    result = run(db, tmp_path / "x.pcap", seats=["96510"], direction=Direction.INBOUND)
    folder = tmp_path / "recordings"
    before, after = (read_audio(folder / str(call_of(db, c).recording_path)) for c in (call_id, result.new[0]))
    assert np.array_equal(before.samples, after.samples)
    with db.read() as session:
        assert "call.export_pcap" in [entry.action for entry in session.exec(select(AuditEntry))]


def test_export_says_why_there_is_nothing_any_more(db: Database, tmp_path: Path) -> None:
    call_id = recorded(tmp_path, db)
    spool = tmp_path / "recordings" / "spool"
    shutil.rmtree(spool)
    with pytest.raises(StoreError, match=r"已经清理.*只保留 7 天"):
        export_pcap(db, call_id, spool=spool, keep_days=7, actor="admin", now_ms=NOW_MS)
    with pytest.raises(StoreError, match=r"没有通话 \.\./x"):
        export_pcap(db, "../x", spool=spool, keep_days=7, actor="admin", now_ms=NOW_MS)
    imported = run(db, save(tmp_path, TALK), seats=["8001"]).new[0]
    with pytest.raises(StoreError, match="是导入的"):
        export_pcap(db, imported, spool=spool, keep_days=7, actor="admin", now_ms=NOW_MS)


def test_the_two_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "callqa.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    capture = save(tmp_path, TALK)
    assert main(["import", str(capture), "--seat", "8001", "--map", "流水=录音文件"]) == 0
    assert "导入 1 通，已有 0 通" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "nowhere")]) == 1
    assert "没有这个文件或文件夹" in capsys.readouterr().err
    assert main(["import", str(capture), "--map", "流水"]) == 1
    migrate(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}")
    call_id = recorded(tmp_path, Database(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"))
    assert main(["export", "--pcap", call_id, "--out", "call.pcap"]) == 0
    assert is_capture((tmp_path / "call.pcap").read_bytes())
    assert main(["export", "--pcap", "X1"]) == 1
    assert "没有通话 X1" in capsys.readouterr().err
