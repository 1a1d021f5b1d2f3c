"""Importing tickets: idempotent, versioned, audited; bad rows are reported and never stored."""

import pytest
from sqlmodel import func, select

from callqa.errors import ImportFileError
from callqa.store import audit
from callqa.store.tables import AuditEntry, Ticket, TicketImport
from callqa.usecases.import_tickets import import_tickets
from tests.usecases.ticket_office import T0, csv, make_office, ticket


@pytest.fixture
def db(tmp_path):
    return make_office(tmp_path)


def load(db, data, now_ms=T0):
    return import_tickets(db, file_name="工单.csv", data=data, actor="班长", now_ms=now_ms)


def stored(db, no="WH-1001"):
    with db.read() as session:
        return session.get(Ticket, no)


def count(db, table):
    with db.read() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_a_file_twice_changes_nothing(db):
    first = load(db, csv(ticket(), ticket("WH-1002")))
    assert (first.rows_new, first.rows_changed, first.rows_same) == (2, 0, 0)
    audits = count(db, AuditEntry)
    again = load(db, csv(ticket(), ticket("WH-1002")), now_ms=T0 + 1)
    assert again.already_imported and again.import_id == first.import_id
    assert (again.rows_new, again.rows_changed, again.rows_same) == (0, 0, 2)
    assert (count(db, TicketImport), count(db, AuditEntry)) == (1, audits)


def test_a_changed_ticket_gets_a_new_version_and_an_old_file_does_not_bring_it_back(db):
    load(db, csv(ticket(), ticket("WH-1002")))
    newer = load(db, csv(ticket(办结时间="2026-11-03 18:00:00"), ticket("WH-1002")))
    assert (newer.rows_new, newer.rows_changed, newer.rows_same) == (0, 1, 1)
    assert (stored(db).version, stored(db).closed_at_ms is None, stored(db).import_id) == (2, False, newer.import_id)
    assert stored(db, "WH-1002").version == 1
    assert load(db, csv(ticket(), ticket("WH-1002"))).already_imported
    assert stored(db).version == 2


def test_a_column_the_file_lacks_erases_nothing_and_a_blank_cell_does(db):
    load(db, csv(ticket(办理结果="已处理")))
    load(db, "工单编号,受理时间,来电号码,渠道\nWH-1001,2026-11-03 08:13:30,13900010001,微信\n".encode())
    assert stored(db).result == "已处理" and stored(db).accepted_by_agent_no == "801"
    assert stored(db).extra == {"渠道": "微信"} and stored(db).version == 2
    load(db, csv(ticket(办理结果="", 受理工号="802")))
    assert (stored(db).result, stored(db).accepted_by_agent_no, stored(db).extra) == ("", "802", {"渠道": "微信"})


def test_bad_rows_are_reported_stored_with_the_import_and_not_taken(db):
    result = load(db, csv(ticket(受理时间="昨天"), ticket("WH-1002")))
    assert [str(e) for e in result.errors] == ["第 2 行“受理时间”：看不懂时间“昨天”；应如 2026-11-03 08:14:30"]
    assert stored(db) is None and stored(db, "WH-1002") is not None
    with db.read() as session:
        record = session.get(TicketImport, result.import_id)
    assert record.errors[0]["row"] == 2 and record.imported_by == "班长"


def test_a_file_of_another_kind_leaves_nothing_behind(db):
    with pytest.raises(ImportFileError):
        load(db, b"a,b\n1,2\n")
    assert count(db, TicketImport) == 0


def test_imports_are_in_the_audit_chain(db):
    load(db, csv(ticket()))
    load(db, csv(ticket(办理结果="已处理")))
    with db.read() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "ticket.import")).all()
        assert [e.detail["rows_changed"] for e in entries] == [0, 1]
        assert entries[1].detail["changed"] == {"WH-1001": ["result"]}
        assert audit.verify(session) == []


def test_a_thousand_tickets_in_one_file(db):
    rows = [ticket(f"WH-{n}") for n in range(10_000, 11_200)]
    assert load(db, csv(*rows)).rows_new == 1200
    assert load(db, csv(*rows, ticket("WH-1"))).rows_same == 1200


def test_a_masked_text_never_replaces_the_whole_one_and_a_correction_does(db):
    head = "工单编号,受理时间,来电号码,标题,诉求内容,备用电话\n"
    facts = "WH-1001,2026-11-03 08:13:30,13900010001"
    load(db, f"{head}{facts},DN100x3 漏水,请回电15007137485,15007137485\n".encode())
    same = load(db, f"{head}{facts},DN100x3 漏水,请回电150****7485,150****7485\n".encode())
    assert (same.rows_changed, same.rows_same) == (0, 1)
    mended = load(db, f"{head}{facts},DN100*3 漏水,请回电150****7485,150****7486\n".encode())
    assert mended.rows_changed == 1
    ticket = stored(db)
    assert (ticket.title, ticket.content) == ("DN100*3 漏水", "请回电15007137485")
    assert ticket.extra == {"备用电话": "150****7486"}, "another number's"
