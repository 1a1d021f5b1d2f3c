"""A deleted call on every page: nothing breaks, everything says plainly what happened, and nobody without the right does it."""

import re

import pytest
from sqlmodel import select

from callqa.store.tables import AuditEntry, Call, CallDeletion, Evaluation, FatalFinding, LegalHold, TicketLink
from callqa.usecases.confidential import mark_confidential
from callqa.web.permissions import ROLE_LABELS
from tests.builders import at
from tests.web.released import OTHER_CALL, OTHER_TICKET, OWN_CALL, submit_score
from tests.web.routes import all_routes

REASON = "来电人依法申请删除"
SAID = "解放大道的交叉口"
LATER = at("2027-01-05 10:00")  # November was never drawn: nobody draws it any more


@pytest.fixture
def scored(database, month, accounts) -> int:
    """The showpiece of the month with a score that is settled, a fatal finding in it."""
    evaluation_id = submit_score(database, OTHER_CALL, accounts["shift_leader"], fatal=True)
    with database.write() as session:
        card = session.get(Evaluation, evaluation_id)
        card.status = "finalized"
        finding = session.exec(select(FatalFinding)).one()
        finding.second_confirmed_by = accounts["client_supervisor"]
        finding.second_confirmed_at_ms = at("2020-01-01 00:00")  # its keeping period is over
        session.add_all([card, finding])
    return evaluation_id


@pytest.fixture
def leader(browser, scored, clock):
    clock.now_ms = LATER
    return browser("shift_leader")


def delete(client, call_id: str = OTHER_CALL, *, typed: str = "", reason: str = REASON) -> str:
    """Send the form; the page that follows."""
    answer = client.post(f"/calls/{call_id}/delete", data={"reason": reason, "typed": typed or call_id})
    assert answer.status_code == 303, answer.text
    return client.get(answer.headers["location"]).text


def test_the_leader_deletes_and_the_page_says_so(leader, database) -> None:
    before = leader.get(f"/calls/{OTHER_CALL}").text
    assert SAID in before and "删除，不能恢复" in before
    html = delete(leader)
    assert f"已于 2027年1月5日 10:00 删除（{REASON}）" in html
    assert "李班长" in html and "805 欧阳" in html and "最终分" in html
    assert SAID not in html and "13871206358" not in html
    with database.read() as session:
        assert session.get(CallDeletion, OTHER_CALL).asked_by == "shift_leader"


@pytest.mark.parametrize(
    ("given", "said"), [({"typed": "20261105"}, "通话编号与这通不符"), ({"reason": " "}, "请写明删除的原因")]
)
def test_a_wrong_number_or_no_reason_deletes_nothing(leader, database, given, said) -> None:
    assert said in delete(leader, **given)
    with database.read() as session:
        assert session.get(CallDeletion, OTHER_CALL) is None
        assert session.get(Call, OTHER_CALL).citizen_number


def test_what_holds_it_back_stands_on_the_page_in_place_of_the_form(leader, database) -> None:
    with database.write() as session:
        session.exec(select(Evaluation)).one().status = "appealed"
    html = leader.get(f"/calls/{OTHER_CALL}").text
    assert "申诉还没有裁定" in html and "删除，不能恢复" not in html
    assert "申诉还没有裁定" in delete(leader)
    with database.read() as session:
        assert session.get(CallDeletion, OTHER_CALL) is None


def test_no_page_breaks_on_a_deleted_call_and_none_tells_of_it(leader, browser, scored) -> None:
    delete(leader)
    asked = refused = 0
    for role in ROLE_LABELS:
        client = browser(role)
        for route in all_routes():
            path = route.path.replace("{call_id}", OTHER_CALL).replace("{evaluation_id}", str(scored))
            path = path.replace("{ticket_no}", OTHER_TICKET).replace("{finding_id}", "1").replace("{month}", "2026-11")
            path = path.replace("{session_id}", "1").replace("{version}", "1").replace("{note_id}", "1")
            if "{" in path or path in ("/logout", "/live/events", "/live/own/events"):
                continue
            for method in sorted(route.methods):
                data = {"version": "1", "reason": "x"} if method == "POST" and path != route.path else None
                if method == "POST" and data is None:
                    continue
                answer = client.request(method, path, data=data)
                assert answer.status_code < 500, f"{role} {method} {path}"
                for word in (SAID, "宝丰一路", "13871206358", "没有复述地址", "整体规范"):
                    about_the_ticket = OTHER_TICKET in answer.text  # the ticket platform's own words stay
                    assert about_the_ticket or word not in answer.text, f"{word}: {role} {method} {path}"
                asked += 1
                refused += answer.status_code == 410 and "已于" in answer.text
    assert asked > 200 and refused > 20, (asked, refused)


def test_player_files_and_forms_say_gone(leader, scored) -> None:
    delete(leader)
    for path in ("audio", "recording", "peaks.json", "correct"):
        answer = leader.get(f"/calls/{OTHER_CALL}/{path}")
        assert answer.status_code == 410 and REASON in answer.text, path
    for path, data in ((f"/calls/{OTHER_CALL}/retry", {}), (f"/evaluate/{scored}", {"version": "2"})):
        assert leader.post(path, data=data).status_code == 410, path
    for path in (f"/evaluate/{scored}?revise=1", f"/evaluate/call/{OTHER_CALL}", f"/reviews/{scored}"):
        html = leader.get(path).text
        assert f"删除（{REASON}）" in html and "data-audio" not in html and "peaks.json" not in html, path
    assert 'name="why"' not in leader.get(f"/evaluate/{scored}?revise=1").text


def test_lists_and_exports_say_deleted(leader, database) -> None:
    with database.read() as session:
        ticket = session.exec(select(TicketLink.ticket_no).where(TicketLink.call_id == OTHER_CALL)).first()
    delete(leader)
    row = re.search(
        rf'<tr data-href="/calls/{OTHER_CALL}">.*?</tr>', leader.get("/calls?month=2026-11").text, re.DOTALL
    )
    assert row and "已删除" in row[0] and "号码不显示" not in row[0]
    line = next(x for x in leader.get("/calls.csv?month=2026-11").text.splitlines() if OTHER_CALL in x)
    assert "已删除" in line and "1387" not in line
    assert "已删除" in leader.get(f"/tickets/{ticket}").text
    found = leader.get("/search?words=解放大道").text
    assert OTHER_CALL not in found


def test_only_the_leader_deletes_and_holds(leader, browser) -> None:
    for role in ("agent", "client_supervisor", "admin"):
        client = browser(role)
        for act in ("delete", "hold", "hold/lift"):
            assert client.post(f"/calls/{OWN_CALL}/{act}", data={"reason": "x", "typed": OWN_CALL}).status_code == 403
    assert "删除与保全</h2>" not in browser("client_supervisor").get(f"/calls/{OTHER_CALL}").text


def test_a_hold_is_shown_and_keeps_the_call(leader, database) -> None:
    answer = leader.post(f"/calls/{OTHER_CALL}/hold", data={"reason": "诉讼取证"})
    html = leader.get(answer.headers["location"]).text
    assert "已保全" in html and "诉讼取证" in html and "现在不能删除" in html
    assert "已保全（诉讼取证）" in delete(leader)
    assert "保全中" in leader.get("/deletions").text
    leader.post(f"/calls/{OTHER_CALL}/hold/lift", data={"reason": "结案"})
    assert "解除保全" in leader.get(f"/calls/{OTHER_CALL}").text
    assert "不能恢复" in leader.get(f"/calls/{OTHER_CALL}").text
    assert "结案" in leader.get("/deletions").text
    with database.read() as session:
        hold = session.exec(select(LegalHold)).one()
        actions = session.exec(select(AuditEntry.action).where(AuditEntry.subject == OTHER_CALL)).all()
    assert (hold.placed_by, hold.lifted_by, hold.lifted_why) == ("shift_leader", "shift_leader", "结案")
    assert {"call.hold", "call.hold_lift"} <= set(actions)


def test_the_record_is_for_leader_supervisor_and_admin(leader, browser) -> None:
    assert "没有删除过通话" in leader.get("/deletions").text
    delete(leader)
    for role in ("shift_leader", "client_supervisor", "admin"):
        html = browser(role).get("/deletions").text
        assert REASON in html and "李班长" in html, role
    assert f"/calls/{OTHER_CALL}" not in browser("admin").get("/deletions").text, "an admin opens no call"
    assert browser("agent").get("/deletions").status_code == 403


def test_a_confidential_call_stands_in_the_record_without_its_number(
    leader, browser, database, accounts, settings
) -> None:
    mark_confidential(
        database,
        OTHER_CALL,
        reason="x",
        readers=[],
        account_id=accounts["shift_leader"],
        live_socket=settings.live_socket,
        now_ms=LATER,
    )
    delete(leader)
    html = browser("client_supervisor").get("/deletions").text
    assert "保密件" in html and OTHER_CALL not in html and REASON not in html
    assert f"/calls/{OTHER_CALL}" in leader.get("/deletions").text
