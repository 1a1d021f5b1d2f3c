"""A phone set up by nothing but our provisioning files registers: baresip with the values of a Yealink file and, as a
second account, of a Grandstream file."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from callqa.usecases.accounts import random_password
from callqa.usecases.desk import publish_desk
from callqa.usecases.people import add_seat
from callqa.usecases.phone_files import PhoneAccount, grandstream_xml, yealink_cfg
from callqa.usecases.provision import server_of
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import Home, until
from tests.sip.test_baresip_story import write_config
from tests.store_fixture import make_database
from tests.usecases.phone_settings import parse_yealink

pytestmark = pytest.mark.slow

TRANSPORTS = {"0": "udp", "1": "tcp", "2": "tls"}


def account_of_yealink(data: bytes) -> str:
    """A baresip account line of a Yealink file."""
    v = parse_yealink(data)
    server = v["account.1.sip_server.1.address"], v["account.1.sip_server.1.port"]
    transport = TRANSPORTS[v["account.1.sip_server.1.transport_type"]]
    return _line(
        v["account.1.user_name"], v["account.1.auth_name"], v["account.1.password"], ":".join(server), transport
    )


def account_of_grandstream(data: bytes) -> str:
    """A baresip account line of a Grandstream file."""
    v = {e.tag: e.text or "" for e in ElementTree.fromstring(data).find("config")}  # type: ignore[union-attr]
    return _line(v["P35"], v["P36"], v["P34"], v["P47"], TRANSPORTS[v["P130"]])


def _line(user: str, auth: str, password: str, server: str, transport: str) -> str:
    return f"<sip:{user}@{server};transport={transport}>;auth_user={auth};auth_pass={password};regint=600"


async def story(folder: Path) -> None:
    baresip = need_tool("baresip")
    db = make_database(folder)
    passwords = {extension: random_password() for extension in ("8001", "8002", "8003")}
    for extension, password in passwords.items():
        add_seat(db, extension=extension, label="席", password=password, actor="li", now_ms=1)
    home = Home(folder, publish_desk(db, folder / "published.json", 2))
    db.dispose()
    server = server_of(home.settings, "unused.example")

    def account(extension: str, password: str) -> PhoneAccount:
        return PhoneAccount(extension, password, server.host, server.ports["udp"], label="席")  # type: ignore[index]

    lines = [
        account_of_yealink(yealink_cfg(account("8001", passwords["8001"]))),
        account_of_grandstream(grandstream_xml(account("8002", passwords["8002"]))),
        account_of_yealink(yealink_cfg(account("8003", "not-its-password"))),
    ]
    await home.start()
    phone_folder = folder / "baresip"
    phone_folder.mkdir()
    write_config(phone_folder, home.server, own_port(), own_port())
    (phone_folder / "accounts").write_text("\n".join(lines) + "\n")
    with (folder / "baresip.log").open("wb") as log:
        phone = await asyncio.create_subprocess_exec(
            baresip, "-4", "-f", str(phone_folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )  # fmt: skip

    def registered() -> set[str]:
        board = home.board()
        return {seat.extension for seat in board.seats if seat.registered} if board else set()

    try:
        await until("both phones to register", lambda: {"8001", "8002"} <= registered())
        await until("the wrong password to be told", lambda: any("8003" in f.text for f in home.board().faults))  # type: ignore[union-attr]
        assert "8003" not in registered()
    finally:
        if phone.returncode is None:
            phone.terminate()
        await phone.wait()
        home.stop()


def test_phones_set_up_by_our_files_register(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
