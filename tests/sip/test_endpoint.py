"""The demo's endpoint and pyVoIP against a real recorder process on loopback."""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from callqa import demo
from callqa.demo.endpoint import AutoAnswer, Endpoint, Refuse
from callqa.sidecar import Sidecar
from callqa.sip.wire.auth import parse_challenge, parse_credentials
from callqa.sip.wire.headers import parse_name_addr
from callqa.sip.wire.sdp import parse_sdp
from tests.conftest import lack
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, TRUNK_HOST, Home, citizen, frames, make_desk, password, until
from tests.sip.test_sipp_stories import in_order
from tests.sip.wire import Loopback, Passed

pytestmark = pytest.mark.slow
SAID = "D01.agent.ul"
CALLS = Path(demo.__file__).parent / "calls"


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


async def pyvoip_story(folder: Path) -> tuple[Home, list[Passed], list[Sidecar], tuple[bytes, bytes]]:
    """pyVoIP registers, is called, calls out and goes. Gives the wire between it and the recorder, what was recorded, and what
    the citizen heard of it in each call."""
    port = own_port()
    wire = Loopback(port)
    citizens = await Endpoint(TRUNK_HOST, on_invite=lambda _: AutoAnswer(0.1, frames(9, 25))).start()
    desk = make_desk(["8001"])
    desk = desk.model_copy(update={"trunks": (desk.trunks[0].model_copy(update={"port": citizens.port}),)})
    home = Home(folder, desk)
    await home.start()
    config = {
        "extension": "8001", "password": password("8001"), "server": "127.0.0.1", "port": home.port, "sip_port": port,
        "answers": {"13871206358": SAID},
    }  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    phone = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callqa.demo.phones", json.dumps(config), stdin=pipe, stdout=pipe
    )
    assert phone.stdin is not None and phone.stdout is not None

    def answered_byes(n: int) -> bool:
        return len({p.message.call_id for p in wire.sip(home.server, port) if str(p) == "> 200 BYE"}) == n

    try:
        await until("pyVoIP to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await citizens.call(home.server, "96510", frames(1, 25), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("its speech", lambda: call.heard_count > 10)
        await call.played
        call.hang_up()
        await until("its answer to the BYE", lambda: answered_byes(1))
        phone.stdin.write(json.dumps({"call": "13900001111", "play": SAID}).encode() + b"\n")
        called = await asyncio.wait_for(citizens.incoming.get(), LIMIT_S)
        assert await asyncio.wait_for(called.answered, LIMIT_S)
        await until("its speech", lambda: called.heard_count > 10)
        await called.played
        called.hang_up()
        await until("its answer to the BYE", lambda: answered_byes(2))
        await until("both sidecars", lambda: len(home.sidecars()) == 2)
        phone.stdin.write(b'{"stop": true}\n')
        await asyncio.wait_for(phone.wait(), LIMIT_S)
        await until("it to be gone", lambda: not home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
    finally:
        if phone.returncode is None:
            phone.kill()
            await phone.wait()
        wire.close()
        await citizens.close()
        home.stop()
    return home, wire.sip(home.server, port), home.sidecars(), (call.heard_payload(), called.heard_payload())


def test_pyvoip_seat_answers_and_calls_out(tmp_path: Path):
    if importlib.util.find_spec("pyVoIP") is None:
        lack("pyVoIP")
    home, wire, sidecars, heard = asyncio.run(pyvoip_story(tmp_path))
    assert [(s.direction, s.seat_extension, s.hangup_party) for s in sidecars] == [
        ("inbound", "8001", "citizen"),
        ("outbound", "8001", "citizen"),
    ]
    assert in_order(
        [str(p) for p in wire], "> REGISTER", "< 401 REGISTER", "> REGISTER", "< 200 REGISTER",
        "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE",
        "> INVITE", "< 401 INVITE", "> ACK", "> INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE",
        "> REGISTER", "< 401 REGISTER", "> REGISTER", "< 200 REGISTER",
    )  # fmt: skip
    for method in ("REGISTER", "INVITE"):
        nonces = [parse_challenge(v).nonce for v in fields(wire, f"< 401 {method}", "WWW-Authenticate")]
        given = [parse_credentials(v) for v in fields(wire, f"> {method}", "Authorization")]
        assert given and {(c.user, c.nonce in nonces) for c in given} == {("8001", True)}
    calls = {p.message.call_id: [] for p in wire if str(p) == "> 200 BYE"}
    assert len(calls) == 2
    for p in wire:
        calls.get(p.message.call_id, []).append(p)
    for story in calls.values():
        accepted = next(p.message for p in story if str(p).endswith("200 INVITE"))
        assert parse_sdp(accepted.body).voice[0] == (0, "PCMU/8000")
        assert {tags(p) for p in story if str(p) == "< BYE"} == {tags(Passed(0.0, True, accepted))}, "the same dialog"
    said = (CALLS / SAID).read_bytes()
    for sidecar, told, payload in zip(sidecars, heard, (frames(1, 25), frames(9, 25)), strict=True):
        assert sidecar.recording is not None
        data = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        audio = data[data.index(b"data") + 8 :]
        spoken = [told[k : k + 160] for k in range(0, len(told), 160)]
        assert payload in audio[0::2] and all(frame in audio[1::2] for frame in spoken[2:-5])
        assert sum(frame in said for frame in spoken) > 10, "it is the file that it was to play"


def fields(wire: list[Passed], what: str, name: str) -> list[str]:
    """One header of every message of that description, where it has it."""
    return [v for p in wire if str(p) == what for v in p.message.headers.all(name)]


def tags(passed: Passed) -> frozenset[str | None]:
    """Of both sides."""
    headers = passed.message.headers
    return frozenset(parse_name_addr(headers.first(name) or "").param("tag") for name in ("From", "To"))
