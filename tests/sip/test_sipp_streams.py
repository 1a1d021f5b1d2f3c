"""SIPp over TCP as the trunk: hold and resume on one connection of a real recorder."""

import asyncio
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer
from tests.recorder.harness import TRUNK_HOST, Home, frames, free_udp_port, make_desk, phone, until
from tests.sip.test_sipp_stories import Sipp
from tests.sip.test_stream_sockets import free_tcp_port

pytestmark = pytest.mark.slow


async def story(home: Home, port: int, folder: Path) -> None:
    await home.start()
    seat = await phone(home, "8001", AutoAnswer(0.1, frames(2, 200)))
    try:
        more = ("-s", "96510", "-t", "t1")
        sipp = Sipp("citizen_holds", ("127.0.0.1", port), folder, TRUNK_HOST, free_udp_port(TRUNK_HOST), *more)
        await (await sipp.start()).succeed()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await asyncio.wait_for(seat.calls[0].ended, 5)
    finally:
        await seat.close()
        home.stop()
    assert (sidecar.seat_extension, sidecar.hangup_party) == ("8001", "citizen")
    assert any(g.kind == "held" for g in sidecar.gaps)


def test_hold_and_resume_over_tcp(tmp_path: Path) -> None:
    port = free_tcp_port()
    home = Home(tmp_path, make_desk(["8001"]), tcp_port=port)
    asyncio.run(story(home, port, tmp_path))
    assert "Traceback" not in home.log.read_text()
