"""Give seat phones their files. A password is known only while it is made: later there is its HA1, which gives no
password back. So a file is made at creation (the password comes back with the form and is checked), or by giving new
passwords to seats, whose phones must then be set anew.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import col, select

from callqa.config import Settings
from callqa.errors import CallqaError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Seat
from callqa.usecases.desk import publish_desk, realm
from callqa.usecases.people import ha1
from callqa.usecases.phone_files import KINDS, PhoneAccount, Transport

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


@dataclass(frozen=True, slots=True)
class Server:
    """Where phones register: host and the port of each transport that is switched on."""

    host: str
    ports: Mapping[Transport, int]

    @property
    def only_here(self) -> bool:
        """Whether the address is good on this machine only."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def port(self, transport: Transport) -> int:
        """Raise CallqaError when the transport is off."""
        if transport not in self.ports:
            raise CallqaError(
                f"没有开启 {transport.value.upper()}；请先在 callqa.toml 里设置 sip.{transport.value}_port"
            )
        return self.ports[transport]


def server_of(settings: Settings, seen_host: str) -> Server:
    """Where phones register. seen_host: how this server is called by the person's browser, where no setting says."""
    sip = settings.sip
    listened = "" if sip.listen_host in ("0.0.0.0", "::") else sip.listen_host
    ports = {Transport.UDP: sip.listen_port, Transport.TCP: sip.tcp_port, Transport.TLS: sip.tls_port}
    return Server(sip.advertised_host or listened or seen_host, {t: p for t, p in ports.items() if p})


def check_password(db: Database, extension: str, password: str) -> Seat:
    """The seat, when the password is its present one. Raise CallqaError otherwise: a file with another is of no use."""
    with db.read() as session:
        seat = session.get(Seat, extension)
        known = realm(session)
    if seat is None:
        raise CallqaError(f"没有席位 {extension}；请先在“人员与席位”登记")
    if ha1(extension, known, password)[0] != seat.ha1_md5:
        raise CallqaError(f"席位 {extension} 的密码已经换过；请换发新密码后再下载")
    return seat


def rotate_passwords(
    db: Database,
    extensions: Sequence[str],
    *,
    new_password: Callable[[], str],
    actor: str,
    now_ms: int,
    desk_path: Path | None = None,
) -> dict[str, tuple[str, str]]:
    """Give seats new passwords; {extension: (label, password)}. extensions: empty = every seat in use.

    Phones go on ringing until they register again, within ten minutes; then they need the new password.
    """
    with db.write() as session:
        query = select(Seat).where(col(Seat.active).is_(True)).order_by(col(Seat.extension))
        seats = {seat.extension: seat for seat in session.exec(query)}
        unknown = [e for e in extensions if e not in seats]
        if unknown:
            raise CallqaError(f"没有席位 {'、'.join(unknown)}，或已停用；请核对分机号")
        if not seats:
            raise CallqaError("还没有席位；请先添加")
        known = realm(session)
        made: dict[str, tuple[str, str]] = {}
        for extension, seat in seats.items():
            if extensions and extension not in extensions:
                continue
            password = new_password()
            seat.ha1_md5, seat.ha1_sha256 = ha1(extension, known, password)
            session.add(seat)
            made[extension] = (seat.label, password)
        detail = {"extensions": list(made)}
        audit.append(session, actor=actor, action="seat.provision", subject="seats", detail=detail, now_ms=now_ms)
    if desk_path is not None:
        publish_desk(db, desk_path, now_ms)
    return made


def files_zip(accounts: Sequence[PhoneAccount]) -> bytes:
    """Every account's file of each kind, and a list of them with the passwords."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for account in accounts:
            for kind in KINDS.values():
                archive.writestr(zipfile.ZipInfo(kind.file_name(account), ZIP_DATE), kind.make(account))
        archive.writestr(zipfile.ZipInfo("清单.csv", ZIP_DATE), _list_of(accounts))
    return out.getvalue()


def _list_of(accounts: Sequence[PhoneAccount]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("分机", "名称", "密码", "服务器", "端口", "传输", "网卡地址"))
    for a in accounts:
        label = f"'{a.label}" if a.label[:1] in "=+-@" and a.label else a.label
        writer.writerow((a.extension, label, a.password, a.host, a.port, a.transport.value.upper(), a.mac))
    return text.getvalue().encode("utf-8-sig")


__all__ = ["PhoneAccount", "Server", "Transport", "check_password", "files_zip", "rotate_passwords", "server_of"]
