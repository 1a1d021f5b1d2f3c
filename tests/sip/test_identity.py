"""Who calls, who is called, who forwarded: one form of every number, and withheld stays withheld."""

import pytest

from callqa.desk import DeskTrunk
from callqa.sip.events import CallStarted
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.identity import called_number, caller_number, diverted_from, is_withheld
from callqa.sip.wire.message import Request, parse_message, serialise
from tests.sip.simulated import Network, desk, ringing_hotline, seat


def invite(*fields: tuple[str, str], sender: str = "<sip:02759990000@gw>", uri: str = "sip:12345@h") -> Request:
    headers = Headers.of(
        ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("From", f"{sender};tag=1"), ("To", "<sip:12345@h>"), ("Call-ID", "1"), ("CSeq", "1 INVITE"),
        *fields,
    )  # fmt: skip
    message = parse_message(serialise(Request("INVITE", uri, headers)))
    assert isinstance(message, Request)
    return message


PAI = ("P-Asserted-Identity", '"x" <sip:+8613871206358@ims.example>, <tel:+8613871206358>')


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ((), "02759990000"),
        ((PAI,), "13871206358"),
        ((("Remote-Party-ID", "<sip:013871206358@h>;party=calling;privacy=off"),), "13871206358"),
        ((PAI, ("Remote-Party-ID", "<sip:02711112222@h>")), "13871206358"),
        ((("P-Asserted-Identity", "<sip:hotline@h>"),), "02759990000"),
        ((("P-Asserted-Identity", "<tel:027-8477-0001;phone-context=+86>"),), "02784770001"),
        ((("P-Asserted-Identity", "<sip:+862784770001;npdi@h;user=phone>"),), "02784770001"),
        ((("P-Asserted-Identity", "<<<"), ("P-Preferred-Identity", "<sip:13900000000@h>")), "02759990000"),
        ((PAI, ("Privacy", "none")), "13871206358"),
        ((PAI, ("Privacy", "history;session")), "13871206358"),
    ],
)  # fmt: skip
def test_the_caller_is_the_one_the_network_asserts(fields: tuple[tuple[str, str], ...], number: str):
    assert (caller_number(invite(*fields)), is_withheld(invite(*fields))) == (number, False)


@pytest.mark.parametrize("privacy", ["id", "user;id", "header", "id,critical", " ID ; header"])
def test_privacy_withholds_whatever_the_network_knows(privacy: str):
    request = invite(PAI, ("Privacy", privacy))
    assert (caller_number(request), is_withheld(request)) == ("", True)


@pytest.mark.parametrize(
    "request_",
    [
        invite(PAI, sender='"Anonymous" <sip:anonymous@anonymous.invalid>'),
        invite(PAI, sender="<sip:Anonymous@gw>"),
        invite(PAI, sender="<sip:unavailable@gw>"),
        invite(("Remote-Party-ID", "<sip:13871206358@h>;privacy=full")),
    ],
)
def test_an_anonymous_caller_stays_withheld(request_: Request):
    assert (caller_number(request_), is_withheld(request_)) == ("", True)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ((), ""),
        ((("Diversion", "<sip:+862784770001@h>;reason=unconditional, <sip:02711110000@h>;reason=user-busy"),), "02784770001"),
        ((("Diversion", "<tel:02784770001>;reason=no-answer;privacy=off"),), "02784770001"),
        ((("Diversion", "<sip:02784770001@h>;privacy=full"),), ""),
        ((("History-Info", "<sip:02784770001@h>;index=1, <sip:12345@h;cause=302>;index=1.1"),), "02784770001"),
        ((("History-Info", "<sip:1@h>;index=1"), ("History-Info", "<sip:02784770002@h;cause=480>;index=1.1"),
          ("History-Info", "<sip:12345@h?Reason=SIP%3Bcause%3D302>;index=1.1.1")), "02784770002"),
        ((("History-Info", "<sip:02784770001@h?Privacy=history>;index=1, <sip:12345@h;cause=302>;index=1.1"),), ""),
        ((("History-Info", "<sip:12345@h>;index=1"),), ""),
        ((("History-Info", "nonsense <"),), ""),
    ],
)  # fmt: skip
def test_who_forwarded_the_call(fields: tuple[tuple[str, str], ...], number: str):
    assert diverted_from(invite(*fields)) == number


def test_outside_line_digits_are_cut_from_callers_and_put_before_dialled_numbers():
    assert caller_number(invite(sender="<sip:9013871206358@pbx>"), "9") == "13871206358"
    assert caller_number(invite(sender="<sip:8001@pbx>"), "9") == "8001"
    plain = desk(seat("8001"))
    trunk = plain.trunks[0].model_copy(update={"prefix": "9"})
    assert isinstance(trunk, DeskTrunk)
    net = Network(plain.model_copy(update={"trunks": (trunk,)}))
    far, (phone,) = ringing_hotline(net, "8001")
    phone.call("13900001111")
    net.run(0.5)
    assert far.requests("INVITE")[0].uri == "sip:913900001111@10.0.1.1:5060"
    assert net.of(CallStarted)[0].to_number == "13900001111"
    far.refuse(486)
    net.settle()


def test_digits_of_another_script_are_no_number():
    assert called_number(invite(uri="sip:٣٤٥@h")) == "12345"  # from To then; found by the fuzzer
    assert caller_number(invite(sender="<sip:１３８@h>")) == ""


def test_number_of_the_called_party_in_every_form():
    for uri in ("sip:12345@h", "tel:12345", "sip:12345;phone-context=h@h", "sips:12345@h:5061"):
        assert called_number(invite(uri=uri)) == "12345"


def test_a_withheld_and_forwarded_call_is_told_as_such_and_rings_as_unknown():
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", ("Privacy", "id"), ("Diversion", "<sip:02784770001@h>"))
    net.run(0.5)
    (started,) = net.of(CallStarted)
    assert (started.from_number, started.withheld, started.diverted_from) == ("", True, "02784770001")
    assert one.requests("INVITE")[0].from_.uri.user == "anonymous"
    trunk.hang_up()
    net.settle()
