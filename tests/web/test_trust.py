"""质检可信度 and 校准 over HTTP; blind cards on the pages; what waits to be scored shows nothing of the machine elsewhere."""

import re

import pytest
from sqlmodel import col, select

from callqa.scoring.blind import double_cards
from callqa.store.tables import Call, CheckRun, Evaluation, SampleEntry, SamplingFrame
from callqa.usecases.blind import is_blind, rescores_due
from tests.usecases.test_blind import DAY_MS, prescore
from tests.usecases.test_blind import make_blind as choose_blind
from tests.web import test_evaluate
from tests.web.conftest import NOW_MS
from tests.web.score_form import ScoreForm, follow

# The drawn month of the scoring page's own tests.
drawn = test_evaluate.drawn


def frame_of(database) -> SamplingFrame:
    with database.read() as session:
        return session.exec(select(SamplingFrame)).one()


def give_run(database, call_id: str) -> None:
    prescore(database, call_id)


def test_the_machine_is_hidden_on_a_blind_card_and_told_afterwards(leader, drawn, database) -> None:
    call_id = drawn.sample[0]
    give_run(database, call_id)
    choose_blind(database, frame_of(database), call_id)
    page = leader.get(f"/calls/{call_id}").text
    assert "没有道别" not in page and "已抽中待评" in page
    form = ScoreForm.open(leader, f"/evaluate/call/{call_id}")
    for word in ("没有道别", "盲评", "机器预评的全部依据", "/reasoning", "data-suggestion"):
        assert word not in form.text, word
    assert leader.get(f"{form.path}/reasoning").status_code == 404
    queue = leader.get("/evaluate").text
    row = re.search(rf'<tr data-href="/evaluate/call/{call_id}">.*?</tr>', queue, re.S)
    assert row is not None and 'data-label="机器建议">—</td>' in row[0]  # no count of suggestions before it is scored
    done = follow(leader, form.send())
    assert "盲评卡" in done.text and done.status_code == 200
    shown = leader.get(form.path).text
    assert "没有道别" in shown and "盲评卡" in shown and "采纳" not in shown
    assert "没有道别" in leader.get(f"/calls/{call_id}").text
    revise = ScoreForm(leader, leader.get(f"{form.path}?revise=1"))
    assert revise.suggestion_ids == []
    assert follow(leader, revise.send({"reason": "再听一遍"})).status_code == 200


def suspect(database, call_id: str) -> None:
    """The machine takes the call for fatal, so that it must be reviewed; its run suggests a deduction too."""
    give_run(database, call_id)
    with database.write() as session:
        run = session.exec(
            select(CheckRun).where(CheckRun.call_id == call_id).order_by(col(CheckRun.id).desc())
        ).first()
        run.suspected_fatal = True
        session.add(run)


def reason_of(client, call_id: str) -> str:
    """What 定向必检 says of a call."""
    page = client.get("/must-review?month=2026-11").text
    row = re.search(rf'<a href="/calls/{call_id}">.*?</tr>', page, re.S)
    assert row is not None
    return row[0]


def test_what_must_be_reviewed_says_no_reason_while_its_card_may_be_blind(leader, drawn, database, browser) -> None:
    """The card that is blind, one that is not (nobody knows which yet), and a reserve that may still take a blind place."""
    with database.read() as session:
        entries = session.exec(select(SampleEntry)).all()
        tried = {e.call_id for e in entries}
        elsewhere = next(
            c.call_id
            for c in session.exec(select(Call).where(Call.outcome == "answered"))
            if c.call_id not in tried and c.duration_ms and not c.excluded_as and c.agent_no
        )
    reserve = next(e.call_id for e in entries if e.kind == "reserve")
    for call_id in (*drawn.sample[:2], reserve, elsewhere):
        suspect(database, call_id)
    choose_blind(database, frame_of(database), drawn.sample[0])
    for client in (leader, browser("client_supervisor")):
        for call_id in (*drawn.sample[:2], reserve):
            row = reason_of(client, call_id)
            assert "疑似致命" not in row and "评分提交后显示原因" in row, call_id
            assert "没有道别" not in client.get(f"/calls/{call_id}").text
        assert "机器提示疑似致命项" in reason_of(client, elsewhere)
    ScoreForm.open(leader, f"/evaluate/call/{drawn.sample[0]}").send()
    assert "机器提示疑似致命项" in reason_of(leader, drawn.sample[0])


def test_no_reason_is_said_again_before_the_blind_re_score(leader, drawn, database, clock, browser) -> None:
    for call_id in drawn.sample:
        suspect(database, call_id)
        ScoreForm.open(leader, f"/evaluate/call/{call_id}").send(decision="rejected")
    clock.now_ms = NOW_MS + 15 * DAY_MS
    with database.read() as session:
        due = [one.call.call_id for one in rescores_due(session, clock.now_ms)]
    assert due
    leader = browser("shift_leader")  # the first sign-in has run out
    row = reason_of(leader, due[0])
    assert "疑似致命" not in row and "盲评复测提交后显示原因" in row
    page = leader.get(f"/calls/{due[0]}").text
    assert "没有道别" not in page and "盲评复测待评" in page
    assert "疑似致命" in reason_of(browser("client_supervisor"), due[0])  # who does not score it


def test_a_card_that_is_not_blind_says_why_it_only_hints(leader, drawn, database) -> None:
    frame = frame_of(database)
    with database.read() as session:
        call_id = next(c for c in drawn.sample if not is_blind(session, frame, c))
    give_run(database, call_id)
    form = ScoreForm.open(leader, f"/evaluate/call/{call_id}")
    assert "没有道别" in form.text
    assert "本项盲评样本 0 通，不足 30 通，只作提示。" in form.text and "预选扣分 −" not in form.text
    assert not form.ticked(f"s:{form.suggestion_ids[0]}", "accepted")


def test_the_trust_page_counts_what_was_submitted(leader, drawn, database, browser) -> None:
    assert leader.get("/trust").status_code == 200
    for call_id in drawn.sample[:2]:
        give_run(database, call_id)
        ScoreForm.open(leader, f"/evaluate/call/{call_id}").send(decision="accepted")
    page = leader.get("/trust").text
    line = re.search(r"<tr>\s*<td><span[^>]*>S1\.4</span>.*?</tr>", page, re.S)
    assert line is not None and "不足 30 通" in line[0] and "只作提示" in line[0]
    assert "计入的评分" in page and ">2<" in page
    assert browser("client_supervisor").get("/trust").status_code == 200
    assert browser("agent").get("/trust").status_code == 403


def test_a_due_rescore_stands_in_the_queue_without_the_first_score(leader, drawn, database, clock) -> None:
    paths = {}
    for call_id in drawn.sample:
        form = ScoreForm.open(leader, f"/evaluate/call/{call_id}")
        form.send()
        paths[call_id] = form.path
    clock.now_ms = NOW_MS + 15 * DAY_MS
    leader.post("/login", data={"username": "shift_leader", "password": "correct-horse-7"})
    queue = leader.get("/evaluate").text
    due = re.findall(r'href="/evaluate/rescore/([^"]+)"', queue)
    assert len(due) == min(4, len(drawn.sample)) and "复测中" in queue
    row = re.search(rf'<tr data-href="/evaluate/call/{due[0]}">.*?</tr>', queue, re.S)
    assert row is not None and "100.0" not in row[0]
    assert leader.get(paths[due[0]]).status_code == 409  # the first score is not shown meanwhile
    exported = leader.get("/evaluate/export").text
    assert next(line for line in exported.splitlines() if due[0] in line).rstrip().endswith(",,")
    form = ScoreForm.open(leader, f"/evaluate/rescore/{due[0]}")
    assert "盲评复测" in form.text and 'value="submit-next"' not in form.text
    assert follow(leader, form.send({"d:S1.1:b": "1"})).status_code == 200
    assert due[0] not in re.findall(r'href="/evaluate/rescore/([^"]+)"', leader.get("/evaluate").text)
    assert leader.get(paths[due[0]]).status_code == 200
    assert due[0] in leader.get("/trust").text


def test_no_page_shows_who_scores_the_first_score_before_the_second(leader, drawn, database, clock, browser) -> None:
    """Lists, exports and the page of the score itself told it, one click beside the queue that did not."""
    paths = {}
    for n, call_id in enumerate(drawn.sample):
        form = ScoreForm.open(leader, f"/evaluate/call/{call_id}")
        form.send({"d:S1.1:b": "1"} if n % 2 else {"d:S1.1:a": "1", "at:S1.1:a": "0:01", "note:S1.1:a": "未报名称"})
        paths[call_id] = form.evaluation_id
    clock.now_ms = NOW_MS + 15 * DAY_MS
    leader.post("/login", data={"username": "shift_leader", "password": "correct-horse-7"})
    due = re.findall(r'href="/evaluate/rescore/([^"]+)"', leader.get("/evaluate").text)
    assert due
    score = r"9[89]\.0"
    lists = ("/calls?month=2026-11", "/reviews?month=2026-11")

    def line(client, path: str, call_id: str) -> str:
        place = f"/reviews/{paths[call_id]}" if path.startswith("/reviews") else f"/calls/{call_id}"
        found = re.search(rf'<tr data-href="{place}".*?</tr>', client.get(path).text, re.S)
        assert found is not None, (path, call_id)
        return found[0]

    for call_id in due:
        assert leader.get(f"/reviews/{paths[call_id]}").status_code == 409
        assert not re.search(score, leader.get(f"/calls/{call_id}").text)
        for path in lists:
            assert "复测中" in line(leader, path, call_id) and not re.search(score, line(leader, path, call_id))
        exported = next(x for x in leader.get("/calls.csv?month=2026-11").text.splitlines() if call_id in x)
        assert not re.search(score, exported)
    other = browser("client_supervisor")  # who does not score sees it
    assert other.get(f"/reviews/{paths[due[0]]}").status_code == 200
    assert re.search(score, line(other, lists[0], due[0]))
    ScoreForm.open(leader, f"/evaluate/rescore/{due[0]}").send()
    assert leader.get(f"/reviews/{paths[due[0]]}").status_code == 200
    assert all(re.search(score, line(leader, path, due[0])) for path in lists)


def test_a_rescore_is_held_against_what_was_given_at_first(leader, drawn, clock) -> None:
    """The first score was changed afterwards, as an appeal may: that is not the judgement that was repeated."""
    paths = {}
    for call_id in drawn.sample:
        form = ScoreForm.open(leader, f"/evaluate/call/{call_id}")
        form.send({"d:S1.1:b": "1"})
        paths[call_id] = form.path
    clock.now_ms = NOW_MS + 15 * DAY_MS
    leader.post("/login", data={"username": "shift_leader", "password": "correct-horse-7"})
    due = re.findall(r'href="/evaluate/rescore/([^"]+)"', leader.get("/evaluate").text)[0]
    ScoreForm.open(leader, f"/evaluate/rescore/{due}").send({"d:S1.1:b": "1"})

    def row() -> str:
        found = re.search(rf'<tr><td class="nw"><a href="/calls/{due}".*?</tr>', leader.get("/trust").text, re.S)
        assert found is not None
        return re.sub(r"<[^>]+>", " ", found[0])

    before = row()
    assert before.split()[-1] in ("0.0", "±0.0"), before
    revise = ScoreForm(leader, leader.get(f"{paths[due]}?revise=1"))
    answer = follow(leader, revise.send({"d:S1.1:b": "0", "d:S1.1:a": "1", "reason": "听错了"}))
    assert answer.status_code == 200
    assert row() == before


@pytest.fixture
def calibration(leader, drawn, database, accounts):
    answer = leader.post(
        "/trust/calibration",
        data={"title": "11 月", "call_id": drawn.sample[:2], "rater": [accounts["shift_leader"], accounts["client_supervisor"]]},
    )  # fmt: skip
    assert answer.status_code == 303, answer.text
    return answer.headers["location"], drawn.sample[:2]


def test_two_raters_score_apart_and_see_the_comparison_when_it_is_opened(
    leader, calibration, browser, database
) -> None:
    path, calls = calibration
    supervisor = browser("client_supervisor")
    cards = {}
    for who, client, change in (("leader", leader, {}), ("supervisor", supervisor, {"d:S1.1:b": "1"})):
        for call_id in calls:
            form = ScoreForm.open(client, f"{path}/call/{call_id}")
            assert "校准" in form.text
            cards[who, call_id] = form.path
            assert follow(client, form.send(change)).status_code == 200
    assert supervisor.get(cards["leader", calls[0]]).status_code == 403
    assert "99" not in leader.get(path).text.split("<h2>通话</h2>")[1]
    assert supervisor.post(f"{path}/open").status_code == 403
    assert leader.post(f"{path}/open").status_code == 303
    page = leader.get(path).text
    assert "样本不足" in page  # two calls of an item say nothing
    assert "总分一致性" in page and "赵监督扣分" in page and "李班长 — 赵监督" in page
    assert supervisor.get(cards["leader", calls[0]]).status_code == 200
    with database.read() as session:
        kinds = {row.kind.split(":")[0] for row in session.exec(select(Evaluation))}
    assert kinds == {"calibration"}


def test_the_calls_for_a_second_person_are_drawn_and_known_only_when_scored(leader, drawn, accounts, database) -> None:
    """双评: nobody picks them, and nobody knows beforehand which of his scores will be compared."""

    def offered() -> list[str]:
        page = leader.get("/trust/calibration/new").text
        return re.findall(r'name="call_id" value="([^"]+)" id="d\d+" checked', page)

    assert offered() == [] and "双评样本" not in leader.get("/trust/calibration/new").text
    with database.read() as session:
        frame = session.exec(select(SamplingFrame)).one()
        chosen = double_cards(frame.seed, frame.blind_secret, drawn.sample)
    assert len(chosen) == min(8, len(drawn.sample))
    others = [call_id for call_id in drawn.sample if call_id not in chosen]
    for call_id in (*chosen[:2], *others[:1]):
        ScoreForm.open(leader, f"/evaluate/call/{call_id}").send()
    assert sorted(offered()) == sorted(chosen[:2])
    people = {"rater": [accounts["shift_leader"], accounts["client_supervisor"]]}
    answer = leader.post("/trust/calibration", data={"title": "双评", "call_id": [chosen[0]], **people})
    assert answer.status_code == 303 and offered() == [chosen[1]]


def test_a_session_may_name_a_reference(leader, drawn, accounts) -> None:
    people = {"rater": [accounts["shift_leader"], accounts["client_supervisor"]]}
    sent = {"title": "11 月", "call_id": drawn.sample[:1], **people, "reference": accounts["client_supervisor"]}
    assert "基准评分人" in leader.get("/trust/calibration/new").text
    page = leader.get(leader.post("/trust/calibration", data=sent).headers["location"]).text
    assert page.count(">基准<") == 1 and page.index("赵监督") < page.index(">基准<")
    wrong = leader.post("/trust/calibration", data={**sent, "reference": "999"})
    assert wrong.status_code == 422 and "基准评分人须是评分人之一" in wrong.text and "11 月" in wrong.text


def test_a_session_that_cannot_be_comes_back_with_why(leader, drawn, accounts, database) -> None:
    answer = leader.post("/trust/calibration", data={"title": "x", "call_id": [drawn.sample[0]], "rater": [accounts["shift_leader"]]})  # fmt: skip
    assert answer.status_code == 422 and "请选 2 到 8 位评分人" in answer.text
    assert leader.get("/trust/calibration/99").status_code == 404
    with database.read() as session:
        assert session.exec(select(Call)).first() is not None
