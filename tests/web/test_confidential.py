"""保密件: named people only, out of every list, and each opening in the chain."""

import re

import pytest
from sqlmodel import delete, func, select

from callqa.errors import StoreError
from callqa.periods import Month, say_short
from callqa.reports.document import from_json
from callqa.scoring.frame import build_frame
from callqa.scoring.plan_text import parse_plan
from callqa.store.queries.figures import month_figures
from callqa.store.queries.reviews import count_open_appeals
from callqa.store.queries.tickets import count_unattributed
from callqa.store.tables import (
    Appeal,
    AuditEntry,
    Call,
    CallProgress,
    ConfidentialCall,
    Evaluation,
    FollowupEvent,
    MissedCallFollowup,
    ReportRow,
    SampleEntry,
    TranscriptRow,
    VocabularyCandidate,
)
from callqa.usecases import review
from callqa.usecases.export_pcap import export_pcap
from callqa.usecases.freeze import load_candidates
from callqa.usecases.second_look import create_session
from tests.drawn_month import SCORECARDS, add_drawable_month, draw_month
from tests.web.conftest import NOW_MS
from tests.web.released import OTHER_TICKET, Scored, release_both
from tests.web.routes import all_routes
from tests.web.score_form import ScoreForm

CHIP = "这通是保密件"  # on the chip that stands for a call


@pytest.fixture
def scored(database, month, accounts) -> Scored:
    return release_both(database, accounts["shift_leader"])


@pytest.fixture
def secret(browser, month, scored) -> str:
    """805's recorded, linked and scored call, marked by the supervisor, who named nobody else."""
    answer = browser("client_supervisor").post(f"/confidential/{month}", data={"reason": "举报人要求保密"})
    assert answer.status_code == 303
    return month


def actions(database, action: str) -> list[AuditEntry]:
    with database.read() as session:
        return list(session.exec(select(AuditEntry).where(AuditEntry.action == action)))


def test_it_is_out_of_every_list_even_for_who_was_named(browser, secret, scored, database):
    with database.write() as session:  # somebody had corrected a word of it
        transcript = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == secret)).one()
        offered = {"word": "宝丰路", "was": "", "context": "在宝丰路这边", "offered_at_ms": NOW_MS}
        session.add(VocabularyCandidate(transcript_id=transcript.id, **offered))
    for role in ("shift_leader", "client_supervisor", "other_agent"):
        client = browser(role)
        for path in (
            "/",
            "/calls?month=2026-11",
            "/calls?month=2026-11&words=%E5%AE%9D%E4%B8%B0",
            "/calls.csv?month=2026-11",
            "/reviews?month=2026-11",
            "/mine",
            "/links",
            f"/tickets/{OTHER_TICKET}",
            "/evaluate?month=2026-11",
            "/must-review?month=2026-11",
            "/transcription",
            "/trust",
            "/trust/calibration/new",
        ):
            answer = client.get(path)
            assert secret not in answer.text and "在宝丰路这边" not in answer.text, (role, path)
            assert f"/reviews/{scored.other}" not in answer.text and f"/mine/{scored.other}" not in answer.text


def test_only_the_named_open_it_by_any_route_and_each_opening_is_noted(browser, secret, scored, database):
    leader, agent, supervisor = browser("shift_leader"), browser("other_agent"), browser("client_supervisor")
    asked = 0
    for route in all_routes():
        if not ("{call_id}" in route.path or "{evaluation_id}" in route.path):
            continue
        if route.path.startswith("/api/live/"):  # the seat's own recording: shows nothing
            continue
        path = route.path.replace("{call_id}", secret).replace("{evaluation_id}", str(scored.other))
        for client in (leader, agent):
            method = "GET" if "GET" in route.methods else "POST"
            answer = client.request(method, path, data={"version": "1"} if method == "POST" else None)
            # 400: a field of the form is asked for before anything is looked up
            assert answer.status_code in (400, 403), (method, path)
            assert "宝丰" not in answer.text and "举报" not in answer.text
            asked += 1
    assert asked > 30
    assert actions(database, "confidential.view") == []
    for path in (f"/calls/{secret}", f"/calls/{secret}/audio", f"/evaluate/{scored.other}", f"/reviews/{scored.other}"):
        assert supervisor.get(path).status_code == 200, path
    noted = actions(database, "confidential.view")
    assert {(n.actor, n.subject) for n in noted} == {("client_supervisor", secret)} and noted


def test_marking_names_people_and_lifting_needs_a_reason(browser, month, scored, accounts, database):
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    leader.post(f"/confidential/{month}", data={"reason": " ", "next": f"/calls/{month}"})
    assert "请写明" in leader.get(f"/calls/{month}").text
    leader.post(f"/confidential/{month}", data={"reason": "涉密", "reader": str(accounts["agent"])})
    assert "只能指定" in leader.get("/confidential").text
    assert supervisor.get(f"/calls/{month}").status_code == 200  # nothing was marked
    leader.post(f"/confidential/{month}", data={"reason": "涉密", "reader": str(accounts["client_supervisor"])})
    assert supervisor.get(f"/calls/{month}").status_code == 200
    html = supervisor.get("/confidential").text
    assert month in html and "涉密" in html and "李班长" in html
    leader.post(f"/confidential/{month}", data={"reason": "涉密"})  # named anew: the leader alone
    assert supervisor.get(f"/calls/{month}").status_code == 403
    assert month not in supervisor.get("/confidential").text
    leader.post(f"/confidential/{month}/lift", data={"reason": ""})
    with database.read() as session:
        assert session.get(ConfidentialCall, month) is not None
    leader.post(f"/confidential/{month}/lift", data={"reason": "已公开"})
    assert supervisor.get(f"/calls/{month}").status_code == 200
    assert [len(actions(database, f"confidential.{a}")) for a in ("mark", "lift")] == [2, 1]
    assert actions(database, "confidential.mark")[0].detail["readers"] == ["client_supervisor", "shift_leader"]
    for role in ("agent", "admin"):
        assert browser(role).post(f"/confidential/{month}", data={"reason": "x"}).status_code == 403
        assert browser(role).get("/confidential").status_code == 403


def test_it_is_not_drawn_and_not_exported(browser, secret, database, settings):
    plan = parse_plan((SCORECARDS / "sampling.yaml").read_text(encoding="utf-8"))
    with database.read() as session:
        candidates = load_candidates(session, Month(2026, 11), demo=False)
    frame = build_frame(candidates, Month(2026, 11), plan)
    assert secret not in frame.text
    assert [out.code for out in frame.exclusions if out.call_id == secret] == ["confidential"]
    with pytest.raises(StoreError, match="保密件"):
        export_pcap(database, secret, spool=settings.spool_dir, keep_days=7, actor="x", now_ms=NOW_MS)


def test_a_call_that_is_nowhere_cannot_be_marked(browser, accounts, database):
    client = browser("shift_leader")
    client.post("/confidential/20261122T000000000Z-ZZ", data={"reason": "x"})
    assert "录音服务未连接" in client.get("/confidential").text
    with database.read() as session:
        assert session.exec(select(ConfidentialCall)).all() == []


@pytest.fixture
def drawn(database, settings, accounts) -> list[str]:
    """A drawn month with a calibration session of its first two calls."""
    with database.write() as session:
        add_drawable_month(session, settings.recordings_dir, NOW_MS)
    frame = draw_month(database, now_ms=NOW_MS)
    with database.read() as session:
        query = select(SampleEntry.call_id).where(SampleEntry.frame_id == frame.id, SampleEntry.kind == "sample")
        sample = list(session.exec(query.order_by(SampleEntry.agent_no, SampleEntry.stratum, SampleEntry.rank)))
    raters = [accounts["shift_leader"], accounts["client_supervisor"]]
    create_session(database, "11 月", sample[:2], raters, account_id=raters[0], now_ms=NOW_MS)
    return sample


def mark(leader, call_id: str) -> None:
    """As the leader, who names nobody else."""
    assert leader.post(f"/confidential/{call_id}", data={"reason": "涉密"}).status_code == 303


def test_marked_after_the_draw_it_counts_on_without_its_number(browser, drawn, database):
    leader, supervisor, secret = browser("shift_leader"), browser("client_supervisor"), drawn[0]
    for client in (leader, supervisor):
        for call_id in drawn[:2]:
            ScoreForm.open(client, f"/trust/calibration/1/call/{call_id}").send(
                {"d:S1.1:b": "1"} if client is supervisor else {}
            )
    leader.post("/trust/calibration/1/open")
    mark(leader, secret)
    with database.read() as session:
        said = say_short(session.get_one(Call, secret).started_at_ms)
    for path in ("/sampling/2026-11", "/trust/calibration/1"):
        before, after = leader.get(path).text, supervisor.get(path).text
        assert CHIP in after and CHIP not in before, path
        assert secret not in after and said not in after, path
        assert after.count("<tr") == before.count("<tr"), path  # the row stays
    assert "保密件 赵监督扣分" in supervisor.get("/trust/calibration/1").text
    assert f"/calls/{secret}" in leader.get("/sampling/2026-11").text


def test_the_second_score_of_a_call_marked_later_is_shown_without_its_number(browser, drawn, database, clock):
    leader = browser("shift_leader")
    for call_id in drawn:
        ScoreForm.open(leader, f"/evaluate/call/{call_id}").send()
    clock.now_ms = NOW_MS + 15 * 86_400_000
    leader = browser("shift_leader")
    secret = re.findall(r'href="/evaluate/rescore/([^"]+)"', leader.get("/evaluate").text)[0]
    ScoreForm.open(leader, f"/evaluate/rescore/{secret}").send()
    mark(leader, secret)
    supervisor = browser("client_supervisor").get("/trust").text
    assert secret not in supervisor and CHIP in supervisor
    assert secret in leader.get("/trust").text


def test_a_report_counts_it_and_tells_nothing_of_it(browser, drawn, database):
    leader, secret = browser("shift_leader"), drawn[0]
    for call_id in drawn:
        answer = ScoreForm.open(leader, f"/evaluate/call/{call_id}").send({"d:S1.1:b": "1"}, decision="rejected")
        assert answer.status_code == 303, answer.text
    mark(leader, secret)
    leader.post("/reports/2026-11/publish")
    with database.read() as session:
        report = from_json(session.exec(select(ReportRow)).one().values)
    tables = [*report.tables(), *report.attachments]
    assert not [table.no for table in tables for row in table.rows for cell in row if secret in cell.text]
    details = next(table for table in report.attachments if table.no == "附件1")
    assert len(details.rows) == len(drawn)
    (hidden,) = (row for row in details.rows if row[1].text == "保密件")
    when = next(n for n, column in enumerate(details.columns) if column.label == "质量分")
    assert hidden[when].text == "99.0"
    page = browser("client_supervisor").get("/reports/2026-11").text
    assert secret not in page and drawn[1] in page
    assert secret in leader.get("/reports/2026-11").text  # who may open it opens it from the figure


def test_no_list_of_work_tells_of_it_and_none_counts_it(browser, secret, scored, accounts, database):
    """What is stuck, what waits, and every figure that opens into a list."""
    with database.write() as session:
        call = session.get_one(Call, secret)
        call.attribution_source = "unknown"
        session.add(call)
        session.exec(delete(CallProgress).where(CallProgress.call_id == secret))
        session.add(
            CallProgress(call_id=secret, stage="transcribe", state="failed", message="卡住了", updated_at_ms=NOW_MS)
        )
        session.add(
            Appeal(
                evaluation_id=scored.other,
                item_id="S1.1",
                reason="不同意",
                opened_by=accounts["agent"],
                opened_at_ms=NOW_MS,
            )
        )
        waiting = session.exec(select(Appeal)).all()
        assert [row.state for row in waiting] == ["open"]
        said = say_short(call.started_at_ms)
        total = session.exec(
            select(func.count()).select_from(Call).where(Call.started_at_ms >= Month(2026, 11).start_ms)
        ).one()
    for role in ("shift_leader", "admin"):
        for path in ("/", "/system"):
            html = browser(role).get(path).text
            assert secret not in html and said not in html and "卡住了" not in html, (role, path)
    home = browser("client_supervisor").get("/").text
    assert re.search(r"申诉待裁定</a><b>0</b>", home), home
    with database.read() as session:
        figures = month_figures(session, Month(2026, 11).start_ms, Month(2026, 11).end_ms, None)
        assert count_open_appeals(session) == 0
    assert figures.calls == total - 1  # as many as the list shows
    with database.read() as session:
        assert count_unattributed(session) == 1  # the other one


def test_who_was_not_named_neither_releases_nor_finalizes_it_by_number(browser, secret, scored, database):
    leader = browser("shift_leader")
    with database.write() as session:
        score = session.get_one(Evaluation, scored.other)
        score.status = "submitted"
        session.add(score)
    for path, status in (("release", "submitted"), ("finalize", "acknowledged")):
        with database.write() as session:
            session.get_one(Evaluation, scored.other).status = status
        answer = leader.post(f"/reviews/{path}", data={"month": "2026-11", "evaluation_id": str(scored.other)})
        assert answer.status_code == 403 and "保密件" in answer.text
        with database.read() as session:
            assert session.get_one(Evaluation, scored.other).status == status


def test_its_agent_does_not_consent_by_silence_to_what_cannot_be_opened(browser, secret, scored, database, clock):
    with database.read() as session:
        due_ms = session.get_one(Evaluation, scored.other).answer_due_at_ms
    clock.now_ms = due_ms + 86_400_000
    assert review.lapse_due(database, now_ms=clock.now_ms) == (scored.own,)
    supervisor = browser("client_supervisor")
    supervisor.post(f"/confidential/{secret}/lift", data={"reason": "已公开"})
    with database.read() as session:
        score = session.get_one(Evaluation, scored.other)
    assert score.status == "released" and score.answer_due_at_ms > clock.now_ms
    agent = browser("other_agent")
    answer = agent.post(f"/mine/{scored.other}/acknowledge", data={"version": str(score.version)})
    assert answer.status_code == 303
    with database.read() as session:
        assert session.get_one(Evaluation, scored.other).status == "acknowledged"


def test_a_call_list_compared_and_a_call_back_tell_nothing_of_it(browser, secret, database):
    """The PBX's own row stays, as it came; what we know of the call does not."""
    with database.write() as session:
        call = session.get_one(Call, secret)
        number, seat = call.citizen_number, call.seat_extension
        entry = MissedCallFollowup(
            key="20261106/13900001111",
            number="13900001111",
            first_call_id=secret,
            missed_at_ms=NOW_MS,
            last_missed_at_ms=NOW_MS,
            state="done",
        )
        session.add(entry)
        session.flush()
        session.add(FollowupEvent(followup_id=entry.id, kind="reached", at_ms=call.started_at_ms, call_id=secret))
        followup_id = entry.id
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    other = "开始时间,主叫,被叫,状态,通话时长\n2026-11-06 07:00:00,13700001111,02796510,ANSWERED,30\n"
    other += "2026-11-06 08:00:00,13700001112,02796510,ANSWERED,30\n"
    file = {"file": ("cdr.csv", other.encode(), "text/csv")}
    for form in ({}, {"answer": "csv"}):
        text = leader.post("/reconcile", files=file, data=form).text
        assert secret not in text and number not in text and re.search("[>,]保密件[<,]", text), text
        assert secret in supervisor.post("/reconcile", files=file, data={}).text  # who was named
    assert seat
    page = leader.get(f"/followups/{followup_id}").text
    assert secret not in page and "保密件" in page
