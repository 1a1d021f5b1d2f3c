"""What the demo claims, and that two demos do not tread on each other."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from callqa.demo.citizens import Citizens
from callqa.demo.data import DemoCall
from callqa.demo.show import Show
from callqa.errors import CallqaError

CALL = DemoCall("D01", "801", "8001", "13871206358", False, "SW1", False)


def carry(*, played: bool) -> Citizens:
    citizens = Citizens(("127.0.0.2", 5060), ("127.0.0.1", 5060), "027", lambda _: None)

    async def live() -> None:
        loop = asyncio.get_running_loop()
        call = SimpleNamespace(
            status=200,
            answered=loop.create_future(),
            played=loop.create_future(),
            ended=loop.create_future(),
            hang_up=lambda: None,
        )
        call.answered.set_result(True)
        call.played.set_result(played)
        call.ended.set_result("remote")
        await citizens._carry(CALL, call)  # type: ignore[arg-type]  # only what is looked at

    asyncio.run(live())
    return citizens


def test_a_call_cut_off_before_the_last_word_does_not_count() -> None:
    with pytest.raises(CallqaError, match="没有讲完就断了"):
        carry(played=False)


def test_a_call_carried_to_the_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callqa.demo.citizens.LINGER_S", 0)
    assert carry(played=True).connected == 1


def test_a_second_demo_leaves_the_first_alone_and_gets_other_ports(tmp_path: Path) -> None:
    first, second, elsewhere = (Show(tmp_path / name, models=tmp_path) for name in ("demo", "demo", "other"))
    try:
        first._take_stage()
        with pytest.raises(CallqaError, match="另一个演示正在用"):
            second._take_stage()
        elsewhere._take_stage()
        assert elsewhere.media_block != first.media_block
    finally:
        for show in (first, second, elsewhere):
            show.stop()
    again = Show(tmp_path / "demo", models=tmp_path)
    again._take_stage()
    again.stop()
