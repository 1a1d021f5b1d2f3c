"""No way out of a person's number: a call in which numbers stand everywhere, opened by every address for every role.

The citizen says one number in two pieces with the agent between them; the ticket has another. What is looked for are
stretches that no masked form shows, as digits or as said.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import (
    AuditEntry,
    CheckResultRow,
    CheckRun,
    CoachingNote,
    FollowupEvent,
    MissedCallFollowup,
    ReportText,
    SuggestionRow,
    Ticket,
    TicketLink,
    UtteranceRow,
    VocabularyCandidate,
)
from callqa.store.tables.calls import Call
from callqa.text import DIGIT_VALUES
from callqa.usecases.reindex import index_missing
from callqa.web.permissions import PERMISSIONS
from tests import builders
from tests.builders import Line
from tests.web.conftest import NOW_MS
from tests.web.released import release_both, submit_score
from tests.web.routes import all_routes

FIRST, SECOND = "幺五零九二", "六三七四八五"
TICKET_NUMBER = "13958246071"
SAID_TELLTALES = ("15092", "637485")
TELLTALES = (*SAID_TELLTALES, "1395824", "824607")
WORDS = (
    Line("a", 0.4, 4.6, "您好，武汉水务热线，请留一个联系电话。"),
    Line("c", 5.0, 9.8, f"我的手机号是{FIRST}"),
    Line("a", 10.2, 10.8, "嗯。"),
    Line("c", 11.0, 14.2, f"{SECOND}。"),
    Line("a", 15.0, 18.0, f"跟您核对，{FIRST}{SECOND}，对吗？"),
    Line("c", 19.0, 24.0, "对，水压太低了。"),
    Line("c", 25.0, 29.0, "五零九号和零九二号都这样。"),  # the same pairs of digits, in no private number
)
REASON = f"联系电话：通话“{FIRST}{SECOND}”，工单“{TICKET_NUMBER}”，一致度 45，请核听"
PARAMS = f"min_score 80; 工单联系电话：{TICKET_NUMBER}；一致度 45"
_DIGITS = str.maketrans({k: str(v) for k, v in DIGIT_VALUES.items()})


def told(text: str, telltales: tuple[str, ...] = TELLTALES) -> list[str]:
    """Which stretches of the numbers a page or file shows, written either way."""
    plain = re.sub(r"[\s\-]", "", text.translate(_DIGITS))
    return [one for one in telltales if one in plain]


def written_in(answer: Response) -> str:
    """What a page or a file says; of a DOCX, XLSX or ZIP what lies in it."""
    if not answer.content.startswith(b"PK"):
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        return " ".join(re.sub(r"<[^>]*>", "", file.read(name).decode(errors="replace")) for name in file.namelist())


def put_numbers(db: Database, call_id: str) -> None:
    """Numbers into the newest transcript, the machine's findings and the ticket of a call."""
    with db.write() as session:
        call = session.get(Call, call_id)
        assert call is not None
        call.citizen_number = call.from_number = TICKET_NUMBER
        transcript = builders.add_transcript(session, call, WORDS, version=2)
        rows = session.exec(select(UtteranceRow).where(UtteranceRow.transcript_id == transcript.id)).all()
        repaired, corrected = rows[5], rows[0]
        repaired.repairs = [[2, 4, SECOND]]
        corrected.corrections = [[0, 2, FIRST + SECOND]]
        quotes = [_evidence(1, 15_000, 18_000, WORDS[4].text), _evidence(0, 5_000, 9_800, WORDS[1].text)]
        quotes += [_evidence(0, 11_000, 14_200, WORDS[3].text), _evidence(0, 11_000, 24_000, "六三七四…")]
        run = session.exec(select(CheckRun).where(CheckRun.call_id == call_id)).one()
        run.transcript_id = transcript.id
        first = session.exec(select(SuggestionRow).where(SuggestionRow.check_run_id == run.id)).first()
        assert first is not None and run.id is not None
        first.reason, first.evidence = REASON, quotes
        texts = [{"start_ms": q["start_ms"], "end_ms": q["end_ms"], "channel": 0, "text": f"0:11 “{q['quote']}”"} for q in quotes]  # fmt: skip
        step = {"part": "condition", "label": "工单与通话", "looked_at": "诉求人 2 句", "wanted": "联系电话", "state": "miss",
                "found": REASON, "negated": False, "as_written": False, "quotes": texts}  # fmt: skip
        for check_id in ("S1.4-2", "S3.2-1"):
            session.add(
                CheckResultRow(
                    check_run_id=run.id, check_id=check_id, item_id=check_id[:4], state="miss", explanation=REASON,
                    reasoning=[step],
                )
            )  # fmt: skip
        ticket = session.get(Ticket, "SW202611060031")
        assert ticket is not None
        ticket.caller_number = ticket.contact_phone = TICKET_NUMBER
        ticket.title, ticket.content = f"宝丰路漏水，回电{TICKET_NUMBER}", f"市民反映漏水，请拨打{TICKET_NUMBER}联系。"
        ticket.location = f"宝丰一路，门口贴有电话{TICKET_NUMBER}"
        ticket.result = ticket.verify_note = f"已致电{TICKET_NUMBER}告知。"
        ticket.extra = {"备用电话": TICKET_NUMBER}
        link = session.exec(select(TicketLink).where(TicketLink.call_id == call_id)).one()
        link.reasons = [f"来电号码一致（{TICKET_NUMBER}）"]


def _evidence(channel: int, start_ms: int, end_ms: int, quote: str) -> dict[str, object]:
    return {"channel": channel, "start_ms": start_ms, "end_ms": end_ms, "quote": quote, "operator": "ticket_match", "params": PARAMS}  # fmt: skip


@pytest.fixture
def touchy(database, month) -> str:
    put_numbers(database, month)
    return month


def test_suggestions_and_their_reasons_tell_no_number_to_anybody(browser, touchy, accounts, database):
    evaluation_id = submit_score(database, touchy, accounts["shift_leader"])
    for role in ("client_supervisor", "shift_leader"):
        client = browser(role)
        for path in (f"/calls/{touchy}", f"/evaluate/{evaluation_id}", f"/evaluate/{evaluation_id}/reasoning"):
            html = client.get(path).text
            assert "联系电话" in html and "一致度 45" in html, path
            found = told(html, SAID_TELLTALES if role == "shift_leader" else TELLTALES)
            assert found == [], f"{role} {path}"


def test_what_accepting_a_suggestion_writes_into_the_score_has_no_number(database, touchy, accounts):
    from callqa.store.queries.evaluate import find_evaluation
    from callqa.usecases import evaluate
    from callqa.web.evaluate_form import read_form
    from callqa.web.evaluate_page import suggested
    from tests.web.conftest import NOW_MS

    evaluation_id = evaluate.open_evaluation(database, touchy, evaluator_id=accounts["shift_leader"], now_ms=NOW_MS)
    with database.read() as session:
        view = find_evaluation(session, evaluation_id)
        assert view is not None
        refs = suggested(view, evaluate.load_rubric_version(session, view.evaluation.rubric_hash))
    accepted = [(f"s:{s.suggestion_id}", "accepted") for s in refs]
    notes = [d.note for chosen in read_form(accepted, refs).deductions.values() for d in chosen.values()]
    assert any("一致度 45" in note for note in notes) and told("".join(notes)) == []


def addresses(call_id: str) -> Iterator[str]:
    """Every page and file that can be opened, with the objects of this call in its place."""
    places = {
        "call_id": call_id,
        "ticket_no": "SW202611060031",
        "month": "2026-11",
        "version": "2",
        "extension": "8004",
    }
    places |= {"evaluation_id": "2", "agent_no": "805"}
    for route in all_routes():
        if "GET" in route.methods and not route.path.endswith("/events"):
            yield re.sub(r"{(\w+)[^}]*}", lambda m: places.get(m[1], "1"), route.path)


@pytest.mark.parametrize("role", ["client_supervisor", "admin"])
def test_who_may_not_see_numbers_finds_none_by_any_address(browser, touchy, accounts, database, role):
    assert "calls.number" in PERMISSIONS
    release_both(database, accounts["shift_leader"])
    client = browser(role)
    opened, leaks = 0, {}
    for address in addresses(touchy):
        for path in (address, f"{address}?month=2026-11&format=csv"):
            answer = client.get(path)
            opened += answer.status_code == 200
            if found := told(written_in(answer)):
                leaks[path] = found
    assert leaks == {}
    assert opened > 20


def test_offered_words_tell_no_number_that_an_older_version_kept(browser, touchy, database):
    with database.write() as session:
        row = newest_transcript(session, touchy)
        assert row is not None and row.id is not None
        was, context = FIRST + SECOND, f"{SECOND}【水务】热线"
        session.add(VocabularyCandidate(transcript_id=row.id, word="水务", was=was, context=context, offered_at_ms=0))
    for role in ("client_supervisor", "shift_leader"):
        html = browser(role).get("/transcription").text
        assert "【水务】热线" in html and told(html) == []


@pytest.fixture
def indexed(touchy, database) -> str:
    index_missing(database)
    return touchy


def found(client: TestClient, path: str, words: str) -> str:
    answer = client.get(f"{path}?month=2026-11&q={quote(words)}&words={quote(words)}")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("role", ["client_supervisor", "shift_leader"])
def test_a_number_said_in_two_utterances_is_masked_wherever_one_of_them_is_shown(browser, indexed, role):
    client = browser(role)
    for path in ("/search", "/search.csv", "/calls"):
        shown = found(client, path, "我的手机号")
        assert indexed in shown and "幺五零**" in shown, path
        assert told(shown, SAID_TELLTALES) == [], path
    page = client.get(f"/calls/{indexed}").text
    assert "幺五零**" in page and "**七四八五。" in page and told(page, SAID_TELLTALES) == []


@pytest.mark.parametrize("words", [SECOND, FIRST, "五零九二", f"号是{FIRST}", "637485", f"{SECOND} 水压", "六"])
def test_half_a_number_is_found_by_those_alone_who_may_see_it(browser, indexed, words):
    supervisor, leader = browser("client_supervisor"), browser("shift_leader")
    for path in ("/search", "/search.csv"):
        assert indexed not in found(supervisor, path, words), path
        whole = found(leader, path, words)
        assert indexed in whole and told(whole.replace(words, ""), SAID_TELLTALES) == [], path
    assert supervisor.get(f"/calls?month=2026-11&words={quote(words)}").status_code == 400


def test_every_version_and_its_tooltips_are_masked_until_the_viewing_is_noted(browser, indexed):
    leader = browser("shift_leader")
    here = f"/calls/{indexed}/transcripts/2"
    hidden = leader.get(here).text
    assert "机器原写作“***”" in hidden and told(hidden, SAID_TELLTALES) == []
    shown = leader.get(leader.post(f"/calls/{indexed}/private", data={"next": here}).headers["location"]).text
    assert f"机器原写作“{FIRST}{SECOND}”" in shown and f"机器原写作“{SECOND}”" in shown and FIRST in shown


def test_a_ticket_is_found_by_its_number_only_by_those_who_may_see_it(browser, touchy):
    supervisor, leader = browser("client_supervisor"), browser("shift_leader")
    for text in ("139582", "8246071", "电话1395", "5"):
        path = f"/tickets?month=2026-11&text={quote(text)}"
        assert "/tickets/SW202611060031" in leader.get(path).text, text
        assert "/tickets/SW202611060031" not in supervisor.get(path).text, text
    for text in ("SW20261106", "宝丰", "周建国"):
        assert "/tickets/SW202611060031" in supervisor.get(f"/tickets?month=2026-11&text={quote(text)}").text
    assert TICKET_NUMBER in leader.get("/tickets/SW202611060031").text


def test_what_people_write_about_a_call_keeps_no_number(browser, touchy, accounts, database):
    from callqa.web.evaluate_form import read_form

    wrote = f"坐席把{FIRST}{SECOND}记成了{TICKET_NUMBER}，工单SW202611060031"
    fields = [("d:S3.2:a", "1"), ("at:S3.2:a", "0:20"), ("note:S3.2:a", wrote), ("f:F1", "1"), ("fat:F1", "0:20")]
    fields += [("fwords:F1", wrote), ("c_at", "0:20"), ("c_text", wrote), ("summary", wrote)]
    given = read_form(fields, ())
    texts = [given.deductions["S3.2"]["a"].note, given.fatals[0].words, given.comments[0].text, given.summary]
    assert all(told(text) == [] and "工单SW202611060031" in text and "139****6071" in text for text in texts)
    scored = release_both(database, accounts["shift_leader"])
    browser("shift_leader").post(f"/reviews/{scored.other}/coaching", data={"text": wrote})
    with database.read() as session:
        (note,) = session.exec(select(CoachingNote)).all()
    assert told(note.text) == [] and "坐席把" in note.text


def test_what_people_write_beside_a_call_or_into_the_report_keeps_no_number(browser, touchy, accounts, database):
    wrote = f"号码是{FIRST}，{SECOND}，不是139-5824-6071"
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    with database.read() as session:
        base = newest_transcript(session, touchy)
    leader.post(f"/calls/{touchy}/correct", data={"base_id": base.id, "text_0": "您好。", "reason": wrote})
    leader.post(f"/links/{touchy}/agent", data={"agent_no": "802", "reason": wrote})
    leader.post("/reports/2026-11/text", data={"slot": "原因", "words": wrote})
    with database.write() as session:
        entry = MissedCallFollowup(key="k", first_call_id=touchy, missed_at_ms=NOW_MS, last_missed_at_ms=NOW_MS,
                                   state="done", closed_as="given_up", done_by="x", done_at_ms=NOW_MS, note=wrote)  # fmt: skip
        session.add(entry)
        session.flush()
        session.add(FollowupEvent(followup_id=entry.id, at_ms=NOW_MS, kind="given_up", by="x", note=wrote))
        followup = f"/followups/{entry.id}"
    for path in (f"/calls/{touchy}", f"/calls/{touchy}/transcripts/2", followup, "/followups.csv?state=all"):
        html = supervisor.get(path).text
        assert "不是139" in html, path
        assert told(html) == [], path
    with database.read() as session:
        entries = session.exec(select(AuditEntry)).all()
        (in_report,) = session.exec(select(ReportText)).all()
    assert {"transcript.correct", "call.attribute"} <= {entry.action for entry in entries}
    assert told(" ".join(str(entry.detail) for entry in entries)) == []
    assert "不是139" in in_report.text and told(in_report.text) == []
