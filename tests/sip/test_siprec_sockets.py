"""A recording session over real sockets: SIPp is the client's signalling, we send its two streams, the files are judged."""

import asyncio
import re
import socket
import time
from pathlib import Path

import pytest

from callqa.sidecar import Sidecar
from callqa.sip.media.rtp import RtpPacket, build_rtp
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import TRUNK_HOST, Home, frames, make_desk, until
from tests.sip.test_sipp_stories import Sipp, in_order
from tests.sip.wire import Tap

pytestmark = pytest.mark.slow

FRAME_BYTES = 160
HEADER_BYTES = 58  # of a G.711 WAV: RIFF, fmt of 18 bytes, fact, data


@pytest.fixture(autouse=True)
def sipp() -> str:
    return need_tool("sipp")


class Voice:
    """One stream: 20-ms frames, each different from every other, as long as it is told to speak."""

    def __init__(self, seed: int) -> None:
        self.audio = frames(seed, 3000)
        self.ssrc = seed
        self.sent = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((TRUNK_HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.to: tuple[str, int] = ("", 0)

    def say(self, tick: int) -> None:
        """The frame of this moment: the clock of the stream runs on while it is silent."""
        k = self.sent
        payload = self.audio[k * FRAME_BYTES : (k + 1) * FRAME_BYTES]
        packet = RtpPacket(8, k == 0, 7000 + k, (90_000 + tick * FRAME_BYTES) & 0xFFFF_FFFF, self.ssrc, payload)
        self.socket.sendto(build_rtp(packet), self.to)
        self.sent += 1


async def story(folder: Path) -> tuple[Sidecar, bytes, list[Voice], Tap]:
    home = Home(folder, make_desk(["8001", "8002"]))
    await home.start()
    tap = await Tap(TRUNK_HOST, home.server).open()
    voices = [Voice(1), Voice(2)]
    keys = ("-key", "citizen_port", str(voices[0].port), "-key", "agent_port", str(voices[1].port))
    try:
        client = Sipp("recording_client", tap.address, folder, TRUNK_HOST, own_port(), *keys)
        await client.start()
        await until("the answer", lambda: tap.story().count("< 200 INVITE") == 1)
        ports = re.findall(rb"(?m)^m=audio (\d+)", tap.sdp("< 200 INVITE"))
        for voice, port in zip(voices, ports, strict=True):
            voice.to = ("127.0.0.1", int(port))
        speaking = asyncio.create_task(speak(voices, tap))
        await client.succeed()
        await speaking
        (sidecar,) = await until("the sidecar", home.sidecars)
    finally:
        tap.close()
        home.stop()
        for voice in voices:
            voice.socket.close()
    assert sidecar.recording is not None
    return sidecar, (home.settings.recordings_dir / sidecar.recording.path).read_bytes(), voices, tap


async def speak(voices: list[Voice], tap: Tap) -> None:
    """Both speak but while the session is inactive, until it is over."""
    begun = time.monotonic()
    tick = 0
    while "> BYE" not in tap.story():
        answers = tap.story().count("< 200 INVITE")
        if answers != 2 and not (answers == 1 and tap.story().count("> INVITE") == 2):
            for voice in voices:
                voice.say(tick)
        tick += 1
        await asyncio.sleep(max(0.0, begun + tick * 0.02 - time.monotonic()))


def test_a_recording_session_with_update_and_pause(tmp_path: Path):
    sidecar, wav, voices, tap = asyncio.run(story(tmp_path))
    assert in_order(tap.story(), "> INVITE", "< 200 INVITE", "> ACK", "> UPDATE", "< 200 UPDATE", "> BYE", "< 200 BYE")
    assert b"a=inactive" in tap.sdp("< 200 INVITE", 1)
    assert b"a=recvonly" in tap.sdp("< 200 INVITE", 2)
    assert (sidecar.mode, sidecar.direction, sidecar.hangup_party) == ("siprec", "inbound", None)
    assert (sidecar.from_number, sidecar.seat_extension) == ("13871206358", "8001")
    assert [(p.name, p.address, p.channel) for p in sidecar.parties] == [
        ("王先生", "tel:+8613871206358", 0),
        ("张三", "sip:8001@pbx.example", 1),
    ]
    assert {(g.channel, g.kind) for g in sidecar.gaps if g.kind != "no_media"} == {(0, "paused"), (1, "paused")}
    assert sidecar.faults == ()
    assert sidecar.recording is not None
    assert (sidecar.recording.channels, sidecar.recording.encoding) == (2, "alaw")
    for channel, voice in enumerate(voices):
        column = wav[HEADER_BYTES:][channel::2]
        places = [column.find(voice.audio[k * FRAME_BYTES : (k + 1) * FRAME_BYTES]) for k in range(voice.sent)]
        assert voice.sent > 40
        assert -1 not in places
        assert places == sorted(places)
        assert sidecar.streams[channel].packets == voice.sent
        assert sidecar.streams[channel].lost == 0
