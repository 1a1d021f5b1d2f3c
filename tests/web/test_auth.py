"""Signing in, sessions, origin, headers, own password."""

import re

import pytest
from fastapi.testclient import TestClient

from callqa.store import audit
from callqa.store.tables import WebSession
from callqa.usecases import accounts as account_verbs
from tests.web.conftest import PASSWORD


def sign_in(client: TestClient, username: str = "shift_leader", password: str = PASSWORD, **form: str):
    return client.post("/login", data={"username": username, "password": password, **form})


def test_a_page_sends_strangers_to_the_login_and_back(app_client, accounts):
    answer = app_client.get("/calls?month=2026-11")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/calls%3Fmonth%3D2026-11"
    answer = sign_in(app_client, next="/calls?month=2026-11")
    assert answer.headers["location"] == "/calls?month=2026-11"
    assert app_client.get("/").status_code == 200


def test_login_never_redirects_elsewhere(app_client, accounts):
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "evil"):
        assert sign_in(app_client, next=target).headers["location"] == "/"
        app_client.post("/logout")


def test_cookie_is_http_only_and_only_its_hash_is_stored(app_client, accounts, database):
    answer = sign_in(app_client)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    token = re.search(r"callqa_session=([^;]+)", cookie)[1]
    with database.read() as session:
        assert session.get(WebSession, token) is None
    assert token not in (database.url, answer.text)


def test_wrong_name_and_wrong_password_read_the_same(app_client, accounts):
    a = sign_in(app_client, password="not it at all")
    b = sign_in(app_client, username="nobody", password="not it at all")
    assert a.status_code == b.status_code == 401
    assert "用户名或密码不对" in a.text and "用户名或密码不对" in b.text


def test_guessing_is_slowed_and_the_right_person_gets_in_after_the_wait(app_client, accounts, clock):
    for _ in range(5):
        assert sign_in(app_client, password="wrong-password").status_code == 401
    refused = sign_in(app_client)
    assert refused.status_code == 429 and "请等 2 秒" in refused.text
    assert sign_in(app_client, username="admin").status_code == 303, "other names are not slowed"
    clock.now_ms += 2_000
    answer = sign_in(app_client)
    assert answer.status_code == 303
    assert "5 次输错密码" in app_client.get("/").text


def test_logout_ends_the_session(app_client, accounts, database):
    sign_in(app_client)
    token = app_client.cookies["callqa_session"]
    app_client.post("/logout")
    app_client.cookies.set("callqa_session", token)
    assert app_client.get("/").status_code == 303
    with database.read() as session:
        assert audit.verify(session) == []


def test_session_ends_at_its_time_and_with_its_account(app_client, accounts, database, clock):
    sign_in(app_client)
    clock.now_ms += 12 * 3_600_000 - 1
    assert app_client.get("/").status_code == 200
    clock.now_ms += 1
    assert app_client.get("/").status_code == 303
    sign_in(app_client)
    account_verbs.deactivate(database, account_id=accounts["shift_leader"], actor="admin", now_ms=clock.now_ms)
    assert app_client.get("/").status_code == 303
    assert sign_in(app_client).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_unsafe_requests_from_elsewhere_are_refused(app_client, accounts, headers):
    answer = app_client.post("/login", data={"username": "admin", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "不是从本系统页面发出" in answer.text


def test_every_answer_has_the_security_headers(app_client, accounts):
    for path in ("/login", "/static/app.css", "/nowhere"):
        headers = app_client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_pages_have_no_inline_script_style_or_foreign_address(app_client):
    html = app_client.get("/login").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|https?://", html)


def test_a_given_password_must_be_changed_first(app_client, accounts, database, clock):
    account_verbs.set_password(
        database, account_id=accounts["shift_leader"], password="given-by-admin", actor="admin", now_ms=clock.now_ms
    )
    assert sign_in(app_client, password="given-by-admin").headers["location"] == "/account/password"
    assert app_client.get("/").headers["location"] == "/account/password"

    def change(old: str, new: str, again: str):
        return app_client.post("/account/password", data={"old": old, "new": new, "again": again})

    assert "原密码不对" in change("wrong", "new-password-9", "new-password-9").text
    assert "两次输入" in change("given-by-admin", "new-password-9", "other").text
    assert "至少 8 位" in change("given-by-admin", "short", "short").text
    assert change("given-by-admin", "new-password-9", "new-password-9").status_code == 303
    assert app_client.get("/").status_code == 200


def test_changing_the_password_ends_the_other_sessions(browser):
    here, there = browser("admin"), browser("admin")
    form = {"old": PASSWORD, "new": "new-password-9", "again": "new-password-9"}
    assert here.post("/account/password", data=form).status_code == 303
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 303
