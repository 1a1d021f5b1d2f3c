"""TLS for SIP: our certificate for those who come to us, and what the certificate of a trunk that we go to must be like."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callqa.config import SipSettings
from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.sip.events import Address

CONNECT_S = 5.0
_WRONG_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NOT_TRUSTED = frozenset({18, 19, 20, 21})  # self-signed, or of an authority that is not ours
_UNFIT = {
    9: "还没有生效",
    10: "已过期",
    **dict.fromkeys(_WRONG_NAME, "没有写明它的名字"),
    **dict.fromkeys(_NOT_TRUSTED, "不是可信的根证书签发的"),
}


def server_context(sip: SipSettings, home: Path) -> ssl.SSLContext:
    """For connections from peers. Raise ConfigError that names the setting."""
    certificate, key = home / sip.tls_certificate, home / (sip.tls_key or sip.tls_certificate)
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
    except OSError as e:  # ssl.SSLError is one
        raise ConfigError(
            f"SIP TLS 证书 {certificate} 与私钥 {key} 读不出来（{_tls_reason(e)}）；"
            "请检查 callqa.toml 里的 sip.tls_certificate 与 sip.tls_key，或把 sip.tls_port 设为 0"
        ) from e
    return context


def client_context(sip: SipSettings, home: Path) -> ssl.SSLContext:
    """For connections to trunks: their certificate must fit. Raise ConfigError that names the setting."""
    authorities = str(home / sip.tls_authorities) if sip.tls_authorities else None
    try:
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authorities)
    except OSError as e:
        raise ConfigError(
            f"根证书 {authorities} 读不出来（{_tls_reason(e)}）；请检查 callqa.toml 里的 sip.tls_authorities"
        ) from e


def _tls_reason(error: OSError) -> str:
    """Why a certificate or key does not load. An ssl.SSLError numbers its reasons in its own way, not as errno."""
    if not isinstance(error, ssl.SSLError):
        return os_reason(error)
    return "证书与私钥不是一对" if error.reason == "KEY_VALUES_MISMATCH" else "不是有效的 PEM 文件"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Opens connections to trunks. context: is asked in a helper thread each time, since the first time it may have to read
    all the system's authorities; may raise ConfigError. names: those of which a peer's certificate must hold one (RFC 5922
    §7.2: the domain it was configured by; its address). tell: a fault in Chinese."""

    context: Callable[[], ssl.SSLContext]
    names: Callable[[Address], tuple[str, ...]]
    tell: Callable[[str], None]

    async def connect(self, to: Address, new: Callable[[], asyncio.Protocol]) -> None:
        """Open one. OSError or TimeoutError where it cannot be; what people have to mend is told."""
        loop = asyncio.get_running_loop()
        try:
            context = await loop.run_in_executor(None, self.context)
        except ConfigError as e:
            self.tell(str(e))
            raise OSError("TLS is not set up") from e
        names = self.names(to)
        for name in names:
            try:
                connecting = loop.create_connection(new, to[0], to[1], ssl=context, server_hostname=name)
                await asyncio.wait_for(connecting, CONNECT_S)
                return
            except ssl.SSLCertVerificationError as e:
                if e.verify_code not in _WRONG_NAME or name == names[-1]:
                    self.tell(_say_unfit(to, names, e))
                    raise


def _say_unfit(to: Address, names: tuple[str, ...], error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a trunk's certificate, and what to do."""
    why = _UNFIT.get(error.verify_code, f"验证不通过，代码 {error.verify_code}")
    return (
        f"中继 {to[0]}:{to[1]} 的 TLS 证书{why}，没有连接；证书须写明“{'”或“'.join(names)}”（中继设置里的账号所属域、外呼主机），"
        "并由系统或 callqa.toml 里 sip.tls_authorities 的根证书签发"
    )
