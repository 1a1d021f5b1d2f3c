"""Provisioning files parse and say what a seat of ours needs; nothing typed into a label gets out of its line."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlmodel import select

from callqa.config import Settings
from callqa.desk import load_desk
from callqa.errors import CallqaError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import AuditEntry, Seat
from callqa.usecases.people import add_seat, ha1, set_seat_active
from callqa.usecases.phone_files import (
    KINDS,
    PhoneAccount,
    Transport,
    grandstream_xml,
    read_mac,
    softphone_text,
    yealink_cfg,
)
from callqa.usecases.provision import check_password, files_zip, rotate_passwords, server_of
from tests.store_fixture import make_database
from tests.usecases.phone_settings import p_values, parse_yealink

ACCOUNT = PhoneAccount("8001", "abcd-efgh-jkmn", "10.1.2.3", 5060, label="一号席", mac="001565aabbcc")


def test_a_yealink_file() -> None:
    data = yealink_cfg(ACCOUNT)
    assert data.startswith(b"#!version:1.0.0.1\n")
    found = parse_yealink(data)
    expected = {
        "account.1.enable": "1", "account.1.user_name": "8001", "account.1.auth_name": "8001",
        "account.1.password": "abcd-efgh-jkmn", "account.1.sip_server.1.address": "10.1.2.3",
        "account.1.sip_server.1.port": "5060", "account.1.sip_server.1.transport_type": "0",
        "account.1.label": "8001 一号席", "account.1.srtp_encryption": "0", "account.1.codec.pcma.priority": "1",
        "account.1.codec.pcmu.priority": "2", "account.1.codec.g729.enable": "0", "account.1.dtmf.type": "1",
        "account.1.session_timer.enable": "1", "account.1.session_timer.expires": "1800", "voice_mail.number.1": "",
        "linekey.2.value": "*12",
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected


def test_a_grandstream_file() -> None:
    data = grandstream_xml(ACCOUNT)
    assert ElementTree.fromstring(data).findtext("mac") == "001565aabbcc"
    found = p_values(data)
    expected = {271: "1", 47: "10.1.2.3:5060", 35: "8001", 36: "8001", 34: "abcd-efgh-jkmn", 130: "0", 183: "0",
                57: "8", 58: "0", 2301: "0", 2302: "1", 2303: "0", 191: "0", 33: "", 270: "8001 一号席"}  # fmt: skip
    assert {code: found.get(code) for code in expected} == expected
    assert {found[code] for code in (57, 58, 59, 60, 61, 62, 46, 98)} == {"8", "0"}, "G.711 and nothing else"


@pytest.mark.parametrize(("transport", "number"), [(Transport.UDP, "0"), (Transport.TCP, "1"), (Transport.TLS, "2")])
def test_transports_and_encryption(transport: Transport, number: str) -> None:
    account = PhoneAccount("8001", "x" * 8, "2001:db8::1", 5061, transport, srtp=True)
    yealink, grandstream = parse_yealink(yealink_cfg(account)), p_values(grandstream_xml(account))
    assert (yealink["account.1.sip_server.1.transport_type"], yealink["account.1.srtp_encryption"]) == (number, "2")
    assert (grandstream[130], grandstream[183], grandstream[47]) == (number, "2", "[2001:db8::1]:5061")
    assert f"传输：{transport.value.upper()}" in softphone_text(account).decode("utf-8-sig")


def test_a_label_cannot_begin_a_setting_of_its_own() -> None:
    hostile = PhoneAccount("8001", "x" * 8, "h", 5060, label="a\naccount.1.password = 0\x00</P270><P34>0")
    assert parse_yealink(yealink_cfg(hostile))["account.1.password"] == "x" * 8
    values = p_values(grandstream_xml(hostile))
    assert values[34] == "x" * 8 and "</P270><P34>0" in values[270]


@pytest.mark.parametrize("text", ["00:15:65:AA:BB:CC", "0015.65aa.bbcc", " 001565AABBCC ", "00-15-65-aa-bb-cc"])
def test_macs(text: str) -> None:
    assert read_mac(text) == "001565aabbcc"


def test_what_is_no_mac_is_refused() -> None:
    assert read_mac("  ") == ""
    for text in ("../../etc", "001565aabb", "001565aabbccdd"):
        with pytest.raises(CallqaError, match="网卡地址"):
            read_mac(text)


def test_files_are_named_as_phones_ask_for_them() -> None:
    assert [kind.file_name(ACCOUNT) for kind in KINDS.values()] == [
        "001565aabbcc.cfg", "cfg001565aabbcc.xml", "phone-8001.txt",
    ]  # fmt: skip
    bare = PhoneAccount("8001", "x", "h", 5060)
    assert [kind.file_name(bare) for kind in KINDS.values()] == [
        "yealink-8001.cfg", "grandstream-8001.xml", "phone-8001.txt",
    ]  # fmt: skip


def test_where_phones_register() -> None:
    def server(**sip):
        return server_of(Settings(sip=sip), "callqa.lan")

    assert server().host == "callqa.lan" and server().ports == {Transport.UDP: 5060}
    assert server(listen_host="10.1.2.3").host == "10.1.2.3"
    both = server(advertised_host="sip.example.cn", tls_port=5061)
    assert (both.host, both.port(Transport.TLS)) == ("sip.example.cn", 5061)
    with pytest.raises(CallqaError, match="没有开启 TCP"):
        both.port(Transport.TCP)
    assert server(listen_host="127.0.0.1").only_here and not both.only_here


@pytest.fixture
def db(tmp_path: Path):
    database = make_database(tmp_path)
    for extension in ("8001", "8002", "8003"):
        add_seat(database, extension=extension, label=f"席{extension}", password="old-password", actor="li", now_ms=1)
    set_seat_active(database, extension="8003", active=False, actor="li", now_ms=2)
    yield database
    database.dispose()


def test_new_passwords_for_all_seats_in_use(db: Database, tmp_path: Path) -> None:
    numbers = iter(range(10))
    desk_path = tmp_path / "desk.json"
    made = rotate_passwords(
        db, [], new_password=lambda: f"new-password-{next(numbers)}", actor="li", now_ms=3, desk_path=desk_path
    )
    assert made == {"8001": ("席8001", "new-password-0"), "8002": ("席8002", "new-password-1")}
    published = {s.extension: s.ha1_md5 for s in load_desk(desk_path).seats}
    assert published == {e: ha1(e, "callqa", password)[0] for e, (_, password) in made.items()}
    with db.read() as session:
        assert session.get(Seat, "8003").ha1_md5 == ha1("8003", "callqa", "old-password")[0]
        entries = session.exec(select(AuditEntry)).all()
        assert audit.verify(session) == []
    assert entries[-1].action == "seat.provision" and entries[-1].detail == {"extensions": ["8001", "8002"]}
    assert "new-password" not in str([e.detail for e in entries])


def test_a_seat_that_is_not_there_changes_none(db: Database) -> None:
    with pytest.raises(CallqaError, match="没有席位 8009、8003"):
        rotate_passwords(db, ["8001", "8009", "8003"], new_password=lambda: "n" * 12, actor="li", now_ms=3)
    assert check_password(db, "8001", "old-password").label == "席8001"


def test_a_file_with_a_password_that_was_changed_is_refused(db: Database) -> None:
    with pytest.raises(CallqaError, match="已经换过"):
        check_password(db, "8001", "older-password")
    with pytest.raises(CallqaError, match="没有席位"):
        check_password(db, "8009", "old-password")


def test_the_zip_holds_every_file_and_a_list() -> None:
    other = PhoneAccount("8002", "secret-2", "10.1.2.3", 5060, label="=1+1")
    data = files_zip([ACCOUNT, other])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert sorted(archive.namelist()) == sorted([
            "001565aabbcc.cfg", "cfg001565aabbcc.xml", "phone-8001.txt", "yealink-8002.cfg", "grandstream-8002.xml",
            "phone-8002.txt", "清单.csv",
        ])  # fmt: skip
        assert parse_yealink(archive.read("yealink-8002.cfg"))["account.1.password"] == "secret-2"
        table = archive.read("清单.csv").decode("utf-8-sig")
    assert "8001,一号席,abcd-efgh-jkmn,10.1.2.3,5060,UDP,001565aabbcc" in table and "'=1+1" in table
    assert files_zip([ACCOUNT, other]) == data
