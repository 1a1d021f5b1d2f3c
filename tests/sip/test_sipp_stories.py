"""Call stories with SIPp on loopback: a real recorder process in the middle, a tap on the wire that sees every message."""

import asyncio
import contextlib
import socket
from pathlib import Path

import numpy as np
import pytest

from callqa.demo.endpoint import AutoAnswer, Policy, Refuse, RingForever
from callqa.sip.media.codec import PCMA
from callqa.sip.media.rtp import parse_rtp
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdp import MediaDirection, parse_sdp
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import TRUNK_HOST, Home, citizen, frames, make_desk, password, phone, until
from tests.sip.wire import Tap

SCENARIOS = Path(__file__).parent / "scenarios"
LIMIT_S = 60

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def sipp() -> str:
    """Ask for the program before anything is started, so that its absence leaves nothing running."""
    return need_tool("sipp")


class Sipp:
    """One SIPp process with one scenario and one call."""

    def __init__(self, scenario: str, server: tuple[str, int], folder: Path, host: str, port: int, *more: str) -> None:
        self.command = [
            need_tool("sipp"), f"{server[0]}:{server[1]}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", "1", "-nostdin",
            "-i", host, "-p", str(port), "-mi", host, "-mp", str(own_port()), "-timeout", f"{LIMIT_S}s", "-timeout_error",
            "-trace_err", "-error_file", str(folder / f"{scenario}.err"), *more,
        ]  # fmt: skip
        self.error_file = folder / f"{scenario}.err"
        self.folder = folder

    async def start(self) -> "Sipp":
        self.process = await asyncio.create_subprocess_exec(
            *self.command, cwd=self.folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        return self

    async def succeed(self) -> None:
        """Wait for its end; the scenario must have gone through."""
        try:
            status = await asyncio.wait_for(self.process.wait(), LIMIT_S + 5)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
        errors = self.error_file.read_text(errors="replace") if self.error_file.exists() else ""
        assert status == 0, errors[-2000:]


def in_order(story: list[str], *wanted: str) -> bool:
    """Whether the wanted messages occur in this order, others may stand between."""
    rest = iter(story)
    return all(any(s == w for s in rest) for w in wanted)


async def hold_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001"]))
    await home.start()
    tap = await Tap(TRUNK_HOST, home.server).open()
    seat = await phone(home, "8001", AutoAnswer(0.1, frames(2, 200)))
    try:
        sipp = await Sipp("citizen_holds", tap.address, folder, TRUNK_HOST, own_port(), "-s", "96510").start()
        await sipp.succeed()
        (sidecar,) = await until("the sidecar", home.sidecars)
        call = seat.calls[0]
        await asyncio.wait_for(call.ended, LIMIT_S)
    finally:
        await seat.close()
        tap.close()
        home.stop()
    assert in_order(
        tap.story(),
        "> INVITE",
        "< 100 INVITE",
        "< 180 INVITE",
        "< 200 INVITE",
        "> ACK",
        "> INVITE",
        "< 200 INVITE",
        "> ACK",
        "> BYE",
        "< 200 BYE",
    )
    first, held, resumed = (parse_sdp(tap.sdp("< 200 INVITE", n)) for n in range(3))
    assert first.codecs == ((0, "PCMU/8000"), (101, "telephone-event/8000")), (
        "the phone answered PCMU, so the citizen gets PCMU"
    )
    assert first.host == "127.0.0.1" and held.port == resumed.port == first.port
    assert (held.direction, resumed.direction) == (MediaDirection.RECVONLY, MediaDirection.SENDRECV)
    assert (sidecar.ticket_hint, sidecar.seat_extension, sidecar.hangup_party) == ("SW202611060031", "8001", "citizen")
    assert call.request is not None and call.request.headers.first("X-Ticket-Id") == "SW202611060031"
    assert any(g.kind == "held" for g in sidecar.gaps)


def test_sipp_citizen_calls_holds_and_hangs_up(tmp_path: Path):
    asyncio.run(hold_story(tmp_path))


async def give_up_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001", "8002"]))
    await home.start()
    tap = await Tap(TRUNK_HOST, home.server).open()
    seats = [await phone(home, e, RingForever()) for e in ("8001", "8002")]  # type: ignore[arg-type]  # any policy
    try:
        sipp = await Sipp("citizen_gives_up", tap.address, folder, TRUNK_HOST, own_port(), "-s", "96510").start()
        await sipp.succeed()
        assert [await asyncio.wait_for(s.calls[0].ended, LIMIT_S) for s in seats] == ["cancelled", "cancelled"]
        (abandoned,) = await until("the journal", lambda: home.journal("call_abandoned"))
    finally:
        for seat in seats:
            await seat.close()
        tap.close()
        home.stop()
    assert in_order(tap.story(), "> INVITE", "< 180 INVITE", "> CANCEL", "< 200 CANCEL", "< 487 INVITE", "> ACK")
    assert abandoned.facts["from_number"] == "13871206358" and not home.sidecars()


def test_sipp_citizen_gives_up_while_it_rings(tmp_path: Path):
    asyncio.run(give_up_story(tmp_path))


async def waiting_story(folder: Path) -> None:
    made = make_desk(["8001"])
    home = Home(folder, made.model_copy(update={"routing": made.routing.model_copy(update={"queue_most": 3})}))
    await home.start()
    tap = await Tap(TRUNK_HOST, home.server).open()
    seat = await phone(home, "8001", AutoAnswer(0.0, frames(3, 100), "PCMA"))
    first = await citizen()
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.setblocking(False)
    heard.bind((TRUNK_HOST, 0))
    try:
        talking = await first.call(home.server, "96510", b"", "PCMA")
        assert await talking.answered
        sipp = await Sipp(
            "citizen_waits", tap.address, folder, TRUNK_HOST, own_port(), "-s", "96510",
            "-key", "heard_at", str(heard.getsockname()[1]),
        ).start()  # fmt: skip
        packets: list[bytes] = []
        await until("two seconds of music", lambda: packets.extend(waiting(heard)) or len(packets) > 200)
        talking.hang_up()
        await sipp.succeed()
        sidecar = await until(
            "the sidecar", lambda: next((s for s in home.sidecars() if s.from_number == "13871206359"), None)
        )
    finally:
        heard.close()
        for endpoint in (seat, first):
            await endpoint.close()
        tap.close()
        home.stop()
    story = tap.story()
    assert in_order(
        story, "> INVITE", "< 183 INVITE", "> PRACK", "< 200 PRACK", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE"
    )
    early = [p.message for p in tap.passed if str(p) == "< 183 INVITE"]  # sent again until SIPp's PRACK comes
    assert len({m.headers.first("RSeq") for m in early}) == 1 and "< 180 INVITE" not in story
    offered, final = (parse_sdp(tap.sdp(m)) for m in ("< 183 INVITE", "< 200 INVITE"))
    assert offered == final and offered.voice == ((8, "PCMA/8000"),)
    played = [parse_rtp(p) for p in packets]
    assert {p.payload_type for p in played} == {8} and {len(p.payload) for p in played} == {160}
    loud = np.abs(PCMA.decode(b"".join(p.payload for p in played)).astype(int))
    assert loud.mean() > 100 and sidecar.queued_ms > 3000 and sidecar.hangup_party == "citizen"


def waiting(heard: socket.socket) -> list[bytes]:
    """Datagrams that wait at a socket."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(heard.recv(2048))
    return found


def test_sipp_citizen_waits_with_music_and_is_put_through(tmp_path: Path):
    asyncio.run(waiting_story(tmp_path))


async def seat_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001"]))
    await home.start()
    tap = await Tap("127.0.0.1", home.server).open()
    port = own_port()
    caller = await citizen()
    try:
        register = await Sipp(
            "register", tap.address, folder, "127.0.0.1", port, "-s", "8001", "-au", "8001", "-ap", password("8001")
        ).start()
        await register.succeed()
        seat = await Sipp("seat_answers", tap.address, folder, "127.0.0.1", port).start()
        lost: list[str] = []

        def drop(passed: object) -> bool:
            """The first ACK for the phone and the first INVITE are lost on the way."""
            if str(passed) in ("< ACK", "< INVITE") and str(passed) not in lost:
                lost.append(str(passed))
                return True
            return False

        tap.drop = drop
        call = await caller.call(home.server, "96510", frames(1, 60), caller="13871206358")
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await call.played
        await until("the phone's ACK", lambda: "< ACK" in tap.story())
        call.hang_up()
        await seat.succeed()
        (sidecar,) = await until("the sidecar", home.sidecars)
    finally:
        await caller.close()
        tap.close()
        home.stop()
    assert in_order(
        tap.story(),
        "> REGISTER",
        "< 401 REGISTER",
        "> REGISTER",
        "< 200 REGISTER",
        "< INVITE",
        "> 180 INVITE",
        "> 200 INVITE",
        "< ACK",
        "< BYE",
        "> 200 BYE",
    )
    assert lost == ["< INVITE", "< ACK"] and tap.story().count("> 200 INVITE") >= 2, "what was lost came again"
    assert len({p.message.headers.first("Call-ID") for p in tap.passed if str(p) == "< INVITE"}) == 1
    assert (sidecar.seat_extension, sidecar.hangup_party) == ("8001", "citizen")


def test_sipp_phone_registers_and_answers_though_messages_are_lost(tmp_path: Path):
    asyncio.run(seat_story(tmp_path))


async def transfer_story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001", "8002"]))
    await home.start()
    tap = await Tap("127.0.0.1", home.server).open()
    port = own_port()
    caller = await citizen()
    try:
        account = ("-s", "8001", "-au", "8001", "-ap", password("8001"))
        await (await Sipp("register", tap.address, folder, "127.0.0.1", port, *account).start()).succeed()
        seat = await Sipp("seat_transfers", tap.address, folder, "127.0.0.1", port).start()
        # His phone is there from the start, and busy while the hotline rings: SIPp transfers soon after it answered.
        refused: list[Request] = []

        def busy_once(request: Request) -> Policy:
            if refused:
                return AutoAnswer(0.4, frames(2, 40), "PCMU")
            refused.append(request)
            return Refuse(486)

        colleague = await phone(home, "8002", Refuse(486))
        colleague.on_invite = busy_once
        call = await caller.call(home.server, "96510", frames(1, 200), caller="13871206358")
        await until("the colleague to be rung", lambda: refused)
        assert await asyncio.wait_for(call.answered, LIMIT_S)
        await seat.succeed()
        await until("all of the colleague", lambda: frames(2, 40)[-160:] in call.heard_payload())
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        await colleague.close()
    finally:
        await caller.close()
        tap.close()
        home.stop()
    assert in_order(
        tap.story(), "< INVITE", "> 200 INVITE", "< ACK", "> REFER", "< 202 REFER", "< NOTIFY", "> 200 NOTIFY", "< BYE", "> 200 BYE"
    )  # fmt: skip
    assert [(t.kind, t.to, t.by) for t in sidecar.transfers] == [("blind", "8002", "8001")]
    master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    assert frames(2, 40) in master[master.index(b"data") + 8 :][1::2] and sidecar.hangup_party == "citizen"


def test_sipp_phone_transfers_its_citizen(tmp_path: Path):
    asyncio.run(transfer_story(tmp_path))
