"""SIPp over TCP as the trunk: hold and resume on one connection of a real recorder."""

import asyncio
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, TRUNK_HOST, Home, frames, make_desk, phone, until
from tests.sip.test_sipp_stories import Sipp

pytestmark = pytest.mark.slow


async def story(home: Home, port: int, folder: Path) -> None:
    await home.start()
    seat = await phone(home, "8001", AutoAnswer(0.1, frames(2, 200)))
    try:
        more = ("-s", "96510", "-t", "t1")
        sipp = Sipp("citizen_holds", ("127.0.0.1", port), folder, TRUNK_HOST, own_port(), *more)
        await (await sipp.start()).succeed()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await asyncio.wait_for(seat.calls[0].ended, LIMIT_S)
    finally:
        await seat.close()
        home.stop()
    assert (sidecar.seat_extension, sidecar.hangup_party) == ("8001", "citizen")
    assert any(g.kind == "held" for g in sidecar.gaps)


def test_hold_and_resume_over_tcp(tmp_path: Path) -> None:
    port = own_port()
    home = Home(tmp_path, make_desk(["8001"]), tcp_port=port)
    asyncio.run(story(home, port, tmp_path))
    assert "Traceback" not in home.log.read_text()
