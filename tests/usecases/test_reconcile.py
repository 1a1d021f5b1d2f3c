"""`callqa reconcile`: a call list on disk, calls in the database, a table and an exit status."""

import csv
import io
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from sqlmodel import select

from callqa.cli import main
from callqa.errors import ImportFileError
from callqa.journal import JournalKind
from callqa.store.tables import AuditEntry, Seat
from callqa.tickets.reconcile import Verdict
from callqa.usecases.ingest import ingest
from callqa.usecases.reconcile import cdr_csv, cdr_xlsx, check_cdr, load_cdr_mapping, say_summary, table_of
from tests.store_fixture import make_database
from tests.usecases.recorded import BASE_MS, Recorder

HEADER = "开始时间,主叫,被叫,状态,通话时长\n"


def row(minute: int, number: str, status: str = "ANSWERED", talk_s: int = 4) -> str:
    hours, minutes = divmod(8 * 60 + minute, 60)
    return f"2026-11-03 {hours:02d}:{minutes:02d}:00,{number},02784770000,{status},{talk_s}\n"


@pytest.fixture
def home(tmp_path: Path):
    """Three calls of ours: recorded, without media, abandoned; the database where the command looks for it."""
    (tmp_path / "var").mkdir()
    db = make_database(tmp_path / "var")
    recorder = Recorder(tmp_path / "recordings")
    recorder.call("C1", from_number="13800000001")
    recorder.call("C2", from_number="13800000002", started_at_ms=BASE_MS + 300_000, recorded=False)
    at_ms = BASE_MS + 600_000
    recorder.journal(JournalKind.CALL_STARTED, "C3", at_ms=at_ms, from_number="13800000003", started_at_ms=at_ms)
    recorder.journal(JournalKind.CALL_ABANDONED, "C3", at_ms=at_ms + 9000, reason="诉求人先挂断")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS + 900_000)
    with db.write() as session:
        session.add(Seat(extension="8001", ha1_md5="0" * 32, ha1_sha256="0" * 64))
    yield tmp_path, db
    db.dispose()


GOOD = HEADER + row(0, "13800000001") + row(5, "13800000002") + row(10, "13800000003", "NO ANSWER", 0)


def test_all_answered_calls_are_accounted_for(home) -> None:
    _, db = home
    check = check_cdr(db, file_name="cdr.csv", data=GOOD.encode(), actor="li", now_ms=BASE_MS)
    assert check.complete and [str(line.verdict) for line in check.result.lines] == ["recorded", "stated", "unanswered"]
    assert say_summary(check)[0] == "每个接通的通话都有录音或说明了原因"
    reasons = [cells[1] for cells in table_of(check)]
    assert "没有收到任何媒体" in reasons[1] and reasons[2] == "诉求人先挂断"
    with db.read() as session:
        (noted,) = session.exec(select(AuditEntry).where(AuditEntry.action == "cdr.reconcile")).all()
    assert (noted.actor, noted.detail["missing"], noted.detail["recorded"]) == ("li", 0, 1)


def test_what_is_missing_is_named_with_its_row(home) -> None:
    _, db = home
    data = GOOD + row(15, "13800000004") + row(17, "13800000005") + row(60, "8001,8002", talk_s=9).replace('"', "")
    check = check_cdr(db, file_name="cdr.csv", data=data.encode(), actor="li", now_ms=BASE_MS)
    assert not check.complete and len(check.errors) == 1
    cells = table_of(check, only=(Verdict.MISSING,))
    assert [(c[5], c[9]) for c in cells] == [("13800000004", "5"), ("13800000005", "6")]
    assert say_summary(check)[:2] == [
        "缺录音 2 通：接通了，既没有录音也没有原因",
        "　2026-11-03 08:15:00 至 2026-11-03 08:17:00 连续 2 通都没有录音，请查录音服务当时是否停机",
    ]


def test_days_narrow_the_list(home) -> None:
    _, db = home
    data = (GOOD + row(15, "13800000004")).encode()
    given = {"file_name": "cdr.csv", "data": data, "actor": "li", "now_ms": BASE_MS}
    with pytest.raises(ImportFileError, match="没有这段时间的通话"):
        check_cdr(db, **given, first=date(2026, 11, 4))
    with pytest.raises(ImportFileError, match="晚于"):
        check_cdr(db, **given, first=date(2026, 11, 4), last=date(2026, 11, 3))
    assert check_cdr(db, **given, first=date(2026, 11, 3), last=date(2026, 11, 3)).n_rows == 4


def test_a_mapping_is_remembered(home) -> None:
    _, db = home
    data = GOOD.replace("开始时间", "建立").replace("主叫", "甲").encode()
    given = {"file_name": "cdr.csv", "data": data, "actor": "li", "now_ms": BASE_MS}
    with pytest.raises(ImportFileError):
        check_cdr(db, **given)
    assert check_cdr(db, **given, mapping={"建立": "开始时间", "甲": "主叫"}).complete
    assert check_cdr(db, **given).complete
    assert load_cdr_mapping(db) == {"建立": "started_at", "甲": "from_number"}


def test_files_of_the_result_are_no_formulas(home) -> None:
    _, db = home
    data = (GOOD + row(15, "13800000004", "=1+1")).encode()
    check = check_cdr(db, file_name="cdr.csv", data=data, actor="li", now_ms=BASE_MS)
    rows = list(csv.reader(io.StringIO(cdr_csv(check).decode("utf-8-sig"))))
    assert len(rows) == 5 and rows[4][0] == "缺录音" and rows[4][11] == "'=1+1"
    sheet = openpyxl.load_workbook(io.BytesIO(cdr_xlsx(check))).active
    assert (sheet["L5"].value, sheet["L5"].data_type) == ("=1+1", "s")


def test_the_command_ends_with_1_where_a_recording_is_missing(home, capsys, monkeypatch) -> None:
    folder, _ = home
    good, bad, out = folder / "good.csv", folder / "bad.csv", folder / "out.xlsx"
    good.write_text(GOOD, encoding="utf-8")
    bad.write_text(GOOD + row(15, "13800000004"), encoding="utf-8")
    config = ["--config", str(folder / "callqa.toml")]
    (folder / "callqa.toml").write_text("", encoding="utf-8")
    assert main([*config, "reconcile", "--cdr", str(good)]) == 0
    assert "每个接通的通话都有录音或说明了原因" in capsys.readouterr().out
    assert main([*config, "reconcile", "--cdr", str(bad), "--out", str(out), "--from", "2026-11-03"]) == 1
    said = capsys.readouterr()
    assert "缺录音 1 通" in said.out and "13800000004" in said.err and out.exists()
    assert main([*config, "reconcile", "--cdr", str(folder / "none.csv")]) == 1
    with pytest.raises(SystemExit) as refusal:
        main([*config, "reconcile", "--cdr", str(good), "--to", "昨天"])
    assert refusal.value.code == 2 and "昨天" in capsys.readouterr().err
