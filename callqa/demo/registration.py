"""An endpoint at a registrar: registered by digest, and kept registered."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callqa.errors import ProtocolError
from callqa.sip.events import Address
from callqa.sip.wire.auth import answer_challenge, parse_challenge
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request, Response

if TYPE_CHECKING:
    from callqa.demo.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class _Account:
    server: Address
    extension: str
    password: str
    expires_s: int


class Registration:
    """The registration of one endpoint."""

    def __init__(self, endpoint: "Endpoint") -> None:
        self._endpoint = endpoint
        self._account: _Account | None = None
        self._call_id = secrets.token_hex(8)
        self._cseq = 0
        self._refresh: asyncio.TimerHandle | None = None

    async def begin(self, server: Address, extension: str, password: str, expires_s: int) -> int:
        """Register and keep registered; returns the final status."""
        account = _Account(server, extension, password, expires_s)
        status = await self._register(account, expires_s)
        if status == 200 and expires_s:
            self._account = account
            self._refresh = asyncio.get_running_loop().call_later(expires_s / 2, self._begin_again, account)
        return status

    async def give_up(self) -> int:
        """Unregister; returns the final status, 0 where there was nothing to give up."""
        self.forget()
        return 0 if self._account is None else await self._register(self._account, 0)

    def forget(self) -> None:
        """Let it expire."""
        if self._refresh is not None:
            self._refresh.cancel()

    def _begin_again(self, account: _Account) -> None:
        async def again() -> None:
            await self.begin(account.server, account.extension, account.password, account.expires_s)

        self._endpoint.spawn(again())

    async def _register(self, account: _Account, expires_s: int) -> int:
        endpoint, server = self._endpoint, account.server
        credentials: tuple[str, str] | None = None
        status = 408
        for _ in range(3):
            self._cseq += 1
            at = f"{server[0]}:{server[1]}"
            address = f"<sip:{account.extension}@{at}>"
            headers = Headers.of(
                ("Max-Forwards", "70"), ("From", f"{address};tag={secrets.token_hex(4)}"), ("To", address),
                ("Call-ID", self._call_id), ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", f"<sip:{account.extension}@{endpoint.host}:{endpoint.port}>"), ("Expires", str(expires_s)), credentials or ("Expires", None),
            )  # fmt: skip
            response = await endpoint.ask(Request("REGISTER", f"sip:{at}", headers), server)
            if response is None:
                return 408
            status = response.status
            given = credentials is not None
            credentials = credentials_for(response, "REGISTER", f"sip:{at}", account.extension, account.password)
            stale = any("stale=true" in v for v in response.headers.all("WWW-Authenticate"))
            if credentials is None or (given and not stale):
                break
        return status


def credentials_for(response: Response, method: str, uri: str, user: str, password: str) -> tuple[str, str] | None:
    """The Authorization field for a 401 or 407, with SHA-256 where that is offered; None for other responses."""
    names = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
    if response.status not in names or not password:
        return None
    challenge_name, name = names[response.status]
    offered = {}
    for value in response.headers.all(challenge_name):
        try:
            challenge = parse_challenge(value)
        except ProtocolError:
            continue
        offered[challenge.algorithm] = challenge
    best = offered.get("SHA-256") or offered.get("MD5")
    if best is None:
        return None
    made = answer_challenge(best, method=method, uri=uri, user=user, password=password, cnonce=secrets.token_hex(8))
    return name, str(made)
