"""The command line: refusals in Chinese, the settings file before or after the verb."""

import re
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from callqa.arguments import width_of
from callqa.cli import _parser, main
from callqa.store.db import Database
from callqa.store.tables import Account
from callqa.usecases import progress
from callqa.usecases.accounts import password_fits
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
        (["transcribe", "--month", "2026-13"], "--month：月份 2026-13 不存在；请写成 2026-11"),
        (["transcribe", "--month", "上月"], "--month：看不懂月份“上月”"),
        (["reconcile", "--cdr", "x", "--from", "2026-11-31"], "--from：看不懂日期“2026-11-31”"),
        (["reconcile", "--cdr", "x", "--tolerance", "-5"], "--tolerance：“-5”不合用；请写整秒数"),
        (["reconcile", "--cdr", "x", "--tolerance", "0"], "--tolerance：“0”不合用"),
        (["search", "--speaker", "李", "水"], "--speaker：没有“李”这个选择；请写 诉求人 或 坐席"),
        (["import", "--direction", "x", "a.pcap"], "请写 呼入 或 呼出"),
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


def test_every_help_has_a_straight_right_column() -> None:
    parser = _parser()
    verbs = next(a for a in parser._actions if a.dest == "verb").choices
    assert isinstance(verbs, dict) and len(verbs) > 10
    for each in (parser, *verbs.values()):
        usage, _, rest = each.format_help().partition("\n\n")
        assert usage.startswith("用法：") and "usage" not in usage
        rows = [re.fullmatch(r"( {2,4}\S.*?) {2,}(\S.*)", line) for line in rest.split("\n")]
        starts = {width_of(row[0]) - width_of(row[2]) for row in rows if row}
        assert len(starts) == 1, each.prog
    assert verbs["export"].format_help().split("\n\n")[0] in verbs["export"].format_usage(), "usage stays as it is"


def test_the_settings_file_may_be_named_before_or_after_the_verb() -> None:
    assert _parser().parse_args(["--config", "a.toml", "up"]).config == "a.toml"
    assert _parser().parse_args(["up", "--config", "b.toml"]).config == "b.toml"
    assert _parser().parse_args(["up"]).config == "", "none named: ./callqa.toml, there or not"


def test_a_refused_setting_is_one_sentence_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "callqa.toml"
    path.write_text("[sip]\nlisten_port = 'x'\n", encoding="utf-8")
    assert main(["--config", str(path), "doctor"]) == 2
    assert capsys.readouterr().err.startswith(f"设置有误：{path} 里的设置“sip.listen_port”应为整数")


def test_a_choice_may_be_written_in_chinese_or_in_our_words() -> None:
    parse = _parser().parse_args
    assert parse(["import", "--left", "坐席", "--direction", "呼出", "a"]).left == "agent"
    assert parse(["import", "--left", "agent", "--direction", "outbound", "a"]).direction == "outbound"
    assert parse(["search", "--speaker", "诉求人", "水"]).speaker == "citizen"


def test_no_installation_is_made_beside_a_misspelt_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "calqa.toml"
    for verb in (["search", "水"], ["migrate"], ["reindex"]):
        assert main(["--config", str(wrong), *verb]) == 2
        assert f"没有设置文件 {wrong}；请检查 --config" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_name_beside_the_settings_file_is_no_new_installation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`up` writes the file it is given; beside callqa.toml that would put a second one over the same recordings."""
    right, wrong = tmp_path / "callqa.toml", tmp_path / "calqa.toml"
    right.write_text("", encoding="utf-8")
    for verb in ("up", "web", "doctor", "migrate"):
        assert main(["--config", str(wrong), verb]) == 2
        assert f"没有设置文件 {wrong}" in (said := capsys.readouterr().err) and f"--config {right}" in said
    assert list(tmp_path.iterdir()) == [right]


def test_no_verb_at_all_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main([])
    said = capsys.readouterr().err
    assert refusal.value.code == 2 and "缺少“命令”" in said and "检查安装：什么正常" in said


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (OSError(28, "No space left on device", "/r/x"), "没有做完：/r/x：磁盘已满；请检查后再运行一次"),
        (ZeroDivisionError("division by zero"), "程序出错（ZeroDivisionError：division by zero）"),
        (OperationalError("insert …", {}, Exception("database or disk is full")), "数据库出错：磁盘已满；请运行"),
    ],
)
def test_what_nobody_foresaw_is_a_sentence_and_no_traceback(
    broken: Exception,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise broken

    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    monkeypatch.setattr("callqa.app.open_database", fail)
    assert main(["--config", str(tmp_path / "callqa.toml"), "reindex"]) == 1
    complaint = capsys.readouterr().err
    assert said in complaint and "Traceback" not in complaint


def test_whoever_forgot_the_password_gets_a_new_one_at_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    verb = ["--config", str(tmp_path / "callqa.toml")]
    assert main([*verb, "migrate"]) in (0, 1)  # 1: this home has no rubric
    first = capsys.readouterr().out.partition("密码：")[2].partition("（")[0]
    assert main([*verb, "web", "--new-password", "Admin"]) == 1
    assert "没有账号“Admin”；现有 admin" in capsys.readouterr().err
    assert main([*verb, "web", "--new-password", "admin"]) == 0
    second = capsys.readouterr().out.partition("新密码：")[2].partition("（")[0]
    db = Database(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}")
    with db.read() as session:
        account = session.exec(select(Account)).one()
    db.dispose()
    assert password_fits(account.password_hash, second) and not password_fits(account.password_hash, first)
    assert account.must_change_password


def test_a_result_is_not_written_as_what_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    verb = ["--config", str(tmp_path / "callqa.toml"), "reconcile", "--cdr", str(tmp_path / "cdr.csv"), "--out"]
    assert main([*verb, str(tmp_path / "out.docx")]) == 2
    assert "请以 .csv 或 .xlsx 结尾" in capsys.readouterr().err
    assert main([*verb, str(tmp_path / "none" / "out.csv")]) == 1
    assert f"没有文件夹 {tmp_path / 'none'}；请先建好" in capsys.readouterr().err, "before the call list is read"


def test_a_draw_file_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = tmp_path / "frame.tsv"
    frame.write_text("hello\n", encoding="utf-8")
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    assert main(["--config", str(tmp_path / "callqa.toml"), "verify-draw", str(frame), str(frame), "a", "b"]) == 1
    assert f"抽样框 {frame} 或方案 {frame} 不对：第 1 行" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "callqa.toml"
    path.write_text("", encoding="utf-8")
    assert main(["--config", str(path), "import-tickets", str(tmp_path / "none.csv")]) == 1
    assert "none.csv 读不了：不存在；请检查路径" in capsys.readouterr().err


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
