"""评分: the queue, the form, what is kept and what comes back, who may do what."""

import csv
import io
from dataclasses import dataclass

import pytest
from sqlmodel import select

from callqa.store.tables import (
    AuditEntry,
    Call,
    CheckResultRow,
    Deduction,
    Evaluation,
    FatalFinding,
    SampleEntry,
    SamplingFrame,
    SuggestionRow,
)
from tests.builders import add_suggestions, add_transcript
from tests.drawn_month import add_drawable_month, draw_month
from tests.web.conftest import NOW_MS
from tests.web.score_form import ScoreForm, follow

EVIDENCE = {"d:S3.2:a": "1", "at:S3.2:a": "0:20", "note:S3.2:a": "没有复述地址"}  # 5 points: needs both


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn month: its sample in the queue's order, and a call outside it that the machine has suggestions for."""

    sample: list[str]
    suggested: str


@pytest.fixture
def drawn(database, settings, accounts) -> Drawn:
    with database.write() as session:
        show = add_drawable_month(session, settings.recordings_dir, NOW_MS)
    frame = draw_month(database, now_ms=NOW_MS)
    with database.read() as session:
        rows = session.exec(
            select(SampleEntry.call_id)
            .where(SampleEntry.frame_id == frame.id, SampleEntry.kind == "sample")
            .order_by(SampleEntry.agent_no, SampleEntry.stratum, SampleEntry.rank)
        ).all()
    return Drawn(list(rows), show.call_id)


@pytest.fixture
def form(leader, drawn) -> ScoreForm:
    """The form of the call with two suggestions: S1.4 b (preselected) and a bare hint in S2.3."""
    return ScoreForm.open(leader, f"/evaluate/call/{drawn.suggested}")


def stored(database, form: ScoreForm) -> Evaluation:
    with database.read() as session:
        row = session.get(Evaluation, form.evaluation_id)
        assert row is not None
        return row


# ---- the queue


def test_the_queue_shows_the_sample_and_where_it_stands(leader, drawn):
    page = leader.get("/evaluate").text
    places = [page.index(f"/evaluate/call/{call_id}") for call_id in drawn.sample]
    assert len(places) == 16 and places == sorted(places)
    assert drawn.suggested not in page
    assert "还差 16 通" in page and 'href="/evaluate/next?month=2026-11"' in page


def test_next_opens_the_first_open_call_once(leader, drawn, database):
    form = ScoreForm.open(leader, "/evaluate/next")
    assert "第 1/16 通" in form.text and f'href="/calls/{drawn.sample[0]}"' in form.text
    assert stored(database, form).call_id == drawn.sample[0]
    for again in ("/evaluate/next", f"/evaluate/call/{drawn.sample[0]}", form.path):
        assert ScoreForm.open(leader, again).evaluation_id == form.evaluation_id
    form.send()
    assert stored(database, ScoreForm.open(leader, "/evaluate/next")).call_id == drawn.sample[1]
    page = leader.get("/evaluate?state=done").text
    assert drawn.sample[0] in page and drawn.sample[1] not in page


def test_without_a_sample_the_queue_says_what_to_do(leader, accounts):
    assert "还没有抽取样本" in leader.get("/evaluate").text
    assert "还没有抽取样本" in follow(leader, leader.get("/evaluate/next")).text


def test_what_the_queue_shows_can_be_taken_out_and_that_is_noted(leader, drawn, database):
    form = ScoreForm.open(leader, f"/evaluate/call/{drawn.sample[0]}")
    form.send({"d:S1.1:b": "1"})
    answer = leader.get("/evaluate/export?month=2026-11&state=done")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row[1] for row in rows] == ["录音编号", drawn.sample[0]]
    assert rows[1][9] == "已提交"
    with database.read() as session:
        assert (
            session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.export")).one().actor
            == "shift_leader"
        )


@pytest.mark.parametrize("role", ["agent", "admin"])
def test_others_may_not_even_look(browser, drawn, role):
    client = browser(role)
    for path in ("/evaluate", "/evaluate/next", f"/evaluate/call/{drawn.suggested}", "/evaluate/1", "/evaluate/export"):
        assert client.get(path).status_code == 403, path
    assert client.post("/evaluate/1", data={"version": "1"}).status_code == 403
    assert client.post("/evaluate/fatal/1/confirm").status_code == 403


def test_a_call_that_was_not_answered_cannot_be_scored(leader, drawn):
    answer = leader.get("/evaluate/call/20261122T003000000Z-B0")
    assert answer.status_code == 409 and "没有接通" in answer.text


# ---- the form


def test_the_form_has_words_ticket_suggestions_and_items_in_call_order(form):
    text = form.text
    assert "宝丰一路和解放大道的交叉口" in text and "SW202611060031" in text
    assert "结束时没有致谢或道别语" in text and 'data-play-from="46600"' in text
    order = [text.index(f'data-item="{item}"') for item in ("S1.1", "S1.2", "S3.1", "S1.4", "S6.3", "F1")]
    assert order == sorted(order)
    assert (
        text.index("<h2>开场</h2>")
        < text.index("<h2>通话中</h2>")
        < text.index("<h2>结束</h2>")
        < text.index("<h2>工单与流程</h2>")
    )


def test_a_blind_form_shows_no_suggestion_and_asks_for_none(form, leader, database):
    with database.write() as session:
        row = session.get(Evaluation, form.evaluation_id)
        row.blind = True
        session.add(row)
    blind = ScoreForm.open(leader, form.path)
    assert blind.suggestion_ids == [] and "结束时没有致谢或道别语" not in blind.text
    assert blind.send().headers["location"] == form.path


def test_everything_on_the_form_is_kept_and_shown_again(form, leader):
    changes = {
        **EVIDENCE,
        "d:S1.2:c": "1",
        "t:S1.2:c": "2",
        "at:S1.2:c": "0:11",
        "note:S1.2:c": "<b>语气</b>",
        "na:S5.3": "1",
        "f:F1": "1",
        "fat:F1": "0:30",
        "fwords:F1": "原话",
        f"s:{form.suggestion_ids[1]}": "rejected",
        "c_at": "0:05",
        "c_text": "开头好",
        "summary": "两行\n总评",
    }
    answer = form.send(changes, do="save")
    assert answer.headers["location"] == form.path
    again = ScoreForm.open(leader, form.path)
    assert again.version == "2"
    for name in ("d:S3.2:a", "d:S1.2:c", "na:S5.3", "f:F1"):
        assert again.ticked(name), name
    assert not again.ticked("d:S1.1:a")
    for name in (
        "at:S3.2:a",
        "note:S3.2:a",
        "at:S1.2:c",
        "note:S1.2:c",
        "fat:F1",
        "fwords:F1",
        "c_at",
        "c_text",
        "summary",
    ):
        assert again.value(name) == changes[name], name
    assert again.ticked(f"s:{form.suggestion_ids[1]}", "rejected")
    assert '<option value="2" selected>' in again.text
    assert "<b>语气</b>" not in again.text  # escaped
    assert (again.points("S3.2"), again.points("S5.3"), again.points("S1.2")) == ("0.0", "不适用", "0.0")


def test_accepting_a_suggestion_takes_its_points_place_and_reason(form, leader, database):
    form.send(decision="accepted")
    with database.read() as session:
        row = session.exec(select(Deduction)).one()
    assert (row.item_id, row.option_code, row.points, row.at_ms, row.note) == (
        "S1.4",
        "b",
        2,
        46_600,
        "结束时没有致谢或道别语",
    )
    again = ScoreForm.open(leader, form.path)
    assert again.points("S1.4") == "3.0" and stored(database, form).status == "submitted"


def test_an_incomplete_submission_keeps_everything_and_says_what_is_missing_where(form, leader, database):
    answer = form.send({"d:S3.2:a": "1", "d:S2.1:a": "1", "note:S2.1:a": "打断", "summary": "先写着"})
    assert answer.status_code == 422
    back = ScoreForm(leader, answer)
    assert "还不能提交" in back.text and "有 2 条机器建议尚未采纳或驳回" in back.text
    assert "须有时间点证据" in back.missing("S3.2") and "须写说明" in back.missing("S3.2")
    assert "须有时间点证据" in back.missing("S2.1") and "须写说明" not in back.missing("S2.1")
    assert "1 条机器建议" in back.missing("S1.4") and "1 条机器建议" in back.missing("S2.3")
    assert back.missing("S1.1") == ""
    assert back.value("summary") == "先写着" and back.ticked("d:S3.2:a")
    assert stored(database, form).status == "draft" and stored(database, form).summary == "先写着"
    # what came back can be completed and sent at once
    done = back.send({**EVIDENCE, "d:S2.1:a": "1", "at:S2.1:a": "0:09", "note:S2.1:a": "打断"}, decision="rejected")
    assert done.headers["location"] == form.path
    assert stored(database, form).status == "submitted"


def test_what_cannot_be_kept_comes_back_as_typed(form, leader, database):
    for changes, complaint in [
        ({"d:S3.2:a": "1", "at:S3.2:a": "早上"}, "S3.2 a 的时间点“早上”看不懂"),
        ({"d:S3.2:a": "1", "at:S3.2:a": "59:00"}, "超出录音长度"),
        ({"d:S1.1:a": "1", "na:S1.1": "1"}, "二选一"),
        ({"d:S9.9:a": "1"}, "S9.9 不适用于这类通话"),
        ({"s:99999": "accepted"}, "与这份评分不符"),
        ({"summary": "字" * 2001}, "文字太长"),
    ]:
        for do in ("save", "submit"):
            answer = form.send({**changes, "note:S1.1:b": "别丢了我", "d:S1.1:b": "1"}, do=do)
            assert answer.status_code == 422
            back = ScoreForm(leader, answer)
            assert complaint in back.text
            assert back.value("note:S1.1:b") == "别丢了我"
            if "at:S3.2:a" in changes:
                assert back.value("at:S3.2:a") == changes["at:S3.2:a"]
    assert stored(database, form).version == 1


def test_a_suggestion_of_another_call_is_refused(form, leader, database, drawn):
    with database.write() as session:
        other = session.get(Call, drawn.sample[0])
        run = add_suggestions(session, other, add_transcript(session, other))
    with database.read() as session:
        foreign = session.exec(select(SuggestionRow.id).where(SuggestionRow.check_run_id == run.id)).first()
    answer = form.send({f"s:{foreign}": "accepted"}, do="save")
    assert answer.status_code == 422 and "与这份评分不符" in answer.text


# ---- the score as one goes


def test_the_preview_gives_score_points_and_what_is_missing_and_stores_nothing(form, leader, database):
    answer = leader.post(f"{form.path}/preview", data=form.fields({"d:S3.2:a": "1"}))
    assert answer.status_code == 200 and "<html" not in answer.text
    form.text = answer.text
    assert form.points("S3.2") == "0.0" and form.points("S1.1") == "5.0"
    assert "须有时间点证据" in form.missing("S3.2")
    assert "提交前还差 4 处" in answer.text
    assert stored(database, form).version == 1


def test_the_preview_says_what_it_cannot_read(form, leader):
    answer = leader.post(f"{form.path}/preview", data=form.fields({"d:S3.2:a": "1", "at:S3.2:a": "x"}))
    assert answer.status_code == 200 and "看不懂" in answer.text


# ---- two pages at once


def test_autosave_moves_the_version_and_a_stale_page_is_told(form, leader, database):
    quiet = {"X-Autosave": "1"}
    answer = leader.post(form.path, data=form.fields({"summary": "甲"}), headers=quiet)
    assert (answer.status_code, answer.text) == (200, "2")
    stale = leader.post(form.path, data=form.fields({"summary": "乙"}), headers=quiet)
    assert (stale.status_code, stale.text) == (409, "2")
    assert stored(database, form).summary == "甲"
    bad = leader.post(form.path, data=form.fields({"version": "2", "d:S3.2:a": "1", "at:S3.2:a": "x"}), headers=quiet)
    assert bad.status_code == 422 and "看不懂" in bad.text and "<html" not in bad.text


@pytest.mark.parametrize("do", ["save", "submit"])
def test_a_stale_page_keeps_its_words_and_overwrites_only_when_told(form, leader, database, do):
    form.send({"summary": "甲"}, do="save")
    answer = form.send({"summary": "乙"}, do=do)
    assert answer.status_code == 409
    back = ScoreForm(leader, answer)
    assert "在别处" in back.text and back.value("summary") == "乙"
    assert stored(database, form).summary == "甲"
    assert 'name="onto" value="2"' in back.text
    taken = back.send({"summary": "乙", "onto": "2"}, do="save")
    assert taken.status_code == 303 and stored(database, form).summary == "乙"


# ---- after submitting


def test_a_submitted_score_is_shown_as_it_stands_and_revised_with_a_reason(form, leader, database):
    assert form.send(decision="rejected").headers["location"] == form.path
    shown = ScoreForm.open(leader, form.path)
    assert "<fieldset" in shown.text and shown.text.count("<fieldset") == shown.text.count(" disabled>")
    assert f'href="{form.path}?revise=1"' in shown.text

    revise = ScoreForm.open(leader, f"{form.path}?revise=1")
    assert " disabled>" not in revise.text
    refused = revise.send({"d:S1.1:b": "1", "note:S1.1:b": "听清了"}, decision="rejected")
    assert refused.status_code == 422
    back = ScoreForm(leader, refused)
    assert "须写明理由" in back.text and back.value("note:S1.1:b") == "听清了" and back.ticked("d:S1.1:b")
    assert stored(database, form).quality_score == 100.0

    assert back.send({"d:S1.1:b": "1", "reason": "漏扣工号"}, decision="rejected").status_code == 303
    assert stored(database, form).quality_score < 100
    with database.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.revise")).one()
    assert entry.detail["reason"] == "漏扣工号" and entry.detail["before"] == ["100.0", "100.0"]


def test_submit_and_next_goes_on_and_says_the_score(leader, drawn):
    form = ScoreForm.open(leader, "/evaluate/next")
    answer = form.send(do="submit-next")
    assert answer.headers["location"] == f"/evaluate/next?after={drawn.sample[0]}"
    following = ScoreForm(leader, follow(leader, answer))
    assert "的评分已提交：质量分 100.0" in following.text and "第 2/16 通" in following.text
    assert "评一通用时 1分01秒" in leader.get("/").text  # beside how long the call was


def test_next_is_the_next_of_the_same_month_and_what_was_left_out_comes_last(leader, drawn, database):
    """Somebody who puts a call off, or scores an older month, is not thrown back or into another month."""
    with database.write() as session:
        frame = session.exec(select(SamplingFrame)).one()
        drawn_there = {entry.call_id for entry in session.exec(select(SampleEntry))}
        other = session.exec(
            select(Call.call_id).where(Call.outcome == "answered", Call.call_id.not_in(drawn_there))
        ).first()
        newer = SamplingFrame(**{**frame.model_dump(exclude={"id"}), "month": "2026-12"})
        session.add(newer)
        session.flush()
        first = session.exec(select(SampleEntry)).first()
        entry = {
            **first.model_dump(exclude={"id"}),
            "frame_id": newer.id,
            "call_id": other,
            "kind": "sample",
            "state": "open",
        }
        session.add(SampleEntry(**entry))
    assert leader.get("/evaluate/next").headers["location"] == f"/evaluate/call/{other}"  # the newest month
    for at, expected in ((1, 2), (2, 3), (len(drawn.sample) - 1, 0)):  # 0 is put off
        form = ScoreForm.open(leader, f"/evaluate/call/{drawn.sample[at]}")
        answer = form.send(decision="rejected", do="submit-next")
        assert answer.status_code == 303, answer.text
        there = leader.get(answer.headers["location"])
        assert there.headers["location"] == f"/evaluate/call/{drawn.sample[expected]}"
        shown = leader.get(form.path).text
        assert f'href="/evaluate/next?after={drawn.sample[at]}"' in shown


def test_a_submitted_score_is_no_draft_again(form, leader):
    form.send(decision="rejected")
    late = ScoreForm.open(leader, f"{form.path}?revise=1").send({"summary": "改一下"}, do="save")
    assert late.status_code == 422 and "已提交" in late.text
    quiet = leader.post(form.path, data={"version": "3"}, headers={"X-Autosave": "1"})
    assert quiet.status_code == 422


def test_the_supervisor_looks_but_does_not_score(form, browser, database):
    client = browser("client_supervisor")
    hidden = client.get(form.path)
    assert hidden.status_code == 403 and "草稿" in hidden.text
    form.send(decision="rejected")
    page = client.get(form.path)
    assert page.status_code == 200
    assert page.text.count("<fieldset") == page.text.count(" disabled>") and 'value="submit"' not in page.text
    assert client.post(form.path, data=form.fields()).status_code == 403
    assert client.post(f"{form.path}/preview", data=form.fields()).status_code == 403
    assert client.get("/evaluate/next").status_code == 403
    assert stored(database, form).status == "submitted"


# ---- fatal findings

FATAL = {"f:F1": "1", "fat:F1": "0:30", "fwords:F1": "你烦不烦"}


def test_a_fatal_item_needs_time_and_words(form, leader):
    answer = form.send({"f:F1": "1"}, decision="rejected")
    assert answer.status_code == 422 and "须写时间点和原话" in ScoreForm(leader, answer).missing("F1")


def test_a_fatal_item_counts_when_a_second_person_confirms_it(form, leader, browser, database):
    form.send(FATAL, decision="rejected")
    assert (stored(database, form).quality_score, stored(database, form).final_score) == (100.0, 100.0)
    assert "待第二人确认的致命项" in leader.get("/evaluate").text
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    path = f"/evaluate/fatal/{finding.id}/confirm"
    assert leader.post(path).status_code == 403  # the first person is not the second
    supervisor = browser("client_supervisor")
    assert path in supervisor.get(form.path).text
    answer = supervisor.post(path, data={"back": form.path})
    assert answer.headers["location"] == form.path
    assert (stored(database, form).quality_score, stored(database, form).final_score) == (100.0, 0.0)
    assert "已由 赵监督 确认" in supervisor.get(form.path).text
    assert supervisor.post(path).status_code == 409
    # other people's sites cannot send anybody away
    assert "待第二人确认的致命项" not in supervisor.get("/evaluate").text


def test_a_draft_finding_cannot_be_confirmed(form, browser, database):
    form.send(FATAL, do="save")
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    answer = browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/confirm")
    assert answer.status_code == 409 and "还没有提交" in answer.text


def test_a_changed_finding_needs_its_second_person_again(form, leader, browser, database):
    form.send(FATAL, decision="rejected")
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/confirm")
    revise = ScoreForm.open(leader, f"{form.path}?revise=1")
    same = revise.send({**FATAL, "reason": "补总评", "summary": "见致命项"}, decision="rejected")
    assert same.status_code == 303 and stored(database, form).final_score == 0.0
    revise = ScoreForm.open(leader, f"{form.path}?revise=1")
    revise.send({**FATAL, "fwords:F1": "你别啰嗦", "reason": "原话听错"}, decision="rejected")
    assert stored(database, form).final_score == 100.0
    assert "待第二人确认的致命项" in leader.get("/evaluate").text


def test_the_reasoning_of_a_suggestion_is_behind_its_fold(browser, leader, database, form) -> None:
    step = {
        "part": "condition", "label": "出现词语", "looked_at": "坐席，结尾 15 秒内：0:36–0:51，2 句", "wanted": "再见",
        "state": "miss", "found": "没有听到所列词语", "negated": False, "as_written": False,
        "quotes": [{"start_ms": 46_600, "end_ms": 51_000, "text": "0:46 “抢修人员”", "channel": 1}],
    }  # fmt: skip
    with database.write() as session:
        run_id = session.exec(select(Evaluation.check_run_id)).one()
        session.add(
            CheckResultRow(
                check_run_id=run_id,
                check_id="S1.4-2",
                item_id="S1.4",
                state="miss",
                explanation="没有",
                reasoning=[step],
            )
        )
    assert f'data-unfold="{form.path}/reasoning?check=S1.4-2"' in form.text
    one = leader.get(f"{form.path}/reasoning?check=S1.4-2").text
    assert "坐席，结尾 15 秒内：0:36–0:51，2 句" in one and 'data-play-from="46600"' in one and "规则　条件：" in one
    assert "没有留下依据" in leader.get(f"{form.path}/reasoning?check=S1.4-9").text
    assert browser("agent").get(f"{form.path}/reasoning").status_code == 403


def test_a_second_person_who_does_not_agree_says_why_and_it_counts_nowhere(form, leader, browser, database):
    form.send(FATAL, decision="rejected")
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    path = f"/evaluate/fatal/{finding.id}/refuse"
    assert leader.post(path, data={"reason": "我说的"}).status_code == 403
    supervisor = browser("client_supervisor")
    page = supervisor.get(form.path).text
    assert path in page and "不认可的理由（必填）" in page and path not in leader.get(form.path).text
    empty = supervisor.post(path, data={"reason": "  ", "back": form.path})
    assert empty.status_code == 400 and "须写明理由" in empty.text
    answer = supervisor.post(path, data={"reason": "语气平和，是在复述诉求人的话", "back": form.path})
    assert (answer.status_code, answer.headers["location"]) == (303, form.path)
    assert (stored(database, form).final_score, stored(database, form).status) == (100.0, "submitted")
    for reader in (supervisor, leader):
        html = reader.get(form.path).text
        assert "赵监督 不认可" in html and "是在复述诉求人的话" in html and "待第二人确认" not in html
        assert "待第二人确认的致命项" not in reader.get("/evaluate").text
    with database.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.fatal_refused")).one()
    assert entry.detail["reason"] == "语气平和，是在复述诉求人的话" and entry.detail["fatal"] == "F1"
    assert supervisor.post(path, data={"reason": "再说一遍"}).status_code == 409
    assert supervisor.post(f"/evaluate/fatal/{finding.id}/confirm").status_code == 409, "a refusal is no confirmation"


def test_a_refused_finding_that_is_changed_needs_its_second_person_again(form, leader, browser, database):
    form.send(FATAL, decision="rejected")
    with database.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/refuse", data={"reason": "没有听到"})
    revise = ScoreForm.open(leader, f"{form.path}?revise=1")
    revise.send({**FATAL, "reason": "补总评", "summary": "见致命项"}, decision="rejected")
    assert "待第二人确认的致命项" not in leader.get("/evaluate").text
    revise = ScoreForm.open(leader, f"{form.path}?revise=1")
    revise.send({**FATAL, "fat:F1": "0:41", "reason": "时间写错"}, decision="rejected")
    assert "待第二人确认的致命项" in leader.get("/evaluate").text
    browser("client_supervisor").post(f"/evaluate/fatal/{finding.id}/confirm")
    assert stored(database, form).final_score == 0.0
