"""来电路由 and 提示音: nothing gets in that the recorder could not do, and the reason is said in the page's words."""

import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import decode_audio, read_audio, wav_bytes
from callqa.desk import DeskRouting, load_desk
from callqa.errors import AudioError, ConfigError, StateError
from callqa.store.tables import AuditEntry
from callqa.usecases.desk import load_routing, publish_desk, set_dial_plan, set_trunks
from callqa.usecases.prompts import MUSIC_MOST_S, find_prompt, list_prompts, remove_prompt, save_prompt
from callqa.usecases.routing import set_routing
from callqa.web.call_path import call_path
from tests.usecases.ticket_office import T0, make_office

WHO = {"actor": "管理员", "now_ms": T0}


@pytest.fixture
def db(tmp_path):
    db = make_office(tmp_path)
    set_trunks(db, [{"name": "电信", "addresses": [], "host": "10.1.2.3"}], **WHO)
    set_dial_plan(db, [{"pattern": r"1[3-9]\d{9}", "trunk": "电信"}], **WHO)
    return db


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "prompts"


def tone(seconds=2.0, rate=44_100, channels=2, peak=8000):
    wave = (peak * np.sin(2 * np.pi * 500 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)
    return wav_bytes(np.stack([wave] * channels, axis=1), rate)


def mp3(seconds=3.0) -> bytes:
    import io

    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        wave = (8000 * np.sin(2 * np.pi * 500 * np.arange(round(seconds * 44_100)) / 44_100)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None, :], format="s16p", layout="mono")
        frame.sample_rate = 44_100
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return out.getvalue()


def test_everything_that_can_be_set_reaches_the_recorder(db, folder, tmp_path):
    save_prompt(db, folder, "告知.wav", tone(), **WHO)
    save_prompt(db, folder, "音乐.wav", tone(), **WHO)
    wanted = DeskRouting(
        inbound_mode="bridge", ring_timeout_s=40, hotline_number="96510", ring_strategy="fixed", ring_each_s=12,
        seat_order=("8002", "8001"), queue_most=6, queue_wait_s=240, queue_music="音乐.wav", queue_announce=False,
        overflow_number="13900001234", notice="告知.wav", early_prompts=False, pause_allowed=True, pause_longest_s=60,
        seat_encryption="optional",
    )  # fmt: skip
    given = {
        k: str(v) if isinstance(v, int) else v for k, v in wanted.model_dump(mode="json").items()
    }  # as a form has it
    assert set_routing(db, given, prompts_dir=folder, **WHO) == wanted
    assert publish_desk(db, tmp_path / "desk.json", T0).routing == load_desk(tmp_path / "desk.json").routing == wanted
    assert set(wanted.model_dump()) == set(DeskRouting.model_fields)
    unchanged = {n for n, v in wanted.model_dump().items() if v == getattr(DeskRouting(), n)}
    assert unchanged == {"inbound_mode"}, "every field is really set by this test"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ring_timeout_s": "3"}, "振铃上限（秒） 应不小于 5（收到 '3'）"),
        ({"queue_most": "x"}, "排队人数上限 应为整数"),
        ({"ring_strategy": "random"}, "振铃方式 只能是"),
        ({"dance": 1}, "dance 没有这一项"),
        ({"ring_strategy": "fixed", "ring_each_s": 60, "ring_timeout_s": 30}, "轮不到第二席"),
        ({"seat_order": ["8001", "8099"]}, "“8099”不是席位"),
        ({"seat_order": ["8001", "8001"]}, "写了不止一次"),
        ({"overflow_number": "abc"}, "溢出号码“abc”不合法"),
        ({"overflow_number": "110"}, "溢出号码 110 拨不出去：号码“110”不在拨号方案内"),
        ({"overflow_number": "13900001234", "hotline_number": "13900001234"}, "会绕回来"),
        ({"notice": "没有.wav"}, "录音告知选的“没有.wav”不在提示音里"),
        ({"queue_music": "../secret.wav"}, "排队音乐"),
    ],
)
def test_what_could_not_work_is_refused_in_the_words_of_the_page(db, folder, change, part):
    with pytest.raises(ConfigError) as refused:
        set_routing(db, change, prompts_dir=folder, **WHO)
    assert part in str(refused.value)
    with db.read() as session:
        assert load_routing(session) == DeskRouting()


def test_a_notice_of_five_minutes_is_refused(db, folder):
    save_prompt(db, folder, "长.wav", tone(300, 8000, 1), **WHO)
    with pytest.raises(ConfigError, match=r"录音告知“长\.wav”长 300 秒，最多 120 秒"):
        set_routing(db, {"notice": "长.wav"}, prompts_dir=folder, **WHO)
    set_routing(db, {"queue_music": "长.wav"}, prompts_dir=folder, **WHO)


def test_the_dial_plan_keeps_the_way_to_the_overflow_number(db):
    set_routing(db, {"overflow_number": "13900001234"}, **WHO)
    with pytest.raises(ConfigError, match="溢出号码 13900001234 拨不出去"):
        set_dial_plan(db, [], **WHO)
    with pytest.raises(ConfigError, match="溢出号码 13900001234 拨不出去"):
        set_trunks(db, [{"name": "电信", "addresses": ["10.1.2.3"], "host": ""}], **WHO)
    set_dial_plan(db, [{"pattern": r"\d{11}", "trunk": "电信"}], **WHO)
    set_routing(db, {"overflow_number": ""}, **WHO)
    set_dial_plan(db, [], **WHO)


@pytest.mark.parametrize(
    ("name", "data"), [("告知.wav", tone()), ("告知.MP3", mp3()), ("C:\\录音\\告知.wav", tone(rate=8000, channels=1))]
)
def test_any_audio_becomes_what_telephones_play(db, folder, name, data):
    made = save_prompt(db, folder, name.replace("\\", "/"), data, **WHO)
    assert made.name == "告知.wav" and list_prompts(folder) == (made,)
    audio = read_audio(folder / made.name)
    assert (audio.sample_rate_hz, audio.n_channels) == (8000, 1)
    assert abs(audio.duration_ms - made.duration_ms) <= 1
    middle = audio.samples[4000:12_000, 0].astype(float)
    assert abs(int(np.argmax(np.abs(np.fft.rfft(middle)))) * 8000 / middle.size - 500) < 2
    assert 5000 < np.abs(middle).max() < 9500
    assert decode_audio((folder / made.name).read_bytes(), "x").samples.dtype == np.int16


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("a.wav", b"", "是空的"),
        ("a.wav", b"hello", "不是能识别的音频"),
        ("a.wav", tone(0.1), "不到 0.3 秒"),
        ("a.wav", tone(peak=3), "全程静音"),
        ("a.wav", tone(MUSIC_MOST_S + 1, 8000, 1), "超过 10 分钟"),
        ("a.wav", b"RIFF" + b"x" * (20 << 20), "超过 20 MB"),
        (".wav", tone(), "不能用"),
        ("../x.wav", tone(), ""),
        ("长" * 61 + ".wav", tone(), "不能用"),
        ("a\x00b.wav", tone(), "不能用"),
    ],
)
def test_what_is_no_prompt_is_refused_and_nothing_is_left(db, folder, name, data, part):
    if not part:  # a path is only its last part
        assert save_prompt(db, folder, name, data, **WHO).name == "x.wav"
        assert [p.name for p in folder.iterdir()] == ["x.wav"]
        return
    with pytest.raises(AudioError, match=part):
        save_prompt(db, folder, name, data, **WHO)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_prompt_in_use_stays_and_everything_is_in_the_audit_chain(db, folder):
    save_prompt(db, folder, "告知.wav", tone(), **WHO)
    save_prompt(db, folder, "告知.wav", tone(1.0), **WHO)
    set_routing(db, {"notice": "告知.wav"}, prompts_dir=folder, **WHO)
    with pytest.raises(StateError, match="正用作录音告知"):
        remove_prompt(db, folder, "告知.wav", **WHO)
    set_routing(db, {}, prompts_dir=folder, **WHO)
    remove_prompt(db, folder, "告知.wav", **WHO)
    assert list_prompts(folder) == () and find_prompt(folder, "告知.wav") is None
    with pytest.raises(StateError, match="没有提示音"):
        remove_prompt(db, folder, "../desk.json", **WHO)
    with db.read() as session:
        entries = [e for e in session.exec(select(AuditEntry)) if e.action.startswith("prompt.")]
    assert [(e.action, e.detail.get("replaced")) for e in entries] == [
        ("prompt.save", False), ("prompt.save", True), ("prompt.remove", None),
    ]  # fmt: skip


def test_the_way_of_a_call_is_told_as_it_is_set():
    plain = call_path(DeskRouting(), {})
    assert [(s.title, s.used) for s in plain] == [
        ("来电", True), ("告知", False), ("振铃", True), ("排队", False), ("溢出", False),
    ]  # fmt: skip
    assert "一起振铃" in plain[2].text and "45 秒" in plain[2].text
    full = call_path(
        DeskRouting(
            hotline_number="96510", ring_strategy="fixed", seat_order=("8002",), queue_most=5, queue_wait_s=90,
            queue_music="曲.wav", notice="告知.wav", early_prompts=False, overflow_number="13900001234",
        ),
        {"告知.wav": 12_000},
    )  # fmt: skip
    assert all(step.used for step in full)
    told = "".join(step.text + step.otherwise for step in full)
    for text in (
        "96510",
        "“告知”（12秒）",
        "先应答再播放",
        "按 8002 的顺序",
        "最多 5 人",
        "1分30秒",
        "“曲”（文件不见了）",
        "转到 13900001234",
    ):
        assert text in told, text
    assert len(call_path(DeskRouting(inbound_mode="answer"), {})) == 2
