"""The verbs `delete`, `hold` and `retention` as a person types them."""

from pathlib import Path

import pytest

from callqa.cli import main
from callqa.store.db import Database
from callqa.store.tables import Call, CallDeletion
from callqa.usecases import delete
from tests.store_fixture import make_database
from tests.usecases.deletable import make_recorded, take_in


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation with two calls of November; by the machine's clock they are not old, or very old."""
    (tmp_path / "var").mkdir()
    db = make_database(tmp_path / "var")
    take_in(db, make_recorded(tmp_path / "recordings", "C1", "C2"))
    with db.write() as session:
        for n, call_id in enumerate(("C1", "C2")):
            call = session.get(Call, call_id)
            assert call is not None
            call.started_at_ms = 1_500_000_000_000 + n  # July 2017
            call.answered_at_ms = call.ended_at_ms = call.started_at_ms
            session.add(call)
    db.dispose()
    path = tmp_path / "callqa.toml"
    path.write_text("[retention]\nrecordings_days = 365\n", encoding="utf-8")
    return path


def run(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["--config", str(config), *words])
    said = capsys.readouterr()
    return status, said.out, said.err


def deletion_of(config: Path, call_id: str) -> CallDeletion | None:
    db = Database(f"sqlite:///{config.parent / 'var' / 'callqa.db'}")
    with db.read() as session:
        found = session.get(CallDeletion, call_id)
    db.dispose()
    return found


def test_delete_says_what_it_did_and_refuses_a_second_time(config: Path, capsys) -> None:
    status, out, _ = run(config, capsys, "delete", "C1", "--reason", "来电人申请")
    assert status == 0 and "通话 C1 已删除" in out
    assert deletion_of(config, "C1").state == "deleted"
    status, _, err = run(config, capsys, "delete", "C1", "--reason", "来电人申请")
    assert status == 1 and "已于" in err
    status, _, err = run(config, capsys, "delete", "C7", "--reason", "来电人申请")
    assert status == 1 and "没有通话 C7" in err
    status, _, err = run(config, capsys, "delete", "C2", "--reason", " ")
    assert status == 1 and "请写明删除的原因" in err


def test_retention_lists_then_deletes_and_leaves_what_is_held(config: Path, capsys) -> None:
    assert run(config, capsys, "hold", "C2", "--reason", "取证")[0] == 0
    status, out, _ = run(config, capsys, "retention")
    assert status == 0
    assert "C1　2017年7月14日 10:40　到期，将删除" in out
    assert "暂留：已保全（取证）" in out and "将删除 1 通，暂留 1 通" in out
    assert deletion_of(config, "C1") is None, "only listed"
    status, out, _ = run(config, capsys, "retention", "--delete")
    assert status == 0 and "C1　已删除" in out and "暂留 1 通" in out
    assert deletion_of(config, "C1").kind == "retention"
    assert run(config, capsys, "hold", "C2", "--lift", "--reason", "结案")[0] == 0
    assert "C2　已删除" in run(config, capsys, "retention", "--delete")[1]
    assert not list((config.parent / "recordings").rglob("C?.wav"))


def test_without_a_period_nothing_is_deleted(config: Path, capsys) -> None:
    config.write_text("", encoding="utf-8")
    status, out, _ = run(config, capsys, "retention", "--delete")
    assert status == 0 and "不会自动删除" in out and "0 通" in out
    assert deletion_of(config, "C1") is None


def test_files_that_cannot_be_deleted_are_said_and_go_the_next_time(config: Path, capsys, monkeypatch) -> None:
    def refuse(*_, **__):
        raise OSError(30, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(delete, "remove_files", refuse)
        status, _, err = run(config, capsys, "delete", "C1", "--reason", "来电人申请")
        assert status == 1 and "有文件暂时删不掉" in err
        status, _, err = run(config, capsys, "retention", "--delete")
        assert status == 1 and "C1　内容已不可见，有文件删不掉" in err
    status, out, _ = run(config, capsys, "retention", "--delete")
    assert status == 0 and "C1　已删，清掉了剩下" in out
    assert not list((config.parent / "recordings").rglob("C?.wav"))
