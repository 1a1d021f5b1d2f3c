"""抽检 through its pages: freeze, commit, reveal, verify, reserves; files that anybody can check; who may do what."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.scoring.sampling import commitment, verify
from callqa.store.queries.sampling import active_frame, entries_of
from callqa.store.tables import AuditEntry, Evaluation, SampleEntry
from tests.drawn_month import MONTH, NONCE_A, NONCE_B, add_drawable_month, add_scorecards, draw_month
from tests.web.conftest import NOW_MS
from tests.web.score_form import ScoreForm

PAGE = "/sampling/2026-11"


@pytest.fixture
def installed(database, settings, accounts):
    """A month that can be frozen, and the installation's plan."""
    add_scorecards(settings.scorecards_dir)
    with database.write() as session:
        add_drawable_month(session, settings.recordings_dir, NOW_MS)
    return database


@pytest.fixture
def drawn(installed):
    draw_month(installed, now_ms=NOW_MS)
    return installed


def frame_of(database):
    with database.read() as session:
        return active_frame(session, str(MONTH))


def entries(database) -> list[SampleEntry]:
    with database.read() as session:
        return list(entries_of(session, active_frame(session, str(MONTH)).id))


def test_a_month_goes_from_nothing_to_a_sample(installed, browser):
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    assert leader.get("/sampling").headers["location"] == PAGE
    assert "还没有冻结抽样框" in leader.get(PAGE).text

    refused = leader.post(f"{PAGE}/freeze")
    assert refused.status_code == 409 and "尚未结束" in refused.text
    assert leader.post(f"{PAGE}/freeze", data={"partial": "1"}).headers["location"] == PAGE
    page = leader.get(PAGE).text
    assert "抽样框已冻结：26 通" in page and "未满月" in page and "双方承诺" in page
    frame_id = {"frame_id": str(frame_of(installed).id)}

    short = leader.post(f"{PAGE}/commit", data={**frame_id, "side": "a", "nonce": "too short"})
    assert short.status_code == 409 and "至少要 16 个" in short.text and 'value="too short"' in short.text
    nothing = leader.post(f"{PAGE}/commit", data={**frame_id, "side": "a"})
    assert nothing.status_code == 409 and frame_of(installed).commit_a is None
    assert leader.post(f"{PAGE}/commit", data={**frame_id, "side": "a", "nonce": NONCE_A}).status_code == 303
    early = leader.post(f"{PAGE}/reveal", data={**frame_id, "nonce_a": NONCE_A, "nonce_b": NONCE_B})
    assert early.status_code == 409 and "双方提交承诺后才能揭示" in early.text
    given = supervisor.post(f"{PAGE}/commit", data={**frame_id, "side": "b", "value": commitment(NONCE_B)})
    assert given.status_code == 303
    frame = frame_of(installed)
    assert (frame.state, frame.commit_a_by, frame.commit_b_by) == ("committed", "shift_leader", "client_supervisor")
    assert NONCE_A not in leader.get(PAGE).text  # the string itself is not kept

    wrong = leader.post(f"{PAGE}/reveal", data={**frame_id, "nonce_a": NONCE_A, "nonce_b": NONCE_B + "x"})
    assert wrong.status_code == 409 and "乙方（采购人）的随机串与承诺值不符" in wrong.text
    assert f'value="{NONCE_B}x"' in wrong.text and entries(installed) == []
    shown = leader.post(f"{PAGE}/reveal", data={**frame_id, "nonce_a": NONCE_A, "nonce_b": NONCE_B})
    assert shown.status_code == 303
    page = leader.get(PAGE).text
    assert "已揭示并抽取样本 16 通" in page and "未经双方承诺" not in page
    again = leader.post(f"{PAGE}/reveal", data={**frame_id, "nonce_a": NONCE_A, "nonce_b": NONCE_B})
    assert again.status_code == 409 and len([e for e in entries(installed) if e.kind == "sample"]) == 16
    second = leader.post(f"{PAGE}/freeze", data={"partial": "1"})
    assert second.status_code == 409 and "冻结后不再增删" in second.text


def test_one_person_with_both_strings_is_marked(installed, browser):
    draw_month(installed, now_ms=NOW_MS, client="shift_leader")
    assert "未经双方承诺" in browser("client_supervisor").get(PAGE).text


def test_the_files_give_the_same_draw_to_anybody(drawn, browser, tmp_path):
    supervisor = browser("client_supervisor")
    for name in ("frame.tsv", "plan.json", "draw.tsv", "verify_draw.py"):
        answer = supervisor.get(f"{PAGE}/{name}")
        assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]
        (tmp_path / name).write_bytes(answer.content)
    frame = frame_of(drawn)
    assert hashlib.sha256((tmp_path / "frame.tsv").read_bytes()).hexdigest() == frame.frame_hash
    assert hashlib.sha256((tmp_path / "plan.json").read_bytes()).hexdigest() == frame.plan_hash

    again = verify((tmp_path / "frame.tsv").read_text(), (tmp_path / "plan.json").read_text(), NONCE_A, NONCE_B)
    stored = [(e.call_id, e.kind, e.position, e.rank) for e in entries(drawn)]
    assert [(one.call_id, one.kind.value, one.position, one.rank) for one in again.entries] == stored

    command = [sys.executable, "verify_draw.py", "frame.tsv", "plan.json", NONCE_A, NONCE_B]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout
    assert printed == Path(tmp_path / "draw.tsv").read_bytes()


def test_the_page_repeats_the_draw_and_notices_a_changed_record(drawn, browser):
    client = browser("client_supervisor")
    assert client.post(f"{PAGE}/verify").headers["location"] == PAGE
    assert "样本 16 通、递补 10 通，与记录逐通相同" in client.get(PAGE).text
    with drawn.write() as session:
        rows = session.exec(select(SampleEntry).where(SampleEntry.agent_no == "805", SampleEntry.stratum == "normal"))
        first, *_, last = sorted(rows, key=lambda e: e.rank)
        first.rank, last.rank = last.rank, first.rank  # as if somebody had changed who was drawn
        session.add_all([first, last])
    answer = client.post(f"{PAGE}/verify")
    assert answer.status_code == 409 and "重算结果与记录不符" in answer.text


def test_a_reserve_takes_the_place_of_a_call_and_leaves_a_trace(drawn, browser):
    client = browser("shift_leader")
    frame_id = str(frame_of(drawn).id)
    sample = next(e for e in entries(drawn) if (e.agent_no, e.stratum, e.kind) == ("801", "normal", "sample"))
    fields = {"frame_id": frame_id, "call_id": sample.call_id, "reason": "recording_unplayable"}
    assert client.post(f"{PAGE}/reserve", data=fields).status_code == 303
    after = {e.call_id: e for e in entries(drawn)}
    used = after[after[sample.call_id].replaced_by]
    assert (after[sample.call_id].state, used.kind, used.position, used.state) == ("replaced", "reserve", 1, "used")
    page = client.get(PAGE).text
    assert f"已启用递补 {used.call_id}" in page and "录音无法播放" in page
    queue = client.get("/evaluate").text
    assert used.call_id in queue and sample.call_id not in queue
    with drawn.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.reserve")).one()
    assert entry.detail["call_id"] == sample.call_id and entry.actor == "shift_leader"
    assert client.post(f"{PAGE}/reserve", data=fields).status_code == 409  # it is replaced already
    assert client.post(f"{PAGE}/reserve", data={**fields, "reason": "dislike"}).status_code == 400
    assert client.post(f"{PAGE}/verify").status_code == 303  # the draw itself stays what it was

    risky = next(e for e in entries(drawn) if (e.agent_no, e.stratum) == ("801", "risk"))
    client.post(f"{PAGE}/reserve", data={**fields, "call_id": risky.call_id})
    assert "该层递补已用尽，样本减少一通" in client.get(PAGE).text


def test_a_scored_call_is_not_replaced(drawn, browser):
    client = browser("shift_leader")
    form = ScoreForm.open(client, "/evaluate/next")
    form.send(decision="rejected")
    page = client.get(PAGE).text
    assert re.search(r"1 / 16 通已评", page)
    with drawn.read() as session:
        call_id = session.get(Evaluation, form.evaluation_id).call_id
    fields = {"frame_id": str(frame_of(drawn).id), "call_id": call_id, "reason": "framed_by_mistake"}
    answer = client.post(f"{PAGE}/reserve", data=fields)
    assert answer.status_code == 409 and "已提交评分" in answer.text


def test_who_may_do_what(installed, browser):
    agent, supervisor = browser("agent"), browser("client_supervisor")
    for path in (PAGE, f"{PAGE}/frame.tsv", f"{PAGE}/plan.json", f"{PAGE}/draw.tsv"):
        assert agent.get(path).status_code == 403
    for act in ("freeze", "commit", "reveal", "reserve", "verify"):
        assert agent.post(f"{PAGE}/{act}").status_code == 403
    assert supervisor.post(f"{PAGE}/freeze", data={"partial": "1"}).status_code == 403
    assert supervisor.post(f"{PAGE}/reserve").status_code == 403
    assert frame_of(installed) is None
    assert "由班长冻结" in supervisor.get(PAGE).text


def test_before_there_is_anything_the_files_are_not_found(installed, browser):
    client = browser("shift_leader")
    assert client.get(f"{PAGE}/frame.tsv").status_code == 404
    assert client.post(f"{PAGE}/verify").status_code == 409
    assert client.get("/sampling/2026-13").status_code == 400
    assert "没有开始" in client.post("/sampling/2026-12/freeze", data={"partial": "1"}).text


def test_a_plan_that_cannot_be_read_is_said_on_the_page(installed, browser, settings):
    client = browser("shift_leader")
    (settings.scorecards_dir / "sampling.yaml").write_text("schema: other\n", encoding="utf-8")
    assert client.post(f"{PAGE}/freeze", data={"partial": "1"}).status_code == 409
    (settings.scorecards_dir / "sampling.yaml").unlink()
    answer = client.post(f"{PAGE}/freeze", data={"partial": "1"})
    assert answer.status_code == 409 and "读不到抽检方案" in answer.text
