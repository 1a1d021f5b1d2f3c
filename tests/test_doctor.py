"""What `callqa doctor` says of the desk's inbound settings."""

from pathlib import Path

import numpy as np
import pytest

from callqa.audiofile import wav_bytes
from callqa.config import load_settings
from callqa.desk import save_desk
from callqa.doctor import Finding, examine
from tests.recorder.harness import make_desk


def found(folder: Path, **routing: object) -> dict[str, Finding]:
    settings = load_settings(folder / "callqa.toml", {})
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    made = make_desk(["8001"])
    save_desk(settings.desk_path, made.model_copy(update={"routing": made.routing.model_copy(update=routing)}))
    return {f.subject: f for f in examine(settings, folder / "callqa.toml")}


def test_prompts_that_are_missing_bad_or_there(tmp_path: Path):
    (tmp_path / "callqa.toml").write_text("")
    said = found(tmp_path, notice="notice.wav")["录音告知"]
    assert said.level == "missing" and "notice.wav" in said.text and "var/prompts" in said.remedy
    folder = tmp_path / "var" / "prompts"
    folder.mkdir()
    (folder / "notice.wav").write_bytes(wav_bytes(np.ones((12_000, 1), np.int16), 8000))
    (folder / "music.mp3").write_bytes(b"no audio")
    both = found(tmp_path, notice="notice.wav", queue_music="music.mp3")
    assert (both["录音告知"].level, both["录音告知"].text) == ("well", "notice.wav，1.5 秒")
    assert both["排队音乐"].level == "missing"
    assert "录音告知" not in found(tmp_path), "none is configured"


def test_a_folder_that_cannot_be_made_is_missing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "callqa.toml").write_text('[paths]\nrecordings = "file/recordings"\n')
    said = found(tmp_path)
    assert said["录音文件夹"].level == "missing" and "不是文件夹" in said["录音文件夹"].text
    assert said["数据文件夹"].level == "well"
    assert not list(tmp_path.glob("var/tmp*")), "nothing is left of the trial"


def test_a_number_outside_the_dial_plan_is_no_overflow(tmp_path: Path):
    (tmp_path / "callqa.toml").write_text("")
    assert found(tmp_path, overflow_number="13900001111")["溢出号码"].level == "well"
    assert "拨号方案" in found(tmp_path, overflow_number="00180055")["溢出号码"].text


def test_remedies_name_the_installation_that_was_looked_at(tmp_path: Path):
    """Typed as they stand they must not look at, or make, another installation."""
    path = tmp_path / "callqa.toml"
    path.write_text("")
    said = found(tmp_path)
    assert said["数据库"].remedy == f"运行 ./run callqa --config {path} up 或 ./run callqa --config {path} migrate"
    assert said["录音服务"].remedy == f"运行 ./run callqa --config {path} up"
    model = said["语音模型"]
    for text in (model.text, model.remedy):
        assert f"callqa --config {path} model install" in text and "callqa model" not in text


def test_remedies_of_the_installation_at_hand_stay_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("callqa.toml"), {})
    said = {f.subject: f for f in examine(settings, Path("callqa.toml"))}
    assert said["数据库"].remedy == "运行 ./run up 或 ./run callqa migrate"
