"""What follows from a score: coaching signed, actions followed into the next month, cases without names; and leaving."""

import re

import pytest
from sqlmodel import select

from callqa.desk import load_desk
from callqa.periods import Month
from callqa.store.queries.coaching import actions_of
from callqa.store.tables import (
    Account,
    Agent,
    AuditEntry,
    Call,
    CaseStudy,
    CoachingNote,
    Evaluation,
    SeatLogin,
    WebSession,
)
from callqa.usecases.case_study import redact, redact_lines
from tests.web.released import OTHER_CALL, Scored, release_both


@pytest.fixture
def scored(database, month, accounts) -> Scored:
    return release_both(database, accounts["shift_leader"])


def test_a_coaching_note_is_read_and_signed_by_its_agent_alone(browser, scored, database):
    leader = browser("shift_leader")
    leader.post(f"/reviews/{scored.own}/coaching", data={"text": "复述时先地点后电话"})
    leader.post(f"/reviews/{scored.own}/coaching", data={"text": "  "})
    with database.read() as session:
        note = session.exec(select(CoachingNote)).one()
    agent = browser("agent")
    html = agent.get(f"/mine/{scored.own}").text
    assert "复述时先地点后电话" in html and "待坐席签阅" in html
    sign = f"/mine/{scored.own}/coaching/{note.id}/sign"
    assert browser("other_agent").post(sign).status_code == 403
    # through an evaluation of one's own, somebody else's note is out of reach too
    assert browser("other_agent").post(f"/mine/{scored.other}/coaching/{note.id}/sign").status_code == 403
    agent.post(sign)
    assert "坐席已签阅" in leader.get(f"/reviews/{scored.own}").text
    assert browser("client_supervisor").post(f"/reviews/{scored.own}/coaching", data={"text": "x"}).status_code == 403


def test_an_action_is_followed_into_the_next_month_with_its_item(browser, scored, database, clock):
    leader = browser("shift_leader")
    form = {"month": "2026-11", "agent_no": "801", "item_id": "S3.2", "due_on": "2026-12-10", "text": "每通复述"}
    leader.post("/actions", data={**form, "evaluation_id": str(scored.own)})
    leader.post("/actions", data={**form, "due_on": "下周"})
    assert "不是日期" in leader.get("/actions?month=2026-11").text
    december = leader.get("/actions?month=2026-12").text
    assert "上月结转" in december and "每通复述" in december and "1 / 1 通扣分" in december
    assert 'data-label="期限">12月10日' in december
    with database.write() as session:  # December's score of the same agent, full marks
        call = session.get(Call, OTHER_CALL)
        call.agent_no, call.started_at_ms = "801", Month(2026, 12).start_ms + 1
        evaluation = session.get(Evaluation, scored.other)
        session.add_all([call, evaluation])
    with database.read() as session:
        (line,) = actions_of(session, Month(2026, 12))
    assert (line.before.lost, line.before.scored, line.after.lost, line.after.scored) == (1, 1, 1, 1)
    action_id = line.action.id
    step = {"month": "2026-12", "step": "note", "text": "已抽听三通"}
    leader.post(f"/actions/{action_id}", data=step)
    leader.post(f"/actions/{action_id}", data={**step, "step": "done", "text": "十二月未再扣"})
    refused = leader.post(f"/actions/{action_id}", data=step)
    assert "请先重新打开" in leader.get(refused.headers["location"]).text
    assert "十二月未再扣" in leader.get("/actions?month=2026-11").text
    assert "每通复述" not in leader.get("/actions?month=2027-01").text.replace(
        "上月结转", ""
    )  # closed before January began
    for role, status in (("client_supervisor", 403), ("agent", 403)):
        assert browser(role).post("/actions", data=form).status_code == status
    assert browser("agent").get("/actions").status_code == 403


@pytest.mark.parametrize(
    ("text", "private", "left"),
    [
        ("我叫周建国，住宝丰一路", ["周建国", "宝丰一路"], "我叫＊＊＊，住＊＊＊"),
        ("电话是138 7120 6358", [], "电话是＊＊＊"),
        ("号码幺三八七幺二〇六三五八对吗", [], "号码＊＊＊对吗"),
        ("工号八零五", [], "工号八零五"),
        ("尾号0031", [], "尾号0031"),
        ("工单编号 SW202611060031", [], "工单编号 SW＊＊＊"),
        ("门牌１２３４５号", [], "门牌＊＊＊号"),
        ("幺三八，然后七幺二零，六三五八。", [], "＊＊＊。"),
    ],
)
def test_redaction(text: str, private: list[str], left: str) -> None:
    assert redact(text, private) == left


def test_a_number_said_in_several_breaths_is_no_longer_readable():
    lines = [("citizen", "幺三八"), ("agent", "嗯"), ("citizen", "七幺二零"), ("citizen", "六三五八")]
    blot = "＊＊＊"
    assert redact_lines(lines, []) == [("citizen", blot), ("agent", "嗯"), ("citizen", blot), ("citizen", blot)]


def test_a_case_is_proposed_without_names_kept_as_left_and_exported(browser, scored, database, month):
    leader = browser("shift_leader")
    html = leader.get(f"/cases/call/{month}?whole=1").text
    assert "坐席：您好，武汉水务热线" in html and "宝丰一路" not in html
    assert "工号＊＊＊" in html and "八零五" not in html  # who took the call is nobody's business either
    form = {"kind": "exemplary", "title": "冒水的水管", "lesson": "定位问得清楚", "excerpt": "坐席：您好\n请问"}
    wrong = leader.post(f"/cases/call/{month}", data=form)
    assert wrong.status_code == 422 and "第 2 行" in wrong.text and "定位问得清楚" in wrong.text
    kept = {**form, "excerpt": "坐席：您好\n诉求人: 我是周建国，13871206358", "lesson": "问周建国的地点"}
    assert leader.post(f"/cases/call/{month}", data=kept).headers["location"] == "/cases"
    with database.read() as session:
        row = session.exec(select(CaseStudy)).one()
    assert row.excerpt == [
        {"speaker": "agent", "text": "您好"},
        {"speaker": "citizen", "text": "我是＊＊＊，＊＊＊"},
    ]
    assert "周建国" not in row.lesson
    agent_page = browser("agent").get("/cases").text
    assert "冒水的水管" in agent_page and month not in agent_page  # the excerpt, not the call
    out = leader.get("/cases.csv").content.decode("utf-8-sig")
    assert "冒水的水管" in out and "优秀" in out and month not in out
    assert browser("agent").get("/cases.csv").status_code == 403
    with database.read() as session:
        assert session.exec(select(AuditEntry).where(AuditEntry.action == "case.export")).one()
    # a call that becomes confidential leaves the library, and cannot enter it
    leader.post(f"/confidential/{month}", data={"reason": "举报"})
    assert "冒水的水管" not in leader.get("/cases").text and "冒水的水管" not in leader.get("/cases.csv").text
    assert leader.post(f"/cases/call/{month}", data=kept).status_code == 422
    leader.post(f"/confidential/{month}/lift", data={"reason": "已公开"})
    leader.post(f"/cases/{row.id}/remove")
    assert "冒水的水管" not in leader.get("/cases").text


def test_an_agent_who_leaves_ends_everywhere_at_once_and_every_row_is_kept(browser, scored, database, settings):
    agent, leader = browser("agent"), browser("shift_leader")
    assert agent.get("/mine").status_code == 200
    with database.read() as session:
        before = len(session.exec(select(Call).where(Call.agent_no == "801")).all())
        assert session.exec(select(SeatLogin).where(SeatLogin.agent_no == "801", SeatLogin.ended_at_ms.is_(None))).all()
    answer = leader.post("/people/agents/801/leave", data={"left_on": "2026-11-22"})
    assert "登录与签入已结束" in leader.get(answer.headers["location"]).text
    assert agent.get("/mine").status_code == 303  # to the sign-in page
    with database.read() as session:
        account = session.exec(select(Account).where(Account.username == "agent")).one()
        gone = session.get(Agent, "801")
        assert not account.active and (gone.active, gone.left_on) == (False, "2026-11-22")
        assert session.exec(select(WebSession).where(WebSession.account_id == account.id)).all() == []
        logins = session.exec(select(SeatLogin).where(SeatLogin.agent_no == "801")).all()
        assert logins and all(login.ended_at_ms is not None for login in logins)
        assert len(session.exec(select(Call).where(Call.agent_no == "801")).all()) == before
        assert session.get(Evaluation, scored.own).status == "released"
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "agent.leave")).one()
    assert entry.detail["accounts"] == ["agent"] and entry.detail["seats"] == ["8001"]
    assert {s.extension: s.agent_no for s in load_desk(settings.desk_path).seats}["8001"] is None
    assert agent.post("/login", data={"username": "agent", "password": "correct-horse-7"}).status_code == 401
    assert browser("client_supervisor").post("/people/agents/802/leave").status_code == 403
    answer = leader.post("/people/agents", data={"agent_no": "801", "name": "新来的人"})  # would see all of the other's
    assert "请给新人另编工号" in (
        answer.text if answer.status_code != 303 else leader.get(answer.headers["location"]).text
    )
    with database.read() as session:
        assert session.get(Agent, "801").name == "王小雨"
    assert re.search(r"离职 2026-11-22", leader.get("/people").text)


def test_an_action_names_an_item_of_the_rubric_by_its_title(browser, scored):
    html = browser("shift_leader").get("/actions?month=2026-11").text
    options = dict(re.findall(r'<option value="(S[\d.]+)">\1 ([^<]+)</option>', html))
    assert options["S3.2"] == "复述核对" and len(options) > 10
