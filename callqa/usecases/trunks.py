"""One trunk and one dial rule of the lines page: what the form shows is replaced, what it does not show stays.

The password of an account at a provider is never stored: only HA1 for MD5 and SHA-256, which work for the user name
and the realm they were made for.
"""

from collections.abc import Mapping
from typing import Any

from callqa.desk import DeskTrunk
from callqa.errors import ConfigError
from callqa.store.db import Database
from callqa.store.tables import DeskSetting
from callqa.usecases.desk import set_dial_plan, set_trunks
from callqa.usecases.people import ha1

HA1_OF = ("username", "realm")  # an HA1 is for these two


def save_trunk(
    db: Database, name: str, shown: Mapping[str, Any], *, password: str = "", actor: str, now_ms: int
) -> tuple[DeskTrunk, ...]:
    """Add a trunk, or replace what is `shown` of one; an empty password keeps the stored HA1. Raise ConfigError."""
    stored = _stored(db, "trunks")
    kept: Mapping[str, Any] = next((t for t in stored if t["name"] == name), {"addresses": []})
    return set_trunks(
        db, _replaced(stored, "name", _with_account({**kept, **shown, "name": name}, kept, password)),
        actor=actor, now_ms=now_ms,
    )  # fmt: skip


def remove_trunk(db: Database, name: str, *, actor: str, now_ms: int) -> None:
    """Remove a trunk that no dial rule uses. Raise ConfigError."""
    set_trunks(db, [t for t in _stored(db, "trunks") if t["name"] != name], actor=actor, now_ms=now_ms)


def save_dial_rule(db: Database, pattern: str, shown: Mapping[str, Any], *, actor: str, now_ms: int) -> None:
    """Add a rule at the end, or replace what is `shown` of the one with this pattern in its place. Raise ConfigError."""
    stored = _stored(db, "dial_plan")
    kept = next((r for r in stored if r["pattern"] == pattern), {})
    rules = _replaced(stored, "pattern", {**kept, **shown, "pattern": pattern})
    set_dial_plan(db, rules, actor=actor, now_ms=now_ms)


def remove_dial_rule(db: Database, pattern: str, *, actor: str, now_ms: int) -> None:
    """Remove a rule."""
    set_dial_plan(db, [r for r in _stored(db, "dial_plan") if r["pattern"] != pattern], actor=actor, now_ms=now_ms)


def _with_account(trunk: dict[str, Any], kept: Mapping[str, Any], password: str) -> dict[str, Any]:
    """The trunk with the HA1 that fit its account. Raise ConfigError where there are none to register with."""
    name, username, realm = trunk["name"], str(trunk.get("username", "")), str(trunk.get("realm", ""))
    if password:
        if not username or not realm:
            raise ConfigError(f"中继“{name}”填了密码；还须填账号和认证域（realm），密码只对它们有效")
        md5, sha256 = ha1(username, realm, password)
        trunk |= {"ha1_md5": md5, "ha1_sha256": sha256}
    elif any(kept.get(key, "") != trunk.get(key, "") for key in HA1_OF):
        trunk |= {"ha1_md5": "", "ha1_sha256": ""}  # made for another account
    if trunk.get("register_here"):
        if not trunk.get("host"):
            raise ConfigError(f"中继“{name}”要登记，须填外呼主机")
        if not username or not trunk.get("ha1_md5"):
            raise ConfigError(f"中继“{name}”要登记，须填账号、认证域（realm）和密码；改了账号或认证域须重填密码")
    return trunk


def _replaced(stored: list[dict[str, Any]], key: str, new: dict[str, Any]) -> list[dict[str, Any]]:
    """The list with `new` in the place of the one it replaces, or at the end."""
    if all(one[key] != new[key] for one in stored):
        return [*stored, new]
    return [new if one[key] == new[key] else one for one in stored]


def _stored(db: Database, key: str) -> list[dict[str, Any]]:
    with db.read() as session:
        row = session.get(DeskSetting, key)
        value = row.value if row is not None else []
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []
