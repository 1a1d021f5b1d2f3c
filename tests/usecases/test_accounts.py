"""Making accounts, the first administrator, passwords, switching off."""

import pytest
from sqlmodel import select

from callqa.errors import CallqaError, StateError
from callqa.store import audit
from callqa.store.tables import Account, AuditEntry, WebSession
from callqa.usecases import accounts
from callqa.usecases.accounts import NewAccount
from tests.store_fixture import make_database

NOW_MS = 1_795_327_500_000


@pytest.fixture
def db(tmp_path):
    database = make_database(tmp_path)
    yield database
    database.dispose()


def new(username: str = "li", **values) -> NewAccount:
    fields = {"display_name": "李班长", "role": "shift_leader", "password": "long enough 9", **values}
    return NewAccount(username=username, **fields)


def test_the_first_administrator_is_made_once(db):
    password = accounts.ensure_admin(db, NOW_MS)
    assert password is not None
    with db.read() as session:
        admin = session.exec(select(Account)).one()
    assert (admin.username, admin.role, admin.must_change_password) == ("admin", "admin", True)
    assert admin.password_hash.startswith("$argon2id$") and accounts.password_fits(admin.password_hash, password)
    assert accounts.ensure_admin(db, NOW_MS) is None


def test_wrong_accounts_are_refused_with_words(db):
    accounts.create_account(db, new(), actor="admin", now_ms=NOW_MS)
    for wrong, words in (
        (new(" "), "不合用"),
        (new("a b"), "不合用"),
        (new("x", display_name=""), "姓名"),
        (new("x", role="boss"), "角色"),
        (new("x", role="agent"), "工号"),
        (new("x", agent_no="999"), "没有工号"),
        (new("x", password="short"), "至少 8 位"),
        (new("longusername", password="LONGusername"), "用户名相同"),
        (new("x", password="password"), "太常见"),
        (new("x", password="aaaaaaaaaa"), "太常见"),
        (new("li"), "已有人使用"),
    ):
        with pytest.raises(CallqaError, match=words):
            accounts.create_account(db, wrong, actor="admin", now_ms=NOW_MS)


def test_password_change_needs_the_old_one_and_a_new_one(db):
    account_id = accounts.create_account(db, new(), actor="admin", now_ms=NOW_MS)

    def change(old: str, fresh: str) -> None:
        accounts.change_password(db, account_id=account_id, old=old, new=fresh, keep_token_sha256="", now_ms=NOW_MS)

    with pytest.raises(CallqaError, match="原密码不对"):
        change("wrong", "another one 9")
    with pytest.raises(CallqaError, match="相同"):
        change("long enough 9", "long enough 9")
    change("long enough 9", "another one 9")
    with db.read() as session:
        row = session.get(Account, account_id)
    assert accounts.password_fits(row.password_hash, "another one 9") and not row.must_change_password


def test_switching_off_ends_sessions_and_keeps_the_last_administrator(db):
    accounts.ensure_admin(db, NOW_MS)
    account_id = accounts.create_account(db, new(), actor="admin", now_ms=NOW_MS)
    with db.write() as session:
        session.add(
            WebSession(
                token_sha256="x", account_id=account_id, created_at_ms=0, last_seen_at_ms=0, expires_at_ms=NOW_MS * 2
            )
        )
        admin_id = session.exec(select(Account.id).where(Account.role == "admin")).one()
    accounts.deactivate(db, account_id=account_id, actor="admin", now_ms=NOW_MS)
    with pytest.raises(StateError, match="最后一个"):
        accounts.deactivate(db, account_id=admin_id, actor="admin", now_ms=NOW_MS)
    with db.read() as session:
        assert session.exec(select(WebSession)).all() == []
        actions = [e.action for e in session.exec(select(AuditEntry).order_by(AuditEntry.sequence))]
        assert audit.verify(session) == []
    assert actions == ["account.create", "account.create", "account.deactivate"]


def test_no_password_is_ever_written_to_the_audit_chain(db):
    password = accounts.ensure_admin(db, NOW_MS)
    with db.read() as session:
        assert all(password not in str(e.detail) for e in session.exec(select(AuditEntry)))
