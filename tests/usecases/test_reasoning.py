"""`callqa check CALL --explain`, and the reasoning that is kept with a run and shown behind a fold."""

from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import CallqaError
from callqa.store.db import Database
from callqa.store.tables import CheckResultRow, CheckRun
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.reasoning import explain_call, report_lines
from tests.usecases import test_check
from tests.usecases.recorded import BASE_MS
from tests.usecases.test_load_rubric import DEFAULT

recordings = test_check.recordings


def test_the_report_has_every_check_with_rule_and_steps(db: Database, recordings: Path) -> None:
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    test_check._transcribe(db, recordings)
    rubric, explained = explain_call(db, "C1", recordings=recordings, now_ms=BASE_MS)
    lines = list(report_lines(rubric, explained, steps=True))
    text = "\n".join(lines)
    concluded = sum(result.state.value in ("hit", "miss") for result in explained.outcome.results)
    assert 0 < concluded < len(explained.outcome.results)
    assert f"分（{len(explained.outcome.results)} 条规则，{concluded} 条有结论）" in lines[0]
    assert "机器预评" in lines[0] and "识别置信低于 0.6" in lines[1]
    for result in explained.outcome.results:
        assert any(line.startswith(f"{result.check_id} ") for line in lines)
    assert "    要求 出现词语：" in text and "    结果 未" in text and "规则（第 " in text
    short = list(report_lines(rubric, explained, steps=False))
    assert len(short) == 1 + len(explained.outcome.results)
    with db.read() as session:
        assert session.exec(select(CheckRun)).all() == []  # nothing was stored


def test_what_cannot_be_explained_says_why(db: Database, recordings: Path) -> None:
    with pytest.raises(CallqaError, match="没有通话 C9"):
        explain_call(db, "C9", recordings=recordings, now_ms=BASE_MS)
    with pytest.raises(CallqaError, match="没有可用的质检标准"):
        explain_call(db, "C1", recordings=recordings, now_ms=BASE_MS)
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    with pytest.raises(CallqaError, match="没有转写"):
        explain_call(db, "C1", recordings=recordings, now_ms=BASE_MS)


def test_a_run_keeps_its_reasoning(db: Database, recordings: Path) -> None:
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    test_check._transcribe(db, recordings)
    test_check._check(db, recordings)
    with db.read() as session:
        rows = {row.check_id: row for row in session.exec(select(CheckResultRow))}
    steps = rows["S1.1-2"].reasoning
    assert [step["part"] for step in steps] == ["condition"]
    assert steps[0]["label"] == "出现词语" and "开头 15 秒内" in steps[0]["looked_at"]
    assert rows["S1.4-1"].reasoning[0]["part"] == "na_when"  # why the item applies stands with its first check
