"""Recording, ticket and process: what agrees, what does not, what cannot be told."""

from dataclasses import replace

import pytest

from callqa.speech import Made, Repair, Span, Speaker, Transcript, Utterance
from callqa.tickets.consistency import (
    CHECK_LABELS,
    CallSide,
    Check,
    Level,
    Outcome,
    TicketSide,
    compare,
    spoken_mobiles,
)
from callqa.units import CallType, Direction

T = 1_793_664_750_000
DAY = 86_400_000


def transcript(*lines: tuple[Speaker, str]) -> Transcript:
    utterances = tuple(
        Utterance(i, who, Span(i * 5000, i * 5000 + 4000), text, text, 0.9) for i, (who, text) in enumerate(lines)
    )
    return Transcript(utterances, ((), ()), 60_000, Made("test", "0" * 64, (), "0" * 64))


SPOKEN = transcript(
    (Speaker.AGENT, "请问在什么位置？"),
    (Speaker.CITIZEN, "江汉区青年里十二号，三楼。"),
    (Speaker.AGENT, "您的电话是幺三九零零零幺零四幺七，对吗？工单尾号零四幺七。"),
    (Speaker.CITIZEN, "对。"),
)
CALL = CallSide("C1", CallType.INBOUND, Direction.INBOUND, "13900010417", T, 60_000, None, ("WH-1",), (), SPOKEN)
TICKET = TicketSide("WH-1", "13900010417", "13900010417", "青年里十二号三楼", T + 60_000)


def outcomes(calls, tickets) -> dict[Check, Outcome]:
    return {f.check: f.outcome for f in compare(calls, tickets, from_ms=T - DAY, to_ms=T + DAY)}


def test_a_call_and_its_ticket_that_agree_give_only_matches():
    assert outcomes([CALL], [TICKET]) == {
        Check.CALL_WITHOUT_TICKET: Outcome.MATCH,
        Check.TICKET_WITHOUT_CALL: Outcome.MATCH,
        Check.LOCATION: Outcome.MATCH,
        Check.CONTACT_PHONE: Outcome.MATCH,
    }


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.MISMATCH),
        ({"doubtful_ticket_nos": ("WH-1",)}, Outcome.UNDECIDED),
        ({"duration_ms": 4_000}, Outcome.UNDECIDED),
        ({"disposition": "answered_on_call"}, Outcome.UNDECIDED),
        ({"disposition": "no_ticket_needed"}, None),
        ({"direction": Direction.OUTBOUND, "call_type": CallType.CALLBACK}, None),
    ],
)
def test_a_call_without_ticket(changes, outcome):
    found = outcomes([replace(CALL, ticket_nos=(), **changes)], [])
    assert found.get(Check.CALL_WITHOUT_TICKET) is outcome


def test_a_ticket_and_a_callback_record_without_any_call():
    ticket = replace(TICKET, callback_done_at_ms=T + 3_600_000)
    found = {f.check: f for f in compare([], [ticket], from_ms=T - DAY, to_ms=T + DAY)}
    assert {c: f.outcome for c, f in found.items()} == {
        Check.TICKET_WITHOUT_CALL: Outcome.MISMATCH,
        Check.CALLBACK_WITHOUT_CALL: Outcome.MISMATCH,
    }
    assert found[Check.CALLBACK_WITHOUT_CALL].level is Level.WARNING
    assert "WH-1" in found[Check.CALLBACK_WITHOUT_CALL].text


def test_a_ticket_from_before_the_recorder_ran_is_not_blamed():
    assert compare([], [replace(TICKET, accepted_at_ms=T - 2 * DAY)], from_ms=T - DAY, to_ms=T + DAY) == ()


def test_another_house_number_in_the_ticket_is_a_warning_with_the_citizens_words():
    (finding,) = [
        f
        for f in compare([CALL], [replace(TICKET, location="青年里二十一号三楼")], from_ms=T - DAY, to_ms=T + DAY)
        if f.check is Check.LOCATION
    ]
    assert (finding.outcome, finding.level) == (Outcome.MISMATCH, Level.WARNING)
    assert finding.quotes[0].text == "江汉区青年里十二号，三楼。" and finding.quotes[0].start_ms == 5000


def test_a_ticket_that_repeats_the_agents_wrong_read_back_is_still_found():
    talk = transcript((Speaker.CITIZEN, "青年里八十八号"), (Speaker.AGENT, "青年里十八号对吗"), (Speaker.CITIZEN, "对"))
    found = outcomes([replace(CALL, transcript=talk)], [replace(TICKET, location="青年里十八号")])
    assert found[Check.LOCATION] is Outcome.MISMATCH


@pytest.mark.parametrize(
    ("phone", "outcome", "level"),
    [
        ("13900010417", Outcome.MATCH, Level.NONE),
        ("13900010418", Outcome.MISMATCH, Level.HINT),  # one digit may be the engine's mistake
        ("13900019999", Outcome.MISMATCH, Level.WARNING),
    ],
)
def test_contact_phone_against_the_number_said(phone, outcome, level):
    (finding,) = [
        f
        for f in compare([CALL], [replace(TICKET, contact_phone=phone)], from_ms=T - DAY, to_ms=T + DAY)
        if f.check is Check.CONTACT_PHONE
    ]
    assert (finding.outcome, finding.level) == (outcome, level)


def test_without_words_only_the_callers_number_can_agree():
    silent = replace(CALL, transcript=None)
    assert outcomes([silent], [TICKET])[Check.CONTACT_PHONE] is Outcome.MATCH
    assert outcomes([silent], [replace(TICKET, contact_phone="13811112222")])[Check.CONTACT_PHONE] is Outcome.UNDECIDED
    assert outcomes([silent], [TICKET])[Check.LOCATION] is Outcome.UNDECIDED


def test_a_doubted_utterance_proves_nothing():
    doubted = replace(SPOKEN, utterances=tuple(replace(u, reliable=False) for u in SPOKEN.utterances))
    found = outcomes([replace(CALL, transcript=doubted)], [replace(TICKET, contact_phone="13811112222")])
    assert found[Check.CONTACT_PHONE] is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("电话是幺三九零零零幺零四幺七，工单尾号零幺幺二", ("13900010417",)),
        ("幺三九，零零零幺，零四幺七", ("13900010417",)),
        ("139 0001 0417", ("13900010417",)),
        ("尾号零四幺七", ()),
    ],
)
def test_numbers_read_out_in_a_sentence(text, numbers):
    assert spoken_mobiles(text) == numbers


def test_order_of_input_does_not_matter_and_every_check_has_a_label():
    second = replace(CALL, call_id="C2", ticket_nos=())
    both = compare([CALL, second], [TICKET], from_ms=T - DAY, to_ms=T + DAY)
    assert compare([second, CALL], [TICKET], from_ms=T - DAY, to_ms=T + DAY) == both
    assert set(CHECK_LABELS) == set(Check)


def test_no_mismatch_of_places_rests_on_a_repaired_word_alone():
    talk = transcript((Speaker.CITIZEN, "我在后湖大道十八号"))
    repaired = replace(talk.utterances[0], text="我在复兴路口十八号", repairs=(Repair(2, 6, "后湖大道"),))
    ticket = replace(TICKET, location="后湖大道十八号")
    plain = replace(repaired, repairs=())
    for utterance, outcome in ((repaired, Outcome.MATCH), (plain, Outcome.MISMATCH)):
        call = replace(CALL, transcript=replace(talk, utterances=(utterance,)))
        assert outcomes([call], [ticket])[Check.LOCATION] is outcome


# ---- what the rubric's checks found --------------------------------------------------------------------------------


def by_check(calls, tickets) -> dict[Check, list[Outcome]]:
    found: dict[Check, list[Outcome]] = {}
    for f in compare(calls, tickets, from_ms=T - DAY, to_ms=T + DAY):
        found.setdefault(f.check, []).append(f.outcome)
    return found


FULL = replace(TICKET, occurred_at_ms=T, matter_category="drainage", satisfaction="满意")


def test_what_checks_heard_is_taken_over_and_what_they_did_not_is_undecided():
    heard = ((Check.LOCATION, Outcome.MISMATCH), (Check.OCCURRED_AT, Outcome.MATCH))
    call = replace(CALL, transcript=None, heard=heard, heard_with="WH-1")
    found = by_check([call], [FULL])
    assert found[Check.LOCATION] == [Outcome.MISMATCH] and found[Check.OCCURRED_AT] == [Outcome.MATCH]
    assert found[Check.MATTER] == [Outcome.UNDECIDED] and Check.SATISFACTION not in found  # it came in


def test_what_was_heard_says_nothing_of_a_second_ticket():
    heard = ((Check.MATTER, Outcome.MISMATCH),)
    call = replace(CALL, ticket_nos=("WH-1", "WH-2"), heard=heard, heard_with="WH-1")
    found = compare([call], [FULL, replace(FULL, ticket_no="WH-2")], from_ms=T - DAY, to_ms=T + DAY)
    assert {f.ticket_no: f.outcome for f in found if f.check is Check.MATTER} == {
        "WH-1": Outcome.MISMATCH,
        "WH-2": Outcome.UNDECIDED,
    }


def test_only_a_call_back_is_compared_for_satisfaction():
    call = replace(CALL, direction=Direction.OUTBOUND, call_type=CallType.CALLBACK)
    found = by_check([replace(call, heard=((Check.SATISFACTION, Outcome.MATCH),), heard_with="WH-1")], [FULL])
    assert found[Check.SATISFACTION] == [Outcome.MATCH] and Check.MATTER not in found


@pytest.mark.parametrize(
    ("changes", "outcomes_of_repeat"),
    [
        ({}, []),
        ({"repeats": True}, [Outcome.MISMATCH]),
        ({"repeats": True, "parent_ticket_no": "WH-0"}, [Outcome.MATCH]),
        ({"repeats": None, "parent_ticket_no": "WH-0"}, [Outcome.MATCH]),
        ({"repeats": None}, [Outcome.UNDECIDED]),
    ],
)
def test_a_repeated_complaint_has_to_name_the_first(changes, outcomes_of_repeat):
    assert by_check([CALL], [replace(TICKET, **changes)]).get(Check.REPEAT, []) == outcomes_of_repeat


def test_a_call_that_was_not_recorded_is_no_recording_of_its_ticket():
    found = by_check([replace(CALL, recorded=False)], [TICKET])
    assert found[Check.TICKET_WITHOUT_CALL] == [Outcome.MISMATCH]


def test_a_ticket_without_a_number_may_not_have_come_by_phone():
    assert by_check([], [replace(TICKET, caller_number="")])[Check.TICKET_WITHOUT_CALL] == [Outcome.UNDECIDED]


def test_a_call_whose_tickets_are_not_here_yet_is_not_blamed():
    call = replace(CALL, ticket_nos=(), tickets_in=False)
    assert by_check([call], [])[Check.CALL_WITHOUT_TICKET] == [Outcome.UNDECIDED]


def test_words_of_a_call_of_another_month_are_not_compared_again():
    early = replace(CALL, started_at_ms=T - DAY - 1)
    assert set(by_check([early], [TICKET])) == {Check.TICKET_WITHOUT_CALL}
