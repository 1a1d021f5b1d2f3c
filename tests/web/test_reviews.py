"""发布与申诉、我的质检 as forms: out to the agent, back with an appeal, decided by another."""

import re

import pytest
from sqlmodel import select

from callqa.store.queries.evaluate import drawn_queue
from callqa.store.tables import Appeal, Call, Evaluation, FatalFinding
from callqa.usecases import review
from tests.drawn_month import draw_month
from tests.web.conftest import NOW_MS
from tests.web.released import OWN_CALL, Scored, release_both, submit_score

DAY_MS = 86_400_000


@pytest.fixture
def scored(database, month, accounts) -> Scored:
    return release_both(database, accounts["shift_leader"])


def stored(database, evaluation_id: int) -> Evaluation:
    with database.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None
        return row


def version_on(html: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', html)
    assert found
    return found[1]


def test_the_leader_releases_one_or_all_of_a_month(browser, month, accounts, database):
    leader_id = accounts["shift_leader"]
    one = submit_score(database, OWN_CALL, leader_id)
    two = submit_score(database, month, leader_id)
    leader = browser("shift_leader")
    html = leader.get("/reviews?month=2026-11").text
    assert "全部发布（2）" in html and "待发布 2" in html
    leader.post("/reviews/release", data={"month": "2026-11", "evaluation_id": str(one)})
    assert (stored(database, one).status, stored(database, two).status) == ("released", "submitted")
    answer = leader.post("/reviews/release", data={"month": "2026-11"})
    assert "已发布 1 份，坐席有 5 天确认或申诉" in leader.get(answer.headers["location"]).text
    assert stored(database, two).status == "released"
    for role in ("client_supervisor", "agent"):
        assert browser(role).post("/reviews/release", data={"month": "2026-11"}).status_code == 403


def test_the_agent_sees_the_own_months_when_all_of_one_is_published(browser, month, accounts, database):
    with database.write() as session:
        for call in session.exec(select(Call).where(Call.recording_status == "pending")):
            call.recording_status, call.recording_sha256 = "ok", call.call_id.encode().hex()
            session.add(call)
    draw_month(database, now_ms=NOW_MS)
    with database.read() as session:
        own = [row.call.call_id for row in drawn_queue(session)[1] if row.call.agent_no == "801"]
    ids = [submit_score(database, call_id, accounts["shift_leader"]) for call_id in own]
    leader, agent = accounts["shift_leader"], browser("agent")
    review.release(database, ids[1:], account_id=leader, answer_days=5, now_ms=NOW_MS)
    assert f"抽检 {len(own)} 通，还有 1 通没有发布" in agent.get("/mine").text
    review.release(database, ids[:1], account_id=leader, answer_days=5, now_ms=NOW_MS)
    html = agent.get("/mine").text
    assert "近几个月" in html and f"，评 {len(own)} 通" in html and "<svg" in html and "没有发布" not in html
    assert "802" not in html and "805" not in html


def test_the_agent_sees_points_evidence_text_and_window_and_acknowledges(browser, scored, database):
    client = browser("agent")
    html = client.get(f"/mine/{scored.own}").text
    assert "请在 11月27日 24:00 之前答复" in html
    assert 'data-play-from="20000"' in html and "没有复述地址" in html  # plays from two seconds before
    assert "评分标准" in html and "复述" in html and "整体规范，复述要补上" in html
    form = {"version": version_on(html)}
    answer = client.post(f"/mine/{scored.own}/acknowledge", data=form)
    assert answer.headers["location"] == f"/mine/{scored.own}"
    assert stored(database, scored.own).status == "acknowledged"
    after = client.get(f"/mine/{scored.own}").text
    assert "对这一项申诉" not in after and "已确认" in after
    leader = browser("shift_leader")
    leader.post("/reviews/finalize", data={"month": "2026-11"})
    assert stored(database, scored.own).status == "finalized"


def test_an_appeal_goes_round_and_is_decided_by_another(browser, scored, database):
    agent = browser("agent")
    page = agent.get(f"/mine/{scored.own}").text
    form = {"version": version_on(page), "a:S3.2": "1", "why:S3.2": "0:25 复述过地址", "why:S1.1": "没打勾的不算"}
    agent.post(f"/mine/{scored.own}/appeal", data=form)
    with database.read() as session:
        (row,) = session.exec(select(Appeal)).all()
    assert (row.item_id, row.reason, row.state) == ("S3.2", "0:25 复述过地址", "open")
    leader = browser("shift_leader")
    assert "申诉待裁定 1" in leader.get("/reviews?month=2026-11").text
    own_points = leader.get(f"/reviews/{scored.own}").text
    assert "由另一位裁定" in own_points and "提交裁定" not in own_points
    ruling = {"version": "9", f"o:{row.id}": "revised", f"r:{row.id}": "0:25 确有复述"}
    assert leader.post(f"/reviews/{scored.own}/decide", data=ruling).status_code == 403

    supervisor = browser("client_supervisor")
    page = supervisor.get(f"/reviews/{scored.own}").text
    assert "0:25 复述过地址" in page and "提交裁定" in page
    stale = supervisor.post(f"/reviews/{scored.own}/decide", data={**ruling, "version": "1"})
    assert stale.status_code == 409 and "0:25 确有复述" in stale.text  # typed words are kept
    without = supervisor.post(f"/reviews/{scored.own}/decide", data={"version": version_on(page)})
    assert without.status_code == 422 and "选“维持”或“改判”" in without.text
    before = stored(database, scored.own).quality_score
    done = supervisor.post(f"/reviews/{scored.own}/decide", data={**ruling, "version": version_on(page)})
    assert done.headers["location"] == f"/reviews/{scored.own}"
    after = stored(database, scored.own)
    assert after.status == "finalized" and after.quality_score > before
    html = agent.get(f"/mine/{scored.own}").text
    assert "申诉改判" in html and "0:25 确有复述" in html and "赵监督" in html
    assert "申诉裁定" in leader.get(f"/reviews/{scored.own}").text


def test_a_stale_appeal_keeps_its_words(browser, scored, database):
    first, second = browser("agent"), browser("agent")
    version = version_on(first.get(f"/mine/{scored.own}").text)
    second.post(f"/mine/{scored.own}/acknowledge", data={"version": version})
    late = first.post(
        f"/mine/{scored.own}/appeal", data={"version": version, "a:S3.2": "1", "why:S3.2": "辛苦写的理由"}
    )
    assert late.status_code == 409 and "刚刚有了变化" in late.text and "辛苦写的理由" in late.text
    unreasoned = browser("other_agent").post(f"/mine/{scored.other}/appeal", data={"version": "3", "a:S3.2": "1"})
    assert unreasoned.status_code == 422 and "请写明" in unreasoned.text


@pytest.mark.parametrize("version", ["", "x", "-1", "²", "9" * 30])
def test_a_version_that_is_no_number_is_refused_with_what_was_typed(browser, scored, database, version):
    agent = browser("agent")
    page = agent.get(f"/mine/{scored.own}").text
    appeal = {"a:S3.2": "1", "why:S3.2": "0:25 复述过地址"}
    for way in ("acknowledge", "appeal"):
        refused = agent.post(f"/mine/{scored.own}/{way}", data={**appeal, "version": version})
        assert refused.status_code == 422 and "版本号不对" in refused.text
    assert stored(database, scored.own).status == "released"
    agent.post(f"/mine/{scored.own}/appeal", data={**appeal, "version": version_on(page)})
    with database.read() as session:
        (row,) = session.exec(select(Appeal)).all()
    ruling = {"version": version, f"o:{row.id}": "upheld", f"r:{row.id}": "没有听到复述"}
    refused = browser("client_supervisor").post(f"/reviews/{scored.own}/decide", data=ruling)
    assert refused.status_code == 422 and "版本号不对" in refused.text and "没有听到复述" in refused.text
    assert stored(database, scored.own).status == "appealed"


def test_after_the_window_nothing_can_be_appealed_and_the_page_says_so(browser, scored, database, clock):
    from callqa.usecases.review import lapse_due

    client = browser("agent")
    version = version_on(client.get(f"/mine/{scored.own}").text)
    clock.now_ms = NOW_MS + 6 * DAY_MS
    client = browser("agent")
    html = client.get(f"/mine/{scored.own}").text
    assert "期限已过" in html and "提交申诉" not in html
    late = client.post(f"/mine/{scored.own}/appeal", data={"version": version, "a:S3.2": "1", "why:S3.2": "x"})
    assert late.status_code == 422 and "截止" in late.text
    lapse_due(database, now_ms=clock.now_ms)
    assert "视为确认" in client.get(f"/mine/{scored.own}").text
    assert "逾期视为确认" in browser("shift_leader").get("/reviews?month=2026-11").text


def test_a_fatal_finding_waits_for_its_second_person_and_every_page_says_so(browser, month, accounts, database):
    evaluation_id = submit_score(database, OWN_CALL, accounts["shift_leader"], fatal=True)
    leader = browser("shift_leader")
    leader.post("/reviews/release", data={"month": "2026-11"})
    for html in (
        leader.get("/reviews?month=2026-11").text,
        leader.get(f"/reviews/{evaluation_id}").text,
        browser("agent").get(f"/mine/{evaluation_id}").text,
    ):
        assert "待第二人确认" in html and "不影响最终分" in html
    row = stored(database, evaluation_id)
    assert row.final_score == row.quality_score
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/confirm")
    html = browser("agent").get(f"/mine/{evaluation_id}").text
    assert "已由第二人确认" in html and stored(database, evaluation_id).final_score == 0
    assert stored(database, evaluation_id).quality_score == row.quality_score


def test_a_refused_finding_is_shown_to_the_agent_as_refused_and_leaves_his_answer_alone(
    browser, month, accounts, database
):
    evaluation_id = submit_score(database, OWN_CALL, accounts["shift_leader"], fatal=True)
    browser("shift_leader").post("/reviews/release", data={"month": "2026-11"})
    agent = browser("agent")
    page = agent.get(f"/mine/{evaluation_id}").text
    agent.post(f"/mine/{evaluation_id}/acknowledge", data={"version": version_on(page)})
    before = stored(database, evaluation_id)
    assert before.status == "acknowledged"
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/refuse", data={"reason": "没有听到这句话"})
    after = stored(database, evaluation_id)
    assert (after.status, after.final_score, after.answer_due_at_ms) == (
        "acknowledged", before.quality_score, before.answer_due_at_ms,
    )  # fmt: skip
    for html in (
        agent.get(f"/mine/{evaluation_id}").text,
        browser("shift_leader").get(f"/reviews/{evaluation_id}").text,
    ):
        assert "第二人不认可，不计入最终分" in html and "没有听到这句话" in html and "待第二人确认" not in html


def test_the_scorer_decides_alone_where_nobody_else_is_and_it_is_said(browser, scored, accounts, database):
    agent = browser("agent")
    page = agent.get(f"/mine/{scored.own}").text
    agent.post(f"/mine/{scored.own}/appeal", data={"version": version_on(page), "a:S1.1": "1", "why:S1.1": "报了"})
    browser("admin").post(f"/people/accounts/{accounts['client_supervisor']}/active", data={"active": "false"})
    leader = browser("shift_leader")
    page = leader.get(f"/reviews/{scored.own}").text
    assert "没有第二个人可以裁定" in page
    with database.read() as session:
        row = session.exec(select(Appeal)).one()
    ruling = {"version": version_on(page), f"o:{row.id}": "upheld", f"r:{row.id}": "再听仍不清"}
    assert leader.post(f"/reviews/{scored.own}/decide", data=ruling).status_code == 303
    assert "评分人本人裁定，没有第二人" in agent.get(f"/mine/{scored.own}").text


def test_an_agent_reads_what_calls_are_scored_by(browser, scored, database):
    """The whole rubric, not only what one was scored by: every deduction, every fatal item; of the machine's rules nothing."""
    agent = browser("agent")
    assert 'href="/mine/rubric"' in agent.get("/mine").text
    link = re.search(r'href="(/mine/rubric\?version=\w+)"', agent.get(f"/mine/{scored.own}").text)
    assert link
    for path in ("/mine/rubric", link[1]):
        html = agent.get(path).text
        for words in ("开场规范", "6.2", "录音与工单一致", "致命项", "最终分记 0", "另一个人确认"):
            assert words in html, (path, words)
        assert html.count("rv-fatal") == 7 and "lexicon" not in html and "keyword" not in html
    assert agent.get("/mine/rubric?version=nope").status_code == 404
    assert browser("shift_leader").get("/mine/rubric").status_code == 403
