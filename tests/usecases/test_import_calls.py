"""Recordings made elsewhere become calls: masters, facts, idempotence, and one clear sentence for each bad file."""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import read_audio, wav_bytes
from callqa.errors import ImportFileError
from callqa.sidecar import load_sidecar
from callqa.sip.media.wav import wav_header
from callqa.store.db import Database
from callqa.store.tables import Agent, AuditEntry, Call, CallProgress, TranscriptRow, UtteranceRow
from callqa.usecases.import_calls import facts_of_name, import_calls, load_mapping, read_master, save_mapping
from callqa.usecases.ingest import ingest_lost
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import STAGES
from callqa.usecases.work import EngineSlot, Work
from tests.store_fixture import make_database
from tests.usecases.recorded import FakeEngine
from tests.usecases.test_load_rubric import DEFAULT

NOW_MS = 1_793_670_000_000
START_MS = 1_793_664_870_000  # 2026-11-03 08:14:30 in Shanghai


def tone(hertz: float, seconds: float = 1.0, rate: int = 8000) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


STEREO = np.stack([tone(300), tone(500)], axis=1)


def save_encoded(path: Path, samples: np.ndarray, codec: str, rate: int, layout: str = "mono") -> None:
    """Any container PyAV writes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


@dataclass
class Office:
    """A folder to import from and an installation to import into."""

    folder: Path
    recordings: Path
    db: Database

    def go(self, *paths: Path, **options):
        return import_calls(
            self.db, paths or [self.folder], recordings=self.recordings, actor="admin", now_ms=NOW_MS, **options
        )

    def wav(self, name: str, samples: np.ndarray = STEREO, rate: int = 8000) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(samples, rate))
        return path

    def table(self, text: str, name: str = "清单.csv") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def call(self, call_id: str) -> Call:
        with self.db.read() as session:
            found = session.get(Call, call_id)
        assert found is not None
        return found

    def actions(self) -> list[str]:
        with self.db.read() as session:
            return [entry.action for entry in session.exec(select(AuditEntry)).all()]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    folder, recordings = tmp_path / "in", tmp_path / "recordings"
    folder.mkdir()
    recordings.mkdir()
    return Office(folder, recordings, make_database(tmp_path))


FACTS = """录音文件,开始时间,接通时间,主叫号码,被叫号码,呼叫方向,工号,分机,工单号,挂机方
a.wav,2026-11-03 08:14:30,2026-11-03 08:14:36,138-7120-6358,027-84770000,呼入,801,8001,SW202611030001,市民
b,2026-11-03 09:00:00,,8002,13971112222,呼出,,8002,,
"""


def test_a_folder_with_a_table_becomes_calls_with_all_its_facts(office: Office) -> None:
    with office.db.write() as session:
        session.add(Agent(agent_no="801", name="李娜"))
    office.wav("a.wav")
    office.wav("b.wav", np.stack([tone(310), tone(510)], axis=1))
    office.table(FACTS)
    result = office.go()
    assert (len(result.new), result.known, result.errors, result.notes) == (2, [], [], [])
    first, second = (office.call(call_id) for call_id in sorted(result.new))
    assert (first.mode, first.direction, first.call_type, first.outcome) == ("import", "inbound", "inbound", "answered")
    assert (first.citizen_number, first.from_number, first.to_number) == ("13871206358", "13871206358", "02784770000")
    assert (first.seat_extension, first.ticket_hint, first.hangup_party) == ("8001", "SW202611030001", "citizen")
    assert (first.started_at_ms, first.ring_ms, first.duration_ms) == (START_MS, 6000, 1000)
    assert (first.agent_no, first.attribution_source) == ("801", "manual")
    assert "清单.csv 第 2 行" in first.attribution_reason
    assert (first.recording_status, first.recording_encoding, first.n_samples) == ("ok", "pcm16", 8000)
    assert (second.direction, second.citizen_number, second.seat_extension) == ("outbound", "13971112222", "8002")
    assert second.hangup_party is None
    assert second.ring_ms is None, "the table does not say how long it rang"
    master = read_audio(office.recordings / str(first.recording_path))
    assert np.array_equal(master.samples, STEREO)
    with office.db.read() as session:
        stages = session.exec(select(CallProgress).where(CallProgress.call_id == first.call_id)).all()
    assert {s.state for s in stages} == {"wanted"}, "the normal pipeline goes on from here"


def test_the_same_bytes_are_taken_in_once_under_any_name(office: Office) -> None:
    office.wav("a.wav")
    first = office.go()
    office.wav("elsewhere/copy.wav")
    again = office.go()
    assert again.new == [] and set(again.known) == set(first.new)
    assert office.actions().count("call.import") == 1
    assert len(list(office.recordings.rglob("*.wav"))) == 1


def test_an_agent_registered_later_is_set_by_importing_again(office: Office) -> None:
    office.wav("a.wav")
    office.wav("b.wav", np.stack([tone(310), tone(510)], axis=1))
    office.table(FACTS)
    result = office.go()
    assert "工号 801 还没有登记" in result.notes[0]
    with office.db.write() as session:
        session.add(Agent(agent_no="801", name="李娜"))
    again = office.go()
    assert again.notes == [] and not again.new
    assert office.call(min(again.known)).agent_no == "801"


def test_a_cut_off_import_is_finished_by_the_worker_or_by_importing_again(office: Office) -> None:
    """Master and sidecar are on disk, the database knows nothing: either way it becomes one call."""
    office.wav("a.wav")
    call_id = office.go().new[0]
    other = make_database(office.folder.parent / "recordings")
    found = ingest_lost(other, recordings=office.recordings, now_ms=NOW_MS)
    assert found.completed == (call_id,)


@pytest.mark.parametrize("law", ["alaw", "ulaw"])
def test_g711_keeps_its_bytes(law) -> None:
    body = np.random.default_rng(7).integers(0, 256, (4000, 2), np.uint8)
    made = read_master(wav_header(law, 4000) + body.tobytes(), "x.wav")
    assert made.encoding == law
    assert np.array_equal(made.samples, body)
    swapped = read_master(wav_header(law, 4000) + body.tobytes(), "x.wav", swap=True)
    assert np.array_equal(swapped.samples, body[:, ::-1])


def test_a_mono_file_stays_mono_and_says_so(office: Office) -> None:
    office.wav("20261103-081430_13871206358.wav", tone(300))
    result = office.go()
    call = office.call(result.new[0])
    sidecar = load_sidecar(office.recordings / str(call.recording_path).replace(".wav", ".json"))
    assert sidecar.recording is not None and sidecar.recording.channels == 1
    assert "单声道录音，转写不区分说话人" in call.faults
    assert (call.started_at_ms, call.citizen_number) == (START_MS, "13871206358")


def test_a_file_that_was_cut_off_is_taken_in_and_says_so(office: Office) -> None:
    whole = wav_bytes(np.tile(STEREO, (20, 1)), 8000)
    assert read_master(whole, "x.wav").notes == ()
    (office.folder / "cut.wav").write_bytes(whole[: len(whole) // 4])
    result = office.go()
    assert len(result.new) == 1
    assert "cut.wav：录音文件不完整，缺了末尾 15秒；请向导出的系统核对，有完整的再导入一次" in result.notes
    unknown = bytearray(whole)
    unknown[40:44] = b"\xff\xff\xff\xff"
    assert read_master(bytes(unknown), "x.wav").notes == (), "a writer that was killed knew no length"


def test_two_equal_sides_are_one(office: Office) -> None:
    office.wav("a.wav", np.stack([tone(300), tone(300)], axis=1))
    call = office.call(office.go().new[0])
    assert "两个声道内容相同" in call.faults[0]
    assert read_audio(office.recordings / str(call.recording_path)).n_channels == 1


def test_the_table_or_the_option_says_who_is_left(office: Office) -> None:
    office.wav("a.wav")
    office.wav("b.wav", np.stack([tone(310), tone(510)], axis=1))
    office.table("录音,开始时间,左声道\na.wav,2026-11-03 08:14:30,坐席\nb.wav,2026-11-03 09:14:30,\n")
    calls = [office.call(c) for c in sorted(office.go().new)]
    swapped, kept = (read_audio(office.recordings / str(c.recording_path)).samples for c in calls)
    assert np.array_equal(swapped, STEREO[:, ::-1])
    assert np.array_equal(kept[:, 0], tone(310))


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.mp3", "mp3", 16000), ("a.ogg", "libopus", 16000), ("a.flac", "flac", 8000), ("a.m4a", "aac", 16000)],
)
def test_any_format_that_pyav_opens(office: Office, name, codec, rate) -> None:
    save_encoded(office.folder / name, tone(300, rate=rate), codec, rate)
    result = office.go()
    assert result.errors == []
    call = office.call(result.new[0])
    assert 900 <= (call.duration_ms or 0) <= 1200


def test_bad_files_and_rows_get_a_sentence_each_and_the_good_go_on(office: Office) -> None:
    office.wav("good.wav")
    (office.folder / "text.mp3").write_text("这不是录音" * 100, encoding="utf-8")
    (office.folder / "empty.wav").write_bytes(b"")
    (office.folder / "half.wav.part").write_bytes(b"RIFF")
    (office.folder / "说明.docx").write_bytes(b"PK")
    (office.folder / "six.wav").write_bytes(wav_header("pcm16", 100, channels=6) + struct.pack("<600h", *range(600)))
    office.table(
        "录音文件,开始时间,方向\ngood.wav,2026-11-03 08:14:30,呼入\nnone.wav,2026-11-03 08:14:30,呼入\n"
        "text.mp3,昨天,呼入\nempty.wav,2026-11-03 08:14:30,横向\n,2026-11-03 08:14:30,\nsix.wav,,\n"
    )
    result = office.go()
    assert len(result.new) == 1
    text = "\n".join(result.errors)
    for expected in (
        "第 3 行“录音文件”：找不到 none.wav",
        "第 4 行“开始时间”：看不懂时间“昨天”",
        "第 5 行“方向”：“横向”不是方向；应为呼入、呼出之一",
        "第 6 行“录音文件”：是空的",
        "第 7 行“开始时间”：是空的",
        "text.mp3 不是能识别的音频",
        "empty.wav 是空的",
        "six.wav 有 6 个声道",
    ):
        assert expected in text, text
    assert len(result.errors) == 8
    assert any("说明.docx" in note for note in result.notes)


def test_a_table_of_something_else_is_refused_with_what_is_missing(office: Office) -> None:
    office.table("工单编号,标题\nSW1,漏水\n")
    office.wav("a.wav")
    result = office.go()
    assert len(result.new) == 1
    assert "缺少“录音文件”列" in result.errors[0]


def test_json_beside_each_recording_and_one_list_for_all(office: Office) -> None:
    office.wav("a.wav")
    office.wav("b.wav", np.stack([tone(310), tone(510)], axis=1))
    (office.folder / "a.json").write_text(
        json.dumps({"开始时间": START_MS, "客户号码": 13871206358, "方向": "呼出", "分机": 8003}), encoding="utf-8"
    )
    (office.folder / "all.json").write_text(
        json.dumps(
            {
                "calls": [
                    {"recording": "D:\\录音\\b.wav", "started_at": "2026-11-03 10:00:00", "from_number": "13971112222"}
                ]
            }
        ),
        encoding="utf-8",
    )
    result = office.go()
    assert result.errors == []
    first, second = (office.call(c) for c in sorted(result.new))
    assert (first.started_at_ms, first.citizen_number, first.seat_extension) == (START_MS, "13871206358", "8003")
    assert second.citizen_number == "13971112222"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"x"', "[]", "{}", "[" * 100_000])
def test_a_json_that_is_no_list_of_calls_is_refused(office: Office, text: str) -> None:
    office.wav("good.wav")
    (office.folder / "x.json").write_text(text)
    result = office.go()
    assert len(result.new) == 1 and len(result.errors) == 1
    assert "x.json" in result.errors[0]


def test_a_column_mapping_is_saved_and_used_from_then_on(office: Office) -> None:
    office.wav("a.wav")
    office.table("流水,时刻,主叫\na.wav,2026-11-03 08:14:30,8001\n")
    assert "缺少“录音文件”列" in office.go().errors[0]
    save_mapping(office.db, {"流水": "录音文件", "时刻": "started_at", "主叫": "座席"}, actor="admin", now_ms=NOW_MS)
    assert load_mapping(office.db)["流水"] == "recording"
    office.wav("a.wav", np.stack([tone(320), tone(520)], axis=1))
    result = office.go()
    assert result.errors == []
    call = office.call(result.new[0])
    assert (call.started_at_ms, call.seat_extension, call.from_number) == (START_MS, "8001", "")
    with pytest.raises(ImportFileError, match="没有“天气”这一列"):
        save_mapping(office.db, {"x": "天气"}, actor="admin", now_ms=NOW_MS)


def test_names_in_several_folders_need_the_folder(office: Office) -> None:
    office.wav("mon/a.wav")
    office.wav("tue/a.wav", np.stack([tone(310), tone(510)], axis=1))
    office.table("录音文件,开始时间\nmon/a.wav,2026-11-03 08:14:30\na.wav,2026-11-04 08:14:30\n")
    result = office.go()
    assert any("有 2 个叫 a.wav 的文件" in e for e in result.errors)
    assert START_MS in [office.call(c).started_at_ms for c in result.new]


def test_a_table_cannot_reach_outside_its_folder(office: Office, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav_bytes(STEREO, 8000))
    office.table("录音文件,开始时间\n../secret.wav,2026-11-03 08:14:30\n/etc/passwd,2026-11-03 08:14:30\n")
    result = office.go()
    assert result.new == [] and len(result.errors) == 2


@pytest.mark.parametrize(
    ("name", "start_ms", "number"),
    [
        ("20261103081430.wav", START_MS, ""),
        ("2026-11-03_08-14-30 来电13871206358.mp3", START_MS, "13871206358"),
        ("13871206358_20261103-081430_8001.wav", START_MS, "13871206358"),
        ("20261399-081430.wav", 5, ""),
        ("voice.wav", 5, ""),
    ],
)
def test_what_a_file_name_tells(name, start_ms, number) -> None:
    facts = facts_of_name(name, 5)
    assert (facts.started_at_ms, facts.citizen_number) == (start_ms, number)


def test_a_missing_path_and_an_unreadable_file(office: Office) -> None:
    result = office.go(office.folder / "nowhere")
    assert "没有这个文件或文件夹" in result.errors[0]
    office.wav("a.wav")
    os.symlink(office.folder / "gone.wav", office.folder / "link.wav")
    assert len(office.go().new) == 1


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_an_imported_call_goes_through_every_stage(office: Office, channels: int, rate: int) -> None:
    """Also a mono one, whose speakers nobody can tell apart."""
    samples = np.stack([tone(300, 3.0, rate), tone(500, 3.0, rate)], axis=1)[:, :channels]
    call_id = office.go(office.wav("a.wav", samples, rate)).new[0]
    load_rubric(office.db, DEFAULT, now_ms=NOW_MS)
    work = Work(office.db, office.recordings, EngineSlot(FakeEngine), clock=lambda: NOW_MS)
    assert [work.run_stage(call_id, stage) for stage in STAGES] == ["done"] * 4
    with office.db.read() as session:
        (transcript,) = session.exec(select(TranscriptRow)).all()
        speakers = {row.speaker for row in session.exec(select(UtteranceRow)).all()}
    assert transcript.separated is (channels == 2)
    assert speakers == ({"unknown"} if channels == 1 else {"citizen", "agent"})
