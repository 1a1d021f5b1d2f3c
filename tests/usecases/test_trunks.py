"""The lines page's trunk and rule: an account's password only as digests, and what a form does not show stays."""

import hashlib

import pytest
from sqlmodel import select

from callqa.errors import ConfigError
from callqa.store.tables import AuditEntry
from callqa.usecases.desk import publish_desk, set_trunks
from callqa.usecases.trunks import remove_dial_rule, remove_trunk, save_dial_rule, save_trunk
from tests.usecases.ticket_office import T0, make_office

WHO = {"actor": "管理员", "now_ms": T0}
ACCOUNT = {"host": "sip.example.cn", "register_here": True, "username": "96510", "realm": "example.cn"}


@pytest.fixture
def db(tmp_path):
    return make_office(tmp_path)


def desk(db, tmp_path):
    return publish_desk(db, tmp_path / "state" / "desk.json", T0)


def test_only_digests_of_an_accounts_password_are_stored(db, tmp_path):
    save_trunk(db, "电信", ACCOUNT, password="provider-secret", **WHO)
    trunk = desk(db, tmp_path).trunks[0]
    assert trunk.ha1_md5 == hashlib.md5(b"96510:example.cn:provider-secret").hexdigest()
    assert trunk.ha1_sha256 == hashlib.sha256(b"96510:example.cn:provider-secret").hexdigest()
    with db.read() as session:
        audited = str([e.model_dump() for e in session.exec(select(AuditEntry))])
    assert "provider-secret" not in audited + str(trunk.model_dump())
    assert "desk.trunks" in audited and trunk.ha1_md5 not in audited and trunk.ha1_sha256 not in audited


def test_what_is_not_shown_stays_and_the_order_too(db, tmp_path):
    save_trunk(db, "电信", ACCOUNT, password="provider-secret", **WHO)
    save_trunk(db, "联通", {"addresses": ["10.0.9.2"], "host": "10.0.9.2"}, **WHO)
    set_trunks(db, [t.model_copy(update={"expires_s": 900}) for t in desk(db, tmp_path).trunks], **WHO)
    before = desk(db, tmp_path).trunks[0]
    save_trunk(db, "电信", {"prefix": "9", "transport": "tls", "keepalive_s": 30}, **WHO)
    after = desk(db, tmp_path).trunks
    assert after[0] == before.model_copy(update={"prefix": "9", "transport": "tls", "keepalive_s": 30})
    assert [t.name for t in after] == ["电信", "联通"]
    remove_trunk(db, "联通", **WHO)
    assert [t.name for t in desk(db, tmp_path).trunks] == ["电信"]


@pytest.mark.parametrize(
    ("shown", "password", "part"),
    [
        (ACCOUNT, "", "密码"),
        (ACCOUNT | {"realm": ""}, "provider-secret", "还须填账号和认证域"),
        (ACCOUNT | {"host": "", "addresses": ["10.0.8.2"]}, "provider-secret", "须填外呼主机"),
        (ACCOUNT | {"transport": "sctp"}, "provider-secret", "传输"),
    ],
)
def test_an_account_that_could_not_register_is_refused(db, shown, password, part):
    with pytest.raises(ConfigError, match=part) as refused:
        save_trunk(db, "电信", shown, password=password, **WHO)
    assert "provider-secret" not in str(refused.value)


def test_another_user_name_or_realm_needs_the_password_again(db, tmp_path):
    save_trunk(db, "电信", ACCOUNT, password="provider-secret", **WHO)
    with pytest.raises(ConfigError, match="须重填密码"):
        save_trunk(db, "电信", {"realm": "other.cn"}, **WHO)
    save_trunk(db, "电信", {"realm": "other.cn", "register_here": False}, **WHO)
    assert desk(db, tmp_path).trunks[0].ha1_md5 == ""  # made for the former realm


def test_a_rule_keeps_its_place_and_its_further_trunks(db, tmp_path):
    for name in ("电信", "联通"):
        save_trunk(db, name, {"host": f"10.0.8.{len(name)}"}, **WHO)
    save_dial_rule(db, r"1\d{10}", {"trunk": "电信", "then": ["联通"]}, **WHO)
    save_dial_rule(db, r"\d+", {"trunk": "电信"}, **WHO)
    save_dial_rule(db, r"1\d{10}", {"trunk": "联通"}, **WHO)
    plan = desk(db, tmp_path).dial_plan
    assert [(r.pattern, r.trunk, r.then) for r in plan] == [(r"1\d{10}", "联通", ("联通",)), (r"\d+", "电信", ())]
    with pytest.raises(ConfigError, match="不存在的中继“移动”"):
        save_dial_rule(db, r"\d+", {"then": ["移动"]}, **WHO)
    remove_dial_rule(db, r"\d+", **WHO)
    assert len(desk(db, tmp_path).dial_plan) == 1
