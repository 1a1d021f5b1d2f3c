"""代接: a seat takes a call that rings at a colleague's phone, by `*8` or by INVITE with Replaces of the early dialog (RFC 3891 §3)."""

import pytest

from callqa.sip.events import CallAbandoned, CallAnswered, CallStarted, CallTransferred, CallUnanswered
from callqa.sip.feature_codes import PickUpCode, parse_code
from callqa.sip.legs.leg import Leg, LegState
from tests.sip.simulated import DELAY_S, Network, SimPhone, desk, ringing_hotline, seat

NUMBERS = ("8001", "8002", "8003")
PCMA, PCMU = (8, "PCMA/8000"), (0, "PCMU/8000")


def ringing(**routing: object) -> tuple[Network, SimPhone, list[SimPhone], Leg]:
    """A citizen's call rings at the seats as the routing says, for a second; the leg is the first seat's, as its phone has it."""
    plain = desk(*(seat(e, e) for e in NUMBERS))
    net = Network(plain.model_copy(update={"routing": plain.routing.model_copy(update=routing)}))
    trunk, phones = ringing_hotline(net, *NUMBERS)
    trunk.call("12345")
    net.run(1)
    return net, trunk, phones, phones[0].legs[-1]


def replaces(leg: Leg, more: str = "") -> tuple[str, str]:
    """As whoever was told of that phone's dialog names it to us."""
    d = leg.dialog
    return "Replaces", f"{d.call_id};to-tag={d.remote_tag};from-tag={d.local_tag}{more}"


def reasons(phone: SimPhone) -> list[str | None]:
    return [r.headers.first("Reason") for r in phone.requests("CANCEL")]


ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


@pytest.mark.parametrize("more", ["", ";early-only"])
def test_a_colleague_takes_a_ringing_call_by_replaces(more: str):
    net, trunk, (one, two, three), leg = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    assert [len(p.legs) for p in (one, two, three)] == [1, 0, 0], "it rings at the first seat only"
    new = two.call("8001", replaces(leg, more))
    net.run(1)
    assert new.talks and trunk.log[-1] == "answered" and one.log[-1] == "cancelled"
    assert reasons(one) == [ELSEWHERE]
    (answered,) = net.of(CallAnswered)
    assert answered.seat_extension == "8002" and new.dialog.call_id in answered.sip_call_ids
    assert len(net.of(CallStarted)) == 1 and not net.of(CallTransferred)
    assert {s.extension: s.busy for s in net.ua.seats()} == {"8001": False, "8002": True, "8003": False}
    assert new.codecs[0] == trunk.legs[-1].codecs[0] and len(net.ports.out) == 2
    two.hang_up()
    net.run(1)
    assert trunk.log[-1] == "ended"
    net.settle()


def test_every_other_phone_is_told_that_somebody_else_has_the_call():
    net, trunk, (one, two, three), _ = ringing()
    two.answer()
    net.run(1)
    assert reasons(one) == reasons(three) == [ELSEWHERE] and not two.requests("CANCEL")
    trunk.hang_up()
    net.settle()
    net, trunk, (one, *_), _ = ringing()
    trunk.hang_up()
    net.run(1)
    assert reasons(one) == [None], "the caller gave up: that is a missed call"
    net.settle()


def test_a_phone_that_has_said_nothing_yet_is_told_once_it_does():
    """RFC 3261 §9.1: the CANCEL waits for a provisional response, and carries its Reason all the same."""
    net, trunk, (one, two, _), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    trunk.hang_up()
    net.run(1)
    one.rings = False
    net.lose = lambda data, a, b: data.startswith(b"SIP/2.0 100") and a == one.address
    trunk.call("12345")
    net.run(1)
    late = one.legs[-1]
    two.call("*8")
    net.run(1)
    assert two.legs[-1].talks and reasons(one) == [None]
    late.ring(180, b"", net.now)
    net.run(1)
    assert reasons(one) == [None, ELSEWHERE]
    trunk.hang_up()
    net.settle()


@pytest.mark.parametrize("dialled", ["*8", "*8#", "*88001", "%2A8"])
def test_a_code_takes_what_rings_at_a_colleagues(dialled: str):
    net, trunk, (one, two, _), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    two.call(dialled)
    net.run(1)
    assert two.legs[-1].talks and trunk.legs[-1].talks and one.log[-1] == "cancelled"
    assert [e.seat_extension for e in net.of(CallAnswered)] == ["8002"] and len(net.of(CallStarted)) == 1
    trunk.hang_up()
    net.run(1)
    assert two.log[-1] == "ended"
    net.settle()


def test_the_code_takes_the_call_that_rings_longest_or_the_one_at_that_extension():
    net, trunk, (one, two, three), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS[:2])
    trunk.call("12345")
    net.run(1)
    assert len(one.legs) == len(two.legs) == 1
    three.call("*88002")
    net.run(1)
    assert trunk.legs[1].talks and two.log[-1] == "cancelled" and trunk.legs[0].state is LegState.EARLY
    three.hang_up()
    net.run(0.1)
    trunk.call("12345")
    net.run(0.1)
    three.call("*8")
    net.run(1)
    assert trunk.legs[0].talks and trunk.legs[2].state is LegState.EARLY
    for leg in trunk.legs:
        trunk.hang_up(leg)
    net.settle()


def test_a_call_between_seats_is_picked_up_too_but_not_by_who_dialled_it():
    net = Network(desk(*(seat(e, e) for e in NUMBERS)))
    _, (one, two, three) = ringing_hotline(net, *NUMBERS)
    calling = one.call("8002")
    net.run(1)
    one.call("*8")
    net.run(1)
    assert one.log[-1] == "refused 404" and two.legs[-1].state is LegState.EARLY
    three.call("*8")
    net.run(1)
    assert calling.talks and three.legs[-1].talks and two.log[-1] == "cancelled"
    three.hang_up()
    net.settle()


def test_nothing_rings_and_nothing_is_picked_up():
    net = Network(desk(*(seat(e, e) for e in NUMBERS)))
    _, (one, *_) = ringing_hotline(net, *NUMBERS)
    for code in ("*8", "*88002"):
        one.call(code)
        net.run(1)
        assert one.log[-1] == "refused 404"
    assert not net.of(CallStarted)
    net.settle()


def test_an_early_dialog_that_the_phone_began_itself_is_481():
    """RFC 3891 §3: an early dialog is replaced only where we are the one who began it."""
    net = Network(desk(*(seat(e, e) for e in NUMBERS)))
    _, (one, two, three) = ringing_hotline(net, *NUMBERS)
    calling = one.call("8002")
    net.run(1)
    d = calling.dialog
    early = one.responses("INVITE")[-1].to_tag
    three.call("8002", ("Replaces", f"{d.call_id};to-tag={early};from-tag={d.local_tag}"))
    net.run(1)
    assert three.log[-1] == "refused 481" and two.legs[-1].state is LegState.EARLY and not net.of(CallAnswered)
    one.hang_up()
    net.settle()


def test_a_dialog_that_is_over_is_declined():
    """RFC 3891 §3: 603 where the dialog was ours; 481 where it never was."""
    net, trunk, (one, two, _), leg = ringing()
    trunk.hang_up()
    net.run(1)
    two.call("8001", replaces(leg))
    net.run(1)
    assert two.log[-1] == "refused 603" and len(net.of(CallAbandoned)) == 1
    trunk.call("12345")
    net.run(1)
    one.answer()
    net.run(1)
    answered = one.legs[-1]
    one.hang_up()
    net.run(1)
    two.call("8001", replaces(answered))
    net.run(1)
    assert two.log[-1] == "refused 603"
    two.call("8001", ("Replaces", f"{answered.dialog.call_id};to-tag=other;from-tag={answered.dialog.local_tag}"))
    net.run(1)
    assert two.log[-1] == "refused 481"
    net.settle()


def test_two_replaces_are_a_bad_request():
    net, trunk, (_, two, _), leg = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    two.call("8001", replaces(leg), replaces(leg))
    net.run(1)
    assert two.log[-1] == "refused 400" and not net.of(CallAnswered)
    trunk.hang_up()
    net.settle()


def test_early_only_is_busy_once_the_colleague_has_answered():
    net, trunk, (one, two, _), leg = ringing()
    one.answer()
    net.run(1)
    two.call("8001", replaces(leg, ";early-only"))
    net.run(1)
    assert two.log[-1] == "refused 486" and leg.talks
    trunk.hang_up()
    net.settle()


def test_who_was_picked_up_and_who_answers_at_the_same_moment():
    """Two take the call within one trip of the wire: one has it, the other is told BYE, whoever it is."""
    for first_by_s in (-2 * DELAY_S, 0.0, 2 * DELAY_S):
        net, trunk, (one, two, _), leg = ringing(ring_strategy="fixed", seat_order=NUMBERS)
        if first_by_s < 0:
            one.answer()
            net.run(-first_by_s)
        two.call("*8")
        if first_by_s >= 0:
            net.run(first_by_s)
            one.answer()
        net.run(1)
        (answered,) = net.of(CallAnswered)
        talking = {"8001": leg.talks, "8002": two.legs[-1].talks}
        assert [e for e, talks in talking.items() if talks] == [answered.seat_extension] and trunk.legs[-1].talks
        trunk.hang_up()
        net.settle()


def test_a_phone_that_does_not_speak_the_callers_law_leaves_him_ringing():
    net, trunk, (one, two, _), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    trunk.hang_up()
    net.run(1)
    trunk.call("12345", codecs=(PCMA,))
    net.run(1)
    two.call("*8", codecs=(PCMU,))
    net.run(1)
    assert two.log[-1] == "refused 488" and one.legs[-1].state is LegState.EARLY
    one.answer()
    net.run(1)
    assert trunk.legs[-1].talks
    trunk.hang_up()
    net.settle()


def test_a_stranger_picks_up_nothing_that_rings():
    net, trunk, (one, *_), leg = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    thief = SimPhone(net, ("10.9.9.9", 5060), "thief")
    thief.call("*8")
    thief.call("8001", replaces(leg))
    net.run(1)
    assert thief.log == ["refused 403", "refused 403"]
    assert one.legs[-1].state is LegState.EARLY and not net.of(CallAnswered)
    trunk.hang_up()
    net.settle()


def test_the_picker_who_never_confirms_loses_the_call_as_any_other_does():
    net, trunk, (_, two, _), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS)
    net.lose = lambda data, a, b: data.startswith(b"ACK") and a == two.address
    two.call("*8")
    net.run(60)
    assert trunk.log[-1] == "ended" and not net.of(CallUnanswered)
    net.settle()


def test_a_picked_up_call_in_the_queue_frees_its_place():
    """The one who waits next rings at the seat that the first caller's pick-up left free."""
    net, trunk, (one, two, three), _ = ringing(ring_strategy="fixed", seat_order=NUMBERS, queue_most=5)
    two.call("*8")
    net.run(1)
    trunk.call("12345")
    net.run(1)
    assert one.legs[-1].state is LegState.EARLY and len(one.legs) == 2 and not three.legs
    for leg in trunk.legs:
        trunk.hang_up(leg)
    net.settle()


@pytest.mark.parametrize(
    ("dialled", "code"),
    [
        ("*8", PickUpCode(None)), ("*8#", PickUpCode(None)), ("*88001", PickUpCode("8001")), ("%2a88001%23", PickUpCode("8001")),
        ("8", None), ("*812345678901234567", None), ("*8８００１", None), ("*8 8001", None),
    ],
)  # fmt: skip
def test_what_is_dialled(dialled: str, code: PickUpCode | None):
    assert parse_code(dialled) == code
