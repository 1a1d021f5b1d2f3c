"""Links, tickets, people, accounts, system: each form does its one thing."""

import re
import shutil
from pathlib import Path

from sqlmodel import select

from callqa.desk import load_desk
from callqa.store.tables import Account, Agent, Call, Seat, TicketImport, TicketLink, WebSession
from callqa.usecases.accounts import password_fits
from callqa.usecases.progress import Stage

SCORECARDS = Path(__file__).resolve().parents[2] / "scorecards"
DOUBTFUL = "20261107T011200000Z-A2"


def links_of(database, call_id: str) -> dict[str, str]:
    with database.read() as session:
        rows = session.exec(select(TicketLink).where(TicketLink.call_id == call_id))
        return {row.ticket_no: row.state for row in rows}


def test_doubtful_links_stand_side_by_side_with_reasons(browser, month):
    html = browser("shift_leader").get("/links").text
    assert html.count('class="cq-candidate"') == 2
    assert "受理时间在通话开始后 19 分钟" in html
    assert "8003 无人签入" in html


def test_accepting_one_ticket_settles_the_others(browser, month, database):
    client = browser("agent")  # 801's own call
    form = {"decision": "accept", "ticket_no": "SW202611070112"}
    assert client.post(f"/links/{DOUBTFUL}", data=form).headers["location"] == "/links"
    assert links_of(database, DOUBTFUL) == {"SW202611070112": "linked", "SW202611070118": "rejected"}
    assert "没有等待确认的通话" in client.get("/links").text


def test_rejecting_and_giving_another_ticket(browser, month, database):
    client = browser("shift_leader")
    client.post(f"/links/{DOUBTFUL}", data={"decision": "reject", "ticket_no": "SW202611070112"})
    assert links_of(database, DOUBTFUL)["SW202611070112"] == "rejected"
    client.post(f"/links/{DOUBTFUL}", data={"decision": "accept", "ticket_no": " SW202611060031 "})
    assert links_of(database, DOUBTFUL)["SW202611060031"] == "linked"
    client.post(f"/links/{DOUBTFUL}", data={"decision": "accept", "ticket_no": "SW000"})
    assert "没有工单 SW000" in client.get("/links").text


def test_nobody_links_another_agents_call(browser, month):
    form = {"decision": "accept", "ticket_no": "SW202611060031"}
    assert browser("agent").post(f"/links/{month}", data=form).status_code == 403
    assert browser("client_supervisor").post(f"/links/{month}", data=form).status_code == 403


def test_an_unattributed_call_is_given_to_an_agent_with_a_reason(browser, month, database):
    client = browser("shift_leader")
    call_id = "20261121T030000000Z-A3"
    client.post(f"/links/{call_id}/agent", data={"agent_no": "803", "reason": ""})
    assert "请写明" in client.get("/links").text
    client.post(f"/links/{call_id}/agent", data={"agent_no": "803", "reason": "听录音报工号"})
    with database.read() as session:
        call = session.get(Call, call_id)
    assert (call.agent_no, call.attribution_source) == ("803", "manual")


def upload(client, name: str, data: bytes):
    return client.post("/tickets/import", files={"file": (name, data, "text/csv")})


CSV = """工单编号,标题,诉求性质,来电号码,受理时间,受理工号
SW202611200001,水压低,求助,13800001111,2026-11-20 09:00:00,801
SW202611200002,爆管,报修,13800001112,昨天,801
""".encode()


def test_ticket_import_keeps_good_rows_and_names_bad_ones(browser, accounts, database):
    client = browser("shift_leader")
    answer = upload(client, "工单.csv", CSV)
    assert answer.status_code == 303
    html = client.get(answer.headers["location"]).text
    assert "昨天" in html and re.search(r'<td class="nw">第 3 行</td><td class="nw">受理时间', html)
    assert client.get("/tickets/SW202611200001").status_code == 200
    assert client.get("/tickets/SW202611200002").status_code == 404
    again = upload(client, "工单.csv", CSV)
    assert "以前导入过" in client.get(again.headers["location"]).text
    with database.read() as session:
        assert len(session.exec(select(TicketImport)).all()) == 1


def test_a_file_that_is_no_ticket_table_is_refused_with_words(browser, accounts):
    client = browser("shift_leader")
    for name, data in (("x.csv", b"a,b\n1,2\n"), ("x.csv", b""), ("x.xlsx", b"PK no zip"), ("x.csv", b"\xff\xfe\x00")):
        answer = upload(client, name, data)
        assert answer.status_code == 400, name
        assert 'role="alert"' in answer.text
    assert upload(browser("agent"), "工单.csv", CSV).status_code == 403


def test_tickets_are_found_and_filtered(browser, month):
    client = browser("shift_leader")

    def found(query: str) -> list[str]:
        return re.findall(r'<tr data-href="/tickets/([^"]+)', client.get(f"/tickets?month=2026-11&{query}").text)

    assert len(found("")) == 3
    assert found("text=后湖") == ["SW202611070118", "SW202611070112"]
    assert found("linked=yes") == ["SW202611060031"]
    assert found("category=complaint") == ["SW202611070118"]
    assert found("sort=ticket")[0] == "SW202611060031"


def test_agents_see_of_a_ticket_only_their_own_calls(browser, month):
    assert month not in browser("agent").get("/tickets/SW202611060031").text
    assert month in browser("shift_leader").get("/tickets/SW202611060031").text


def test_a_new_seat_gets_a_set_up_sheet_and_the_recorder_hears_of_it(browser, accounts, database, settings):
    client = browser("shift_leader")
    sheet = client.post("/people/seats", data={"extension": "8009", "label": "九号席"})
    assert sheet.status_code == 201
    password = re.search(r"<dt>密码</dt><dd><code>([^<]+)</code>", sheet.text)[1]
    assert len(password) == 19 and password not in client.get("/people").text
    assert [seat.extension for seat in load_desk(settings.desk_path).seats] == ["8009"]
    with database.read() as session:
        assert session.get(Seat, "8009").label == "九号席"


def test_signing_in_and_out_by_the_leader_reaches_the_recorder(browser, month, settings):
    client = browser("shift_leader")
    form = {"extension": "8003", "agent_no": "803", "next": "/people"}
    assert client.post("/live/sign-in", data=form).headers["location"] == "/people"
    assert {s.extension: s.agent_no for s in load_desk(settings.desk_path).seats}["8003"] == "803"
    client.post("/live/sign-out", data={"extension": "8003"})
    assert {s.extension: s.agent_no for s in load_desk(settings.desk_path).seats}["8003"] is None
    assert browser("agent").post("/live/sign-in", data=form).status_code == 403


def test_a_seat_is_retired_after_signing_out_and_brought_back(browser, month, database, settings):
    client = browser("shift_leader")
    client.post("/live/sign-in", data={"extension": "8003", "agent_no": "803", "next": "/people"})
    client.post("/people/seats/8003/active", data={"active": "false"})
    assert "请先签出" in client.get("/people").text
    client.post("/live/sign-out", data={"extension": "8003"})
    client.post("/people/seats/8003/active", data={"active": "false"})
    assert "8003" not in {s.extension for s in load_desk(settings.desk_path).seats}
    client.post("/people/seats/8003/active", data={"active": "true"})
    assert "8003" in {s.extension for s in load_desk(settings.desk_path).seats}
    assert browser("agent").post("/people/seats/8003/active", data={"active": "false"}).status_code == 403


def test_agents_are_registered_and_switched_off(browser, month, database):
    client = browser("shift_leader")
    client.post("/people/agents", data={"agent_no": "809", "name": "孙悦"})
    client.post("/people/agents/809/active", data={"active": "false"})
    with database.read() as session:
        agent = session.get(Agent, "809")
    assert (agent.name, agent.active) == ("孙悦", False)


def test_trunks_dial_plan_and_routing(browser, accounts, settings):
    client = browser("admin")
    client.post("/people/lines/trunks", data={"name": "电信", "addresses": "10.0.8.2，10.0.8.3", "host": "10.0.8.2"})
    client.post("/people/lines/rules", data={"pattern": r"1\d{10}", "trunk": "电信"})
    client.post(
        "/people/lines/routing", data={"inbound_mode": "bridge", "ring_timeout_s": "30", "hotline_number": "96510"}
    )
    desk = load_desk(settings.desk_path)
    assert desk.trunks[0].addresses == ("10.0.8.2", "10.0.8.3")
    assert desk.dial_plan[0].trunk == "电信" and desk.routing.ring_timeout_s == 30
    client.post("/people/lines/trunks", data={"name": "电信", "remove": "true"})
    assert "拨号方案还在用" in client.get("/people/lines").text
    client.post("/people/lines/trunks", data={"name": "坏", "addresses": "not-an-address"})
    assert "danger" in client.get("/people/lines").text
    assert len(load_desk(settings.desk_path).trunks) == 1


def test_a_trunk_that_registers_and_a_rule_with_a_second_way(browser, accounts, settings):
    client = browser("admin")
    account = {"username": "96510", "realm": "example.cn", "register_here": "true", "password": "provider-secret"}
    line = {"name": "电信", "host": "sip.example.cn", "transport": "tcp", "prefix": "9", "keepalive_s": "30"}
    client.post("/people/lines/trunks", data=line | account)
    client.post("/people/lines/trunks", data={"name": "联通", "host": "10.0.9.2"})
    client.post("/people/lines/rules", data={"pattern": r"1\d{10}", "trunk": "电信", "then": "联通， 电信"})
    first = load_desk(settings.desk_path)
    trunk = first.trunks[0]
    assert (trunk.transport, trunk.prefix, trunk.keepalive_s, trunk.register_here) == ("tcp", "9", 30, True)
    assert trunk.ha1_md5 and first.dial_plan[0].then == ("联通", "电信")
    filled = client.get("/people/lines", params={"trunk": "电信", "rule": r"1\d{10}"}).text
    assert 'value="sip.example.cn"' in filled and 'value="联通，电信"' in filled
    assert trunk.ha1_md5 not in filled and "provider-secret" not in filled
    client.post("/people/lines/trunks", data={"name": "电信", "host": "sip2.example.cn", "prefix": "", "password": ""})
    client.post("/people/lines/rules", data={"pattern": r"1\d{10}", "trunk": "联通", "then": ""})
    after = load_desk(settings.desk_path)
    assert after.trunks[0] == trunk.model_copy(
        update={"host": "sip2.example.cn", "prefix": ""}
    )  # emptied, the rest kept
    assert (after.dial_plan[0].trunk, after.dial_plan[0].then) == ("联通", ())


ROSTER = """工号,班次,日期,开始,结束,分机
801,白班,2026-11-23,08:00,20:00,8001
999,白班,2026-11-23,08:00,20:00,8001
""".encode()


def test_a_roster_is_imported_with_its_bad_rows_shown(browser, month):
    client = browser("shift_leader")
    answer = client.post("/people/roster", files={"file": ("排班.csv", ROSTER, "text/csv")})
    assert answer.status_code in (200, 303), answer.text
    if answer.status_code == 200:
        assert "999" in answer.text


def test_an_account_is_made_with_a_password_shown_once(browser, month, database, app_client):
    client = browser("admin")
    form = {"username": "chen", "display_name": "陈一鸣", "role": "agent", "agent_no": "802"}
    sheet = client.post("/people/accounts", data=form)
    assert sheet.status_code == 201
    password = re.search(r"<code>([^<]+)</code>", sheet.text)[1]
    with database.read() as session:
        account = session.exec(select(Account).where(Account.username == "chen")).one()
    assert account.must_change_password and password_fits(account.password_hash, password)
    answer = app_client.post("/login", data={"username": "chen", "password": password})
    assert answer.headers["location"] == "/account/password"
    client.post("/people/accounts", data=form)
    assert "已有人使用" in client.get("/people/accounts").text
    assert browser("shift_leader").post("/people/accounts", data=form).status_code == 403


def test_resetting_and_switching_off_end_the_sessions(browser, accounts, database):
    admin, leader = browser("admin"), browser("shift_leader")
    assert admin.post(f"/people/accounts/{accounts['shift_leader']}/reset").status_code == 201
    assert leader.get("/").status_code == 303
    admin.post(f"/people/accounts/{accounts['admin']}/active", data={"active": "false"})
    assert "最后一个启用的管理员" in admin.get("/people/accounts").text
    with database.read() as session:
        assert len(session.exec(select(WebSession)).all()) == 1


def test_system_names_the_line_of_a_scorecard_with_a_mistake(browser, settings):
    shutil.copytree(SCORECARDS, settings.scorecards_dir)
    assert "sampling.yaml 可用" in browser("admin").get("/system").text
    for file, right, wrong in (
        ("rubric.yaml", "op: silence", "op: silense"),
        ("sampling.yaml", "eligible:", "eligibel:"),
    ):
        path = settings.scorecards_dir / file
        path.write_text(path.read_text(encoding="utf-8").replace(right, wrong, 1), encoding="utf-8")
    html = browser("admin").get("/system").text
    for text in ("rubric.yaml 有误", "silense", "sampling.yaml 有误", "eligibel"):
        assert text in html, text


def test_system_tells_what_is_missing_and_checks_the_chain(browser, month, database):
    client = browser("admin")
    html = client.get("/system").text
    for text in ("录音服务未连接", "不可用，通话照常录音并排队", "水务热线话务质检评分标准", "转写模型不在"):
        assert text in html, text
    client.post("/system/verify")
    assert "审计链完整" in client.get("/system").text
    with database.write() as session:
        from sqlalchemy import text as sql

        session.execute(sql("update audit_log set actor = 'somebody' where sequence = 1"))
    client.post("/system/verify")
    assert "审计链有 1 处不符：第 1 条" in client.get("/system").text


def test_healthz_needs_nobody(app_client):
    assert app_client.get("/healthz").text == "ok"


def test_home_counts_lead_to_their_lists(browser, month):
    html = browser("shift_leader").get("/").text
    assert "/calls?month=2026-11&amp;outcome=answered" in html
    assert "录音服务未连接" in html and "/evaluate/next" in html
    assert "我的通话" in browser("agent").get("/").text


def test_home_leads_a_new_installation_to_its_first_call(browser, database):
    html = browser("admin").get("/").text
    for text in ("开始使用", "添加中继", "/people/lines", "建立班长账号", "/tickets/import"):
        assert text in html, text
    assert "开始使用" not in browser("client_supervisor").get("/").text


def test_home_shows_an_administrator_the_real_figures_and_nobody_a_dead_link(browser, month):
    figures = re.compile(r'<section class="cq-figures".*?</section>', re.DOTALL)
    first = [figures.search(browser(role).get("/").text)[0] for role in ("admin", "shift_leader")]
    assert re.findall(r">(\d+)<", first[0]) == re.findall(r">(\d+)<", first[1]) != []
    for role in ("admin", "shift_leader", "agent", "client_supervisor"):
        client = browser(role)
        for path in set(re.findall(r'href="(/[a-z][^"#?]*)', client.get("/").text)):
            assert client.get(path).status_code < 400, (role, path)


def test_stages_of_the_queue_have_labels():
    from callqa.web.format import STAGE_LABELS

    assert {str(stage) for stage in Stage} <= set(STAGE_LABELS)
