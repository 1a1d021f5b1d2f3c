"""The call list and the page of one call."""

import csv
import io
import re

from sqlmodel import select

from callqa.store.tables import CallProgress, UtteranceRow
from callqa.usecases.progress import progress_of_call
from tests import builders
from tests.web.conftest import NOW_MS


def ids(html: str) -> list[str]:
    return re.findall(r'<tr data-href="/calls/([^"?]+)', html)


def test_the_list_shows_the_month_newest_first_and_sorts(browser, month):
    client = browser("shift_leader")
    shown = ids(client.get("/calls?month=2026-11").text)
    assert len(shown) == 31
    assert shown[-1] == month
    longest = ids(client.get("/calls?month=2026-11&sort=-duration").text)
    assert longest[0] == "20261119T050000000Z-C23"
    assert ids(client.get("/calls?month=2026-10").text) == []
    assert client.get("/calls?month=nonsense").status_code == 400
    assert client.get("/calls?date=2026-02-31").status_code == 400


def test_filters_narrow_the_list(browser, month):
    client = browser("shift_leader")

    def found(query: str) -> int:
        return len(ids(client.get(f"/calls?month=2026-11&{query}").text))

    assert found("outcome=abandoned") == 2
    assert found("direction=outbound") == 5
    assert found("call_type=callback") == 5
    assert found("agent=805") == 7
    assert found("agent=-") == 4
    assert found("link=doubtful") == 1
    assert found("link=linked") == 1
    assert found("transcript=waiting") == 1
    assert found("recording=missing") == 1
    assert found("number=0866") == 1
    assert found("number=%25") == 0, "a percent sign is a character, not a wildcard"
    assert found("outcome=nonsense") == 31
    assert len(ids(client.get("/calls?date=2026-11-06").text)) == 1


def test_words_are_searched_in_the_newest_transcript_and_the_hit_is_shown(browser, month, database):
    client = browser("shift_leader")
    html = client.get("/calls?month=2026-11&words=漏水").text
    assert ids(html) == [month]
    assert "供水管<mark>漏水</mark>" in html and "?t=19800" in html
    with database.write() as session:
        from callqa.store.tables import Call

        call = session.get(Call, month)
        builders.add_transcript(session, call, builders.BURST_PIPE[:2], version=2)
    assert ids(client.get("/calls?month=2026-11&words=漏水").text) == []


def test_numbers_are_masked_by_role(browser, month):
    assert "13871206358" in browser("shift_leader").get("/calls?month=2026-11").text
    supervisor = browser("client_supervisor")
    for path in ("/calls?month=2026-11", f"/calls/{month}", "/tickets?month=2026-11", "/tickets/SW202611060031", "/"):
        html = supervisor.get(path).text
        assert "13871206358" not in html, path
    assert "138****6358" in supervisor.get(f"/calls/{month}").text
    assert "13871206358" not in supervisor.get("/calls.csv?month=2026-11").text
    assert len(ids(supervisor.get("/calls?month=2026-11&number=0866").text)) == 31, "no searching what is masked"


def test_agents_see_their_own_calls_only(browser, month):
    client = browser("agent")
    shown = ids(client.get("/calls?month=2026-11").text)
    assert len(shown) == 7 and month not in shown
    assert ids(client.get("/calls?month=2026-11&agent=805").text) == []
    refused = client.get(f"/calls/{month}")
    assert refused.status_code == 403 and "只能查看自己的通话" in refused.text
    assert client.get(f"/calls/{month}/progress").status_code == 403
    own = client.get("/calls/20261107T011200000Z-A2")
    assert own.status_code == 200 and "只是建议" not in own.text and "<h2>机器预评" not in own.text


def test_export_is_what_is_shown_and_is_noted(browser, month, database):
    answer = browser("shift_leader").get("/calls.csv?month=2026-11&agent=805")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:3] == ["通话编号", "开始时间", "方向"] and len(rows) == 8
    assert {row[6] for row in rows[1:]} == {"805 欧阳"}
    with database.read() as session:
        from callqa.store.tables import AuditEntry

        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "call.export")).one()
    assert entry.detail == {"rows": 7} and "agent=805" in entry.subject


def test_no_cell_of_an_export_is_a_formula(browser, month, database):
    with database.write() as session:
        builders.add_call(
            session, "20261122T050000000Z-X1", builders.at("2026-11-22 13:00"), citizen_number="=cmd|' /C calc'!A0"
        )
    assert ",'=cmd" in browser("shift_leader").get("/calls.csv?month=2026-11").text


def test_the_page_holds_transcript_ticket_suggestions_and_figures(browser, month):
    html = browser("shift_leader").get(f"/calls/{month}").text
    for text in (
        "您好，武汉水务热线，工号八零五",
        "〔低置信〕",
        "SW202611060031",
        "宝丰一路与解放大道交叉口",
        "结束规范",
        "无致谢或道别语",
        'data-play-from="46600"',
        "2,674",
        "诉求人丢失 500 毫秒",
        "受理坐席一致",
        "通话开始时 805 在 8004 签入",
    ):
        assert text in html, text
    assert html.count("data-utterance") == len(builders.BURST_PIPE)
    assert 'preload="none"' in html, "opening the page must not fetch audio"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=", html)


def test_text_from_outside_is_escaped(browser, month, database):
    from callqa.store.tables import Ticket

    with database.write() as session:
        ticket = session.get(Ticket, "SW202611060031")
        ticket.content = '<script>alert(1)</script>" onclick="x'
        session.add(ticket)
    html = browser("shift_leader").get(f"/calls/{month}").text
    assert "<script>alert" not in html and "&lt;script&gt;" in html


def test_every_kind_of_call_has_its_page(browser, month):
    client = browser("shift_leader")
    assert "正在转写 42%" in client.get("/calls/20261107T011200000Z-A2").text
    waiting = client.get("/calls/20261121T030000000Z-A3").text
    assert "转写待补充" in waiting and "转写模型不在" in waiting and "归属不明" in waiting
    assert "data-again" not in waiting, "nothing to poll for while a person is needed"
    assert "录音缺失" in client.get("/calls/20261121T041500000Z-A4").text
    assert client.get("/calls/NOTHING").status_code == 404


def test_progress_polls_until_done_and_then_reloads_the_page(browser, month, database):
    client = browser("shift_leader")
    call_id = "20261107T011200000Z-A2"
    headers = {"X-Piece": "1"}
    first = client.get(f"/calls/{call_id}/progress", headers=headers)
    assert 'data-again-s="3"' in first.text and "42%" in first.text and "X-Reload" not in first.headers
    with database.write() as session:
        for row in session.exec(select(CallProgress).where(CallProgress.call_id == call_id)):
            row.state, row.percent = "done", 100
            session.add(row)
    last = client.get(f"/calls/{call_id}/progress", headers=headers)
    assert "data-again" not in last.text and "X-Reload" in last.headers


def test_a_stage_can_be_asked_for_again(browser, month, database):
    client = browser("shift_leader")
    assert client.post(f"/calls/{month}/retry", data={"stage": "transcribe"}).status_code == 303
    states = {view.stage: view.state for view in progress_of_call(database, month)}
    assert states["transcribe"] == states["check"] == "wanted"
    assert browser("agent").post(f"/calls/{month}/retry", data={"stage": "transcribe"}).status_code == 403


def test_neighbours_lead_through_the_calls(browser, month):
    html = browser("shift_leader").get(f"/calls/{month}").text
    assert '/calls/20261107T011200000Z-A2" rel="next"' in html and 'rel="prev"' not in html


def test_a_transcript_is_masked_until_somebody_who_may_asks_and_that_is_noted(browser, month, database, clock):
    with database.write() as session:
        line = session.exec(select(UtteranceRow)).first()
        line.text = "您的电话是幺三八七幺二零六三五八对吗"
        session.add(line)
    page, whole = f"/calls/{month}", "幺三八七幺二零六三五八对吗"
    leader, agent, supervisor = browser("shift_leader"), browser("agent"), browser("client_supervisor")
    for client in (leader, supervisor):
        assert "幺三八****六三五八对吗" in client.get(page).text
        assert whole not in client.get(page + "?shown=1").text
    answer = leader.post(f"{page}/private", data={"next": f"{page}?t=5"})
    assert answer.status_code == 303
    shown = answer.headers["location"]
    assert whole in leader.get(shown).text
    assert "隐藏号码" in leader.get(shown).text
    assert "查看转写中的完整号码" in leader.get(page).text
    assert whole not in leader.get(page).text
    assert whole not in supervisor.get(shown).text  # the note is another person's
    clock.now_ms += 11 * 60_000
    assert whole not in leader.get(shown).text
    assert supervisor.post(f"{page}/private", data={}).status_code == 403
    assert agent.post(f"{page}/private", data={}).status_code == 403  # taken by 805
    assert leader.post("/calls/NONE/private", data={}).status_code == 404
    assert leader.post(f"{page}/private", data={"next": "https://elsewhere/"}).headers["location"].startswith(page)


def give_notes(database, call_id: str) -> None:
    """Everything the recorder can tell of a call besides its audio."""
    from callqa.store.tables import Call

    with database.write() as session:
        call = session.get(Call, call_id)
        at_ms = call.answered_at_ms
        call.mode, call.withheld, call.diverted_from, call.joined_by = "siprec", True, "13900005555", "ucid-1"
        call.queued_at_ms, call.queued_ms = call.started_at_ms, 4_000
        call.digits = [
            {"channel": 0, "start_ms": 3000 + 200 * i, "duration_ms": 80, "digit": d} for i, d in enumerate("62#")
        ]
        call.marks = [{"at_ms": at_ms + 20_000, "code": "2"}, {"at_ms": call.ended_at_ms + 60_000, "code": ""}]
        call.transfers = [{"at_ms": at_ms + 30_000, "kind": "blind", "to": "13611112222", "seat_extension": None}]
        call.pauses = [{"at_ms": at_ms + 9_000, "kind": "paused", "by": "8004", "reason": "银行卡号"}]
        call.parties = [
            {"name": "王先生", "address": "sip:13700003333@pbx", "channel": 0},
            {"name": "张三", "address": "sip:8001@pbx", "channel": 1, "left_at_ms": at_ms + 40_000},
        ]
        call.disposition = "no_ticket_needed"
        session.add(call)


def test_a_call_shows_what_the_recorder_tells_of_it(browser, month, database):
    give_notes(database, month)
    with database.write() as session:
        builders.add_call(session, "SIBLING", builders.at("2026-11-06 07:23:00"), joined_by="ucid-1")
    html = browser("shift_leader").get(f"/calls/{month}").text
    for text in (
        "号码不显示", "转自", "13900005555", "其中排队", "4秒", "SIPREC", "/calls/SIBLING", "无需建单",
        "直接转接至", "13611112222", "话机标记 *13 2（无需建单）", "暂停录音 · 8004 · 银行卡号", "按键 3 次：", "王先生", "离开</span>",
    ):  # fmt: skip
        assert text in html, text
    assert next(m[1] for m in re.finditer(r'cq-keys">(.*?)</span></li>', html)).count("<span") == 3
    assert 'data-seek="20000"' in html and 'data-seek="30000"' in html and 'data-seek="40000"' in html
    assert html.count("离开</span>") == 1
    masked = browser("client_supervisor").get(f"/calls/{month}").text
    for number in ("13900005555", "13611112222", "13700003333"):
        assert number not in masked, number


def test_calls_are_found_by_what_was_done_in_them(browser, month, database):
    client = browser("shift_leader")
    for feature in ("withheld", "diverted", "queued", "transferred", "marked", "paused", "siprec", "imported"):
        assert ids(client.get(f"/calls?month=2026-11&feature={feature}").text) == [], feature
    give_notes(database, month)
    for feature in ("withheld", "diverted", "queued", "transferred", "marked", "paused", "siprec"):
        assert ids(client.get(f"/calls?month=2026-11&feature={feature}").text) == [month], feature
    html = client.get("/calls?month=2026-11&feature=marked").text
    for text in ("SIPREC", "转接 1 次", "话机标记 2、", "由 13900005555 呼叫转移而来", "其中排队 4秒"):
        assert text in html, text
    rows = list(csv.reader(io.StringIO(client.get("/calls.csv?feature=marked").content.decode("utf-8-sig"))))
    line = dict(zip(rows[0], rows[1], strict=True))
    assert (line["号码"], line["转自"], line["转接至"], line["排队"]) == (
        "号码不显示",
        "13900005555",
        "13611112222",
        "4秒",
    )


def test_a_call_that_goes_on_says_so_in_the_lists(browser, month, database):
    at_ms = NOW_MS - 60_000
    with database.write() as session:
        builders.add_call(session, "TALKING", at_ms, ended_at_ms=None, duration_ms=None)
        builders.add_call(
            session, "WAITING", at_ms, outcome="in_progress", answered_at_ms=None, ended_at_ms=None, duration_ms=None
        )
    client = browser("shift_leader")
    for path in ("/calls?month=2026-11", "/"):
        html = client.get(path).text
        for call_id, said in (("TALKING", "通话中"), ("WAITING", "等待接听")):
            row = html.split(f'data-href="/calls/{call_id}"')[1].split("</tr>")[0]
            assert said in row, (path, call_id)
