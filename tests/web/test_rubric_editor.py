"""标准与词表 over HTTP: mistakes by line, nothing typed is lost, a trial, publishing, who may."""

import html
import re
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.store.tables import TranscriptRow
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.try_rubric import work_a_while
from tests.usecases.test_edit_rubric import BROKEN, CHANGED, TEXT, heard
from tests.usecases.test_load_rubric import DEFAULT
from tests.web.conftest import NOW_MS
from tests.web.score_form import follow


@pytest.fixture
def leader(browser, database, month):
    load_rubric(database, DEFAULT, now_ms=1)
    with database.write() as session:
        for row in session.exec(select(TranscriptRow)):
            heard(row)
            session.add(row)
    return browser("shift_leader")


def source_of(text: str) -> str:
    found = re.search(r"<textarea name=\"source\"[^>]*>(.*?)</textarea>", text, re.S)
    assert found is not None
    return html.unescape(found[1])


def test_a_mistake_is_shown_at_its_line_and_the_text_is_kept(leader) -> None:
    page = leader.get("/rubrics/draft").text
    assert source_of(page) == TEXT and "没有发现错误" in page and "context_repeat" in page
    answer = leader.post("/rubrics/draft", data={"source": BROKEN, "version": "0", "do": "save"})
    line = next(n for n, text in enumerate(BROKEN.splitlines(), 1) if "keyword_eny" in text)
    assert answer.status_code == 200 and f'data-line="{line}"' in answer.text and f"第 {line} 行：" in answer.text
    assert source_of(answer.text) == BROKEN
    stale = leader.post("/rubrics/draft", data={"source": "typed: 1", "version": "0", "do": "publish"})
    assert stale.status_code == 422 and "别处保存过" in stale.text and source_of(stale.text) == "typed: 1\n"
    refused = leader.post("/rubrics/draft", data={"source": BROKEN, "version": "1", "do": "publish", "effective": "2026-11-22"})  # fmt: skip
    assert refused.status_code == 422 and f"第 {line} 行：" in refused.text


def test_all_mistakes_are_shown_at_once_by_line(leader) -> None:
    text = BROKEN.replace("full_score: 100", "full_score: 许多").replace("pass_line: ", "pass_lime: ", 1)
    lines = [
        n
        for n, line in enumerate(text.splitlines(), 1)
        if "许多" in line or "pass_lime" in line or "keyword_eny" in line
    ]
    assert len(lines) == 3
    answer = leader.post("/rubrics/draft", data={"source": text, "version": "0", "do": "save"})
    assert "共 4 处错误" in answer.text  # pass_line is missing, too
    assert re.findall(r'data-to-line="(\d+)"', answer.text).count(str(lines[0])) == 1
    assert all(f'data-to-line="{n}"' in answer.text for n in lines)
    assert "有 4 处错误" in leader.get("/rubrics").text


def test_two_versions_over_a_chosen_month(leader, database, tmp_path: Path) -> None:
    assert "两版对比" not in leader.get("/rubrics").text  # one version has nothing to be compared with
    new = CHANGED.replace("version: 1", "version: 2", 1)
    leader.post("/rubrics/draft", data={"source": new, "version": "0", "do": "publish", "effective": "2026-12-01"})
    page = leader.get("/rubrics").text
    newer, older = re.findall(r'<option value="([0-9a-f]{64})"', page)[:2]
    sent = {"old": older, "new": newer, "month": "2026-11"}
    asked = leader.post("/rubrics/compare", data=sent)
    assert asked.status_code == 303, asked.text
    while work_a_while(database, recordings=tmp_path, clock=lambda: NOW_MS):
        pass
    done = leader.get(asked.headers["location"]).text
    assert "第 1 版（分）" in done and "第 2 版（分）" in done and "S1.1-2" in done
    assert "第 1 版 → 第 2 版" in leader.get("/rubrics").text
    assert leader.post("/rubrics/compare", data={**sent, "new": "0" * 64}).status_code == 409
    assert leader.post("/rubrics/compare", data={**sent, "new": older}).status_code == 409
    assert leader.post("/rubrics/compare", data={**sent, "month": "2026-10"}).status_code == 409


def test_words_a_trial_and_publishing(leader, database, tmp_path: Path) -> None:
    assert "taboo_insult" in leader.get("/rubrics/lexicons").text
    saved = leader.post("/rubrics/lexicons", data={"name": "polite", "words": "您\n请\n多谢", "version": "0"})
    assert follow(leader, saved).status_code == 200 and "多谢" in leader.get("/rubrics/draft").text
    bad = leader.post("/rubrics/lexicons", data={"name": "polite", "words": " \n", "version": "1"})
    assert bad.status_code == 422 and "不能是空的" in bad.text
    asked = leader.post("/rubrics/draft", data={"source": CHANGED, "version": "1", "do": "try", "month": "2026-11"})
    assert asked.status_code == 303, asked.text
    path = asked.headers["location"]
    assert 'data-again-s="2"' in leader.get(path).text
    while work_a_while(database, recordings=tmp_path, clock=lambda: NOW_MS):
        pass
    done = leader.get(path).text
    assert "every 2s" not in done and "哪些建议变了" in done and "S1.1-2" in done
    new = CHANGED.replace("version: 1", "version: 2", 1)
    sent = {"source": new, "version": "2", "do": "publish", "effective": "2026-12-01"}
    answer = leader.post("/rubrics/draft", data=sent)
    assert answer.status_code == 303, answer.text
    page = follow(leader, answer).text
    assert "待启用" in page and "现行" in page and "12月01日" in page
    version = re.search(r'/rubrics/version/([0-9a-f]{64})"', page)
    assert version is not None and "谁也不会说的词" in leader.get(f"/rubrics/version/{version[1]}").text
    assert leader.get("/rubrics/version/0").status_code == leader.get("/rubrics/trial/99").status_code == 404


def test_only_the_leader_edits(leader, browser) -> None:
    supervisor = browser("client_supervisor")
    assert supervisor.get("/rubrics").status_code == 200
    for path in ("/rubrics/draft", "/rubrics/lexicons"):
        assert supervisor.get(path).status_code == 403
        assert supervisor.post(path, data={"source": "x", "name": "polite"}).status_code == 403
