"""更正 in the call page, versions, and the 转写 page: who may, what is shown, what changes."""

import re

from sqlmodel import delete, select

from callqa.store.db import Database
from callqa.store.tables import (
    Call,
    CallProgress,
    ConfidentialCall,
    SuggestionRow,
    TranscriptRow,
    UtteranceRow,
    VocabularyCandidate,
    VocabularyVersion,
)


def base_of(html: str) -> str:
    found = re.search(r'name="base_id" value="(\d+)"', html)
    assert found is not None
    return found[1]


def first_text(database: Database, call_id: str) -> tuple[int, str]:
    with database.read() as session:
        row = session.exec(
            select(UtteranceRow)
            .join(TranscriptRow, TranscriptRow.id == UtteranceRow.transcript_id)  # type: ignore[arg-type]
            .where(TranscriptRow.call_id == call_id)
            .order_by(TranscriptRow.version.desc(), UtteranceRow.index)  # type: ignore[attr-defined]
        ).first()
    assert row is not None
    return row.index, row.text


def test_the_leader_corrects_and_the_page_marks_it(browser, database: Database, month: str):
    leader = browser("shift_leader")
    page = leader.get(f"/calls/{month}/correct")
    assert page.status_code == 200 and "更正理由" in page.text
    index, text = first_text(database, month)
    form = {"base_id": base_of(page.text), "reason": "听录音更正", f"text_{index}": text + "东湖泵站", "text_99": "x"}
    saved = leader.post(f"/calls/{month}/correct", data=form)
    assert saved.headers["location"] == f"/calls/{month}"
    shown = leader.get(f"/calls/{month}").text
    assert "cq-corrected" in shown and "李班长" in shown and "各版本（2）" in shown and "更正转写" in shown
    assert "打开转写更正（号码完整显示）" in shown, "who opened the whole text is noted"
    assert "东湖泵站" not in leader.get(f"/calls/{month}/transcripts/1").text, "the original can still be seen"
    assert "不是现行版本" in leader.get(f"/calls/{month}/transcripts/1").text
    again = leader.post(f"/calls/{month}/correct", data=form)
    assert again.headers["location"] == f"/calls/{month}/correct", "somebody has saved since: ours"
    assert leader.get(f"/calls/{month}/transcripts/9").status_code == 404


def test_an_agent_corrects_own_calls_only_and_others_none(browser, database: Database, month: str):
    with database.write() as session:
        mine = session.get(Call, month)
        assert mine is not None
        mine.agent_no = "801"
        session.add(mine)
    assert browser("agent").get(f"/calls/{month}/correct").status_code == 200
    with database.write() as session:
        mine = session.get(Call, month)
        assert mine is not None
        mine.agent_no = "802"
        session.add(mine)
    agent = browser("agent")
    assert agent.get(f"/calls/{month}/correct").status_code == 403
    assert agent.post(f"/calls/{month}/correct", data={"base_id": "1", "reason": "x"}).status_code == 403
    assert agent.get(f"/calls/{month}/transcripts/1").status_code == 403
    supervisor = browser("client_supervisor")
    assert supervisor.get(f"/calls/{month}/correct").status_code == 403
    assert f"/calls/{month}/correct" not in supervisor.get(f"/calls/{month}").text


def test_words_go_into_the_vocabulary_by_the_leader(browser, database: Database, month: str):
    with database.write() as session:
        transcript = session.exec(select(TranscriptRow)).first()
        assert transcript is not None and transcript.id is not None
        for word in ("东湖泵站", "光谷"):
            session.add(
                VocabularyCandidate(
                    transcript_id=transcript.id, word=word, was="动物", context=f"在【{word}】", offered_at_ms=1
                )
            )
        session.flush()
        ids = [c.id for c in session.exec(select(VocabularyCandidate))]
    leader = browser("shift_leader")
    assert "东湖泵站" in leader.get("/transcription").text
    leader.post(f"/transcription/words/{ids[0]}", data={"decision": "accept", "word": "东湖泵站"})
    leader.post(f"/transcription/words/{ids[1]}", data={"decision": "refuse"})
    with database.read() as session:
        assert [v.words for v in session.exec(select(VocabularyVersion))] == [["东湖泵站"]]
        assert sorted(c.state for c in session.exec(select(VocabularyCandidate))) == ["accepted", "refused"]
    leader.post("/transcription/vocabulary/remove", data={"word": "东湖泵站"})
    assert "第 2 版：删去“东湖泵站”" in leader.get("/transcription").text
    refused = browser("admin").post(f"/transcription/words/{ids[0]}", data={"decision": "accept", "word": "x"})
    assert refused.status_code == 403


def test_a_month_is_asked_for_again_and_the_page_shows_how_far_it_is(browser, database: Database, month: str):
    leader = browser("shift_leader")
    leader.post("/transcription/again", data={"span": "month", "month": "2026-11"})
    with database.read() as session:
        wanted = session.exec(
            select(CallProgress).where(CallProgress.stage == "transcribe", CallProgress.state == "wanted")
        ).all()
    assert wanted
    shown = leader.get("/transcription")
    assert "预计还要" in shown.text and 'data-again="/transcription/progress"' in shown.text
    piece = leader.get("/transcription/progress")
    assert "X-Reload" not in piece.headers and "<html" not in piece.text
    bad = leader.post("/transcription/again", data={"span": "month", "month": "11月"})
    assert bad.status_code == 303
    assert browser("agent").get("/transcription").status_code == 403


def test_words_of_a_confidential_call_are_not_offered(browser, database: Database, accounts, month: str):
    with database.write() as session:
        transcript = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == month)).first()
        assert transcript is not None and transcript.id is not None
        session.add(
            VocabularyCandidate(
                transcript_id=transcript.id, word="光谷", was="广谷", context="在【光谷】", offered_at_ms=1
            )
        )
    leader = browser("shift_leader")
    assert "在【光谷】" in leader.get("/transcription").text
    assert "在【光谷】" not in browser("admin").get("/transcription").text, "who reads no transcripts reads none here"
    with database.write() as session:
        session.add(
            ConfidentialCall(call_id=month, reason="信访", marked_by=accounts["client_supervisor"], marked_at_ms=1)
        )
    assert "光谷" not in leader.get("/transcription").text
    assert leader.get(f"/calls/{month}/correct").status_code == 403
    assert leader.get(f"/calls/{month}/transcripts/1").status_code == 403


def test_the_accuracy_of_a_month_is_told_with_what_was_compared_as_a_whole(browser, database: Database, month: str):
    leader = browser("shift_leader")
    assert "还没有更正过的转写" in leader.get("/transcription").text
    with database.write() as session:
        base = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == month)).one()
        kept = {k: v for k, v in base.model_dump().items() if k not in ("id", "version", "author", "call_id")}
        figures = {"author": "leader", "machine_edits": 30, "reference_chars": 1200}
        session.add(TranscriptRow(**{**kept, **figures, "call_id": month, "version": 2}))
        other = {**figures, "machine_edits": 90, "reference_chars": 400, "verified": True}
        session.add(TranscriptRow(**{**kept, **other, "call_id": "20261107T011200000Z-A2", "version": 2}))
    html = leader.get("/transcription").text
    assert "还没有更正过的转写" not in html
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html[html.index('<td class="nw">2026-11</td>') :].split("</tr>")[0])
    assert cells == ["2026-11", "2 通", "120 / 1,600", "7.5%", "1 通", "<b>22.5%</b>"]


def test_what_a_minute_of_call_costs_is_shown_by_model(browser, database: Database, month: str):
    with database.write() as session:
        base = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == month)).one()
        kept = {k: v for k, v in base.model_dump().items() if k not in ("id", "version")}
        figures = {"options": {"model": "turbo", "device": "cuda"}, "duration_ms": 120_000, "cpu_s": 25.0}
        session.add(TranscriptRow(**{**kept, **figures, "version": 2}))
    html = browser("shift_leader").get("/transcription").text
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html[html.index("用过的模型") :])[:3]
    assert cells == ['turbo <small class="text-secondary">cuda</small>', "1 通，2分00秒", "CPU 12.5 秒"]
    assert "faster-whisper base" in html


def test_of_a_mono_recording_nothing_is_said_that_needs_to_know_who_spoke(browser, database: Database, month: str):
    """All rules abstain: that is no clean call, and no full marks."""
    shown = browser("shift_leader").get(f"/calls/{month}").text
    assert "若全部采纳" in shown and "机器分不出谁在说话" not in shown
    with database.write() as session:
        for row in session.exec(select(TranscriptRow).where(TranscriptRow.call_id == month)):
            row.separated = False
        session.exec(delete(SuggestionRow))
    shown = browser("shift_leader").get(f"/calls/{month}").text
    assert "未分离" in shown and "机器分不出谁在说话" in shown
    assert "若全部采纳" not in shown and "没有建议扣分" not in shown
