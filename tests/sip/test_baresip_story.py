"""One call with baresip as the seat phone: it registers, answers by itself, holds, comes back and is hung up on."""

import asyncio
import wave
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer
from callqa.sip.wire.sdp import MediaDirection, parse_sdp
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, password, until
from tests.recorder.harness import phone as seat_phone
from tests.sip.test_sipp_stories import in_order
from tests.sip.wire import Passed, baresip_trace

pytestmark = pytest.mark.slow

MODULES = next(
    (str(p) for p in (Path("/usr/lib/baresip/modules"), Path("/usr/lib64/baresip/modules")) if p.exists()), ""
)


@pytest.fixture(autouse=True)
def baresip() -> str:
    """Ask for the program before anything is started, so that its absence leaves nothing running."""
    return need_tool("baresip")


def write_config(folder: Path, server: tuple[str, int], port: int, control: int) -> None:
    """A phone without a sound card: it plays a file and writes what it hears nowhere."""
    with wave.open(str(folder / "seat.wav"), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(8000)
        f.writeframes(
            b"".join((8000 if n // 40 % 2 else -8000).to_bytes(2, "little", signed=True) for n in range(8000 * 4))
        )
    lines = [
        f"sip_listen 127.0.0.1:{port}", "net_interface 127.0.0.1", "audio_player aubridge,nowhere", f"audio_source aufile,{folder}/seat.wav",
        "audio_alert aubridge,nowhere", f"module_path {MODULES}",
        *(f"module {m}.so" for m in ("g711", "aufile", "aubridge")), "module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so",
        f"ctrl_tcp_listen 127.0.0.1:{control}",
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(lines) + "\n")
    account = f"<sip:8001@{server[0]}:{server[1]}>;auth_user=8001;auth_pass={password('8001')};answermode=auto;audio_codecs=PCMU/8000/1;regint=120"
    (folder / "accounts").write_text(account + "\n")


async def command(port: int, name: str, params: str = "") -> None:
    """Type a command at the phone (a netstring with JSON)."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    text = f'{{"command":"{name}","params":"{params}","token":"t"}}'
    writer.write(f"{len(text)}:{text},".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def start_baresip(folder: Path, home: Home) -> tuple[asyncio.subprocess.Process, Path, int]:
    """The phone of 8001, what it says, and the port it takes commands at."""
    phone_folder, log_path = folder / "baresip", folder / "baresip.log"
    phone_folder.mkdir()
    control = own_port()
    write_config(phone_folder, home.server, own_port(), control)
    with log_path.open("wb") as log:
        phone = await asyncio.create_subprocess_exec(
            need_tool("baresip"), "-4", "-s", "-f", str(phone_folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )  # fmt: skip
    return phone, log_path, control


async def story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001"]))
    await home.start()
    caller = await citizen()
    phone, log_path, control = await start_baresip(folder, home)

    def passed() -> list[Passed]:
        return baresip_trace(log_path.read_bytes(), home.server)

    try:
        await until("baresip to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await caller.call(home.server, "96510", frames(1, 120), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("speech of the phone", lambda: call.heard_count > 20)
        await command(control, "hold")
        await until("the hold", lambda: home.board().calls[0].state == "held")  # type: ignore[union-attr]
        await command(control, "resume")
        await until("the end of the hold", lambda: home.board().calls[0].state == "talking")  # type: ignore[union-attr]
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await until("the answer to BYE", lambda: "> 200 BYE" in [str(p) for p in passed()])
    finally:
        if phone.returncode is None:
            phone.terminate()
        await phone.wait()
        await caller.close()
        home.stop()
    wire = passed()
    assert in_order(
        [str(p) for p in wire], "> REGISTER", "< 401 REGISTER", "> REGISTER", "< 200 REGISTER", "< INVITE", "> 200 INVITE", "< ACK",
        "> INVITE", "< 200 INVITE", "> ACK", "> INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE",
    )  # fmt: skip
    bodies = {
        what: [parse_sdp(p.message.body) for p in wire if str(p) == what]
        for what in ("< INVITE", "> 200 INVITE", "< 200 INVITE")
    }
    assert bodies["< INVITE"][0].host == "127.0.0.1" and bodies["> 200 INVITE"][0].voice[0] == (0, "PCMU/8000")
    held, resumed = bodies["< 200 INVITE"]
    assert (
        held.direction in (MediaDirection.RECVONLY, MediaDirection.INACTIVE)
        and resumed.direction is MediaDirection.SENDRECV
    )
    assert (sidecar.seat_extension, sidecar.hangup_party) == ("8001", "citizen")
    assert {s.channel: s.codec for s in sidecar.streams} == {0: "PCMU", 1: "PCMU"}


def test_baresip_seat_answers_holds_and_is_recorded(tmp_path: Path):
    asyncio.run(story(tmp_path))


async def transfer_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001", "8002"]))
    await home.start()
    caller = await citizen()
    phone, log_path, control = await start_baresip(folder, home)
    try:
        await until("baresip to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]
        call = await caller.call(home.server, "96510", frames(1, 300), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        colleague = await seat_phone(home, "8002", AutoAnswer(0.3, frames(2, 50), "PCMU"))
        await until("speech of the phone", lambda: call.heard_count > 20)
        await command(control, "transfer", f"sip:8002@{home.server[0]}:{home.server[1]}")
        await asyncio.wait_for(colleague.incoming.get(), LIMIT_S)
        await until("all of the colleague", lambda: frames(2, 50)[-160:] in call.heard_payload())
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await until(
            "its own end", lambda: "BYE" in " ".join(str(p) for p in baresip_trace(log_path.read_bytes(), home.server))
        )
        await colleague.close()
    finally:
        if phone.returncode is None:
            phone.terminate()
        await phone.wait()
        await caller.close()
        home.stop()
    wire = [str(p) for p in baresip_trace(log_path.read_bytes(), home.server)]
    assert in_order(wire, "< INVITE", "> 200 INVITE", "> REFER", "< 202 REFER", "< NOTIFY", "> 200 NOTIFY"), wire
    assert [(t.kind, t.to, t.by) for t in sidecar.transfers] == [("blind", "8002", "8001")]
    master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    right = master[master.index(b"data") + 8 :][1::2]
    assert frames(2, 50) in right and len(right[: right.index(frames(2, 50))].replace(b"\xff", b"")) > 160 * 20


def test_baresip_seat_transfers_its_citizen(tmp_path: Path):
    asyncio.run(transfer_story(tmp_path))
