"""Accounts 账号: make, first administrator, passwords (Argon2id), switch off and on again.

Ending an account ends its web sessions in the same transaction. Who may do this is decided in `web/permissions.py`.
"""

import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlmodel import Session, col, delete, select

from callqa.errors import CallqaError, StateError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Account, Agent, WebSession

ROLES = ("shift_leader", "agent", "client_supervisor", "admin")
PASSWORD_MIN_CHARS = 8
PASSWORD_MAX_CHARS = 128  # Argon2 takes any length; a bound keeps one request's work bounded
FIRST_ADMIN = "admin"
# The ones tried first by anybody; not a list of all weak passwords.
_COMMON = frozenset({"12345678", "123456789", "1234567890", "password", "qwertyui", "11111111", "88888888", "abcd1234"})

_hasher = PasswordHasher()  # Argon2id, RFC 9106 low-memory profile


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is needed to make an account."""

    username: str
    display_name: str
    role: str
    password: str
    agent_no: str | None = None
    must_change_password: bool = True


def hash_password(password: str) -> str:
    """Argon2id hash with its parameters and salt."""
    return _hasher.hash(password)


def password_fits(password_hash: str, password: str) -> bool:
    """Whether the password is the one that was hashed."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def check_new_password(password: str, username: str) -> None:
    """Raise CallqaError in Chinese when the password is too weak to set."""
    if len(password) < PASSWORD_MIN_CHARS:
        raise CallqaError(f"密码至少 {PASSWORD_MIN_CHARS} 位；现在是 {len(password)} 位")
    if len(password) > PASSWORD_MAX_CHARS:
        raise CallqaError(f"密码最多 {PASSWORD_MAX_CHARS} 位")
    if password.lower() == username.lower():
        raise CallqaError("密码不能与用户名相同")
    if password.lower() in _COMMON or len(set(password)) < 4:
        raise CallqaError("这个密码太常见，请换一个")


def random_password() -> str:
    """16 characters in four groups, read out and typed without mistakes (no 0/O, 1/l/I)."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))


def create_account(db: Database, new: NewAccount, *, actor: str, now_ms: int) -> int:
    """Make one account and give its id. Raise CallqaError for a wrong field, StateError when the name is taken."""
    username = new.username.strip()
    if not username or len(username) > 32 or not username.replace("_", "").replace("-", "").replace(".", "").isalnum():
        raise CallqaError(f"用户名“{username}”不合用；请用 1–32 个字母、数字、汉字或 _ - .")
    if not new.display_name.strip():
        raise CallqaError("请填写姓名")
    if new.role not in ROLES:
        raise CallqaError(f"没有“{new.role}”这个角色")
    if new.role == "agent" and not new.agent_no:
        raise CallqaError("坐席账号必须选择工号，否则看不到自己的通话")
    check_new_password(new.password, username)
    hashed = hash_password(new.password)
    with db.write() as session:
        if session.exec(select(Account.id).where(Account.username == username)).first() is not None:
            raise StateError(f"用户名“{username}”已有人使用；请换一个，或重新启用原账号")
        if new.agent_no and session.get(Agent, new.agent_no) is None:
            raise CallqaError(f"没有工号“{new.agent_no}”；请先在“人员与席位”登记")
        account = Account(
            username=username,
            display_name=new.display_name.strip(),
            role=new.role,
            password_hash=hashed,
            agent_no=new.agent_no or None,
            must_change_password=new.must_change_password,
        )
        session.add(account)
        session.flush()
        audit.append(
            session,
            actor=actor,
            action="account.create",
            subject=username,
            detail={"role": new.role, "agent_no": new.agent_no},
            now_ms=now_ms,
        )
        assert account.id is not None
        return account.id


def ensure_admin(db: Database, now_ms: int) -> str | None:
    """Make the first administrator `admin` on an installation without accounts.

    Gives its random password, to be shown once; None when accounts exist already.
    """
    with db.read() as session:
        if session.exec(select(Account.id).limit(1)).first() is not None:
            return None
    password = random_password()
    new = NewAccount(username=FIRST_ADMIN, display_name="管理员", role="admin", password=password)
    create_account(db, new, actor="system", now_ms=now_ms)
    return password


def change_password(db: Database, *, account_id: int, old: str, new: str, keep_token_sha256: str, now_ms: int) -> None:
    """Change one's own password; every other session of the account ends."""
    with db.read() as session:
        account = _load(session, account_id)
    if not password_fits(account.password_hash, old):
        raise CallqaError("原密码不对")
    if new == old:
        raise CallqaError("新密码与原密码相同，请换一个")
    check_new_password(new, account.username)
    hashed = hash_password(new)
    with db.write() as session:
        row = _load(session, account_id)
        if row.password_hash != account.password_hash:
            raise StateError("密码刚刚已被别处修改，请重新登录")
        row.password_hash = hashed
        row.must_change_password = False
        session.add(row)
        session.exec(
            delete(WebSession).where(
                col(WebSession.account_id) == account_id, col(WebSession.token_sha256) != keep_token_sha256
            )
        )
        audit.append(
            session, actor=row.username, action="account.password", subject=row.username, detail={}, now_ms=now_ms
        )


def set_password(db: Database, *, account_id: int, password: str, actor: str, now_ms: int) -> None:
    """Give somebody a new password (an administrator's act): their sessions end and they must change it."""
    with db.read() as session:
        username = _load(session, account_id).username
    check_new_password(password, username)
    hashed = hash_password(password)
    with db.write() as session:
        row = _load(session, account_id)
        row.password_hash = hashed
        row.must_change_password = True
        row.failed_logins = 0
        session.add(row)
        _end_sessions(session, account_id)
        audit.append(session, actor=actor, action="account.reset", subject=row.username, detail={}, now_ms=now_ms)


def reset_password(db: Database, username: str, *, actor: str, now_ms: int) -> str:
    """Give an account a new random password by its name, for whoever can no longer sign in, and the password to show
    once. An account that is switched off stays so. Raise CallqaError where there is no such account."""
    with db.read() as session:
        account = session.exec(select(Account).where(Account.username == username)).first()
        names = sorted(session.exec(select(Account.username).where(col(Account.active).is_(True))).all())
    if account is None or account.id is None:
        known = f"现有 {'、'.join(names)}" if names else "还没有账号，请先运行 callqa migrate"
        raise CallqaError(f"没有账号“{username}”；{known}")
    if not account.active:
        raise CallqaError(f"账号“{username}”已停用；请先由另一个管理员在“账号”页启用")
    password = random_password()
    set_password(db, account_id=account.id, password=password, actor=actor, now_ms=now_ms)
    return password


def deactivate(db: Database, *, account_id: int, actor: str, now_ms: int) -> None:
    """Switch an account off and end its sessions. The last active administrator stays."""
    with db.write() as session:
        row = _load(session, account_id)
        if row.role == "admin":
            others = select(Account.id).where(
                Account.role == "admin", col(Account.active).is_(True), Account.id != account_id
            )
            if session.exec(others).first() is None:
                raise StateError("这是最后一个启用的管理员账号，不能停用；请先建立另一个管理员")
        row.active = False
        session.add(row)
        _end_sessions(session, account_id)
        audit.append(session, actor=actor, action="account.deactivate", subject=row.username, detail={}, now_ms=now_ms)


def activate(db: Database, *, account_id: int, actor: str, now_ms: int) -> None:
    """Switch an account on again."""
    with db.write() as session:
        row = _load(session, account_id)
        row.active = True
        session.add(row)
        audit.append(session, actor=actor, action="account.activate", subject=row.username, detail={}, now_ms=now_ms)


def _end_sessions(session: Session, account_id: int) -> None:
    session.exec(delete(WebSession).where(col(WebSession.account_id) == account_id))


def _load(session: Session, account_id: int) -> Account:
    row = session.get(Account, account_id)
    if row is None:
        raise CallqaError("没有这个账号；它可能已被删除，请刷新页面")
    return row
