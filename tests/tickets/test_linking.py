"""Which ticket a call belongs to: the order of evidence, doubt, and the laws of `link`."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.tickets.linking import (
    AFTER_CALL_MS,
    BEFORE_CALL_MS,
    LinkCandidate,
    LinkMethod,
    LinkState,
    TicketKey,
    hinted_numbers,
    link,
    outbound_type,
)
from callqa.units import CallType, Direction

T0 = 1_793_664_750_000
MINUTE = 60_000
CALL = LinkCandidate("C1", CallType.INBOUND, Direction.INBOUND, "13900010001", "801", T0, T0 + 5_000, T0 + 90_000)
TICKET = TicketKey("WH-1001", "13900010001", "13900010001", T0 + 60_000, "801")
OUT = replace(CALL, call_type=CallType.CALLBACK, direction=Direction.OUTBOUND, agent_no="803")
CLOSED = replace(TICKET, accepted_at_ms=T0 - 48 * 3_600_000, closed_at_ms=T0 - 24 * 3_600_000, has_result=True)


def other(no: str, **changes) -> TicketKey:
    return replace(TICKET, ticket_no=no, **changes)


def test_number_agent_and_time_link_with_reasons_and_figures():
    decision = link(CALL, [TICKET])
    assert decision.state is LinkState.LINKED
    (found,) = decision.links
    assert (found.ticket_no, found.method, found.score) == ("WH-1001", LinkMethod.EVIDENCE, 100.0)
    assert any("13900010001" in r and "+50" in r for r in found.reasons)
    assert any("801" in r and "+20" in r for r in found.reasons)
    assert any("在通话之中（+30）" in r for r in found.reasons)


def test_a_header_names_the_ticket():
    decision = link(replace(CALL, ticket_hint=" wh-1001 ", agent_no=None), [replace(TICKET, accepted_at_ms=T0 - 10**9)])
    assert decision.state is LinkState.LINKED and decision.links[0].method is LinkMethod.HEADER
    assert decision.links[0].score == 100.0


@pytest.mark.parametrize(
    "uui", ["WH-1001;encoding=ascii", "57482d31303031;encoding=hex", "57482D31303031", "ticket=WH-1001", "工单:WH-1001"]
)
def test_user_to_user_names_the_ticket_too(uui):
    decision = link(replace(CALL, user_to_user=uui), [TICKET, other("WH-1002")])
    assert (decision.state, decision.links[0].ticket_no) == (LinkState.LINKED, "WH-1001")
    assert decision.links[0].method is LinkMethod.HEADER


def test_an_unknown_ticket_in_the_header_falls_to_evidence_with_a_note():
    decision = link(replace(CALL, ticket_hint="WH-9999"), [TICKET])
    assert (decision.state, decision.links[0].method) == (LinkState.LINKED, LinkMethod.EVIDENCE)
    assert "信令带工单号 WH-9999，但没有这张工单" in decision.links[0].reasons
    assert link(replace(CALL, ticket_hint="WH-9999"), []).notes


def test_a_header_that_the_numbers_contradict_waits_for_a_person():
    foreign = other("WH-2000", caller_number="13700000000", contact_phone="13700000000")
    decision = link(replace(CALL, ticket_hint="WH-2000"), [TICKET, foreign])
    assert decision.state is LinkState.DOUBTFUL
    assert [s.ticket_no for s in decision.links] == ["WH-2000", "WH-1001"]
    assert "不符" in decision.links[0].reasons[1]


def test_two_near_equal_tickets_are_both_listed():
    decision = link(CALL, [TICKET, other("WH-1002", accepted_at_ms=T0 + 80_000)])
    assert decision.state is LinkState.DOUBTFUL
    assert [s.ticket_no for s in decision.links] == ["WH-1001", "WH-1002"]
    assert all("有 2 张工单证据相近" in s.reasons[-1] for s in decision.links)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"caller_number": "13900010002", "contact_phone": ""}, LinkState.LINKED),  # one digit off, the rest fits
        ({"caller_number": "13900010002", "contact_phone": "", "accepted_by_agent_no": "802"}, LinkState.DOUBTFUL),
        ({"caller_number": "13900010099", "contact_phone": ""}, LinkState.UNLINKED),
        ({"caller_number": "13700000000"}, LinkState.LINKED),  # called from another phone than the contact
        ({"accepted_by_agent_no": "802"}, LinkState.LINKED),
        ({"accepted_at_ms": T0 - BEFORE_CALL_MS}, LinkState.LINKED),
        ({"accepted_at_ms": T0 - BEFORE_CALL_MS - 1}, LinkState.DOUBTFUL),
        ({"accepted_at_ms": T0 + 90_000 + AFTER_CALL_MS}, LinkState.LINKED),
        ({"accepted_at_ms": T0 + 90_000 + AFTER_CALL_MS + 1}, LinkState.DOUBTFUL),
        ({"accepted_at_ms": T0 - 3 * 3_600_000}, LinkState.UNLINKED),
        ({"accepted_at_ms": None}, LinkState.UNLINKED),
        ({"caller_number": "", "contact_phone": ""}, LinkState.DOUBTFUL),  # agent and time only
    ],
)
def test_thresholds_of_an_inbound_call(changes, state):
    assert link(CALL, [replace(TICKET, **changes)]).state is state


def test_a_withheld_number_is_never_linked_without_a_person():
    decision = link(replace(CALL, citizen_number=""), [TICKET])
    assert decision.state is LinkState.DOUBTFUL
    assert "请人工确认" in decision.links[0].reasons[-1]


def test_a_landline_without_its_area_code_is_the_same_number():
    call = replace(CALL, citizen_number="02784770000", agent_no=None)
    assert link(call, [replace(TICKET, caller_number="84770000", contact_phone="")]).state is LinkState.LINKED


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, LinkState.LINKED),  # closed, not called back yet
        ({"callback_done_at_ms": T0 + 60_000}, LinkState.LINKED),
        ({"callback_done_at_ms": T0 - 20 * 3_600_000}, LinkState.DOUBTFUL),  # called back before
        ({"closed_at_ms": None, "has_result": True}, LinkState.LINKED),
        ({"closed_at_ms": None, "has_result": False}, LinkState.LINKED),  # still open: a 核实
        ({"caller_number": "13700000000", "contact_phone": "13700000000"}, LinkState.UNLINKED),
        ({"accepted_at_ms": T0 - 500 * 86_400_000}, LinkState.UNLINKED),
    ],
)
def test_thresholds_of_an_outbound_call(changes, state):
    assert link(OUT, [replace(CLOSED, **changes)]).state is state


def test_a_callback_record_beside_the_call_decides_between_two_tickets_of_one_citizen():
    done = replace(CLOSED, ticket_no="WH-2", callback_done_at_ms=T0 + 30_000)
    assert [s.ticket_no for s in link(OUT, [CLOSED, done]).links] == ["WH-2"]
    assert link(OUT, [CLOSED, replace(CLOSED, ticket_no="WH-2")]).state is LinkState.DOUBTFUL


def test_an_outbound_call_is_a_check_when_the_ticket_is_open_and_a_callback_when_it_is_done():
    open_ticket = replace(CLOSED, closed_at_ms=None, has_result=False)
    assert outbound_type(open_ticket, started_at_ms=T0, ended_at_ms=T0 + 1) is CallType.VERIFY
    assert outbound_type(CLOSED, started_at_ms=T0, ended_at_ms=T0 + 1) is CallType.CALLBACK
    later = replace(open_ticket, closed_at_ms=T0 + 3_600_000, callback_done_at_ms=T0)
    assert outbound_type(later, started_at_ms=T0, ended_at_ms=T0 + 1) is CallType.CALLBACK


_NUMBERS = st.sampled_from(["13900010001", "13900010002", "13900010099", "", "02784770000", "84770000"])
_TIMES = st.integers(-4 * 60, 4 * 60).map(lambda m: T0 + m * MINUTE)
_TICKETS = st.lists(
    st.builds(
        TicketKey,
        ticket_no=st.integers(1000, 1009).map(lambda n: f"WH-{n}"),
        caller_number=_NUMBERS,
        contact_phone=_NUMBERS,
        accepted_at_ms=st.none() | _TIMES,
        accepted_by_agent_no=st.sampled_from(["801", "802", ""]),
        closed_at_ms=st.none() | _TIMES,
        has_result=st.booleans(),
        callback_done_at_ms=st.none() | _TIMES,
    ),
    max_size=6,
    unique_by=lambda t: t.ticket_no,
)
_CALLS = st.builds(
    replace,
    st.sampled_from([CALL, OUT]),
    citizen_number=_NUMBERS,
    agent_no=st.sampled_from(["801", "802", None]),
    ticket_hint=st.sampled_from([None, "WH-1003", "WH-7777"]),
)


@given(_CALLS, _TICKETS, st.randoms(use_true_random=False))
def test_the_order_of_tickets_does_not_matter(call, tickets, random):
    shuffled = list(tickets)
    random.shuffle(shuffled)
    assert link(call, shuffled) == link(call, tickets)


@given(_CALLS, _TICKETS, _TIMES)
def test_an_unrelated_ticket_changes_nothing(call, tickets, time_ms):
    unrelated = TicketKey("ZZ-1", "18612345678", "18612345678", time_ms, "809")
    assert link(call, [*tickets, unrelated]) == link(call, tickets)


@given(_CALLS, _TICKETS)
def test_a_decision_is_well_formed(call, tickets):
    decision = link(call, tickets)
    counts = {LinkState.LINKED: (1, 1), LinkState.DOUBTFUL: (1, 5), LinkState.UNLINKED: (0, 0)}[decision.state]
    assert counts[0] <= len(decision.links) <= counts[1]
    assert all(0 <= s.score <= 100 and s.reasons for s in decision.links)
    assert {s.ticket_no for s in decision.links} <= {t.ticket_no for t in tickets}


@given(st.text(max_size=60), st.text(max_size=60))
def test_hints_are_total(hint, uui):
    assert all(hinted_numbers(hint, uui))
