"""`callqa doctor`: looks at one installation and says in Chinese what is well, what is missing, what to do."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

from callqa.app import check_ports, recorder_answers
from callqa.audiofile import read_audio
from callqa.config import DEFAULT_CONFIG, Settings
from callqa.desk import Desk, load_desk
from callqa.errors import AudioError, CallqaError, ConfigError, SpoolError
from callqa.findings import Finding
from callqa.refusals import os_reason
from callqa.sip.calls.routing import Refusal, outbound_targets

MIN_FREE_MB = 2048
# how remedies name our commands: `./run up`, `./run callqa migrate`, and the model's own `callqa model install`
_COMMAND = re.compile(r"\./run callqa(?= )|\./run(?= up\b)|(?<![\w./])callqa(?= model\b)")


def examine(settings: Settings, config_path: Path) -> tuple[Finding, ...]:
    """Run every check; one that itself fails becomes a finding, not an exception."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(settings, config_path)
        except (OSError, CallqaError) as e:
            findings.append(Finding("missing", check.__doc__ or check.__name__, str(e)))
    return tuple(_for_this(finding, config_path) for finding in findings)


def _for_this(finding: Finding, config_path: Path) -> Finding:
    """The finding with commands that are about this installation: without --config they would look at, or make, another one."""
    if config_path == Path(DEFAULT_CONFIG):
        return finding
    text, remedy = (
        _COMMAND.sub(lambda _: f"./run callqa --config {config_path}", said) for said in (finding.text, finding.remedy)
    )
    return replace(finding, text=text, remedy=remedy)


def _python(_: Settings, __: Path) -> Iterator[Finding]:
    """Python"""
    text = ".".join(str(n) for n in sys.version_info[:3])
    yield Finding("well" if sys.version_info >= (3, 11) else "missing", "Python", text)


def _settings(_: Settings, config_path: Path) -> Iterator[Finding]:
    """设置文件"""
    if config_path.exists():
        yield Finding("well", "设置文件", str(config_path.resolve()))
    else:
        yield Finding("warn", "设置文件", f"{config_path} 还没有，全部按默认值", "首次 ./run up 会写好带说明的设置文件")


def _folders(settings: Settings, _: Path) -> Iterator[Finding]:
    """文件夹"""
    for name, path in (("录音", settings.recordings_dir), ("数据", settings.var_dir)):
        nearest = next(p for p in (path, *path.parents) if p.exists())
        try:
            with TemporaryFile(dir=nearest):  # an access bit says nothing of a read-only or full disk
                yield Finding("well", f"{name}文件夹", str(path))
        except OSError as e:
            why = f"{nearest} 里建不了文件：{os_reason(e)}"
            yield Finding("missing", f"{name}文件夹", why, "改权限，或改 callqa.toml 的 [paths]")
        free_mb = shutil.disk_usage(nearest).free // 2**20
        enough = free_mb >= max(MIN_FREE_MB, settings.retention.disk_alarm_mb)
        yield Finding(
            "well" if enough else "warn",
            f"{name}磁盘",
            f"剩余 {free_mb:,} MB",
            "" if enough else "清理磁盘，或换到更大的磁盘",
        )


def _database(settings: Settings, _: Path) -> Iterator[Finding]:
    """数据库"""
    from callqa.store.migrate import pending

    if settings.database_url.startswith("sqlite:///") and not Path(settings.database_url[10:]).exists():
        yield Finding("warn", "数据库", "还没有建立", "运行 ./run up 或 ./run callqa migrate")
        return
    waiting = pending(settings.database_url)
    if waiting:
        yield Finding("missing", "数据库", "结构不是最新", "运行 ./run callqa migrate")
    else:
        yield Finding("well", "数据库", "结构最新")


def _model(settings: Settings, _: Path) -> Iterator[Finding]:
    """语音模型"""
    from callqa.transcribe.checkup import word_model_finding
    from callqa.transcribe.model import inspect_model

    try:
        inspect_model(settings.model_dir)
    except CallqaError as e:
        yield Finding(
            "missing",
            "语音模型",
            str(e),
            "随包的 Whisper base 由 ./run callqa model install 安装（文件夹还没有时，./run up 会自动安装）。"
            "没有模型时照常录音，通话排队等待转写",
        )
    else:
        yield Finding("well", "语音模型", f"{settings.model_dir}（试听样本、看速度：./run callqa asr check）")
    yield word_model_finding(settings.word_model)


def _scorecards(settings: Settings, _: Path) -> Iterator[Finding]:
    """质检标准"""
    from callqa.usecases.health import scorecard_states

    if not settings.scorecards_dir.exists():
        yield Finding("warn", "质检标准", f"{settings.scorecards_dir} 还没有", "首次 ./run up 会放好默认的标准和方案")
        return
    for file in scorecard_states(settings.scorecards_dir):
        if file.problem:
            yield Finding("missing", file.name, f"{file.path}：{file.problem}", "改正后自动生效，不必重启")
        else:
            yield Finding("well", file.name, str(file.path))


def _desk(settings: Settings, _: Path) -> Iterator[Finding]:
    """席位与中继"""
    try:
        desk: Desk = load_desk(settings.desk_path)
    except SpoolError:
        yield Finding(
            "warn", "席位与中继", "录音服务还没有席位数据", "启动后在网页“人员与席位”里添加席位，在它的“线路”里添加中继"
        )
        return
    signed_in = [s for s in desk.seats if s.agent_no]
    yield Finding("well" if desk.seats else "warn", "席位", f"{len(desk.seats)} 部话机，{len(signed_in)} 人签入")
    yield Finding(
        "well" if desk.trunks else "warn",
        "中继",
        "、".join(t.name for t in desk.trunks) or "没有中继：外线打不进来",
        "" if desk.trunks else "在网页“人员与席位 → 线路”里添加中继",
    )


def _inbound(settings: Settings, _: Path) -> Iterator[Finding]:
    """来电提示音与溢出"""
    try:
        desk: Desk = load_desk(settings.desk_path)
    except SpoolError:
        return  # said above
    routing = desk.routing
    for subject, name in (("录音告知", routing.notice), ("排队音乐", routing.queue_music)):
        if not name:
            continue
        path = settings.prompts_dir / name
        try:
            audio = read_audio(path)
        except AudioError as e:
            yield Finding("missing", subject, str(e), f"把录好的 WAV 放到 {path}，通话不必中断")
        else:
            yield Finding("well", subject, f"{name}，{audio.duration_ms / 1000:.1f} 秒")
    if routing.overflow_number:
        reached = outbound_targets(desk, routing.overflow_number)
        if isinstance(reached, Refusal):
            yield Finding(
                "missing", "溢出号码", f"{routing.overflow_number} 拨不出去：{reached.reason}", "改号码或拨号方案"
            )
        else:
            yield Finding("well", "溢出号码", routing.overflow_number)


def _services(settings: Settings, _: Path) -> Iterator[Finding]:
    """服务"""
    recording = recorder_answers(settings)
    yield (
        Finding("well", "录音服务", "正在运行")
        if recording
        else Finding("warn", "录音服务", "没有在运行", "运行 ./run up")
    )
    if recording:
        return  # the ports are taken, by us
    try:
        check_ports(settings)
    except ConfigError as e:
        yield Finding("missing", "端口", str(e))
    else:
        yield Finding("well", "端口", f"SIP {settings.sip.listen_port}、网页 {settings.web.listen_port} 空闲")


def _account(_: Settings, __: Path) -> Iterator[Finding]:
    """权限"""
    if os.geteuid() == 0:
        yield Finding("warn", "运行账号", "正以 root 运行", "建议用普通账号运行，并授予 CAP_SYS_NICE")


CHECKS: tuple[Callable[[Settings, Path], Iterator[Finding]], ...] = (
    _python,
    _settings,
    _folders,
    _database,
    _model,
    _scorecards,
    _desk,
    _inbound,
    _services,
    _account,
)
