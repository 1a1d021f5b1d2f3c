"""月度质检报告 through its page: made from the scores, shown as stored, its files, its texts; and what one changed score changes."""

import hashlib
import io
import re
import zipfile
from dataclasses import replace
from html import unescape
from urllib.parse import quote

import pytest
from sqlmodel import select

from callqa.reports.document import UNFILLED, MonthlyReport, from_json
from callqa.store.tables import AuditEntry, Evaluation, ReportRow, SampleEntry
from tests.drawn_month import add_drawable_month, draw_month
from tests.web.conftest import NOW_MS
from tests.web.score_form import ScoreForm

PAGE = "/reports/2026-11"
# What the calls of the queue lose, in turn; small options that need no evidence.
LOSSES = ({}, {"d:S1.1:b": "1"}, {"d:S1.4:a": "1", "d:S1.1:c": "1"}, {"d:S1.3:a": "1"})

Cells = dict[tuple[str, str, str], str]  # (table, row, column) -> printed text


@pytest.fixture
def drawn(database, settings, accounts):
    with database.write() as session:
        add_drawable_month(session, settings.recordings_dir, NOW_MS)
    draw_month(database, now_ms=NOW_MS)
    return database


def score_sample(client, database) -> None:
    """Score every drawn call through its form."""
    with database.read() as session:
        calls = session.exec(select(SampleEntry.call_id).where(SampleEntry.kind == "sample").order_by(SampleEntry.rank))
    for index, call_id in enumerate(calls):
        answer = ScoreForm.open(client, f"/evaluate/call/{call_id}").send(
            LOSSES[index % len(LOSSES)], decision="rejected"
        )
        assert answer.status_code == 303, answer.text


def revise(client, database, call_id: str, changes: dict[str, str]) -> None:
    """Change a submitted score through its form."""
    with database.read() as session:
        evaluation = session.exec(select(Evaluation).where(Evaluation.call_id == call_id)).one()
    form = ScoreForm.open(client, f"/evaluate/{evaluation.id}?revise=1")
    kept = dict.fromkeys(re.findall(r'name="(d:[^"]+)" value="1" checked', form.text), "1") | changes
    fields = {name: value for name, value in kept.items() if value}  # "" unticks
    answer = form.send({**fields, "reason": "复听后更正"}, decision="rejected")
    assert answer.status_code == 303, answer.text


def published(client, database) -> MonthlyReport:
    """Publish and load what was stored."""
    answer = client.post(f"{PAGE}/publish")
    assert answer.headers["location"] == PAGE, answer.text
    with database.read() as session:
        row = session.exec(select(ReportRow).order_by(ReportRow.version.desc())).first()
    return from_json(row.values)


def unspaced(text: str) -> str:
    return re.sub(r"\s+", "", text)


def cells(report: MonthlyReport) -> Cells:
    """Every printed cell of every table, attachments too. A row is named by its first cell, or two where that is not enough."""
    found: Cells = {}
    for table in (*report.tables(), *report.attachments):
        enough = len({row[0].text for row in table.rows}) == len(table.rows)
        for row in table.rows:
            name = row[0].text if enough else f"{row[0].text} {row[1].text}"
            for index, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
                label = column.group + column.label
                twice = label in [c.group + c.label for c in table.columns[:index]]  # two intervals in one table
                key = (table.no, name, f"{label} 2" if twice else label)
                assert key not in found, key
                found[key] = cell.text
    return found


def changed(before: MonthlyReport, after: MonthlyReport) -> set[tuple[str, str, str]]:
    """Where two versions print something different."""
    old, new = cells(before), cells(after)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def sampled(database, agent_no: str, stratum: str) -> list[str]:
    """An agent's drawn calls of one stratum."""
    with database.read() as session:
        return list(
            session.exec(
                select(SampleEntry.call_id).where(
                    SampleEntry.agent_no == agent_no, SampleEntry.stratum == stratum, SampleEntry.kind == "sample"
                )
            )
        )


def quality(database, call_id: str) -> float:
    with database.read() as session:
        return session.exec(select(Evaluation.quality_score).where(Evaluation.call_id == call_id)).one()


# ---- one changed score


def test_one_changed_score_changes_exactly_the_numbers_that_depend_on_it(leader, drawn):
    score_sample(leader, drawn)
    first = published(leader, drawn)
    (call_id,) = sampled(drawn, "801", "risk")
    revise(leader, drawn, call_id, {"d:S1.1:a": "1"})  # two points more, in one item, of one agent
    second = published(leader, drawn)
    where = changed(first, second)

    # 15-3 has a new row, which tells of the change itself
    assert {no for no, _, _ in where} == {"3-1", "3-2", "3-3", "4-1", "4-2", "4-3", "5-1", "5-2", "15-3", "附件1"}
    assert {row for no, row, _ in where if no == "15-3"} == {"1"}
    assert {(no, row) for no, row, _ in where if no in ("3-2", "3-3")} == {("3-2", "呼入受理"), ("3-3", "日班")}
    # other agents' rows are the same to the letter; of this agent's only the scores move
    assert {(row, column) for no, row, column in where if no == "4-1"} == {
        ("— 801 王", "质量分"),
        ("— 801 王", "本人方差区间"),
        ("— 801 王", "最终分"),
    }
    assert {(row, column) for no, row, column in where if no == "4-2"} == {
        ("801 王", "服务规范"),
        ("团队", "服务规范"),
    }
    # another item's row moves only in its share of all points lost
    others = {column for no, row, column in where if no == "5-1" and row != "S1.1"}
    assert others <= {"占总扣分比", "累计占比"}
    assert {"扣分通数", "命中率（加权）", "平均扣分"} <= {c for no, row, c in where if no == "5-1" and row == "S1.1"}
    assert {row for no, row, _ in where if no == "5-2"} == {"S1.1 开场规范 a　未报热线名称（或呼出未表明身份）"}
    assert {(row, column) for no, row, column in where if no == "附件1"} == {
        (f"2026-11 {call_id}", column) for column in ("各评分项得分S1.1 开场规范", "扣分选项", "质量分", "最终分")
    }
    # and the agent's score is the weighted mean of what is stored: 1 risky call of 1, 3 normal calls of 6
    normal = [quality(drawn, c) for c in sampled(drawn, "801", "normal")]
    expected = (quality(drawn, call_id) + 6 * sum(normal) / len(normal)) / 7
    assert float(cells(second)["4-1", "— 801 王", "质量分"]) == pytest.approx(expected, abs=0.05)
    assert cells(first)["4-1", "— 802 陈", "质量分"] == cells(second)["4-1", "— 802 陈", "质量分"]

    # taking it back gives the first version's numbers again; that it was changed twice is told
    revise(leader, drawn, call_id, {"d:S1.1:a": ""})
    assert {(no, row) for no, row, _ in changed(first, published(leader, drawn))} == {("15-3", "1"), ("15-3", "2")}


# ---- the page


def test_the_page_shows_what_is_stored_and_gives_its_files(leader, drawn, browser, settings):
    assert "还没有报告" in leader.get(PAGE).text
    score_sample(leader, drawn)
    report = published(leader, drawn)
    page = leader.get("/reports")
    assert page.headers["location"] == PAGE
    html = leader.get(PAGE).text
    plain = unspaced(unescape(re.sub(r"<[^>]+>", "", html)))
    missing = {text for text in cells(replace(report, attachments=())).values() if unspaced(text) not in plain}
    assert missing == set()
    assert html.count("<svg") >= len(report.figures())
    for figure in report.figures():
        assert figure.caption in html

    with drawn.read() as session:
        row = session.exec(select(ReportRow)).one()
    kinds = set()
    for file in row.files:
        name = file["name"].rsplit("/", 1)[1]
        kinds.add(name.rsplit(".", 1)[1])
        answer = browser("client_supervisor").get(f"{PAGE}/1/files/{quote(name)}")
        assert answer.status_code == 200 and quote(name) in answer.headers["content-disposition"]
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        if name.endswith(".pdf"):
            assert answer.headers["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
        else:
            assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert kinds == {"docx", "xlsx", "pdf"}
    with drawn.read() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "report.export")).all()
    assert {e.actor for e in entries} == {"client_supervisor"} and len(entries) == 3
    (settings.exports_dir / row.files[0]["name"]).unlink()
    gone = leader.get(f"{PAGE}/1/files/{quote(row.files[0]['name'].rsplit('/', 1)[1])}")
    assert gone.status_code == 404 and "重新生成" in gone.text
    assert leader.get(f"{PAGE}/1/files/..%2F..%2Fcallqa.db").status_code == 404
    assert leader.get(f"{PAGE}/7/files/x.docx").status_code == 404


def test_texts_enter_the_next_version_and_old_versions_stay(leader, drawn):
    first = published(leader, drawn)
    slots = re.findall(r'name="slot" value="([^"]+)"', leader.get(PAGE).text)
    assert "summary.comment" in slots and len(slots) > 4
    assert any("处文字待补充" in b for b in first.blockers)
    for slot in slots:
        answer = leader.post(f"{PAGE}/text", data={"slot": slot, "words": f"写在 {slot}\r\n第二行"})
        assert answer.headers["location"].startswith(PAGE)
    page = leader.get(PAGE).text
    assert "写在 summary.comment\n第二行" in page and "已写，生成新版本后进入报告" in page
    second = published(leader, drawn)
    assert not any("处文字待补充" in b for b in second.blockers)
    assert UNFILLED not in cells(second).values()
    old = leader.get(f"{PAGE}?version=1").text
    assert "写在 summary.comment" not in old and 'name="slot"' not in old and "旧版" in old
    assert leader.get(f"{PAGE}?version=9").status_code == 404
    assert leader.post(f"{PAGE}/text", data={"slot": "", "words": "x"}).status_code == 400


def test_without_a_sample_the_page_says_why(leader, accounts):
    answer = leader.post(f"{PAGE}/publish")
    assert answer.status_code == 409 and "还没有抽取样本" in answer.text
    assert leader.get("/reports").headers["location"] == PAGE


def test_who_may_do_what(leader, drawn, browser):
    published(leader, drawn)
    supervisor, agent, admin = browser("client_supervisor"), browser("agent"), browser("admin")
    page = supervisor.get(PAGE)
    assert page.status_code == 200 and 'name="slot"' not in page.text and "/publish" not in page.text
    assert supervisor.post(f"{PAGE}/publish").status_code == 403
    assert supervisor.post(f"{PAGE}/text", data={"slot": "summary.comment", "words": "x"}).status_code == 403
    for client in (agent, admin):
        assert client.get(PAGE).status_code == 403 and client.get("/reports").status_code == 403
        assert client.get(f"{PAGE}/1/files/x.docx").status_code == 403
