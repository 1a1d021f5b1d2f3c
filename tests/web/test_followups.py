"""未接来电回拨 in the web: who sees and does what, and what leaves by CSV."""

import csv
import io
import re

import pytest
from sqlmodel import select

from callqa.store.tables import AuditEntry, MissedCallFollowup
from callqa.usecases.followup_rows import follow_up
from tests import builders
from tests.web.conftest import NOW_MS

MINUTE_MS = 60_000
MISSED = {"outcome": "abandoned", "answered_at_ms": None, "duration_ms": None, "agent_no": None, "seat_extension": None,
          "attribution_source": "pending", "outcome_reason": "诉求人先挂断"}  # fmt: skip


@pytest.fixture
def missed(database, accounts) -> dict[str, int]:
    """Entries by name: open (twice missed, one attempt), done, withheld, formula (a note that a spreadsheet would run)."""
    with database.write() as session:
        builders.add_people(session)

        def call(call_id: str, minutes_ago: int, number: str, **values) -> None:
            at_ms = NOW_MS - minutes_ago * MINUTE_MS
            outbound = values.get("direction") == "outbound"
            given = {"ended_at_ms": at_ms + 20_000, "citizen_number": number} | ({} if outbound else MISSED) | values
            follow_up(session, builders.add_call(session, call_id, at_ms, **given))

        call("M1", 300, "13800001111")
        call("M2", 280, "13800001111")
        call(
            "T1", 200, "13800001111", direction="outbound", outcome="unanswered", seat_extension="8001", agent_no=None,
            answered_at_ms=None, duration_ms=None, outcome_reason="no_answer",
        )  # fmt: skip
        call("M3", 150, "13800002222")
        call("T3", 120, "13800002222", direction="outbound", seat_extension="8002", agent_no="802")
        call("W1", 100, "", withheld=True)
        return {e.first_call_id: e.id for e in session.exec(select(MissedCallFollowup))}


def shown(html: str) -> list[int]:
    return [int(n) for n in re.findall(r'<tr data-href="/followups/(\d+)"', html)]


def test_the_list_shows_what_waits_and_filters(browser, missed):
    client = browser("shift_leader")
    html = client.get("/followups").text
    assert shown(html) == [missed["M1"]]
    assert "cq-nav-count" in html and ">1</b></a>" in html
    assert shown(client.get("/followups?state=all").text) == [missed["W1"], missed["M3"], missed["M1"]]
    assert shown(client.get("/followups?state=done").text) == [missed["M3"]]
    assert shown(client.get("/followups?state=no_number").text) == [missed["W1"]]
    assert shown(client.get("/followups?state=all&number=2222").text) == [missed["M3"]]
    assert shown(client.get("/followups?state=all&month=2026-10").text) == []
    assert shown(client.get("/followups?state=all&assigned=801").text) == []
    assert "50.0%" in html and "已回拨 1 ÷ 应回拨 2" in html


def test_an_entry_tells_who_tried_and_leads_to_the_call(browser, missed):
    html = browser("shift_leader").get(f"/followups/{missed['M1']}").text
    assert "未接 2 次 · 回拨 1 次" in html and "/calls/T1" in html
    assert "801 王" in html, "who sat at 8001 then, though nobody attributed a call without audio"
    done = browser("shift_leader").get(f"/followups/{missed['M3']}").text
    assert "已联系上" in done and "802 陈" in done
    assert browser("shift_leader").get("/followups/9999").status_code == 404
    assert f'/followups/{missed["M1"]}"' in browser("shift_leader").get("/calls/M2").text


def test_an_agent_works_an_entry_off_without_seeing_others_calls(browser, missed, database):
    client = browser("agent")
    here = f"/followups/{missed['M1']}"
    html = client.get(here).text
    assert "13800001111" in html and "/calls/M1" not in html
    version = re.search(r'name="version" value="(\d+)"', html)[1]
    client.post(here, data={"kind": "given_up", "version": version, "note": ""})
    assert "请写明情况" in client.get(here).text
    client.post(here, data={"kind": "given_up", "version": version, "note": "空号"})
    assert "现为“已放弃”" in client.get(here).text
    client.post(here, data={"kind": "reopened", "version": version, "note": "旧页面"})
    assert "刚被别人处理过" in client.get(here).text
    with database.read() as session:
        entry = session.get(MissedCallFollowup, missed["M1"])
        acts = session.exec(select(AuditEntry).where(AuditEntry.action == "followup.given_up")).all()
    assert (entry.state, entry.done_by) == ("given_up", "agent")
    assert [(a.actor, a.subject) for a in acts] == [("agent", "M1")]
    assert client.post(here, data={"kind": "missed", "version": version}).status_code in (303, 404)
    assert client.post(f"{here}/assign", data={"agent_no": "801", "version": "9"}).status_code == 403


def test_the_leader_assigns_and_the_supervisor_only_looks(browser, missed):
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    here = f"/followups/{missed['M1']}"
    version = re.search(r'name="version" value="(\d+)"', leader.get(here).text)[1]
    leader.post(f"{here}/assign", data={"agent_no": "801", "version": version})
    assert "已指派给工号 801" in leader.get(here).text
    assert shown(leader.get("/followups?assigned=801").text) == [missed["M1"]]
    html = supervisor.get(here).text
    assert "13800001111" not in html and "138****1111" in html and 'name="kind"' not in html
    assert supervisor.post(here, data={"kind": "reached", "version": "1"}).status_code == 403
    assert browser("admin").get("/followups").status_code == 403


def test_csv_is_safe_and_noted(browser, missed, database):
    leader = browser("shift_leader")
    here = f"/followups/{missed['M1']}"
    version = re.search(r'name="version" value="(\d+)"', leader.get(here).text)[1]
    leader.post(here, data={"kind": "given_up", "version": version, "note": '=HYPERLINK("http://x")'})
    rows = list(csv.reader(io.StringIO(leader.get("/followups.csv?state=all").content.decode("utf-8-sig"))))
    by_number = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert set(by_number) == {"13800001111", "13800002222", "号码不显示"}
    assert by_number["13800001111"]["说明"].startswith("'=HYPERLINK")
    assert by_number["13800002222"]["处理人"] == "802 陈" and by_number["13800002222"]["状态"] == "已回拨"
    masked = browser("client_supervisor").get("/followups.csv?state=all").text
    assert "13800001111" not in masked and "138****1111" in masked
    assert browser("agent").get("/followups.csv").status_code == 403
    with database.read() as session:
        assert len(session.exec(select(AuditEntry).where(AuditEntry.action == "followup.export")).all()) == 2
