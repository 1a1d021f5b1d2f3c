"""One call with linphone (console) as the seat phone: it registers, answers by itself, pauses, resumes and is hung up on."""

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from callqa.audiofile import read_audio
from callqa.demo.endpoint import AutoAnswer
from callqa.desk import DeskTrunk
from callqa.sidecar import Sidecar
from callqa.sip.media.codec import codec_named
from callqa.sip.wire.sdp import MediaDirection, parse_sdp
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, TRUNK_HOST, Home, citizen, frames, make_desk, password, until
from tests.sip.test_sipp_stories import in_order
from tests.sip.wire import Passed, linphone_trace

pytestmark = pytest.mark.slow

CITIZEN_HZ, EXPERT_HZ = 600, 1000
TALK_FRAMES = 3000  # a minute: both are hung up before
LOUD = 500.0  # of 8,000 that were sent; what is not there measures below 50
ULAW = codec_named("PCMU/8000")
assert ULAW is not None

ACCOUNT = """[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
use_ipv6=0
guess_hostname=0
contact=<sip:8001@127.0.0.1:{port}>
default_proxy=0

[rtp]
audio_rtp_port={rtp}

[proxy_0]
reg_proxy=<sip:{host}:{server}>
reg_identity=sip:8001@{host}
reg_expires=120
reg_sendregister=1
publish=0

[auth_info_0]
username=8001
passwd={password}
realm=callqa
"""


class Linphone:
    """The program on pipes: commands go in line by line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = need_tool("linphonec")

    async def start(self, server: tuple[str, int]) -> "Linphone":
        (self.folder / ".local/share/linphone").mkdir(parents=True)  # without it the core does not start at all
        self._write_speech(self.folder / "seat.wav")
        text = ACCOUNT.format(
            port=own_port(), rtp=own_port(), host=server[0], server=server[1], password=password("8001")
        )
        (self.folder / "rc").write_text(text)
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.program, "-c", str(self.folder / "rc"), "-a", "-d", "6", "-l", str(self.folder / "trace"),
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
        await self.type("soundcard use files")
        await self.type(f"play {self.folder / 'seat.wav'}")
        return self

    def _write_speech(self, path: Path) -> None:
        with wave.open(str(path), "wb") as f:
            f.setnchannels(1)
            f.setsampwidth(2)
            f.setframerate(8000)
            f.writeframes(b"".join((8000 if n // 40 % 2 else -8000).to_bytes(2, "little", signed=True) for n in range(32_000)))  # fmt: skip

    async def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    def says(self, text: str) -> bool:
        """Whether it has printed this so far."""
        return text in (self.folder / "log").read_text(errors="replace")

    def trace(self, recorder: tuple[str, int]) -> list[Passed]:
        """What passed between it and the recorder, from its own log."""
        return linphone_trace((self.folder / "trace").read_bytes(), recorder)

    async def stop(self) -> None:
        if self.process.returncode is None:
            await self.type("quit")
            try:
                await asyncio.wait_for(self.process.wait(), LIMIT_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


async def story(folder: Path) -> list[Passed]:
    phone = Linphone(folder / "linphone")  # asks for the program before anything is started
    home = Home(folder, make_desk(["8001"]))
    await home.start()
    caller = await citizen()
    try:
        await phone.start(home.server)
        await until("linphone to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await caller.call(home.server, "96510", frames(1, 120), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("speech of the phone", lambda: call.heard_count > 20)
        await phone.type("pause")
        await until("the hold", lambda: home.board().calls[0].state == "held")  # type: ignore[union-attr]
        await until("the phone to know it", lambda: phone.says("is now paused"))
        await phone.type("resume")
        await until("the end of the hold", lambda: home.board().calls[0].state == "talking")  # type: ignore[union-attr]
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await until("the answer to BYE", lambda: "> 200 BYE" in [str(p) for p in phone.trace(home.server)])
    finally:
        await phone.stop()
        await caller.close()
        home.stop()
    assert (sidecar.seat_extension, sidecar.hangup_party) == ("8001", "citizen")
    assert {s.channel for s in sidecar.streams if s.packets > 20} == {0, 1}
    assert any(g.kind == "held" for g in sidecar.gaps)
    return phone.trace(home.server)


def test_linphone_seat_answers_pauses_and_is_recorded(tmp_path: Path) -> None:
    wire = asyncio.run(story(tmp_path))
    assert in_order(
        [str(p) for p in wire], "> REGISTER", "< 401 REGISTER", "> REGISTER", "< 200 REGISTER", "< INVITE", "> 200 INVITE", "< ACK",
        "> INVITE", "< 200 INVITE", "> ACK", "> INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE",
    )  # fmt: skip
    held, resumed = [parse_sdp(p.message.body) for p in wire if str(p) == "< 200 INVITE"]
    assert held.direction in (MediaDirection.RECVONLY, MediaDirection.INACTIVE)
    assert resumed.direction is MediaDirection.SENDRECV


async def conference(folder: Path) -> tuple[list[Sidecar], Path]:
    """A citizen on the line, an expert asked beside him, and both put together by the phone, which mixes them."""
    phone = Linphone(folder / "linphone")
    caller = await citizen()
    caller.on_invite = lambda _: AutoAnswer(0.05, tone(EXPERT_HZ, TALK_FRAMES), "PCMU")
    trunk = DeskTrunk(name="loop", addresses=(TRUNK_HOST,), host=TRUNK_HOST, port=caller.port)
    home = Home(folder, make_desk(["8001"]).model_copy(update={"trunks": (trunk,)}))
    await home.start()
    try:
        await phone.start(home.server)
        await until("linphone to register", lambda: home.board().seats[0].registered)  # type: ignore[union-attr]  # it runs
        call = await caller.call(home.server, "96510", tone(CITIZEN_HZ, TALK_FRAMES), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await until("speech of the phone", lambda: call.heard_count > 10)
        await phone.type("pause")
        await until("the citizen on hold", lambda: phone.says("is now paused"))
        await phone.type(f"call sip:13900000001@{home.server[0]}:{home.server[1]}")
        await until("the expert", lambda: len(caller.calls) == 2 and caller.calls[1].heard_count > 10)
        await phone.type("conference add 1")
        await phone.type("conference add 2")
        await until("the citizen to hear the expert", lambda: level_hz(call.heard_payload()[-4000:], EXPERT_HZ) > LOUD)
        heard = call.heard_count
        await until("half a second of it", lambda: call.heard_count > heard + 25)
        call.hang_up()
        caller.calls[1].hang_up()
        await until("both recordings", lambda: len(home.sidecars()) == 2)
    finally:
        await phone.stop()
        await caller.close()
        home.stop()
    return home.sidecars(), home.settings.recordings_dir


def test_a_conference_that_the_phone_mixes_is_one_recording_with_all_three(tmp_path: Path) -> None:
    (first, second), recordings = asyncio.run(conference(tmp_path))
    assert (first.direction, second.direction) == ("inbound", "outbound")
    assert first.recording is not None
    samples = read_audio(recordings / first.recording.path).samples
    last = samples[-3200:].astype(np.float64)
    assert level(last[:, 0], CITIZEN_HZ) > LOUD and level(last[:, 0], EXPERT_HZ) < LOUD, "left: the citizen alone"
    assert level(last[:, 1], EXPERT_HZ) > LOUD, "right: the agent's side, with the third one in it"
    assert second.call_id in first.related and first.call_id in second.related


def tone(hz: int, n_frames: int) -> bytes:
    """n_frames of 160 bytes of \u00b5-law."""
    t = np.arange(160 * n_frames) / 8000
    return ULAW.encode((8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16))


def level(samples: NDArray[np.float64], hz: int) -> float:
    """Amplitude of one frequency, in 16-bit steps."""
    t = np.arange(len(samples)) / 8000
    return float(2 * abs(np.dot(samples, np.exp(-2j * np.pi * hz * t))) / max(1, len(samples)))


def level_hz(payload: bytes, hz: int) -> float:
    return level(ULAW.decode(payload).astype(np.float64), hz)
