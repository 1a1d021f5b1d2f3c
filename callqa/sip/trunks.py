"""Our side towards the trunks: keep-alive by OPTIONS, registration as a client (RFC 3261 §10.2) with digest, refresh, back-off.

A trunk is a provider, or a PBX that has us as an extension. Any final answer to OPTIONS says that it is alive; a trunk that
does not answer is tried last for calls. Registration refused for the password is tried again slowly, since somebody may mend it
at the far end; everything that changes is told once. Only HA1 hashes are here, made for the trunk's realm.
"""

from dataclasses import dataclass, field

from callqa.desk import Desk, DeskTrunk
from callqa.errors import ProtocolError
from callqa.sip.calls.routing import is_address, trunk_address
from callqa.sip.core import ALLOW, Core
from callqa.sip.legs.timers import Alarm
from callqa.sip.wire.auth import Challenge, answer_with_ha1, parse_challenge
from callqa.sip.wire.headers import Headers, one_line, parse_name_addr, parse_number
from callqa.sip.wire.message import Request, Response

EXPIRES_MOST_S = 86_400
BACK_OFF_S = (15.0, 30.0, 60.0, 120.0, 300.0)
REFUSED_AGAIN_S = 300.0


@dataclass(slots=True, eq=False)
class _Trunk:
    """What we know of one trunk. gone: the desk has it no more, its answers mean nothing."""

    desk: DeskTrunk
    call_id: str
    tag: str
    up: bool = True
    registered: bool = False
    told: str = ""
    cseq: int = 0
    failures: int = 0
    expires_s: int = 0
    challenged: bool = False
    service_routes: tuple[str, ...] = ()
    gone: bool = False
    alarms: dict[str, Alarm] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrunkView:
    """A trunk for whoever shows it. registered: None where it is not asked for."""

    name: str
    up: bool
    registered: bool | None


class Trunks:
    """All trunks of the present desk."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._trunks: dict[str, _Trunk] = {}
        core.service_routes = self.routes

    def set_desk(self, desk: Desk, now: float) -> None:
        """Begin with new trunks, let go of those that are no more; unchanged ones go on."""
        wanted = {t.name: t for t in desk.trunks}
        for name, known in list(self._trunks.items()):
            if wanted.get(name) != known.desk:
                self._let_go(known, now)
                del self._trunks[name]
        for name, trunk in wanted.items():
            if name not in self._trunks:
                host = self._core.local(trunk_address(trunk))[0] if is_address(trunk.host) else "callqa"
                made = _Trunk(trunk, f"{self._core.tokens()}@{host}", self._core.tokens(), expires_s=trunk.expires_s)
                self._trunks[name] = made
                self._begin(made, now)

    def is_up(self, name: str) -> bool:
        """Whether calls may be expected to go through it."""
        known = self._trunks.get(name)
        return known is None or (known.up and (known.registered or not known.desk.register_here))

    def routes(self, name: str) -> tuple[str, ...]:
        """Service-Route of its registration (RFC 3608), for calls through it."""
        known = self._trunks.get(name)
        return known.service_routes if known else ()

    def views(self) -> tuple[TrunkView, ...]:
        """All trunks, in the desk's order."""
        return tuple(
            TrunkView(t.desk.name, t.up, t.registered if t.desk.register_here else None) for t in self._trunks.values()
        )

    def _begin(self, t: _Trunk, now: float) -> None:
        if not is_address(t.desk.host):
            return  # told when somebody calls out
        if t.desk.register_here:
            self._register(t, t.expires_s, now)
        if t.desk.keepalive_s:
            self._ask(t, now)

    def _let_go(self, t: _Trunk, now: float) -> None:
        t.gone = True
        for alarm in t.alarms.values():
            alarm.cancel()
        if t.registered:
            self._register(t, 0, now)

    def _at(self, t: _Trunk, what: str, when: float) -> None:
        before = t.alarms.get(what)
        if before is not None:
            before.cancel()
        action = self._ask if what == "options" else self._again
        t.alarms[what] = self._core.timers.at(when, lambda now: None if t.gone else action(t, now))

    # -- keep-alive -------------------------------------------------------------------------------------------------

    def _ask(self, t: _Trunk, now: float) -> None:
        peer = trunk_address(t.desk)
        uri = self._uri(t.desk)
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"<{self._core.uri(peer)}>;tag={self._core.tokens()}"), ("To", f"<{uri}>"),
            ("Call-ID", f"{self._core.tokens()}@{self._core.local(peer)[0]}"), ("CSeq", "1 OPTIONS"),
            ("Contact", f"<{self._core.uri(peer)}>"), ("Accept", "application/sdp"),
        )  # fmt: skip
        self._core.transactions.request(
            Request("OPTIONS", uri, headers),
            peer,
            self._core.local(peer),
            now,
            on_response=lambda response, _, at: self._answered(t, response, at),
            on_timeout=lambda at: self._silent(t, at),
        )

    def _answered(self, t: _Trunk, response: Response, now: float) -> None:
        if t.gone or response.status < 200:
            return
        if response.status in (408, 503):  # what stands before it cannot reach it
            self._silent(t, now)
            return
        if not t.up:
            self._core.fault(now, f"中继“{t.desk.name}”恢复应答")
        t.up = True
        self._at(t, "options", now + t.desk.keepalive_s)

    def _silent(self, t: _Trunk, now: float) -> None:
        if t.gone:
            return
        if t.up:
            text = f"中继“{t.desk.name}”（{t.desk.host}:{t.desk.port}）没有应答，呼出先走其他中继；请检查线路与对端设备"
            self._core.fault(now, text)
        t.up = False
        self._at(t, "options", now + t.desk.keepalive_s)

    # -- registration -----------------------------------------------------------------------------------------------

    def _again(self, t: _Trunk, now: float) -> None:
        t.challenged = False
        self._register(t, t.expires_s, now)

    def _register(self, t: _Trunk, expires_s: int, now: float, *more: tuple[str, str]) -> None:
        peer = trunk_address(t.desk)
        t.cseq += 1
        me = f"<sip:{t.desk.username}@{domain(t.desk)}>"
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"{me};tag={t.tag}"), ("To", me), ("Call-ID", t.call_id), ("CSeq", f"{t.cseq} REGISTER"),
            ("Contact", f"<{self._core.uri(peer, t.desk.username)}>;expires={expires_s}"), ("Expires", str(expires_s)),
            ("Allow", one_line(ALLOW)), ("Supported", "path"), *more,
        )  # fmt: skip
        self._core.transactions.request(
            Request("REGISTER", f"sip:{domain(t.desk)}", headers),
            peer,
            self._core.local(peer),
            now,
            on_response=lambda response, _, at: self._on_register(t, response, expires_s, at),
            on_timeout=lambda at: self._failed(t, "没有应答", at),
        )

    def _on_register(self, t: _Trunk, response: Response, expires_s: int, now: float) -> None:
        if response.status < 200 or (t.gone and response.status not in (401, 407)):
            return
        if response.status < 300:
            self._registered(t, response, now)
        elif response.status in (401, 407) and not t.challenged:
            t.challenged = True
            made = credentials(t.desk, response, "REGISTER", f"sip:{domain(t.desk)}", self._core.tokens())
            if made is None:
                self._refused(t, f"认证域或算法与设置不同（{_realms(response)}）", now)
            else:
                self._register(t, expires_s, now, made)
        elif response.status == 423:
            try:
                least_s = parse_number(response.headers.first("Min-Expires") or "", "Min-Expires", EXPIRES_MOST_S)
            except ProtocolError:
                least_s = 0
            if least_s > t.expires_s:
                t.expires_s = least_s
                self._again(t, now)
            else:
                self._failed(t, "423", now)
        elif response.status in (401, 403, 404, 407):
            self._refused(t, str(response.status), now)
        else:
            self._failed(t, str(response.status), now)

    def _registered(self, t: _Trunk, response: Response, now: float) -> None:
        if t.gone:
            return
        granted_s = _granted_s(response, t.expires_s, t.desk.username)
        t.registered, t.failures, t.challenged = True, 0, False
        t.service_routes = response.headers.all("Service-Route")
        if t.told:
            self._core.fault(now, f"中继“{t.desk.name}”注册成功")
            t.told = ""
        self._at(t, "register", now + max(granted_s / 2, min(granted_s - 600.0, granted_s), 5.0))

    def _refused(self, t: _Trunk, why: str, now: float) -> None:
        self._tell(t, f"中继“{t.desk.name}”拒绝注册（{why}），请检查用户名、密码与认证域", now)
        self._at(t, "register", now + REFUSED_AGAIN_S)

    def _failed(self, t: _Trunk, why: str, now: float) -> None:
        if t.gone:
            return
        self._tell(t, f"中继“{t.desk.name}”注册失败（{why}），稍后自动再试", now)
        wait_s = BACK_OFF_S[min(t.failures, len(BACK_OFF_S) - 1)]
        t.failures += 1
        self._at(t, "register", now + wait_s)

    def _tell(self, t: _Trunk, text: str, now: float) -> None:
        t.registered = False
        if not t.gone and text != t.told:
            t.told = text
            self._core.fault(now, text)

    def _uri(self, trunk: DeskTrunk) -> str:
        host = f"[{trunk.host}]" if ":" in trunk.host else trunk.host
        return f"sip:{host}:{trunk.port}" + ("" if trunk.transport == "udp" else f";transport={trunk.transport}")


def domain(trunk: DeskTrunk) -> str:
    """The domain of our account at a trunk."""
    return trunk.domain or (f"[{trunk.host}]" if ":" in trunk.host else trunk.host)


def credentials(trunk: DeskTrunk, response: Response, method: str, uri: str, cnonce: str) -> tuple[str, str] | None:
    """The header that answers a 401 or 407 with the trunk's account; None where no challenge fits it."""
    name = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
    for challenge in _challenges(response, name):
        known = trunk.ha1_sha256 if challenge.algorithm == "SHA-256" else trunk.ha1_md5
        if known and challenge.realm == trunk.realm:
            made = answer_with_ha1(challenge, method=method, uri=uri, user=trunk.username, ha1_hex=known, cnonce=cnonce)
            return ("Authorization" if response.status == 401 else "Proxy-Authorization"), str(made)
    return None


def _challenges(response: Response, name: str) -> list[Challenge]:
    found = []
    for value in response.headers.all(name):
        try:
            found.append(parse_challenge(value))
        except ProtocolError:
            continue
    return found


def _realms(response: Response) -> str:
    names = ("WWW-Authenticate", "Proxy-Authenticate")
    return "、".join(sorted({c.realm for n in names for c in _challenges(response, n)})) or "没有可用的质询"


def _granted_s(response: Response, asked_s: int, username: str) -> int:
    """How long a registration holds: our Contact's expires, else Expires, else what we asked."""
    try:
        contacts = [parse_name_addr(v) for v in response.headers.all("Contact") if v != "*"]
        own = next((c for c in contacts if c.uri.user == username), None)
        value = (own.param("expires") if own else None) or response.headers.first("Expires")
        return parse_number(value, "expires", EXPIRES_MOST_S) if value else asked_s
    except ProtocolError:
        return asked_s
