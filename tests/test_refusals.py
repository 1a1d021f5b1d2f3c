"""What the system refuses is said in Chinese, and in one place."""

import errno
import os
import ssl
from pathlib import Path

import pytest

from callqa.audiofile import read_audio
from callqa.config import SipSettings
from callqa.errors import AudioError, ConfigError
from callqa.refusals import database_reason, os_reason
from callqa.sip.process.tls import client_context, server_context

PACKAGE = Path(__file__).resolve().parent.parent / "callqa"
OWN_WORDS = {"refusals.py"}


def test_the_english_reason_is_read_in_one_place_only() -> None:
    using = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "strerror" in path.read_text("utf-8")}
    assert using <= OWN_WORDS


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "磁盘已满"),
        (errno.EACCES, "没有权限"),
        (errno.EADDRINUSE, "已被别的程序占用"),
        (errno.EIO, "磁盘读写出错"),
    ],
)
def test_a_known_reason_is_chinese(number: int, reason: str) -> None:
    assert os_reason(OSError(number, os.strerror(number))) == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "找不到数据库主机“db”"),
        (
            'connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection refused\n\tIs it up?',
            "数据库服务器 127.0.0.1:5432 没有启动",
        ),
        ('connection failed: FATAL:  password authentication failed for user "qa"', "数据库用户“qa”的密码不对"),
        ('connection failed: FATAL:  database "qa" does not exist', "没有数据库“qa”"),
        ("attempt to write a readonly database", "只读"),
        ("something new\nand more", "something new"),
    ],
)
def test_what_a_database_says_is_said_in_chinese(message: str, reason: str) -> None:
    assert reason in database_reason(message)


def test_an_unknown_reason_keeps_its_words() -> None:
    assert os_reason(OSError(errno.EXDEV, "Invalid cross-device link")) == "Invalid cross-device link"
    assert os_reason(OSError("no number")) == "no number"


def test_a_missing_recording_is_said_in_chinese(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="：不存在。"):
        read_audio(tmp_path / "gone.wav")


def test_a_bad_certificate_is_not_taken_for_a_system_error(tmp_path: Path) -> None:
    """The numbers of TLS errors overlap those of the system: 1 is no 没有权限 there."""
    (tmp_path / "bad.pem").write_text("no certificate")
    sip = SipSettings(tls_certificate="bad.pem", tls_authorities="bad.pem")
    with pytest.raises(ConfigError, match="（不是有效的 PEM 文件）") as refused:
        server_context(sip, tmp_path)
    assert isinstance(refused.value.__cause__, ssl.SSLError)
    with pytest.raises(ConfigError, match="（不是有效的 PEM 文件）"):
        client_context(sip, tmp_path)


def test_a_missing_certificate_is_said_in_chinese(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="（不存在）"):
        server_context(SipSettings(tls_certificate="gone.pem"), tmp_path)
