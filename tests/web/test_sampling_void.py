"""作废重抽 through the month's page: two people, a reason, before anything is scored; what was drawn stays to be repeated."""

import subprocess
import sys

import pytest
from sqlmodel import select

from callqa.scoring.sampling import commitment
from callqa.store import audit
from callqa.store.queries.sampling import active_frame, frames_of
from callqa.store.tables import Account, AuditEntry, Evaluation
from tests.drawn_month import MONTH, NONCE_A, NONCE_B, add_drawable_month, add_scorecards, draw_month
from tests.web.conftest import NOW_MS
from tests.web.score_form import ScoreForm

PAGE = "/sampling/2026-11"
WHY = "冻结时用的是旧的抽检方案"
NEW_A, NEW_B = "leader-second-string", "client-second-string"


@pytest.fixture
def drawn(database, settings, accounts):
    add_scorecards(settings.scorecards_dir)
    with database.write() as session:
        add_drawable_month(session, settings.recordings_dir, NOW_MS)
    draw_month(database, now_ms=NOW_MS)
    return database


def frame_of(database):
    with database.read() as session:
        return active_frame(session, str(MONTH))


def send(client, frame_id, act, reason=""):
    return client.post(f"{PAGE}/void", data={"frame_id": str(frame_id), "act": act, "reason": reason})


def files(client, tmp_path, frame_id=None):
    """The four files of a frame as anybody downloads them; what the independent verifier prints, and what is recorded."""
    tmp_path.mkdir()
    for name in ("frame.tsv", "plan.json", "draw.tsv", "verify_draw.py"):
        answer = client.get(f"{PAGE}/{name}", params={"frame": frame_id} if frame_id else {})
        assert answer.status_code == 200
        (tmp_path / name).write_bytes(answer.content)
    return (tmp_path / "draw.tsv").read_bytes()


def printed(folder, nonce_a, nonce_b):
    command = [sys.executable, "verify_draw.py", "frame.tsv", "plan.json", nonce_a, nonce_b]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60).stdout


def test_a_month_is_drawn_again_and_both_draws_can_be_repeated(drawn, browser, tmp_path):
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    old = frame_of(drawn)
    page = leader.get(PAGE).text
    assert "作废本次抽样框" in page and "月报列出作废重抽的次数" in page
    assert send(leader, old.id, "ask", WHY).status_code == 303
    assert "有人提请作废" in supervisor.get(PAGE).text and "同意作废" in supervisor.get(PAGE).text
    assert "同意作废</button>" not in leader.get(PAGE).text and frame_of(drawn).state == "revealed"
    assert send(supervisor, old.id, "agree").status_code == 303

    page = supervisor.get(PAGE).text
    assert "还没有冻结抽样框" in page and WHY in page and "李班长" in page and old.seed in page
    assert frame_of(drawn) is None
    first = files(supervisor, tmp_path / "void", old.id)
    assert first == printed(tmp_path / "void", NONCE_A, NONCE_B)
    assert supervisor.post(f"{PAGE}/verify", data={"frame_id": str(old.id)}).status_code == 303

    assert leader.post(f"{PAGE}/freeze", data={"partial": "1"}).status_code == 303
    new = frame_of(drawn)
    form = {"frame_id": str(new.id)}
    known = leader.post(f"{PAGE}/commit", data={**form, "side": "a", "nonce": NONCE_B})
    assert known.status_code == 409 and "请换一个新的" in known.text
    leader.post(f"{PAGE}/commit", data={**form, "side": "a", "nonce": NEW_A})
    supervisor.post(f"{PAGE}/commit", data={**form, "side": "b", "value": commitment(NEW_B)})
    assert leader.post(f"{PAGE}/reveal", data={**form, "nonce_a": NEW_A, "nonce_b": NEW_B}).status_code == 303
    second = files(leader, tmp_path / "new")
    assert second == printed(tmp_path / "new", NEW_A, NEW_B) and second != first
    assert files(leader, tmp_path / "again", old.id) == first
    for one in ({}, form, {"frame_id": str(old.id)}):
        assert leader.post(f"{PAGE}/verify", data=one).status_code == 303
    page = leader.get(PAGE).text
    assert WHY in page and old.frame_hash in page and frame_of(drawn).seed in page
    with drawn.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.void")).one()
        assert audit.verify(session) == []
        kept = next(frame for frame in frames_of(session, str(MONTH)) if frame.id == old.id)
    assert (entry.actor, entry.detail["asked_by"], entry.detail["reason"]) == ("client_supervisor", "shift_leader", WHY)
    assert (kept.seed, kept.frame_text, kept.blind_secret) == (old.seed, old.frame_text, entry.detail["blind_secret"])


def test_one_person_alone_makes_nothing_void(drawn, browser):
    leader, supervisor, frame_id = browser("shift_leader"), browser("client_supervisor"), frame_of(drawn).id
    assert "没有待确认" in send(supervisor, frame_id, "agree").text
    send(leader, frame_id, "ask", WHY)
    alone = send(leader, frame_id, "agree")
    assert alone.status_code == 409 and "须两人确认" in alone.text
    with drawn.write() as session:
        other = session.exec(select(Account).where(Account.username == "client_supervisor")).one()
        other.display_name = "李 班长"
        session.add(other)
    assert "同名的两个账号" in send(supervisor, frame_id, "agree").text
    assert frame_of(drawn).state == "revealed"


def test_without_a_reason_nothing_is_asked_and_a_request_can_be_dropped(drawn, browser):
    leader, supervisor, frame_id = browser("shift_leader"), browser("client_supervisor"), frame_of(drawn).id
    for reason in ("", "  \n ", "长" * 501):
        answer = send(leader, frame_id, "ask", reason)
        assert answer.status_code == 409 and frame_of(drawn).void_asked_by is None
    assert "长" * 501 in answer.text  # what was typed is there still
    send(supervisor, frame_id, "ask", WHY)
    assert send(leader, frame_id, "ask", "另一个原因").status_code == 409
    assert send(leader, frame_id, "drop").status_code == 303
    frame = frame_of(drawn)
    assert (frame.state, frame.void_asked_by, frame.void_reason) == ("revealed", None, None)
    assert send(leader, frame_id, "agree").status_code == 409
    assert leader.post(f"{PAGE}/void", data={"frame_id": str(frame_id), "act": "force"}).status_code == 400
    with drawn.read() as session:
        dropped = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.void_drop")).one()
    assert dropped.actor == "shift_leader" and dropped.detail["asked_by"] == "client_supervisor"


def test_who_may_not(drawn, browser):
    frame_id = frame_of(drawn).id
    for role in ("agent", "admin"):
        assert send(browser(role), frame_id, "ask", WHY).status_code == 403
        assert browser(role).get(f"{PAGE}/draw.tsv", params={"frame": frame_id}).status_code == 403
    assert frame_of(drawn).void_asked_by is None
    assert browser("shift_leader").get(f"{PAGE}/frame.tsv", params={"frame": 999}).status_code == 404
    assert browser("shift_leader").get("/sampling/2026-10/frame.tsv", params={"frame": frame_id}).status_code == 404


def test_after_a_score_it_is_too_late_even_for_a_request_made_before(drawn, browser):
    leader, supervisor, frame_id = browser("shift_leader"), browser("client_supervisor"), frame_of(drawn).id
    send(supervisor, frame_id, "ask", WHY)
    ScoreForm.open(leader, "/evaluate/next").send(decision="rejected")
    late = send(leader, frame_id, "agree")
    assert late.status_code == 409 and "已有 1 通提交了评分" in late.text and frame_of(drawn).state == "revealed"
    send(supervisor, frame_id, "drop")
    page = leader.get(PAGE).text
    assert "现在不能作废：样本已有 1 通" in page and "提请作废</button>" not in page
    assert send(leader, frame_id, "ask", WHY).status_code == 409


def test_a_draft_keeps_what_was_written(drawn, browser):
    leader, supervisor, frame_id = browser("shift_leader"), browser("client_supervisor"), frame_of(drawn).id
    form = ScoreForm.open(leader, "/evaluate/next")
    assert "已动笔未提交的评分 1 份" in leader.get(PAGE).text
    send(leader, frame_id, "ask", WHY)
    send(supervisor, frame_id, "agree")
    with drawn.read() as session:
        draft = session.get(Evaluation, form.evaluation_id)
    assert draft.status == "draft" and draft.sample_entry_id is None
    assert leader.get(f"/evaluate/{form.evaluation_id}").status_code == 200
