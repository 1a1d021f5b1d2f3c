"""Set-up sheet, one phone's file while its password is on the screen, new passwords for all as a ZIP."""

import io
import re
import zipfile

import pytest
from playwright.sync_api import sync_playwright

from callqa.desk import load_desk
from callqa.usecases.people import ha1
from callqa.usecases.routing import set_routing
from tests.conftest import need_tool
from tests.usecases.phone_settings import parse_yealink


def new_seat(client) -> tuple[str, str]:
    """(password, the sheet)."""
    html = client.post("/people/seats", data={"extension": "8009", "label": "九号席"}).text
    return re.search(r"<dt>密码</dt><dd><code>([^<]+)</code>", html)[1], html


def test_the_sheet_has_what_a_phone_needs(browser, accounts):
    _, html = new_seat(browser("shift_leader"))
    for text in ("九号席", "5060", "PCMA、PCMU", "*11", "*12", "*13", "亿联 Yealink", "Grandstream", "无需建单"):
        assert text in html, text
    assert "TLS" not in re.search(r"<dt>端口</dt>.*?</dd>", html, re.DOTALL)[0]


def test_a_phones_file_comes_while_its_password_is_known(browser, accounts):
    client = browser("shift_leader")
    password, _ = new_seat(client)
    form = {"kind": "yealink", "password": password, "transport": "udp", "mac": "00:15:65:AA:BB:CC"}
    answer = client.post("/people/seats/8009/phone-file", data=form)
    assert "001565aabbcc.cfg" in answer.headers["content-disposition"]
    found = parse_yealink(answer.content)
    assert (found["account.1.password"], found["account.1.sip_server.1.address"]) == (password, "testserver")
    xml = client.post("/people/seats/8009/phone-file", data=form | {"kind": "grandstream", "mac": ""})
    assert "grandstream-8009.xml" in xml.headers["content-disposition"] and password in xml.text
    new_seat(client)  # a new password
    assert client.post("/people/seats/8009/phone-file", data=form).status_code == 303
    assert "已经换过" in client.get("/people").text
    for wrong in ({"mac": "zz"}, {"transport": "tls"}, {"password": ""}):
        answer = client.post("/people/seats/8009/phone-file", data=form | wrong)
        assert answer.status_code in (303, 400), wrong
    assert client.post("/people/seats/8009/phone-file", data=form | {"kind": "fax"}).status_code == 404
    assert browser("agent").post("/people/seats/8009/phone-file", data=form).status_code == 403


def test_all_phones_get_new_passwords_and_the_recorder_hears_of_it(browser, month, settings):
    client = browser("shift_leader")
    answer = client.post("/people/seats/phone-files", data={"phones": "8001 001565aabbcc\n8002"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        first = parse_yealink(archive.read("001565aabbcc.cfg"))
        assert "yealink-8002.cfg" in archive.namelist() and "yealink-8003.cfg" not in archive.namelist()
    seats = {s.extension: s.ha1_md5 for s in load_desk(settings.desk_path).seats}
    assert seats["8001"] == ha1("8001", "callqa", first["account.1.password"])[0]
    assert client.post("/people/seats/phone-files", data={"phones": "9999"}).status_code == 303
    assert "没有席位 9999" in client.get("/people").text
    assert browser("agent").post("/people/seats/phone-files", data={}).status_code == 403


@pytest.mark.slow
def test_the_sheet_prints_on_one_page(browser, accounts, tmp_path):
    chromium = need_tool("chromium")
    _, html = new_seat(browser("shift_leader"))
    client = browser("shift_leader")

    def serve(route):
        path = route.request.url.removeprefix("http://testserver")
        if path == "/sheet":
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        else:
            answer = client.get(path)
            route.fulfill(body=answer.content, content_type=answer.headers["content-type"])

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = window.new_page()
        tab.route("**/*", serve)
        tab.goto("http://testserver/sheet")
        tab.pdf(path=str(tmp_path / "sheet.pdf"), prefer_css_page_size=True)
        window.close()
    data = (tmp_path / "sheet.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", data)) == 1


@pytest.mark.parametrize(
    ("encryption", "said", "offered", "asked", "made"),
    [
        ("off", "媒体加密关闭", False, "true", "0"),
        ("optional", "媒体加密可开", True, "true", "2"),
        ("optional", "媒体加密可开", True, "false", "0"),
        ("required", "媒体加密必须打开", False, "false", "2"),
    ],
)
def test_sheet_and_files_follow_the_encryption_of_the_seats(
    browser, accounts, database, encryption, said, offered, asked, made
):
    set_routing(database, {"seat_encryption": encryption}, actor="banzhang", now_ms=1)
    client = browser("shift_leader")
    password, html = new_seat(client)
    assert said in html and ('name="srtp"' in html) == offered
    form = {"kind": "yealink", "password": password, "transport": "udp", "srtp": asked}
    one = parse_yealink(client.post("/people/seats/8009/phone-file", data=form).content)
    assert one["account.1.srtp_encryption"] == made
    with zipfile.ZipFile(io.BytesIO(client.post("/people/seats/phone-files", data={}).content)) as archive:
        several = parse_yealink(archive.read("yealink-8009.cfg"))
    assert several["account.1.srtp_encryption"] == ("2" if encryption == "required" else "0")
