"""Captures become calls in the database; a call's spool goes back to Wireshark while it is there."""

import base64
import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import read_audio
from callqa.cli import main
from callqa.errors import StoreError
from callqa.sidecar import load_sidecar
from callqa.sip.media.layers import read_datagrams, udp_frame
from callqa.sip.media.pcap import is_capture, write_pcap
from callqa.sip.media.srtp import Locker
from callqa.sip.process.finalize import finalise
from callqa.sip.wire.sdes import AES_80
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import AuditEntry, Call
from callqa.units import Direction
from callqa.usecases.export_pcap import export_pcap
from callqa.usecases.import_calls import ImportResult
from callqa.usecases.import_pcap import import_captures
from callqa.usecases.ingest import ingest_lost
from tests.media.builders import MS, Sender, call, spool_bytes
from tests.media.captures import T0_NS, Talk, in_time, pcapng
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
    assert "不知道哪一方是坐席" in run(db, tmp_path / "busy.pcap").notes[0]
    (tmp_path / "rings.pcap").write_bytes(write_pcap(TALK.signalling("INVITE", "180")))
    assert "抓包结束时还没有结果" in run(db, tmp_path / "rings.pcap", seats=["8001"]).notes[0]
    secret = save(tmp_path, Talk(profile="RTP/SAVP"), name="secret.pcapng")
    assert "媒体已加密" in run(db, secret, seats=["8001"]).errors[0]
    assert "没有这个文件" in run(db, tmp_path / "gone.pcap").errors[0]


def test_calls_that_nobody_answered_are_rows_with_their_reason(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "busy.pcap"
    path.write_bytes(write_pcap(TALK.signalling("INVITE", "180", "486", "ACK")))
    first = run(db, path, seats=["8001"])
    row = call_of(db, first.new[0])
    assert (row.outcome, row.outcome_reason, row.direction, row.mode) == ("unanswered", "对方占线", "inbound", "import")
    assert (row.citizen_number, row.seat_extension, row.ring_ms, row.recording_status) == (
        "13871206358",
        "8001",
        3000,
        "none",
    )
    again = run(db, path, seats=["8001"])
    assert (again.new, again.known) == ([], first.new)


SUITE = "AES_CM_128_HMAC_SHA1_80"
KEYS = (bytes(range(30)), bytes(range(60, 90)))


def encrypted(tmp_path: Path, *, keys: tuple[bytes, bytes] = KEYS, told: tuple[bytes, bytes] = KEYS) -> Path:
    """A capture of an encrypted call. keys: what media is locked with; told: what stands in the SDP."""
    frames = list(TALK.signalling("180", "ACK", "BYE"))
    for kind, key in (("INVITE", told[0]), ("200", told[1])):
        at_ms, source, destination, message = TALK.message(kind)
        head, _, body = message.partition(b"\r\n\r\n")
        line = f"a=crypto:1 {SUITE} inline:{base64.b64encode(key).decode()}\r\n".encode()
        body = body.replace(b"RTP/AVP", b"RTP/SAVP") + line
        head = b"\r\n".join(x for x in head.split(b"\r\n") if not x.startswith(b"Content-Length"))
        whole = head + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        frames.append(udp_frame(T0_NS + at_ms * MS, source, destination, whole))
    lockers = {TALK.caller_rtp: Locker(AES_80, keys[0]), TALK.callee_rtp: Locker(AES_80, keys[1])}
    for datagram in read_datagrams(TALK.media()):
        data = lockers[datagram.source].lock(datagram.data)
        frames.append(udp_frame(datagram.at_ns, datagram.source, datagram.destination, data))
    path = tmp_path / "srtp.pcapng"
    path.write_bytes(pcapng(in_time(frames)))
    return path


def audio_of(db: Database, tmp_path: Path, call_id: str) -> np.ndarray:
    body = (tmp_path / "recordings" / str(call_of(db, call_id).recording_path)).read_bytes()[-32_000:]
    return np.frombuffer(body, np.uint8).reshape(-1, 2)


def test_an_encrypted_call_is_read_with_the_keys_in_its_signalling(db: Database, tmp_path: Path) -> None:
    result = run(db, encrypted(tmp_path), seats=["8001"])
    assert (result.errors, result.notes) == ([], [])
    stereo = audio_of(db, tmp_path, result.new[0])
    for channel, sender in enumerate(TALK.senders()):
        assert sender.audio()[:-320] in stereo[:, channel].tobytes()
    sidecars = b"".join(p.read_bytes() for p in (tmp_path / "recordings").rglob("*") if p.is_file())
    assert not any(base64.b64encode(key) in sidecars or key in sidecars for key in KEYS)


def test_keys_that_do_not_fit_are_said(db: Database, tmp_path: Path) -> None:
    other = (bytes(30), bytes(range(30, 60)))
    assert "密钥都对不上" in run(db, encrypted(tmp_path, keys=other), seats=["8001"]).errors[0]
    result = run(db, encrypted(tmp_path, keys=(KEYS[0], other[1])), seats=["8001"])
    assert "100 个加密的媒体包解不开" in result.notes[0] and len(result.new) == 1


def test_media_without_signalling_is_taken_when_asked_for(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rtp.pcap"
    path.write_bytes(write_pcap(TALK.media()))
    assert "--bare-rtp" in run(db, path).errors[0]
    result = run(db, path, bare_rtp=True)
    row = call_of(db, result.new[0])
    assert (row.direction, row.citizen_number, row.seat_extension, row.outcome) == ("inbound", "", None, "answered")
    stereo = audio_of(db, tmp_path, result.new[0])
    for channel, sender in enumerate(TALK.senders()):
        assert sender.audio()[:-320] in stereo[:, channel].tobytes()
    assert run(db, path, bare_rtp=True).known == result.new


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
    assert main(["import", str(capture), "--map", "流水"]) == 2
    migrate(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}")
    call_id = recorded(tmp_path, Database(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"))
    assert main(["export", "--pcap", call_id, "--out", "call.pcap"]) == 0
    assert is_capture((tmp_path / "call.pcap").read_bytes())
    assert main(["export", "--pcap", "X1"]) == 1
    assert "没有通话 X1" in capsys.readouterr().err
