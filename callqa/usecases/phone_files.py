"""Provisioning files for seat phones: Yealink T-series text, Grandstream XML, and what a person types into any other. Pure.

Only what a seat of ours needs is set: the account, G.711, RFC 4733 digits, session timer, no voice mail, no second call on
a busy phone, and star codes sent to us instead of being the phone's own. Everything else stays as the phone has it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape

from callqa.errors import CallqaError

REGISTER_S = 600
SESSION_S = 1800  # RFC 4028 §4: the recommended value
KEEPALIVE_S = 30  # NAT keeps a UDP path about a minute
DIGITS_PAYLOAD = 101


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


_YEALINK_TRANSPORT = {Transport.UDP: 0, Transport.TCP: 1, Transport.TLS: 2}
_GRANDSTREAM_TRANSPORT = {Transport.UDP: 0, Transport.TCP: 1, Transport.TLS: 2}


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """What one phone must know. mac: 12 lower-case hex digits, or "" where it is not known."""

    extension: str
    password: str
    host: str
    port: int
    transport: Transport = Transport.UDP
    srtp: bool = False
    label: str = ""
    mac: str = ""

    @property
    def name(self) -> str:
        """What the phone shows, on one line."""
        return _line(f"{self.extension} {self.label}".strip())


def read_mac(text: str) -> str:
    """12 lower-case hex digits of `00:15:65:AA:BB:CC`, `0015.65aa.bbcc`, …; "" for blank. Raise CallqaError."""
    digits = re.sub(r"[\s:.\-]", "", text).lower()
    if digits and not re.fullmatch(r"[0-9a-f]{12}", digits):
        raise CallqaError(f"网卡地址“{text.strip()[:40]}”不对；应为 12 位，如 00:15:65:AA:BB:CC，印在话机底部")
    return digits


def yealink_cfg(account: PhoneAccount) -> bytes:
    """A Yealink T-series file (firmware from x.82 on), UTF-8. The first line must stay as it is."""
    a = "account.1"
    settings: dict[str, object] = {
        f"{a}.enable": 1,
        f"{a}.label": account.name,
        f"{a}.display_name": account.extension,
        f"{a}.user_name": account.extension,
        f"{a}.auth_name": account.extension,
        f"{a}.password": account.password,
        f"{a}.sip_server.1.address": account.host,
        f"{a}.sip_server.1.port": account.port,
        f"{a}.sip_server.1.transport_type": _YEALINK_TRANSPORT[account.transport],
        f"{a}.sip_server.1.expires": REGISTER_S,
        f"{a}.sip_server.1.register_on_enable": 1,
        f"{a}.srtp_encryption": 2 if account.srtp else 0,  # 2: SDES and nothing else
        f"{a}.codec.pcma.enable": 1,
        f"{a}.codec.pcma.priority": 1,
        f"{a}.codec.pcmu.enable": 1,
        f"{a}.codec.pcmu.priority": 2,
        **{f"{a}.codec.{name}.enable": 0 for name in ("g722", "g729", "opus", "ilbc")},
        f"{a}.dtmf.type": 1,  # RFC 4733
        f"{a}.dtmf.dtmf_payload": DIGITS_PAYLOAD,
        f"{a}.session_timer.enable": 1,
        f"{a}.session_timer.expires": SESSION_S,
        f"{a}.nat.rport": 1,
        f"{a}.nat.udp_update_enable": 1,
        f"{a}.nat.udp_update_time": KEEPALIVE_S,
        f"{a}.subscribe_mwi": 0,
        f"{a}.auto_answer": 0,
        "voice_mail.number.1": "",
        "call_waiting.enable": 0,
        "linekey.2.type": 13,  # speed dial
        "linekey.2.line": 1,
        "linekey.2.value": "*12",
        "linekey.2.label": "签出",
        "linekey.3.type": 13,
        "linekey.3.line": 1,
        "linekey.3.value": "*8",
        "linekey.3.label": "代接",
        "lang.gui": "Chinese_S",
        "local_time.time_zone": "+8",
        "local_time.time_zone_name": "China(Beijing)",
        "local_time.summer_time": 0,
    }
    lines = ["#!version:1.0.0.1", f"## callqa {account.name}", *(f"{k} = {_line(str(v))}" for k, v in settings.items())]
    return ("\n".join(lines) + "\n").encode()


def grandstream_xml(account: PhoneAccount) -> bytes:
    """A Grandstream GXP/GRP file: P-values of account 1, UTF-8."""
    host = f"[{account.host}]" if ":" in account.host else account.host
    values: dict[int, object] = {
        271: 1,  # account active
        270: account.name,
        47: f"{host}:{account.port}",
        35: account.extension,
        36: account.extension,
        34: account.password,
        3: account.extension,
        130: _GRANDSTREAM_TRANSPORT[account.transport],
        31: 1,  # register
        32: REGISTER_S // 60,
        33: "",  # voice mail
        99: 0,  # no subscription to it
        183: 2 if account.srtp else 0,  # 2: forced
        **{code: (8, 0)[i % 2] for i, code in enumerate((57, 58, 59, 60, 61, 62, 46, 98))},  # PCMA, PCMU, nothing else
        2301: 0,  # digits: not in the audio,
        2302: 1,  # but by RFC 4733,
        2303: 0,  # not by INFO
        79: DIGITS_PAYLOAD,
        2395: 1,  # session timer
        260: SESSION_S,
        91: 1,  # no second call on a busy phone
        191: 0,  # the phone's own star codes off: *11 is ours
        290: "{ [*x]+ }",
        1362: "zh",
    }
    body = "".join(f"    <P{code}>{escape(_line(str(value)))}</P{code}>\n" for code, value in values.items())
    mac = f"  <mac>{account.mac}</mac>\n" if account.mac else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<gs_provision version="1">\n{mac}  <config version="1">\n{body}  </config>\n</gs_provision>\n'
    return text.encode()


def softphone_text(account: PhoneAccount) -> bytes:
    """What is typed into a softphone or any other phone, as a Chinese text."""
    rows = (
        ("服务器（域名、注册服务器）", account.host),
        ("端口", str(account.port)),
        ("传输", account.transport.value.upper()),
        ("用户名、认证名", account.extension),
        ("密码", account.password),
        ("显示名", account.name),
        ("编码", "只留 PCMA、PCMU（G.711）"),
        ("按键", f"RFC 2833 / RFC 4733，类型 {DIGITS_PAYLOAD}"),
        ("媒体加密", "SRTP（SDES）" if account.srtp else "关闭"),
        ("注册周期", f"{REGISTER_S} 秒"),
        ("会话定时器", f"打开，{SESSION_S} 秒"),
        ("语音信箱、呼叫等待、呼叫转移", "关闭"),
    )
    return ("\r\n".join(f"{name}：{_line(value)}" for name, value in rows) + "\r\n").encode("utf-8-sig")


@dataclass(frozen=True, slots=True)
class PhoneFile:
    """One kind of file. named: with and without a MAC."""

    label: str
    make: Callable[[PhoneAccount], bytes]
    media_type: str
    with_mac: str
    without: str

    def file_name(self, account: PhoneAccount) -> str:
        return (self.with_mac if account.mac else self.without).format(mac=account.mac, extension=account.extension)


KINDS: Mapping[str, PhoneFile] = {
    "yealink": PhoneFile(
        "亿联 Yealink", yealink_cfg, "text/plain; charset=utf-8", "{mac}.cfg", "yealink-{extension}.cfg"
    ),
    "grandstream": PhoneFile(
        "潮流 Grandstream", grandstream_xml, "application/xml", "cfg{mac}.xml", "grandstream-{extension}.xml"
    ),
    "softphone": PhoneFile(
        "软电话或其他话机",
        softphone_text,
        "text/plain; charset=utf-8",
        "phone-{extension}.txt",
        "phone-{extension}.txt",
    ),
}


def _line(text: str) -> str:
    """On one line, without control characters: a label must not begin a setting of its own."""
    return "".join(c for c in text if c.isprintable())[:128]
