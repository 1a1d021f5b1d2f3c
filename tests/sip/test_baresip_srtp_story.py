"""baresip as an encrypted seat phone on an otherwise plain call: what is recorded is what was said, what is on its wire is not."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from callqa.sip.media.codec import PCMU
from callqa.sip.wire.sdp import parse_sdp
from tests.conftest import lack, need_tool
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, until
from tests.sip.test_baresip_story import MODULES, command, write_config
from tests.sip.wire import Loopback, baresip_trace

pytestmark = pytest.mark.slow
TONE_HZ = 100


@pytest.fixture(autouse=True)
def baresip() -> str:
    """Ask for the program before anything is started, so that its absence leaves nothing running."""
    if not (Path(MODULES) / "srtp.so").exists():
        lack("baresip with its SRTP module")
    return need_tool("baresip")


def secure_config(folder: Path, server: tuple[str, int], control: int, mode: str) -> None:
    write_config(folder, server, own_port(), control)
    config = (folder / "config").read_text()
    (folder / "config").write_text(config.replace("module g711.so", "module g711.so\nmodule srtp.so"))
    account = (folder / "accounts").read_text().strip()
    (folder / "accounts").write_text(f"{account};mediaenc={mode}\n")


async def story(folder: Path, mode: str, seat_encryption: str) -> None:
    tap = Loopback()
    home = Home(folder, make_desk(["8001"], seat_encryption=seat_encryption))
    await home.start()
    caller = await citizen()
    phone_folder, log_path = folder / "baresip", folder / "baresip.log"
    phone_folder.mkdir()
    control = own_port()
    secure_config(phone_folder, home.server, control, mode)
    with log_path.open("wb") as log:
        phone = await asyncio.create_subprocess_exec(
            need_tool("baresip"), "-4", "-s", "-f", str(phone_folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )  # fmt: skip
    said = frames(1, 150)
    try:
        await until("baresip to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await caller.call(home.server, "96510", said, caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("speech of the phone", lambda: call.heard_count > 40)
        await command(control, "hold")
        await until("the hold", lambda: home.board().calls[0].state == "held")  # type: ignore[union-attr]
        await command(control, "resume")
        await until("the end of the hold", lambda: home.board().calls[0].state == "talking")  # type: ignore[union-attr]
        before = call.heard_count
        await until("speech after the hold", lambda: call.heard_count > before + 40)
        await call.played
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
    finally:
        if phone.returncode is None:
            phone.terminate()
        await phone.wait()
        await caller.close()
        home.stop()
        tap.close()
    bodies = [parse_sdp(p.message.body) for p in baresip_trace(log_path.read_bytes(), home.server) if p.message.body]
    assert all(session.crypto for session in bodies), "every offer and answer of this leg has keys"
    master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()  # type: ignore[union-attr]
    audio = np.frombuffer(master[master.index(b"data") + 8 :], np.uint8)
    citizen_side, agent_side = audio[0::2].tobytes(), audio[1::2].tobytes()
    assert said in citizen_side and not sidecar.faults
    heard = b"".join(f.payload for f in call.heard)
    assert all(f.payload in agent_side for f in call.heard[5:-5]), "what the citizen heard is what is recorded"
    wave_heard = PCMU.decode(heard[160 * 10 : 160 * 40]).astype(float)
    spectrum = np.abs(np.fft.rfft(wave_heard))
    assert abs(int(spectrum.argmax()) * 8000 / wave_heard.size - TONE_HZ) < 10, "the phone's square wave"
    port = bodies[0].port
    wire = tap.rtp(port)
    assert len(wire) > 100
    words = said + heard
    assert not any(data[12:172] in words for data in wire), "a frame went over the phone's wire in the clear"
    assert sum(len(data) == 12 + 160 + 10 for data in wire) > 100


@pytest.mark.parametrize(("mode", "seat_encryption"), [("srtp", "optional"), ("srtp-mand", "required")])
def test_an_encrypted_baresip_seat_is_recorded(tmp_path: Path, mode: str, seat_encryption: str):
    asyncio.run(story(tmp_path, mode, seat_encryption))
