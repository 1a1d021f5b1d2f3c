"""Web sessions 登录会话: sign in, recognise, sign out; and the brake on guessing passwords.

The cookie carries a random token; only its SHA-256 is stored. A session ends at its fixed end, at sign-out, when the
account is switched off, or when the password changes elsewhere. `SignInBrake` slows guessing per user name and client
address, so that somebody who guesses from one place never locks the right person out at another; it lives in memory
and takes the time as an argument.
"""

import hashlib
import logging
import secrets
from dataclasses import dataclass, field

from sqlmodel import Session, col, delete, select

from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Account, WebSession
from callqa.usecases.accounts import hash_password, password_fits

log = logging.getLogger(__name__)

FREE_FAILURES = 4  # mistyping is normal; the fifth wrong password starts the wait
LONGEST_WAIT_MS = 30_000  # slows a guesser to 120 tries an hour and never keeps a person out for long
FORGET_AFTER_MS = 15 * 60_000
MAX_REMEMBERED = 10_000  # pairs of name and address: a flood of made-up names must not fill the memory
SEEN_EVERY_MS = 60_000  # how often last_seen is written


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. failures_before: wrong passwords since the last success, to be told to the person."""

    token: str
    account_id: int
    username: str
    must_change_password: bool
    failures_before: int


@dataclass(frozen=True, slots=True)
class SessionAccount:
    """Who is behind a cookie."""

    token_sha256: str
    account_id: int
    username: str
    display_name: str
    role: str
    agent_no: str | None
    must_change_password: bool


@dataclass(slots=True)
class _Failures:
    count: int
    last_ms: int


@dataclass(slots=True)
class SignInBrake:
    """Counts wrong passwords per (user name, client address)."""

    _failures: dict[tuple[str, str], _Failures] = field(default_factory=dict)

    def wait_ms(self, username: str, client: str, now_ms: int) -> int:
        """How long this client must still wait before it may try this name again; 0 = may try."""
        entry = self._failures.get((username, client))
        if entry is None or now_ms - entry.last_ms > FORGET_AFTER_MS or entry.count <= FREE_FAILURES:
            return 0
        pause = min(LONGEST_WAIT_MS, 1000 * 2 ** (entry.count - FREE_FAILURES))
        return max(0, entry.last_ms + pause - now_ms)

    def failed(self, username: str, client: str, now_ms: int) -> None:
        """Note a wrong password."""
        entry = self._failures.get((username, client))
        if entry is None or now_ms - entry.last_ms > FORGET_AFTER_MS:
            if len(self._failures) >= MAX_REMEMBERED:
                oldest = min(self._failures, key=lambda key: self._failures[key].last_ms)
                del self._failures[oldest]
            entry = self._failures[(username, client)] = _Failures(0, now_ms)
        entry.count += 1
        entry.last_ms = now_ms

    def succeeded(self, username: str, client: str) -> None:
        """Forget the failures after a right password."""
        self._failures.pop((username, client), None)


def token_hash(token: str) -> str:
    """What is stored of a cookie's token."""
    return hashlib.sha256(token.encode()).hexdigest()


# A hash to compare with when the name does not exist, so that the answer takes as long as for a real account.
_NOBODY_HASH = hash_password(secrets.token_hex(16))


def sign_in(
    db: Database, *, username: str, password: str, user_agent: str, lifetime_ms: int, now_ms: int
) -> SignedIn | None:
    """Open a session for the right name and password; None otherwise (which of the two was wrong is not told)."""
    with db.read() as session:
        account = _find(session, username)
    fits = password_fits(account.password_hash if account else _NOBODY_HASH, password)
    if account is None or not account.active:
        log.warning("sign-in refused: no active account of that name")
        return None
    if not fits:
        with db.write() as session:
            row = session.get(Account, account.id)
            if row is not None:
                row.failed_logins += 1
                row.last_failed_at_ms = now_ms
                session.add(row)
        log.warning("sign-in refused: wrong password for account %s", account.id)
        return None
    return _open(db, account, user_agent=user_agent, lifetime_ms=lifetime_ms, now_ms=now_ms)


def _open(db: Database, account: Account, *, user_agent: str, lifetime_ms: int, now_ms: int) -> SignedIn | None:
    token = secrets.token_urlsafe(32)
    with db.write() as session:
        row = session.get(Account, account.id)
        # Checked again: the account or its password may have changed while the hash was computed.
        if row is None or row.id is None or not row.active or row.password_hash != account.password_hash:
            return None
        failures_before, row.failed_logins = row.failed_logins, 0
        session.add(row)
        session.exec(delete(WebSession).where(col(WebSession.expires_at_ms) <= now_ms))
        session.add(
            WebSession(
                token_sha256=token_hash(token),
                account_id=row.id,
                created_at_ms=now_ms,
                last_seen_at_ms=now_ms,
                expires_at_ms=now_ms + lifetime_ms,
                user_agent=user_agent[:200],
            )
        )
        audit.append(
            session, actor=row.username, action="session.sign_in", subject=row.username, detail={}, now_ms=now_ms
        )
        return SignedIn(token, row.id, row.username, row.must_change_password, failures_before)


def find_session(db: Database, *, token: str, now_ms: int) -> SessionAccount | None:
    """Who a cookie's token belongs to; None when it is unknown, over, or its account is switched off."""
    hashed = token_hash(token)
    with db.read() as session:
        query = (
            select(WebSession, Account)
            .where(WebSession.account_id == Account.id)
            .where(WebSession.token_sha256 == hashed, col(Account.active).is_(True))
        )
        found = session.exec(query).first()
    if found is None or found[0].expires_at_ms <= now_ms:
        return None
    web_session, account = found
    if now_ms - web_session.last_seen_at_ms >= SEEN_EVERY_MS:
        with db.write() as session:
            row = session.get(WebSession, hashed)
            if row is not None:
                row.last_seen_at_ms = now_ms
                session.add(row)
    assert account.id is not None
    return SessionAccount(
        hashed,
        account.id,
        account.username,
        account.display_name,
        account.role,
        account.agent_no,
        account.must_change_password,
    )


def sign_out(db: Database, *, token: str, now_ms: int) -> None:
    """End one session; unknown tokens are no error."""
    with db.write() as session:
        row = session.get(WebSession, token_hash(token))
        if row is None:
            return
        account = session.get(Account, row.account_id)
        session.delete(row)
        if account is not None:
            audit.append(
                session,
                actor=account.username,
                action="session.sign_out",
                subject=account.username,
                detail={},
                now_ms=now_ms,
            )


def _find(session: Session, username: str) -> Account | None:
    return session.exec(select(Account).where(Account.username == username.strip())).first()
