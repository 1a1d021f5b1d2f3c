"""Links in the database: by machine, by a person, again when tickets arrive later."""

import pytest
from sqlmodel import col, select

from callqa.errors import CallqaError, ConflictError
from callqa.store.tables import AuditEntry, Call, TicketLink
from callqa.tickets.linking import LinkState
from callqa.usecases import link as link_module
from callqa.usecases.import_tickets import import_tickets
from callqa.usecases.link import decide_link, link, relink_open
from tests.usecases.ticket_office import MINUTE, T0, add_call, csv, get_call, make_office, ticket


@pytest.fixture
def db(tmp_path):
    db = make_office(tmp_path)
    add_call(db, agent_no="801")
    return db


def load(db, *rows, now_ms=T0 + MINUTE):
    return import_tickets(db, file_name="工单.csv", data=csv(*rows), actor="班长", now_ms=now_ms)


def rows_of(db, call_id="C1"):
    with db.read() as session:
        query = select(TicketLink).where(TicketLink.call_id == call_id).order_by(col(TicketLink.ticket_no))
        return [(r.ticket_no, r.state, r.method, r.decided_by) for r in session.exec(query)]


TWO = (ticket(), ticket("WH-1002", 受理时间="2026-11-03 08:13:50"))


def test_evidence_links_and_running_again_writes_nothing(db):
    load(db, ticket(), ticket("WH-1002", 来电号码="13700000000"))
    assert link(db, "C1", now_ms=T0) == link_module.LinkOutcome("C1", LinkState.LINKED, ("WH-1001",), True)
    assert rows_of(db) == [("WH-1001", "linked", "evidence", None)]
    assert link(db, "C1", now_ms=T0 + 9).changed is False
    with db.read() as session:
        row = session.exec(select(TicketLink)).one()
    assert row.decided_at_ms == T0 and row.score == 100 and len(row.reasons) == 3


def test_a_header_links_a_ticket_far_from_the_calls_time(db):
    add_call(db, "C2", ticket_hint="wh-1001")
    load(db, ticket(受理时间="2026-11-01 08:00:00"))
    assert link(db, "C2", now_ms=T0).state is LinkState.LINKED
    assert rows_of(db, "C2") == [("WH-1001", "linked", "header", None)]


def test_one_ticket_may_belong_to_several_calls(db):
    add_call(db, "C2", started_at_ms=T0 + 2 * MINUTE, answered_at_ms=T0 + 2 * MINUTE, ended_at_ms=T0 + 3 * MINUTE)
    load(db, ticket())
    assert [link(db, c, now_ms=T0).ticket_nos for c in ("C1", "C2")] == [("WH-1001",), ("WH-1001",)]


def test_doubt_waits_for_a_person_and_the_person_decides(db):
    load(db, *TWO)
    assert link(db, "C1", now_ms=T0).state is LinkState.DOUBTFUL
    outcome = decide_link(db, "C1", "WH-1002", decision="accept", actor="班长", now_ms=T0 + 1)
    assert (outcome.state, outcome.ticket_nos) == (LinkState.LINKED, ("WH-1002",))
    assert rows_of(db) == [("WH-1001", "rejected", "evidence", "班长"), ("WH-1002", "linked", "manual", "班长")]
    assert link(db, "C1", now_ms=T0 + 2) == link_module.LinkOutcome("C1", LinkState.LINKED, ("WH-1002",), False)
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "ticket_link.accept")).one()
    assert entry.detail["after"] == {"WH-1001": "rejected", "WH-1002": "linked"}


def test_a_rejected_ticket_is_not_proposed_again_and_another_may_be_linked(db):
    load(db, *TWO)
    link(db, "C1", now_ms=T0)
    assert decide_link(db, "C1", "WH-1001", decision="reject", actor="班长", now_ms=T0).state is LinkState.DOUBTFUL
    assert link(db, "C1", now_ms=T0).ticket_nos == ("WH-1002",)
    assert rows_of(db) == [("WH-1001", "rejected", "evidence", "班长"), ("WH-1002", "linked", "evidence", None)]


def test_a_person_may_link_a_ticket_the_machine_never_saw(db):
    load(db, ticket("WH-7", 来电号码="13700000000", 受理时间="2026-10-01 08:00:00"))
    assert link(db, "C1", now_ms=T0).state is LinkState.UNLINKED
    assert decide_link(db, "C1", "WH-7", decision="accept", actor="班长", now_ms=T0).state is LinkState.LINKED
    with pytest.raises(CallqaError, match="没有工单 WH-8"):
        decide_link(db, "C1", "WH-8", decision="accept", actor="班长", now_ms=T0)


def test_tickets_that_arrive_later_are_linked_once(db):
    assert relink_open(db, now_ms=T0) == link_module.Relinked(0, 0, 0, ())
    assert link(db, "C1", now_ms=T0).state is LinkState.UNLINKED
    load(db, ticket(), now_ms=T0 + MINUTE)
    assert relink_open(db, now_ms=T0 + 2 * MINUTE) == link_module.Relinked(1, 1, 0, ("C1",))
    assert relink_open(db, now_ms=T0 + 3 * MINUTE).looked_at == 0


def test_an_open_call_is_not_tried_again_before_the_next_import(db):
    load(db, ticket("WH-9", 来电号码="13700000000"), now_ms=T0 + MINUTE)
    assert relink_open(db, now_ms=T0 + 2 * MINUTE).looked_at == 1
    assert relink_open(db, now_ms=T0 + 3 * MINUTE).looked_at == 0
    load(db, ticket(), now_ms=T0 + 4 * MINUTE)
    assert relink_open(db, now_ms=T0 + 5 * MINUTE).linked == 1


def test_relinking_leaves_a_persons_link_and_unanswered_calls_alone(db):
    add_call(db, "C2", outcome="abandoned", answered_at_ms=None)
    load(db, *TWO)
    decide_link(db, "C1", "WH-1002", decision="accept", actor="班长", now_ms=T0)
    assert relink_open(db, now_ms=T0 + 2 * MINUTE).looked_at == 0


def test_doubt_that_a_later_file_settles_becomes_a_link(db):
    load(db, ticket(来电号码="", 联系电话=""))
    assert link(db, "C1", now_ms=T0).state is LinkState.DOUBTFUL
    load(db, ticket(来电号码="13900010001"), now_ms=T0 + 5 * MINUTE)
    assert relink_open(db, now_ms=T0 + 6 * MINUTE).linked == 1
    assert rows_of(db) == [("WH-1001", "linked", "evidence", None)]


def test_an_outbound_call_gets_its_type_from_the_ticket(db):
    out = {"direction": "outbound", "call_type": "callback"}
    for call_id in ("C2", "C3"):
        add_call(db, call_id, **out)
    load(db, ticket(受理时间="2026-11-02 09:00:00"))
    assert link(db, "C2", now_ms=T0).state is LinkState.LINKED
    assert get_call(db, "C2").call_type == "verify"
    assert link(db, "C2", now_ms=T0).changed is False, "the type a link gave must not argue against it"
    load(db, ticket(受理时间="2026-11-02 09:00:00", 办结时间="2026-11-02 18:00:00"), now_ms=T0 + MINUTE)
    link(db, "C3", now_ms=T0)
    assert get_call(db, "C3").call_type == "callback"
    assert "C2" in relink_open(db, now_ms=T0 + 2 * MINUTE).changed, "the newer file says it was closed before"
    assert get_call(db, "C2").call_type == "callback"


def test_a_call_that_changed_meanwhile_is_not_overwritten(db, monkeypatch):
    load(db, ticket())
    decide = link_module.decide

    def slow(*arguments):
        with db.write() as session:
            call = session.get(Call, "C1")
            call.version += 1
            session.add(call)
        return decide(*arguments)

    monkeypatch.setattr(link_module, "decide", slow)
    with pytest.raises(ConflictError, match="C1"):
        link(db, "C1", now_ms=T0)
    assert rows_of(db) == []
