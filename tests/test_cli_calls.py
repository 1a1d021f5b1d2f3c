"""The verbs about stored calls: export, search, reindex, as somebody at a terminal meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from callqa.cli import main
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import AuditEntry, TicketLink
from callqa.usecases.reindex import index_missing
from tests.builders import Line, add_call, add_people, add_ticket, add_transcript, at, record

FIRST, SECOND, THIRD = "20261106T072210000Z-T1", "20261107T080000000Z-T2", "20261108T090000000Z-T3"
NUMBER = "幺三八七幺二零六三五八"
LINES = {
    FIRST: (Line("a", 0.4, 4.6, "您好，请问哪里漏水？"), Line("c", 5.0, 9.0, f"后湖大道漏水，我的电话是{NUMBER}。")),
    SECOND: (Line("c", 0.5, 4.0, "家里停水了，不是漏水。"), Line("a", 4.5, 8.0, "好的，为您登记。")),
}
Verb = Callable[..., int]


@pytest.fixture
def verb(tmp_path: Path) -> Verb:
    """`verb("search", "漏水")` in an installation with three calls: two transcribed, the third not."""
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    (tmp_path / "var").mkdir()
    url = f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"
    migrate(url)
    db = Database(url)
    with db.write() as session:
        add_people(session)
        for call_id, agent_no, when in ((FIRST, "805", "06"), (SECOND, "801", "07"), (THIRD, "801", "08")):
            call = add_call(session, call_id, at(f"2026-11-{when} 08:00:00"), agent_no=agent_no)
            session.add(record(call, tmp_path / "recordings", LINES[FIRST], 12.0))
            if call_id in LINES:
                add_transcript(session, call, LINES[call_id])
        add_ticket(session, "SW202611060031")
        session.add(
            TicketLink(
                call_id=FIRST, ticket_no="SW202611060031", state="linked", method="manual", score=0, decided_at_ms=1
            )
        )
    index_missing(db)
    db.dispose()
    return lambda name, *more: main(["--config", str(tmp_path / "callqa.toml"), name, *more])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def actions(folder: Path) -> list[tuple[str, str]]:
    db = Database(f"sqlite:///{folder / 'var' / 'callqa.db'}")
    with db.read() as session:
        found = [(entry.action, entry.subject) for entry in session.exec(select(AuditEntry))]
    db.dispose()
    return found


def test_search_lists_calls_newest_first_with_the_words_marked(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("search", "漏水") == 0
    lines = said(capsys).splitlines()
    heads = [line for line in lines if not line.startswith("    ") and "共" not in line]
    assert [SECOND in heads[0], FIRST in heads[1], len(heads)] == [True, True, 2]
    assert "805" in heads[1] and "SW202611060031" in heads[1]
    assert "    0:05 诉求人：后湖大道【漏水】，我的电话是幺三八****六三五八。" in lines
    assert lines[-1] == "共 2 通"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("停水",), [SECOND]),
        (("后湖大道", "漏水"), [FIRST]),
        (("停水", "后湖"), []),
        (("漏水", "--speaker", "agent"), [FIRST]),
        (("登记", "--speaker", "citizen"), []),
        (("漏水", "--from", "2026-11-07"), [SECOND]),
        (("漏水", "--to", "2026-11-06"), [FIRST]),
        (("漏水", "--from", "2026-11-06", "--to", "2026-11-07"), [SECOND, FIRST]),
        (("漏水", "--agent", "801"), [SECOND]),
        (("漏水", "--ticket", "SW202611060031"), [FIRST]),
        (("13871206358",), []),
        (("六三五八",), []),
    ],
)
def test_search_is_narrowed_and_says_by_its_status_whether_anything_was_found(
    verb: Verb, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], found: list[str]
) -> None:
    assert verb("search", "--json", *arguments) == (0 if found else 1)
    answers = [json.loads(line) for line in said(capsys).splitlines()]
    assert [answer["call_id"] for answer in answers] == found
    assert NUMBER not in str(answers)


def test_json_holds_what_the_lines_say(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("search", "--json", "后湖") == 0
    assert json.loads(said(capsys)) == {
        "call_id": FIRST,
        "started_at_ms": at("2026-11-06 08:00:00"),
        "agent_no": "805",
        "ticket_no": "SW202611060031",
        "n_hits": 1,
        "hits": [{"start_ms": 5000, "speaker": "citizen", "text": "后湖大道漏水，我的电话是幺三八****六三五八。"}],
    }


def test_a_wrong_day_and_a_missing_word_are_refused(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, why in ((("水", "--from", "昨天"), "看不懂日期“昨天”"), ((), "缺少“词”")):
        with pytest.raises(SystemExit) as refusal:
            verb("search", *arguments)
        assert refusal.value.code == 2
        assert why in capsys.readouterr().err


def test_a_damaged_index_is_said_and_built_anew(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = Database(f"sqlite:///{tmp_path / 'var' / 'callqa.db'}")
    with db.write() as session:
        session.execute(text("drop table search_fts"))
    db.dispose()
    assert verb("search", "漏水") == 1
    assert "callqa reindex" in capsys.readouterr().err
    assert verb("reindex") == 0
    assert "检索索引已重建，共 2 通" in said(capsys)
    assert verb("search", "--json", "漏水") == 0
    assert len(said(capsys).splitlines()) == 2
    assert actions(tmp_path)[-1] == ("search.reindex", "")


def test_a_recording_is_exported_whole_or_beeped(
    verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, beeped = tmp_path / "a.wav", tmp_path / "b.wav"
    assert verb("export", "--audio", FIRST, "--out", str(whole)) == 0
    assert verb("export", "--audio", FIRST, "--beep", "--out", str(beeped)) == 0
    out = said(capsys)
    assert f"已导出 {whole}" in out and "消音 1 处，共 " in out
    master = (tmp_path / f"recordings/2026/11/06/{FIRST}.wav").read_bytes()
    assert whole.read_bytes() == master
    data = beeped.read_bytes()
    differs = [n for n in range(len(master)) if data[n] != master[n]]
    head = len(master) - 12 * 16_000
    assert len(data) == len(master) and differs
    assert (differs[0] - head) / 16_000 > 5.5 and (differs[-1] - head) / 16_000 < 9.3
    assert actions(tmp_path).count(("call.export_audio", FIRST)) == 2


def test_an_export_has_its_own_name_where_none_is_given(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verb("export", FIRST, "--audio") == verb("export", FIRST, "--audio", "--beep") == 0
    assert (tmp_path / f"{FIRST}.wav").exists() and (tmp_path / f"{FIRST}-消音.wav").exists()


def test_a_search_that_can_find_nothing_is_refused(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("search", "!!!") == 2 and "“!!!”里没有可查的字" in capsys.readouterr().err
    assert verb("search", "--from", "2026-11-09", "--to", "2026-11-08", "水") == 1
    assert "起始日期 2026-11-09 晚于结束日期 2026-11-08" in capsys.readouterr().err


def test_what_cannot_be_exported_is_refused(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "c.wav"
    assert verb("export", "--audio", THIRD, "--beep", "--out", str(target)) == 1
    assert "还没有转写" in capsys.readouterr().err and not target.exists()
    assert verb("export", "--audio", THIRD, "--out", str(target)) == 0
    assert verb("export", "--audio", "NONE") == 1 and "没有通话 NONE" in capsys.readouterr().err
    assert verb("export", "--pcap", "--beep", FIRST) == 2 and "与 --audio 一起用" in capsys.readouterr().err
    assert verb("export", "--audio", FIRST, "--out", str(tmp_path / "no" / "d.wav")) == 1
    assert "d.wav 写不了" in capsys.readouterr().err
    for arguments, why in (((FIRST,), "请写明其中一个"), ((FIRST, "--pcap", "--audio"), "不能与")):
        with pytest.raises(SystemExit):
            verb("export", *arguments)
        complaint = capsys.readouterr().err
        assert why in complaint and "argument" not in complaint


@pytest.mark.parametrize("kind", ["csv", "XLSX"])
def test_tickets_are_exported_and_come_in_again_without_any_change(
    verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    target = tmp_path / f"工单.{kind}"
    assert verb("export", "--tickets", str(target), "--from", "2026-11-06", "--to", "2026-11-06") == 0
    assert f"已导出 {target}（1 张工单" in said(capsys)
    assert actions(tmp_path)[-1] == ("ticket.export", "2026-11-06..2026-11-06")
    assert verb("import-tickets", str(target)) == 0
    assert "新增 0 条，更新 0 条，未变 1 条" in said(capsys)
    assert verb("export", "--tickets", str(target), "--from", "2026-11-07") == 0 and "0 张工单" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("--tickets", "a.txt"), 2, "应以 .csv 或 .xlsx 结尾"),
        (("--tickets", "a.csv", FIRST), 2, f"不与“{FIRST}”一起用"),
        (("--tickets", "a.csv", "--out", "b.csv"), 2, "不与“--out”一起用"),
        (("--tickets", "no/a.csv"), 1, "没有文件夹 no"),
        (("--tickets", "a.csv", "--from", "2026-11-09", "--to", "2026-11-08"), 1, "晚于结束日期"),
        (("--audio",), 2, "缺少“通话编号”"),
        (("--audio", FIRST, "--from", "2026-11-06"), 2, "须与 --tickets 一起用"),
    ],
)
def test_what_does_not_go_with_tickets_is_refused(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], status: int, why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert verb("export", *arguments) == status
    assert why in capsys.readouterr().err and not (tmp_path / "a.csv").exists()
