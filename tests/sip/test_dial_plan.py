"""Who can be rung through us: a number abroad by no way that leads out, unless a rule says so; and what is sent is what a
rule was asked about."""

import pytest

from callqa.desk import Desk, DialRule
from callqa.sip.calls.routing import Refusal, outbound_targets
from callqa.sip.events import CallOverflowed, CallUnanswered, SipFault
from tests.sip.simulated import TRUNK, Network, SimPhone, desk, ringing_hotline

ABROAD = ("+18765551234", "0018765551234", "+1-876-555-1234", "+67612345", "0085328123456")
SUGGESTED = r"1[3-9]\d{9}"


def plan(*patterns: str, prefix: str = "") -> Desk:
    plain = desk()
    trunk = plain.trunks[0].model_copy(update={"prefix": prefix})
    rules = tuple(DialRule(pattern=p, trunk=trunk.name) for p in patterns)
    return plain.model_copy(update={"trunks": (trunk,), "dial_plan": rules})


def sent(number: str, *patterns: str, prefix: str = "") -> str:
    """The user part that the trunk gets, or why it gets none."""
    found = outbound_targets(plan(*patterns, prefix=prefix), number)
    return found.reason if isinstance(found, Refusal) else found[0].uri.removeprefix("sip:").partition("@")[0]


# -- every way out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ABROAD)
@pytest.mark.parametrize("pattern", [SUGGESTED, r"0\d{9,11}", r"\d+", r".*", r"\+?\d{5,15}", r"0?0?\d+", r"1\d+|00\d+"])
def test_no_rule_for_numbers_here_leads_abroad(number: str, pattern: str):
    assert "国际号码" in sent(number, pattern)


def test_a_seat_does_not_call_abroad_by_the_suggested_rule():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.call("+18765551234")
    net.run(1)
    assert one.log == ["refused 403"] and "国际号码" in net.of(SipFault)[0].text
    assert not trunk.requests("INVITE")
    net.settle()


@pytest.mark.parametrize(
    "uri",
    [
        "tel:+1-876-555-1234",
        "tel:8765551234;phone-context=+1",
        "sip:13800138000;phone-context=+1@10.0.0.1",
        "sip:13800138000;phone-context=+1@10.0.0.1;user=phone",
        "sip:13800138000?x=1@10.0.0.1",
        "sip:%2B18765551234@10.0.0.1",
    ],
)
def test_a_number_is_not_dressed_as_one_here(uri: str):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.call("13800138000", uri=uri)
    net.run(1)
    assert one.log == ["refused 403"] and not trunk.requests("INVITE")
    net.settle()


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("tel:+86-138-0013-8000", "13800138000"),
        ("tel:13800138000;phone-context=+86", "13800138000"),
        ("sip:13800138000;phone-context=+86@10.0.0.1;user=phone", "13800138000"),
        ("sip:13800138000;phone-context=hotline.example@10.0.0.1", "13800138000"),
    ],
)
def test_a_number_here_may_be_dialled_with_its_context(uri: str, user: str):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    one.call("13800138000", uri=uri)
    net.run(1)
    assert trunk.requests("INVITE")[-1].uri == f"sip:{user}@10.0.1.1:5060"
    one.hang_up()
    net.settle()


@pytest.mark.parametrize("number", ["+18765551234", "%2B18765551234", "13800138000%3Bphone-context=+1", "+67612345"])
def test_a_transfer_does_not_lead_abroad(number: str):
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345")
    net.run(0.5)
    one.answer()
    net.run(0.5)
    one.refer(one.legs[-1], number)
    net.run(1)
    assert one.answers[-1].status == 403 and "不在拨号方案内" in net.of(SipFault)[-1].text
    assert not trunk.requests("INVITE")
    trunk.hang_up()
    net.settle()


def test_the_overflow_does_not_lead_abroad():
    first = desk(ring_timeout_s=5)
    routing = first.routing.model_copy(update={"overflow_number": "+18765551234"})
    net = Network(first.model_copy(update={"routing": routing}))
    trunk, _ = ringing_hotline(net)
    citizen = SimPhone(net, (TRUNK[0], 5070), "13500000000")
    citizen.call("12345")
    net.run(8)
    assert citizen.log[-1] == "refused 480" and net.of(CallUnanswered)[0].reason == "无人接听"
    assert "国际号码" in net.of(SipFault)[-1].text and not net.of(CallOverflowed) and not trunk.requests("INVITE")
    net.settle()


# -- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "patterns", "user"),
    [
        ("13800138000", (SUGGESTED,), "13800138000"),
        ("+8613800138000", (SUGGESTED,), "13800138000"),
        ("138-0013 8000", (SUGGESTED,), "13800138000"),
        ("+8613800138000", (r"(\+86)?1[3-9]\d{9}",), "+8613800138000"),
        ("013800138000", (SUGGESTED,), "013800138000"),  # 长途冠码 stays
        ("+86 27 8477 0000", (r"0\d{9,11}",), "02784770000"),
        ("110", (r"\d{3}",), "110"),
        ("+18765551234", (r"00\d{5,15}",), "0018765551234"),
        ("0018765551234", (SUGGESTED, r"^00[1-9]\d{5,15}"), "0018765551234"),
        ("+85228123456", (r"\+852\d{8}",), "+85228123456"),
    ],
)
def test_what_a_rule_matched_is_what_is_sent(number: str, patterns: tuple[str, ...], user: str):
    assert sent(number, *patterns) == user
    assert sent(number, *patterns, prefix="9") == f"9{user}"
