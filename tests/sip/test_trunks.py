"""Trunks: keep-alive, registration as a client, fail-over between several, accounts."""

import itertools

import pytest

from callqa.desk import Desk, DeskTrunk, DialRule
from callqa.sip.events import CallAnswered, CallEnded, CallStarted, CallUnanswered, SipFault
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.session_timer import SessionTimer
from callqa.sip.legs.transaction import Transaction
from callqa.sip.trunks import credentials
from callqa.sip.wire.auth import Challenge, DigestServer, Verdict, ha1, parse_credentials
from callqa.sip.wire.headers import Headers, parse_name_addr
from callqa.sip.wire.message import Request, Response
from tests.sip.simulated import TRUNK, UA, Network, SimPhone, desk, ringing_hotline, seat

SECOND = ("10.0.1.2", 5060)
ACCOUNT = "02784770000"
REALM = "ims.example"
SECRET = "provider-pw"


class Provider(SimPhone):
    """A provider that wants us to register. refuse: status for whatever comes; nonce counting as a real one does."""

    def __init__(self, net: Network, address: tuple[str, int] = TRUNK, refuse: int = 0, realm: str = REALM) -> None:
        super().__init__(net, address, "provider")
        self.digest = DigestServer(b"provider", offered=("MD5",))
        self.refuse = refuse
        self.realm = realm
        self.expires_s = 600
        self.verdicts: list[Verdict] = []
        self.fields: tuple[tuple[str, str | None], ...] = ()
        self.challenges: tuple[str, ...] = ()  # methods that are challenged inside a dialog too

    def lets_ask(self, t: Transaction, now: float) -> bool:
        return t.request.method not in self.challenges or self.allowed(t, now)

    def asked(self, t: Transaction, now: float) -> None:
        reply = self.core.transactions.reply
        if self.refuse:
            reply(t, self.refuse, now, to_tag="p", fields=self.fields)
        elif t.request.method == "OPTIONS":
            reply(t, 404, now, to_tag="p")
        elif self.allowed(t, now):
            contact = f"{t.request.headers.first('Contact')}".partition(";expires")[0]
            fields = (("Contact", f"{contact};expires={self.expires_s}"), *self.fields)
            reply(t, 200, now, to_tag="p", fields=fields)

    def allowed(self, t: Transaction, now: float) -> bool:
        given = t.request.headers.first("Authorization")
        known = ha1("MD5", ACCOUNT, REALM, SECRET)
        if given:
            self.verdicts.append(self.digest.check(parse_credentials(given), t.request.method, known, now))
            if self.verdicts[-1] is Verdict.GOOD:
                return True
        fields = tuple(("WWW-Authenticate", str(c)) for c in self.digest.challenges(self.realm, now))
        self.core.transactions.reply(t, 401, now, to_tag="p", fields=fields)
        return False

    def _invited(self, t: Transaction, source: tuple[str, int], now: float) -> None:
        if self.allowed(t, now):
            super()._invited(t, source, now)


def account(**more: object) -> DeskTrunk:
    return DeskTrunk(
        name="IMS", addresses=(), host=TRUNK[0], register_here=True, username=ACCOUNT, domain=REALM, realm=REALM,
        ha1_md5=ha1("MD5", ACCOUNT, REALM, SECRET), **more,
    )  # fmt: skip


def with_trunks(*trunks: DeskTrunk, then: tuple[str, ...] = ()) -> Desk:
    plain = desk(seat("8001"))
    rules = (DialRule(pattern=r"1[3-9]\d{9}", trunk=trunks[0].name, then=then),) if trunks else ()
    return plain.model_copy(update={"trunks": trunks, "dial_plan": rules})


def two(**more: object) -> Desk:
    trunks = (
        DeskTrunk(name="一", addresses=(TRUNK[0],), host=TRUNK[0], **more),
        DeskTrunk(name="二", addresses=(SECOND[0],), host=SECOND[0], **more),
    )
    return with_trunks(*trunks, then=("二",))


def start(net: Network) -> None:
    net.ua.set_desk(net.desk, net.now)
    net.run(1)


def stop(net: Network) -> None:
    net.ua.set_desk(Desk(number=9), net.now)
    net.settle()


def faults(net: Network) -> list[str]:
    return [e.text for e in net.of(SipFault)]


def test_we_register_with_digest_and_refresh_before_it_runs_out():
    net = Network(with_trunks(account()))
    provider = Provider(net)
    start(net)
    first = provider.requests("REGISTER")
    assert [r.headers.first("Authorization") is not None for r in first] == [False, True]
    assert len({r.call_id for r in first}) == 1 and [r.cseq.number for r in first] == [1, 2]
    contact = parse_name_addr(first[-1].headers.first("Contact") or "")
    assert (contact.uri.user, contact.uri.host) == (ACCOUNT, UA[0]) and first[-1].uri == f"sip:{REALM}"
    assert net.ua.trunks()[0].registered
    net.run(400)
    assert len(provider.requests("REGISTER")) == 4 and set(provider.verdicts) == {Verdict.GOOD}
    assert not faults(net)
    stop(net)
    last = provider.requests("REGISTER")[-1]
    assert last.headers.first("Expires") == "0", "a trunk that goes is signed off"


def test_a_call_comes_in_and_goes_out_through_the_account():
    net = Network(with_trunks(account()))
    provider = Provider(net)
    provider.fields = (("Service-Route", "<sip:scscf.ims.example;lr>"),)
    start(net)
    phone = ringing_phone(net)
    phone.call("13900001111")
    net.run(1)
    invite = provider.requests("INVITE")[-1]
    assert invite.headers.first("Authorization") and provider.verdicts[-1] is Verdict.GOOD
    assert invite.from_.uri.user == ACCOUNT and invite.from_.uri.host == REALM
    assert invite.headers.first("P-Preferred-Identity") == f"<sip:02784770000@{REALM}>"
    assert invite.headers.first("Route") == "<sip:scscf.ims.example;lr>"
    provider.answer()
    net.run(1)
    assert len(net.of(CallAnswered)) == 1
    phone.hang_up()
    net.run(1)
    provider.call("02784770000")
    net.run(0.5)
    assert len(net.of(CallStarted)) == 2, "its host may call in without being on the allow-list"
    provider.hang_up()
    stop(net)


# -- what is asked inside a call -------------------------------------------------------------------------------------


def in_a_call(net: Network, *challenges: str, inbound: bool = False) -> tuple[Provider, SimPhone]:
    """A call through the account with a session timer that is ours to refresh, at a provider that challenges these."""
    provider = Provider(net)
    start(net)
    phone = ringing_phone(net)
    if inbound:
        provider.call(ACCOUNT, ("Session-Expires", "120;refresher=uas"))
        net.run(0.5)
        phone.answer()
    else:
        phone.call("13900001111")
        net.run(0.5)
        provider.answer()
    net.run(0.5)
    assert len(net.of(CallAnswered)) == 1
    provider.challenges = challenges
    provider.verdicts.clear()
    return provider, phone


def our_leg(net: Network) -> Leg:
    return next(x for x in net.ua._core.legs.values() if x.dialog.observed[0] == TRUNK[0])


@pytest.mark.parametrize("inbound", [False, True])
def test_a_bye_that_is_challenged_is_sent_again_with_the_account(inbound: bool):
    net = Network(with_trunks(account()))
    provider, phone = in_a_call(net, "BYE", inbound=inbound)
    phone.hang_up()
    net.run(0.5)
    byes = provider.requests("BYE")
    assert [b.headers.first("Authorization") is not None for b in byes] == [False, True]
    assert byes[1].cseq.number == byes[0].cseq.number + 1 and byes[1].to_tag == byes[0].to_tag
    assert provider.verdicts == [Verdict.GOOD] and provider.log[-1] == "ended" and not faults(net)
    stop(net)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("inbound", [False, True])
def test_a_refresh_that_is_challenged_keeps_the_call_up(method: str, inbound: bool):
    net = Network(with_trunks(account()))
    provider, phone = in_a_call(net, "INVITE", "UPDATE", inbound=inbound)
    leg = our_leg(net)
    leg.reoffers.set_timer(SessionTimer(120, we_refresh=True), net.now)
    leg.reoffers.peer_updates = method == "UPDATE"
    before = len(provider.got)
    net.run(1000)
    assert not net.of(CallEnded) and not faults(net)
    asked = [m for m in provider.got[before:] if isinstance(m, Request) and m.method in ("INVITE", "UPDATE")]
    assert asked[0].method == method and len(asked) > 20, "what answers it says that UPDATE is known there"
    assert [r.headers.first("Authorization") is not None for r in asked] == [False, True] * (len(asked) // 2)
    assert set(provider.verdicts) == {Verdict.GOOD}
    phone.hang_up()
    stop(net)


def test_a_prack_that_is_challenged_is_sent_again_with_the_account():
    net = Network(with_trunks(account()))
    provider = Provider(net)
    provider.rings = False
    start(net)
    phone = ringing_phone(net)
    phone.call("13900001111", ("Supported", "100rel"))
    net.run(0.5)
    leg = provider.legs[-1]
    assert leg.called is not None
    provider.challenges = ("PRACK",)
    leg.called.be_reliable(7)
    leg.ring(183, leg.sdp(leg.codecs or provider.codecs[:1], answering=leg.session), net.now)
    net.run(0.5)
    pracks = provider.requests("PRACK")
    assert [p.headers.first("Authorization") is not None for p in pracks] == [False, True]
    assert {p.headers.first("RAck") for p in pracks} == {f"7 {provider.requests('INVITE')[-1].cseq}"}
    assert phone.log == ["183 sdp"]
    provider.answer()
    net.run(0.5)
    assert phone.log[-1] == "answered"
    phone.hang_up()
    stop(net)


def test_an_account_that_is_refused_inside_a_call_is_told_and_tried_once():
    net = Network(with_trunks(account()))
    provider, phone = in_a_call(net, "BYE")
    provider.allowed = lambda t, now: provider.core.transactions.reply(t, 407, now, to_tag="p", fields=(  # type: ignore[method-assign]
        ("Proxy-Authenticate", str(Challenge(REALM, "abc", "MD5"))),))  # fmt: skip
    phone.hang_up()
    net.run(0.5)
    assert len(provider.requests("BYE")) == 2
    assert [f for f in faults(net) if "BYE 407" in f and "密码" in f] and net.of(CallEnded)
    provider.challenges = ()
    provider.legs[-1].end(net.now)
    net.run(1)
    stop(net)


def test_a_refresh_that_is_challenged_while_the_call_ends_is_not_sent_again():
    net = Network(with_trunks(account()))
    provider, phone = in_a_call(net, "UPDATE")
    leg = our_leg(net)
    leg.reoffers.set_timer(SessionTimer(120, we_refresh=True), net.now)
    net.run(60.001)
    phone.hang_up()
    net.run(1)
    assert len(provider.requests("UPDATE")) == 1 and provider.log[-1] == "ended"
    stop(net)


def ringing_phone(net: Network) -> SimPhone:
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register() == 200
    return phone


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_registration_is_told_once_and_tried_again_slowly(status: int):
    net = Network(with_trunks(account()))
    provider = Provider(net, refuse=status)
    start(net)
    net.run(1000)
    assert 3 <= len(provider.requests("REGISTER")) <= 5
    assert faults(net) == [f"中继“IMS”拒绝注册（{status}），请检查用户名、密码与认证域"]
    provider.refuse = 0
    net.run(301)
    assert faults(net)[1:] == ["中继“IMS”注册成功"] and net.ua.trunks()[0].registered
    stop(net)


def test_a_wrong_password_is_not_hammered():
    net = Network(with_trunks(account(expires_s=3600)))
    provider = Provider(net)
    net.desk = with_trunks(account().model_copy(update={"ha1_md5": "0" * 32}))
    start(net)
    net.run(700)
    assert len(provider.requests("REGISTER")) == 6 and set(provider.verdicts) == {Verdict.WRONG}
    assert len(faults(net)) == 1
    stop(net)


def test_another_realm_is_told_by_name():
    net = Network(with_trunks(account()))
    Provider(net, realm="other.example")
    start(net)
    assert faults(net) == ["中继“IMS”拒绝注册（认证域或算法与设置不同（other.example）），请检查用户名、密码与认证域"]
    stop(net)


def test_a_silent_registrar_is_asked_at_growing_intervals():
    net = Network(with_trunks(account()))
    start(net)
    net.run(2000)
    sent = [at for at, d, a, _ in net.wire if a == UA and d.startswith(b"REGISTER")]
    rounds = [b - a for a, b in itertools.pairwise(sent) if b - a > 5]
    assert rounds == sorted(rounds) and rounds[-1] > 290
    assert faults(net) == ["中继“IMS”注册失败（没有应答），稍后自动再试"]
    stop(net)


def test_too_short_an_expiry_is_made_longer():
    net = Network(with_trunks(account()))
    provider = Provider(net, refuse=423)
    provider.fields = (("Min-Expires", "1800"),)
    start(net)
    assert [r.headers.first("Expires") for r in provider.requests("REGISTER")][:2] == ["600", "1800"]
    stop(net)


def test_a_broken_challenge_or_answer_raises_nothing():
    trunk = account()
    nothing = Response(401, "", Headers.of(("WWW-Authenticate", "Basic x")))
    assert credentials(trunk, nothing, "REGISTER", "sip:x", "c") is None
    sha = Response(401, "", Headers.of(("WWW-Authenticate", str(Challenge(REALM, "n", "SHA-256")))))
    assert credentials(trunk, sha, "REGISTER", "sip:x", "c") is None, "no HA1 of that kind"


def test_a_trunk_that_does_not_answer_options_is_told_and_tried_last_until_it_is_back():
    net = Network(two(keepalive_s=30))
    one, other = Provider(net), Provider(net, SECOND)
    for p in (one, other):
        p.allowed = lambda t, now: True  # type: ignore[method-assign]
    start(net)
    assert len(one.requests("OPTIONS")) == 1 and [t.up for t in net.ua.trunks()] == [True, True]
    net.lose = lambda data, a, b: TRUNK in (a, b)
    net.run(100)
    assert [t.up for t in net.ua.trunks()] == [False, True]
    assert faults(net) == ["中继“一”（10.0.1.1:5060）没有应答，呼出先走其他中继；请检查线路与对端设备"]
    phone = ringing_phone(net)
    phone.call("13900001111")
    net.run(1)
    assert len(other.requests("INVITE")) == 1 and not one.requests("INVITE")
    other.answer()
    net.run(1)
    phone.hang_up()
    net.lose = lambda data, a, b: False
    net.run(100)
    assert [t.up for t in net.ua.trunks()] == [True, True] and faults(net)[-1] == "中继“一”恢复应答"
    stop(net)


@pytest.mark.parametrize("status", [503, 500, 403])
def test_a_trunk_that_cannot_put_the_call_through_gives_way_to_the_next(status: int):
    net = Network(two())
    one, other = SimPhone(net, TRUNK, "one"), SimPhone(net, SECOND, "two")
    one.rings = False
    phone = ringing_phone(net)
    phone.call("13900001111")
    net.run(0.2)
    one.refuse(status)
    net.run(0.2)
    other.answer()
    net.run(0.5)
    assert phone.log[-1] == "answered" and len(net.of(CallStarted)) == 1
    assert faults(net) == [f"中继“一”没有接通（{status}），改走“二”"]
    phone.hang_up()
    net.settle()


def test_a_silent_trunk_gives_way_after_a_few_seconds_and_its_late_answer_is_ended():
    net = Network(two())
    one, other = SimPhone(net, TRUNK, "one"), SimPhone(net, SECOND, "two")
    phone = ringing_phone(net)
    net.lose = lambda data, a, b: a == TRUNK
    phone.call("13900001111")
    net.run(5)
    assert len(other.requests("INVITE")) == 1
    other.answer()
    net.run(1)
    net.lose = lambda data, a, b: False
    one.answer()
    net.run(5)
    assert one.log[-1] == "ended" and phone.log[-1] == "answered"
    phone.hang_up()
    net.settle()


@pytest.mark.parametrize("status", [486, 404, 603])
def test_what_the_far_end_says_stands(status: int):
    net = Network(two())
    one, other = SimPhone(net, TRUNK, "one"), SimPhone(net, SECOND, "two")
    phone = ringing_phone(net)
    phone.call("13900001111")
    net.run(0.2)
    one.refuse(status)
    net.run(0.5)
    assert not other.requests("INVITE") and phone.log[-1] == f"refused {status}"
    assert len(net.of(CallUnanswered)) == 1
    net.settle()


def test_the_caller_gives_up_while_the_second_trunk_rings():
    net = Network(two())
    one, other = SimPhone(net, TRUNK, "one"), SimPhone(net, SECOND, "two")
    phone = ringing_phone(net)
    leg = phone.call("13900001111")
    net.run(0.2)
    one.refuse(503)
    net.run(0.2)
    phone.hang_up(leg)
    net.run(0.5)
    assert other.log[-1] == "cancelled"
    net.settle()
    assert len(other.requests("INVITE")) == 1


def test_a_tag_of_the_hotline_is_shown_over_all_trunks():
    net = Network()
    far, (phone,) = ringing_hotline(net, "8001")
    phone.call("13900001111")
    net.run(0.2)
    assert far.requests("INVITE")[0].headers.first("P-Preferred-Identity") is None
    far.refuse(486)
    net.settle()
