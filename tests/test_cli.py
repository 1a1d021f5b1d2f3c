"""The command line: refusals in Chinese, the settings file before or after the verb."""

from pathlib import Path

import pytest

from callqa.cli import _parser, main


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
