"""话机, a part of 人员与席位: the set-up sheet of a seat, its provisioning file, new passwords for several seats at once."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries import people as queries
from callqa.usecases import accounts, desk
from callqa.usecases.phone_files import KINDS, PhoneAccount, Transport, read_mac
from callqa.usecases.provision import check_password, files_zip, rotate_passwords, server_of
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, SettingsDep, page, redirect, require

router = APIRouter()


def show_sheet(
    request: Request, db: DbDep, settings: SettingsDep, *, extension: str, label: str, password: str
) -> Response:
    """The set-up sheet with the password, which is shown this once."""
    with db.read() as session:
        realm = queries.desk_setting(session, "realm") or desk.DEFAULT_REALM
        encryption = desk.load_routing(session).seat_encryption
    return page(
        request,
        "people/seat_sheet.html",
        status_code=201,
        tab="people",
        extension=extension,
        label=label,
        password=password,
        realm=realm,
        encryption=encryption,
        server=server_of(settings, request.url.hostname or ""),
        kinds=KINDS,
    )


@router.post("/people/seats/{extension}/phone-file", dependencies=[require("people.edit")])
def phone_file(
    request: Request,
    extension: str,
    db: DbDep,
    settings: SettingsDep,
    kind: Annotated[str, Form()],
    password: Annotated[str, Form(max_length=200)],
    transport: Annotated[str, Form()] = "udp",
    mac: Annotated[str, Form(max_length=64)] = "",
    srtp: Annotated[bool, Form()] = False,
) -> Response:
    """One phone's file; the password comes from the sheet and must still be the seat's."""
    if kind not in KINDS or transport not in set(Transport):
        raise PageNotFound("没有这种话机或传输方式。")
    try:
        seat = check_password(db, extension, password)
        server = server_of(settings, request.url.hostname or "")
        way = Transport(transport)
        locked = _encrypted(db, asked=srtp)
        account = PhoneAccount(
            extension, password, server.host, server.port(way), way, locked, seat.label, read_mac(mac)
        )
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    return _download(KINDS[kind].make(account), KINDS[kind].file_name(account), KINDS[kind].media_type)


@router.post("/people/seats/phone-files", dependencies=[require("people.edit")])
def phone_files(
    request: Request,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    transport: Annotated[str, Form()] = "udp",
    phones: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """New passwords for the named seats, or for all, and a ZIP of their files. phones: `8001 00:15:65:AA:BB:CC` a line."""
    try:
        macs = _read_phones(phones)
        server = server_of(settings, request.url.hostname or "")
        way = Transport(transport) if transport in set(Transport) else Transport.UDP
        port = server.port(way)
        made = rotate_passwords(
            db,
            list(macs),
            new_password=accounts.random_password,
            actor=person.username,
            now_ms=now_ms,
            desk_path=settings.desk_path,
        )
    except CallqaError as e:
        return redirect("/people", str(e), "danger")
    locked = _encrypted(db, asked=False)
    files = [
        PhoneAccount(extension, password, server.host, port, way, locked, label, macs.get(extension, ""))
        for extension, (label, password) in made.items()
    ]
    return _download(files_zip(files), "话机配置.zip", "application/zip")


def _encrypted(db: DbDep, *, asked: bool) -> bool:
    """Whether a phone is set to encrypt its media: as the routing says, and as asked where that leaves the choice."""
    with db.read() as session:
        allowed = desk.load_routing(session).seat_encryption
    return allowed == "required" or (allowed == "optional" and asked)


def _read_phones(text: str) -> dict[str, str]:
    """{extension: mac}; the MAC may be left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = re.split(r"[\s,，、;；]+", line.strip(), maxsplit=1)
        if parts[0]:
            found[parts[0]] = read_mac(parts[1]) if len(parts) > 1 else ""
    return found


def _download(content: bytes, name: str, media_type: str) -> Response:
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "private, no-store",
    }
    return Response(content, media_type=media_type, headers=headers)
