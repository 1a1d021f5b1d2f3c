"""The command line: refusals in Chinese, the settings file before or after the verb."""

from pathlib import Path

import pytest

from callqa.cli import _parser, main
from callqa.store.db import Database
from callqa.usecases import progress
from callqa.usecases.ingest import ingest
from callqa.usecases.transcribe import transcribe
from tests.usecases.recorded import BASE_MS, FakeEngine, Recorder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "缺少“命令”"),
        (["docter"], "您是不是想写“doctor”？"),
        (["xyz"], "没有“xyz”这个命令；可用的有 up"),
        (["model"], "缺少“动作”"),
        (["model", "instal"], "您是不是想写“install”？"),
        (["import-tickets"], "缺少“文件”"),
        (["up", "--port", "5"], "不认识“--port 5”"),
        (["up", "--config"], "--config 后面要写一个值"),
    ],
)
def test_a_wrong_command_line_is_refused_in_chinese(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "用法：callqa" in complaint
    assert "usage" not in complaint


def test_the_settings_file_may_be_named_before_or_after_the_verb() -> None:
    assert _parser().parse_args(["--config", "a.toml", "up"]).config == "a.toml"
    assert _parser().parse_args(["up", "--config", "b.toml"]).config == "b.toml"
    assert _parser().parse_args(["up"]).config == "callqa.toml"


def test_a_refused_setting_is_one_sentence_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "callqa.toml"
    path.write_text("[sip]\nlisten_port = 'x'\n", encoding="utf-8")
    assert main(["--config", str(path), "doctor"]) == 2
    assert capsys.readouterr().err.startswith(f"设置有误：{path} 里的设置“sip.listen_port”应为整数")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "callqa.toml"
    assert main(["--config", str(path), "import-tickets", str(tmp_path / "none.csv")]) == 1
    assert "none.csv 读不了：不存在" in capsys.readouterr().err


def test_transcription_is_asked_for_again_and_its_progress_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    verb = ["--config", str(tmp_path / "callqa.toml"), "transcribe"]
    assert main(verb) == 0
    assert "排队 0，进行中 0，完成 0" in capsys.readouterr().out
    assert main([*verb, "--again"]) == 2 and "--month" in capsys.readouterr().err
    assert main([*verb, "--all"]) == 2 and "--again" in capsys.readouterr().err
    assert main([*verb, "--call", "none", "--again"]) == 1 and "none" in capsys.readouterr().err
    recorder = Recorder(tmp_path / "recordings")
    recorder.call("C1")
    db = Database(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    claimed = progress.claim(db, "C1", progress.Stage.TRANSCRIBE, now_ms=BASE_MS)
    assert claimed is not None
    transcribe(db, claimed, engine=FakeEngine(), recordings=recorder.recordings, clock=lambda: BASE_MS)
    assert main([*verb, "--month", "2026-10", "--again", "--no-wait"]) == 0
    assert "已列入队列：0 通" in capsys.readouterr().out
    assert main([*verb, "--month", "2026-10", "--again"]) == 0, "nothing to wait for"
    said = capsys.readouterr().out
    assert "完成 1" in said and "最近 1 通（fake 1）：转写一分钟通话用 CPU" in said
    assert main([*verb, "--month", "2026-11", "--again", "--no-wait"]) == 0
    said = capsys.readouterr().out
    assert "已列入队列：1 通" in said and "排队 1" in said and "还有录音" in said
    db.dispose()
