"""What the recorder must know: write the desk snapshot, and change the data it is made of (trunks, dial plan, routing).

Whoever changes seats, sign-ins or settings publishes afterwards, by `desk_path` of that use case or by calling
`publish_desk` once after several changes.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlmodel import Session, col, select

from callqa.desk import Desk, DeskRouting, DeskSeat, DeskTrunk, DialRule, load_desk, save_desk
from callqa.errors import ConfigError, SpoolError, StateError
from callqa.refusals import invalid_reason
from callqa.sip.calls.routing import Refusal, outbound_targets
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import DeskSetting, Seat, SeatLogin
from callqa.usecases.desk_words import say_field

DEFAULT_REALM = "callqa"
_NUMBER = "snapshot_number"
_HOST = r"[0-9A-Za-z]([0-9A-Za-z.:-]{0,251}[0-9A-Za-z])?"  # a name or an address: it goes into SIP as it is
M = TypeVar("M", bound=BaseModel)


def publish_desk(db: Database, path: Path, now_ms: int) -> Desk:
    """Write the present desk to `path` with the next number; returns what was written.

    The number grows beyond both the database's and the file's, so a restored database is not taken for an old
    snapshot. The file is written inside the transaction that counts: two publishers cannot swap their order.
    """
    try:
        on_disk = load_desk(path).number if path.exists() else 0
    except SpoolError:
        on_disk = 0  # a damaged snapshot is replaced by a good one
    path.parent.mkdir(parents=True, exist_ok=True)
    with db.write() as session:
        stored = _setting(session, _NUMBER, 0)
        number = max(int(stored), on_disk) + 1
        _store(session, _NUMBER, number)
        desk = Desk(
            number=number,
            realm=realm(session),
            seats=_seats(session),
            trunks=load_trunks(session),
            dial_plan=load_dial_plan(session),
            routing=load_routing(session),
        )
        session.flush()
        save_desk(path, desk)
    return desk


def realm(session: Session) -> str:
    """The digest realm every seat's HA1 is made for."""
    return str(_setting(session, "realm", DEFAULT_REALM))


def set_realm(db: Database, new_realm: str, *, actor: str, now_ms: int) -> None:
    """Change the digest realm, only while there is no seat: every stored HA1 is made for the old one."""
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,64}", new_realm):
        raise ConfigError(f"认证域“{new_realm}”不合法；请用 1 至 64 位字母、数字、点或横线")
    with db.write() as session:
        if session.exec(select(Seat.extension).limit(1)).first() is not None and realm(session) != new_realm:
            raise StateError("已有席位，改认证域会使所有话机的密码失效；请先停用并重建席位")
        _change(session, "realm", new_realm, actor, now_ms)


def set_trunks(
    db: Database, trunks: Sequence[DeskTrunk | Mapping[str, Any]], *, actor: str, now_ms: int
) -> tuple[DeskTrunk, ...]:
    """Replace the trunks. Raise ConfigError for a bad address, a repeated name, or a trunk the dial plan still uses."""
    checked = tuple(checked_model(DeskTrunk, t, "中继") for t in trunks)
    names = [t.name for t in checked]
    for trunk in checked:
        if not trunk.name.strip() or names.count(trunk.name) > 1:
            raise ConfigError(f"中继名称“{trunk.name}”为空或重复；每条中继要有自己的名称")
        if not trunk.addresses and not trunk.host:
            raise ConfigError(f"中继“{trunk.name}”既没有允许打入的地址，也没有外呼主机；至少填一项")
        for address in trunk.addresses:
            _check_address(trunk.name, address)
        if trunk.host and not re.fullmatch(_HOST, trunk.host):
            raise ConfigError(f"中继“{trunk.name}”的外呼主机“{trunk.host}”不合法；应为 IP 地址或主机名，如 10.1.2.3")
        if not 1 <= trunk.port <= 65535:
            raise ConfigError(f"中继“{trunk.name}”的端口 {trunk.port} 不在 1 至 65535 之间")
    with db.write() as session:
        lost = sorted({n for r in load_dial_plan(session) for n in (r.trunk, *r.then)} - set(names))
        if lost:
            raise ConfigError(f"拨号方案还在用中继“{'”“'.join(lost)}”；请先改拨号方案")
        _check_overflow_stays(session, checked, load_dial_plan(session))
        _change(session, "trunks", [t.model_dump(mode="json") for t in checked], actor, now_ms)
    return checked


def set_dial_plan(
    db: Database, rules: Sequence[DialRule | Mapping[str, Any]], *, actor: str, now_ms: int
) -> tuple[DialRule, ...]:
    """Replace the dial plan; the first rule that matches wins. Raise ConfigError for a bad pattern or trunk."""
    checked = tuple(checked_model(DialRule, r, "拨号规则") for r in rules)
    for rule in checked:
        try:
            re.compile(rule.pattern)
        except re.error as e:
            place = f"（第 {e.pos + 1} 个字符附近）" if e.pos is not None else ""
            raise ConfigError(
                f"拨号规则“{rule.pattern}”不是合法的正则表达式{place}；手机号码可写 1[3-9]\\d{{9}}"
            ) from e
    with db.write() as session:
        trunks = {t.name: t for t in load_trunks(session)}
        for rule in checked:
            for name in (rule.trunk, *rule.then):
                if name not in trunks:
                    raise ConfigError(f"拨号规则“{rule.pattern}”指向不存在的中继“{name}”；请先添加中继")
                if not trunks[name].host:
                    raise ConfigError(f"中继“{name}”只进不出（没有填主机），不能用于拨号规则“{rule.pattern}”")
        _check_overflow_stays(session, tuple(trunks.values()), checked)
        _change(session, "dial_plan", [r.model_dump(mode="json") for r in checked], actor, now_ms)
    return checked


def _check_overflow_stays(session: Session, trunks: tuple[DeskTrunk, ...], rules: tuple[DialRule, ...]) -> None:
    """A change must not cut off the number that callers overflow to, where it could be called before."""
    number = load_routing(session).overflow_number
    if not number:
        return
    before = outbound_targets(Desk(number=0, trunks=load_trunks(session), dial_plan=load_dial_plan(session)), number)
    after = outbound_targets(Desk(number=0, trunks=trunks, dial_plan=rules), number)
    if isinstance(after, Refusal) and not isinstance(before, Refusal):
        raise ConfigError(f"这样改后溢出号码 {number} 拨不出去：{after.reason}；请先改来电路由里的溢出号码")


def store_routing(session: Session, routing: DeskRouting, actor: str, now_ms: int) -> None:
    """Write a routing that was checked (usecases/routing.py), with its line in the audit chain."""
    _change(session, "routing", routing.model_dump(mode="json"), actor, now_ms)


def load_trunks(session: Session) -> tuple[DeskTrunk, ...]:
    """The trunks as they are stored."""
    return tuple(DeskTrunk.model_validate(t) for t in _setting(session, "trunks", []))


def load_dial_plan(session: Session) -> tuple[DialRule, ...]:
    """The dial plan as it is stored."""
    return tuple(DialRule.model_validate(r) for r in _setting(session, "dial_plan", []))


def load_routing(session: Session) -> DeskRouting:
    """The routing as it is stored, with the defaults of what was never set."""
    stored = _setting(session, "routing", {})
    return DeskRouting.model_validate(stored if isinstance(stored, dict) else {})


def checked_model(model: type[M], given: M | Mapping[str, Any], what: str) -> M:
    """What was given as its model. Raise ConfigError that names the fields as the page does."""
    try:
        return model.model_validate(given.model_dump() if isinstance(given, BaseModel) else dict(given))
    except ValidationError as e:
        problems = "；".join(
            f"{say_field(p['loc'])} {invalid_reason(dict(p))}（收到 {p['input']!r}）" for p in e.errors()
        )
        raise ConfigError(f"{what}填写有误：{problems}") from e


def _check_address(name: str, address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError as e:
        raise ConfigError(f"中继“{name}”的地址“{address}”不是 IP 地址；应如 10.1.2.3") from e


def _seats(session: Session) -> tuple[DeskSeat, ...]:
    signed_in = {
        s.seat_extension: s.agent_no
        for s in session.exec(
            select(SeatLogin).where(col(SeatLogin.ended_at_ms).is_(None)).order_by(col(SeatLogin.started_at_ms))
        )
    }
    rows = session.exec(select(Seat).where(col(Seat.active).is_(True)).order_by(col(Seat.extension)))
    return tuple(
        DeskSeat(
            extension=seat.extension,
            label=seat.label,
            ha1_md5=seat.ha1_md5,
            ha1_sha256=seat.ha1_sha256,
            agent_no=signed_in.get(seat.extension),
        )
        for seat in rows
    )


def _setting(session: Session, key: str, default: Any) -> Any:
    row = session.get(DeskSetting, key)
    return default if row is None else row.value


def _store(session: Session, key: str, value: Any) -> None:
    row = session.get(DeskSetting, key) or DeskSetting(key=key, value=value)
    row.value = value
    session.add(row)


def _change(session: Session, key: str, value: Any, actor: str, now_ms: int) -> None:
    before = _setting(session, key, None)
    if before == value:
        return
    _store(session, key, value)
    audit.append(
        session,
        actor=actor,
        action=f"desk.{key}",
        subject="desk",
        detail={"before": _without_ha1(before), "after": _without_ha1(value)},
        now_ms=now_ms,
    )


def _without_ha1(value: Any) -> Any:
    """For the audit chain, which is read widely and kept for good: an HA1 is as good as its password."""
    if not isinstance(value, list):
        return value
    return [{k: "***" if k.startswith("ha1_") and v else v for k, v in one.items()} for one in value]
