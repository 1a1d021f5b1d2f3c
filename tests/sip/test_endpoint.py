"""The demo's endpoint and pyVoIP against a real recorder process on loopback."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint, Refuse
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, TRUNK_HOST, Home, citizen, frames, make_desk, password, until

pytestmark = pytest.mark.slow


async def endpoint_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001", "8002"]))
    await home.start()
    answers = [Refuse(486), AutoAnswer(0.0, frames(2, 50))]
    seat = await Endpoint("127.0.0.1", on_invite=lambda _: answers.pop(0)).start()
    caller = await citizen()
    try:
        assert await seat.register(home.server, "8001", "wrong") == 403
        assert await seat.register(home.server, "8001", password("8001")) == 200
        assert await caller.options(home.server) == 200
        refused = await caller.call(home.server, "96510", caller="13871206358")
        assert not await asyncio.wait_for(refused.answered, LIMIT_S) and refused.status == 486
        call = await caller.call(home.server, "96510", frames(1, 50), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        assert await call.hold() == 200 and await call.unhold() == 200
        heard = seat.calls[0]
        await asyncio.gather(call.played, heard.played)
        await until("the last frame", lambda: call.heard_count == 50)
        assert call.heard_payload() == frames(2, 50)
        heard.hang_up()
        assert await asyncio.wait_for(call.ended, LIMIT_S) == "remote"
        assert await seat.unregister() == 200
        assert not home.board().seats[0].registered  # type: ignore[union-attr]  # it runs
    finally:
        await caller.close()
        await seat.close()
        home.stop()


def test_endpoint_registers_calls_holds_and_hears_every_frame(tmp_path: Path):
    asyncio.run(endpoint_story(tmp_path))


async def pyvoip_story(folder: Path) -> None:
    citizens = await Endpoint(TRUNK_HOST, on_invite=lambda _: AutoAnswer(0.1, frames(9, 25))).start()
    desk = make_desk(["8001"])
    desk = desk.model_copy(update={"trunks": (desk.trunks[0].model_copy(update={"port": citizens.port}),)})
    home = Home(folder, desk)
    await home.start()
    config = {
        "extension": "8001", "password": password("8001"), "server": "127.0.0.1", "port": home.port, "sip_port": own_port(),
        "answers": {"13871206358": "D01.agent.ul"},
    }  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    phone = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callqa.demo.phones", json.dumps(config), stdin=pipe, stdout=pipe
    )
    assert phone.stdin is not None and phone.stdout is not None
    try:
        await until("pyVoIP to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await citizens.call(home.server, "96510", frames(1, 25), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("its speech", lambda: call.heard_count > 10)
        call.hang_up()
        phone.stdin.write(json.dumps({"call": "13900001111", "play": "D01.agent.ul"}).encode() + b"\n")
        called = await asyncio.wait_for(citizens.incoming.get(), LIMIT_S)
        assert await asyncio.wait_for(called.answered, LIMIT_S)
        await until("its speech", lambda: called.heard_count > 10)
        called.hang_up()
        sidecars = await until("both sidecars", lambda: len(home.sidecars()) == 2 and home.sidecars())
        phone.stdin.write(b'{"stop": true}\n')
        await asyncio.wait_for(phone.wait(), LIMIT_S)
    finally:
        if phone.returncode is None:
            phone.kill()
            await phone.wait()
        await citizens.close()
        home.stop()
    assert [(s.direction, s.seat_extension, s.hangup_party) for s in sidecars] == [
        ("inbound", "8001", "citizen"),
        ("outbound", "8001", "citizen"),
    ]


def test_pyvoip_seat_answers_and_calls_out(tmp_path: Path):
    pytest.importorskip("pyVoIP")
    asyncio.run(pyvoip_story(tmp_path))
