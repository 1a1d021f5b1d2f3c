"""Supervision, ports, first start, doctor."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callqa import app
from callqa.config import load_settings
from callqa.doctor import examine
from callqa.errors import ConfigError


def wait_until(ready: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Stub(app.Supervisor):
    """Supervises one-line programs instead of the product's processes."""

    programs: dict[str, str]

    def _spawn(self, verb: str):  # type: ignore[no-untyped-def]  # same as the base
        import subprocess

        return subprocess.Popen([sys.executable, "-c", self.programs[verb]], start_new_session=True)


def supervise(tmp_path: Path, **programs: str) -> Stub:
    supervisor = Stub(tmp_path / "callqa.toml", verbs=tuple(programs))
    supervisor.programs = programs
    supervisor.start()
    return supervisor


def test_a_crashed_process_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    count = tmp_path / "starts"
    crash = f"open({str(count)!r}, 'a').write('x'); raise SystemExit(1)"
    supervisor = supervise(tmp_path, work=crash, web="import time; time.sleep(60)")
    steady = supervisor._children[1].process
    try:
        wait_until(lambda: supervisor.poll() is None and count.exists() and len(count.read_text()) >= 2)
        assert supervisor._children[1].process is steady
        assert steady.poll() is None
    finally:
        supervisor.stop()
    assert steady.poll() is not None


def test_a_process_that_refuses_its_settings_is_not_started_again(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, record=f"raise SystemExit({app.CONFIG_ERROR_STATUS})")
    try:
        wait_until(lambda: supervisor.poll() == "record")
    finally:
        supervisor.stop()


def test_a_taken_port_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = load_settings(
            tmp_path / "callqa.toml",
            {
                "CALLQA_SIP__LISTEN_HOST": "127.0.0.1",
                "CALLQA_SIP__LISTEN_PORT": str(port),
                "CALLQA_WEB__LISTEN_PORT": "65535",
            },
        )
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*sip\.listen_port"):
            app.check_ports(settings)


def test_an_installation_that_runs_is_not_started_twice(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {})
    app.prepare_folders(settings)
    assert not app.recorder_answers(settings)
    with socket.socket(socket.AF_UNIX) as recorder:
        recorder.bind(str(settings.live_socket))
        recorder.listen()
        with pytest.raises(ConfigError, match=r"已经在运行.*请先停掉它"):
            app.up(settings, tmp_path / "callqa.toml")
    assert not app.recorder_answers(settings), "a socket that a killed recorder left"


def test_the_first_start_writes_the_settings_and_keeps_them_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "callqa.toml"
    assert app.write_default_toml(path)
    path.write_text("[web]\nlisten_port = 9000\n", encoding="utf-8")
    assert not app.write_default_toml(path)
    assert load_settings(path, {}).web.listen_port == 9000


def test_an_empty_installation_gets_an_administrator_once(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {})
    app.copy_scorecards(settings)
    app.prepare_folders(settings)
    first = app.prepare_database(settings, 1_790_000_000_000)
    assert first.admin_password is not None and len(first.admin_password) >= 10
    assert first.rubric_problem == ""
    assert app.prepare_database(settings, 1_790_000_000_001).admin_password is None
    assert settings.desk_path.exists()


def test_doctor_says_what_is_well_and_what_is_missing(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {})
    app.copy_scorecards(settings)
    app.prepare_folders(settings)
    app.prepare_database(settings, 1_790_000_000_000)
    findings = {f.subject: f for f in examine(settings, tmp_path / "callqa.toml")}
    assert findings["数据库"].level == "well"
    assert findings["质检标准"].level == "well"
    assert findings["抽检方案"].level == "well"
    assert findings["语音模型"].level == "missing"
    assert "model install" in findings["语音模型"].remedy
    assert findings["录音服务"].level == "warn"


def test_doctor_names_the_line_of_a_broken_rubric(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {})
    app.copy_scorecards(settings)
    rubric = settings.scorecards_dir / "rubric.yaml"
    rubric.write_text(rubric.read_text(encoding="utf-8").replace("op: silence", "op: silense", 1), encoding="utf-8")
    finding = next(f for f in examine(settings, tmp_path / "callqa.toml") if f.subject == "质检标准")
    assert finding.level == "missing"
    assert "行" in finding.text and "silence" in finding.text


def test_an_address_that_is_not_ours_names_the_setting_of_the_address(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {"CALLQA_WEB__LISTEN_HOST": "192.0.2.1"})
    with pytest.raises(ConfigError, match=r"本机没有地址 192\.0\.2\.1.*web\.listen_host"):
        app._check_port(socket.SOCK_STREAM, settings.web.listen_host, 8080, "web.listen_port")


def test_the_first_start_makes_the_folder_of_the_settings_or_says_why_not(tmp_path: Path) -> None:
    assert app.write_default_toml(tmp_path / "new" / "callqa.toml")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"写不了：.*--config"):
        app.write_default_toml(tmp_path / "file" / "callqa.toml")


def test_doctor_names_a_taken_port(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        environ = {"CALLQA_SIP__LISTEN_HOST": "127.0.0.1", "CALLQA_SIP__LISTEN_PORT": port}
        settings = load_settings(tmp_path / "callqa.toml", environ)
        findings = {f.subject: f for f in examine(settings, tmp_path / "callqa.toml")}
    assert findings["端口"].level == "missing"
    assert "sip.listen_port" in findings["端口"].text


def test_a_home_too_deep_for_the_socket_is_refused(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / ("x" * 100) / "callqa.toml", {})
    with pytest.raises(ConfigError, match=r"路径太长.*paths\.var"):
        app.prepare_folders(settings)
