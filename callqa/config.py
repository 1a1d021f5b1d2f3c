"""Settings: callqa.toml, then environment (CALLQA_SIP__LISTEN_PORT=5070). Read once, frozen.

What changes while running (seats, trunks, routing, rubric) is data, not settings. The file of a first start and the table
in docs/configuration.md are made from the fields here by config_text.py.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from callqa.errors import ConfigError
from callqa.refusals import invalid_reason, os_reason, say_toml

DEFAULT_CONFIG = "callqa.toml"  # beside where we are started, unless --config names another
_NOT_SETTINGS = "CALLQA_TESTS_"  # variables for the tests, not for the product


class Section(BaseModel):
    """One section of callqa.toml; its docstring is the section's heading, its fields' descriptions are their lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PathSettings(Section):
    """文件位置；相对路径从 callqa.toml 所在文件夹算起。"""

    recordings: Path = Field(default=Path("recordings"), description="录音、流水与暂存（spool）的文件夹")
    var: Path = Field(default=Path("var"), description="数据库、状态、导出文件与模型的文件夹")
    scorecards: Path = Field(default=Path("scorecards"), description="质检标准、词表、抽检方案的文件夹")


class HotlineSettings(Section):
    """热线本身。"""

    name: str = Field(default="武汉水务热线", min_length=1, description="热线名称，出现在页面和报告标题")
    organisation: str = Field(default="", description="编制单位，出现在报告封面")


class SipSettings(Section):
    """信令与媒体端口。"""

    listen_host: str = Field(default="0.0.0.0", description="SIP 监听地址；0.0.0.0 = 全部 IPv4，:: = 全部 IPv4 与 IPv6")
    listen_port: int = Field(default=5060, ge=1, le=65535, description="SIP 监听端口（UDP）")
    tcp_port: int = Field(default=0, ge=0, le=65535, description="SIP 监听端口（TCP）；0 = 不用 TCP")
    tls_port: int = Field(default=0, ge=0, le=65535, description="SIP 监听端口（TLS）；0 = 不用 TLS")
    tls_certificate: str = Field(
        default="", description="SIP TLS 证书文件（PEM，可含中间证书）；相对路径从 callqa.toml 所在文件夹算起"
    )
    tls_key: str = Field(default="", description="SIP TLS 私钥文件（PEM）；留空则取自证书文件")
    tls_authorities: str = Field(
        default="", description="验证中继 TLS 证书用的根证书文件（PEM）；留空用系统自带的根证书"
    )
    digest_algorithms: str = Field(
        default="MD5",
        pattern="^(MD5|SHA-256,MD5|SHA-256)$",
        description="话机认证的摘要算法：MD5（话机都认）；SHA-256,MD5（两种都给，有的老话机因此注册不上）；"
        "SHA-256（不再接受 MD5，话机须全部支持）",
    )
    advertised_host: str = Field(
        default="", pattern=r"^[0-9A-Za-z.:_-]*$", description="写进 SIP/SDP 的本机地址；留空则按对方地址自动选择"
    )
    rtp_port_min: int = Field(default=20000, ge=1024, le=65534, description="RTP 端口下限")
    rtp_port_max: int = Field(default=23999, ge=1025, le=65535, description="RTP 端口上限")
    rtp_timeout_s: int = Field(default=60, ge=5, le=3600, description="双方都没有媒体超过这么久，视为掉线并结束通话")


class WebSettings(Section):
    """网页。"""

    listen_host: str = Field(default="127.0.0.1", description="网页监听地址")
    listen_port: int = Field(default=8080, ge=1, le=65535, description="网页监听端口")
    session_hours: int = Field(default=12, ge=1, le=168, description="登录有效期，小时")
    secure_cookie: bool = Field(default=False, description="仅经 HTTPS 发送登录 cookie；对外提供服务时应为 true")


class DatabaseSettings(Section):
    """数据库。"""

    url: SecretStr = Field(default=SecretStr(""), description="数据库地址；留空用 var/callqa.db（SQLite）")


class SpeechSettings(Section):
    """语音转写。"""

    model_dir: Path = Field(default=Path("models/whisper-base"), description="模型文件夹；相对路径从 var 算起")
    engine: str = Field(
        default="whisper",
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_]*)?$",
        description="语音引擎：whisper，或自备引擎的“模块:函数”（docs/transcription.md）",
    )
    device: str = Field(
        default="auto", pattern="^(auto|cpu|cuda)$", description="运算设备：auto（有可用的 CUDA 就用）、cpu、cuda"
    )
    compute_type: str = Field(
        default="int8",
        pattern="^(int8|int8_float16|int8_float32|int8_bfloat16|int16|float16|bfloat16|float32)$",
        description="精度：int8、int8_float16、float16、float32",
    )
    word_model: str = Field(
        default="",
        description="同音修正用的词模型（KenLM 二进制文件）；留空用系统里装的，没有则不修正；相对路径从 var 算起",
    )
    threads: int = Field(default=1, ge=1, le=64, description="每个转写任务的线程数")
    parallel_calls: int = Field(default=1, ge=1, le=16, description="同时转写的通话数")


class RetentionSettings(Section):
    """保存期限。"""

    recordings_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="通话的录音、转写等内容保存多少天，到期由处理服务夜间删除并留痕；0 = 不自动删除。见 docs/retention.md",
    )
    fatal_case_days: int = Field(
        default=1095, ge=0, le=36_500, description="已认定致命项的通话，自第二人确认起至少保存多少天，此前不得删除"
    )
    spool_keep_days: int = Field(default=7, ge=0, le=365, description="归档后原始 RTP 暂存保留的天数")
    disk_alarm_mb: int = Field(default=2048, ge=0, description="剩余空间低于这么多 MB 时告警")
    disk_floor_mb: int = Field(
        default=512,
        ge=0,
        description="剩余空间低于这么多 MB 时，不等 spool_keep_days，从最早的起删除已归档、母版完好的通话的原始 RTP 暂存；0 = 不删",
    )


class CheckSettings(Section):
    """机器预评。"""

    ticket_wait_h: int = Field(
        default=24,
        ge=0,
        le=720,
        description="没有关联工单的通话，通话结束这么久之后才判“未建单”，小时；其间导入了该时段以后的工单，就立即判",
    )


class ReviewSettings(Section):
    """评分的发布与申诉。"""

    answer_days: int = Field(
        default=5, ge=1, le=60, description="评分发布后，坐席确认或申诉的天数（发布当天不算）；逾期视为确认"
    )


class ImportSettings(Section):
    """从别处导入录音。"""

    watch_folder: str = Field(
        default="",
        description="监视的文件夹：放进去的录音与通话清单会自动导入；留空则不监视，相对路径从 callqa.toml 算起",
    )
    settle_s: int = Field(default=10, ge=1, le=3600, description="文件这么久不再变化才算放好，秒")
    wait_facts_s: int = Field(default=600, ge=0, le=86400, description="没有清单的录音等这么久才按文件名导入，秒")


class Settings(Section):
    """全部设置。"""

    paths: PathSettings = PathSettings()
    hotline: HotlineSettings = HotlineSettings()
    sip: SipSettings = SipSettings()
    web: WebSettings = WebSettings()
    database: DatabaseSettings = DatabaseSettings()
    speech: SpeechSettings = SpeechSettings()
    retention: RetentionSettings = RetentionSettings()
    checks: CheckSettings = CheckSettings()
    review: ReviewSettings = ReviewSettings()
    imports: ImportSettings = ImportSettings()
    demo: bool = Field(default=False, description="演示：所有页面与报告标注“演示”")
    home: Path = Field(default=Path("."), description="安装文件夹；由程序按 callqa.toml 的位置填写")

    @property
    def recordings_dir(self) -> Path:
        return (self.home / self.paths.recordings).resolve()

    @property
    def var_dir(self) -> Path:
        return (self.home / self.paths.var).resolve()

    @property
    def scorecards_dir(self) -> Path:
        return (self.home / self.paths.scorecards).resolve()

    @property
    def state_dir(self) -> Path:
        return self.var_dir / "state"

    @property
    def prompts_dir(self) -> Path:
        return self.var_dir / "prompts"

    @property
    def exports_dir(self) -> Path:
        return self.var_dir / "exports"

    @property
    def spool_dir(self) -> Path:
        return self.recordings_dir / "spool"

    @property
    def journal_dir(self) -> Path:
        return self.recordings_dir / "journal"

    @property
    def watch_folder(self) -> Path | None:
        """The folder whose recordings are imported by themselves, or None."""
        return (self.home / self.imports.watch_folder).resolve() if self.imports.watch_folder else None

    @property
    def desk_path(self) -> Path:
        return self.state_dir / "desk.json"

    @property
    def registrations_path(self) -> Path:
        return self.state_dir / "registrations.json"

    @property
    def ports_path(self) -> Path:
        return self.state_dir / "ports"

    @property
    def live_socket(self) -> Path:
        return self.state_dir / "live.sock"

    @property
    def model_dir(self) -> Path:
        return (self.var_dir / self.speech.model_dir).resolve()

    @property
    def word_model(self) -> Path | None:
        """The word model of the setting; None: the one that the system has, if any."""
        return (self.var_dir / self.speech.word_model).resolve() if self.speech.word_model else None

    @property
    def database_url(self) -> str:
        return self.database.url.get_secret_value() or f"sqlite:///{self.var_dir / 'callqa.db'}"

    @property
    def jobs_url(self) -> str:
        """Where the job runner keeps its own state; may be deleted at any time."""
        url = self.database.url.get_secret_value()
        return url if url.startswith("postgres") else f"sqlite:///{self.var_dir / 'jobs.db'}"


def load_settings(path: Path, environ: dict[str, str] | None = None) -> Settings:
    """Read `path` (which may be missing: then all defaults) and CALLQA_* variables. Raise ConfigError."""
    data: dict[str, Any] = {}
    if path.exists():
        text = ""
        try:
            text = path.read_text(encoding="utf-8-sig")  # Windows' Notepad begins with a byte order mark
            data = tomllib.loads(text)
        except OSError as e:
            raise ConfigError(f"设置文件 {path} 读不了：{os_reason(e)}") from e
        except UnicodeDecodeError as e:
            raise ConfigError(f"设置文件 {path} 不是 UTF-8 文本；请另存为 UTF-8") from e
        except tomllib.TOMLDecodeError as e:
            raise ConfigError(f"设置文件 {path} {say_toml(str(e), text)}") from e
    _refuse_unknown(data, str(path))
    variables = _overlay_environment(data, dict(os.environ if environ is None else environ))
    data["home"] = path.resolve().parent
    try:
        settings = Settings.model_validate(data)
    except ValidationError as e:
        raise ConfigError("\n  ".join(_say_invalid(dict(err), str(path), variables) for err in e.errors())) from e
    if settings.sip.rtp_port_min >= settings.sip.rtp_port_max:
        raise ConfigError("设置 sip.rtp_port_min 必须小于 sip.rtp_port_max")
    return settings


def _overlay_environment(data: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    """Lay the variables over the file. Returns the setting each gives -> the variable. Raise ConfigError for a typo."""
    known = {name: setting for setting, name in variable_names().items()}
    given: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith("CALLQA_") or name.startswith(_NOT_SETTINGS):
            continue
        setting = known.get(name)
        if setting is None:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
            hint = f"；您是不是想写“{near[0]}”（设置 {known[near[0]]}）？" if near else ""
            raise ConfigError(f"环境变量“{name}”不对应任何设置{hint}")
        given[setting] = name
        section, _, key = setting.rpartition(".")
        target = data.setdefault(section, {}) if section else data
        if isinstance(target, dict):
            target[key] = value
    return given


def variable_names() -> dict[str, str]:
    """Setting -> the environment variable that gives it, e.g. sip.listen_port -> CALLQA_SIP__LISTEN_PORT."""
    found = {}
    for section, keys in known_keys().items():
        for key in keys:
            if section:
                found[f"{section}.{key}"] = f"CALLQA_{section}__{key}".upper()
            elif key not in known_keys():
                found[key] = f"CALLQA_{key}".upper()
    return found


def _say_invalid(details: dict[str, Any], where: str, variables: dict[str, str]) -> str:
    setting = ".".join(str(p) for p in details["loc"])
    source = f"环境变量 {variables[setting]}" if setting in variables else where
    return f"{source} 里的设置“{setting}”{invalid_reason(details)}（收到 {details['input']!r}）"


def known_keys() -> dict[str, list[str]]:
    """Section name -> its keys; "" -> top level."""
    keys: dict[str, list[str]] = {"": []}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys[name] = list(field.annotation.model_fields)
            keys[""].append(name)
        elif name != "home":
            keys[""].append(name)
    return keys


def _refuse_unknown(data: dict[str, Any], where: str) -> None:
    keys = known_keys()
    everything = [k if not s else f"{s}.{k}" for s, ks in keys.items() for k in ks]
    for name, value in data.items():
        if name not in keys[""]:
            raise ConfigError(_unknown(where, name, everything))
        if isinstance(value, dict):
            for key in value:
                if key not in keys[name]:
                    raise ConfigError(_unknown(where, f"{name}.{key}", everything))


def _unknown(where: str, name: str, everything: list[str]) -> str:
    near = difflib.get_close_matches(name, everything, n=1, cutoff=0.3)
    return f"{where} 里的设置“{name}”不存在" + (f"；您是不是想写“{near[0]}”？" if near else "")
