"""A real recorder plays to callers on loopback: notice, place and music while they wait, and none of it is in the recording."""

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from callqa.audiofile import wav_bytes
from callqa.demo.endpoint import AutoAnswer, Endpoint
from callqa.demo.endpoint_call import EndpointCall
from callqa.demo.endpoint_rtp import HeardFrame
from callqa.desk import Desk, DeskRouting, save_desk
from callqa.journal import JournalEntry, JournalKind
from callqa.sidecar import Sidecar
from callqa.sip.media.codec import PCMA
from callqa.sip.wire.sdes import Encryption
from tests.recorder.harness import TRUNK_HOST, Home, citizen, frames, make_desk, phone, until

NOTICE_S = 0.6


def desk(**routing: object) -> Desk:
    made = make_desk(["8001"])
    return made.model_copy(update={"routing": DeskRouting(hotline_number="96510", queue_most=3, **routing)})


def write_notice(home: Home) -> bytes:
    """A notice of a steady tone; gives its A-law payload."""
    tone = np.rint(9000 * np.sin(2 * np.pi * 500 * np.arange(round(NOTICE_S * 8000)) / 8000)).astype(np.int16)
    home.settings.prompts_dir.mkdir(parents=True, exist_ok=True)
    (home.settings.prompts_dir / "notice.wav").write_bytes(wav_bytes(tone[:, None], 8000))
    return PCMA.encode(tone)


@pytest.fixture
def home(tmp_path: Path):
    """A recorder that has its desk only once the test gives it one."""
    home = Home(tmp_path, None)
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


async def start(home: Home, **routing: object) -> None:
    save_desk(home.settings.desk_path, desk(**routing))
    await home.start()


def lines_of(home: Home, number: str, kind: JournalKind) -> list[JournalEntry]:
    return [e for e in home.journal(kind) if e.facts.get("from_number") == number]


def sides(home: Home, sidecar: Sidecar) -> tuple[bytes, bytes]:
    """What citizen and agent said, as recorded."""
    assert sidecar.recording is not None
    master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    audio = master[master.index(b"data") + 8 :]
    return audio[0::2], audio[1::2]


def loudness(heard: list[HeardFrame]) -> float:
    """Mean absolute sample of 16 bits."""
    return float(np.abs(PCMA.decode(b"".join(f.payload for f in heard)).astype(float)).mean())


def assert_paced(heard: list[HeardFrame]) -> None:
    """Every 20 ms one packet of one source, in order and on time, but for what a loaded machine holds up for a moment."""
    assert {f.payload_type for f in heard} == {8} and len({f.ssrc for f in heard}) == 1
    assert {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(heard)} == {1}
    assert min((b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(heard)) == 160
    by_stamp_s = [((f.timestamp - heard[0].timestamp) & 0xFFFFFFFF) / 8000 for f in heard]
    late_s = np.array([f.at for f in heard]) - np.array(by_stamp_s)
    half = len(heard) // 2
    assert abs(float(late_s[:half].min() - late_s[half:].min())) < 0.02, "no drift"


async def talking_seat(home: Home, answered: bytes) -> tuple[Endpoint, Endpoint, EndpointCall]:
    """8001 talks with somebody: its phone, the other's, and the call."""
    seat = await phone(home, "8001", AutoAnswer(0.0, answered, "PCMA"))
    first = await citizen()
    call = await first.call(home.server, "96510", b"", "PCMA", caller="13800000001")
    assert await call.answered
    return seat, first, call


def test_who_waits_hears_music_is_connected_and_recorded_clean(home: Home):
    async def story() -> None:
        await start(home)
        said, answered = frames(11, 60), frames(12, 60)
        seat, first, talk = await talking_seat(home, answered)
        second = await citizen()
        call = await second.call(home.server, "96510", said, "PCMA", caller="13800000002")
        await until("his place and music", lambda: len(call.heard) > 250)
        board = home.board()
        assert board is not None and [(c.state, c.position) for c in board.calls] == [("talking", None), ("queued", 1)]
        waiting = list(call.heard)
        assert_paced(waiting)
        assert loudness(waiting[-100:]) > 100, "music"
        assert not call.answered.done()
        talk.hang_up()
        assert await call.answered
        at_answer = len(call.heard)
        await call.played
        await until("all of the agent", lambda: answered[-160:] in call.heard_payload())
        await until("all of the citizen", lambda: said[-160:] in seat.calls[-1].heard_payload())
        call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: [s for s in home.sidecars() if s.from_number == "13800000002"])
        left, right = sides(home, sidecar)
        assert said in left and answered in right
        assert all(f.payload not in right for f in waiting if len(set(f.payload)) > 4), (
            "what we played is nobody's voice"
        )
        assert sidecar.queued_ms > 4000 and sidecar.notice_ms == 0
        after = call.heard[at_answer:]
        assert {f.ssrc for f in after[5:]} != {waiting[0].ssrc}, "the agent's own stream"
        queued = lines_of(home, "13800000002", JournalKind.CALL_QUEUED)
        assert [e.facts["position"] for e in queued] == [1]
        (line,) = lines_of(home, "13800000002", JournalKind.CALL_ANSWERED)
        assert line.facts["queued_ms"] == sidecar.queued_ms and line.facts["ring_ms"] >= line.facts["queued_ms"]
        for endpoint in (seat, first, second):
            await endpoint.close()

    asyncio.run(story())


def test_who_gives_up_in_the_queue_is_in_the_journal_with_his_place(home: Home):
    async def story() -> None:
        await start(home, queue_announce=False)
        seat, first, _ = await talking_seat(home, frames(13, 10))
        second = await citizen()
        call = await second.call(home.server, "96510", b"", "PCMA", caller="13800000003")
        await until("music", lambda: len(call.heard) > 50)
        call.hang_up()
        (line,) = await until("the line", lambda: lines_of(home, "13800000003", JournalKind.CALL_ABANDONED))
        assert line.facts["reason"] == "排队中挂机" and line.facts["position"] == 1
        assert 900 <= line.facts["queued_ms"] <= line.facts["ring_ms"]
        await until("the spool to go", lambda: not list(home.settings.spool_dir.glob(f"{line.call_id}*")))
        for endpoint in (seat, first, second):
            await endpoint.close()

    asyncio.run(story())


@pytest.mark.parametrize("encryption", ["off", "required"])
def test_the_notice_is_heard_wholly_first_and_what_was_said_meanwhile_is_not_recorded(
    home: Home, encryption: Encryption
):
    """With prompts after a 200: the caller's phone sends from then on, long before anybody is there to listen."""

    async def story() -> None:
        notice = write_notice(home)
        await start(home, notice="notice.wav", early_prompts=False)
        said, answered = frames(21, 3000), frames(22, 40)
        seat = await phone(home, "8001", AutoAnswer(1.0, answered, "PCMA"))
        caller = await Endpoint(TRUNK_HOST, encryption=encryption).start()
        call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000004")
        assert await call.answered and call.encrypted == (encryption != "off")
        await until("all of the agent", lambda: answered[-160:] in call.heard_payload())
        agent = seat.calls[-1]
        await until("the citizen", lambda: agent.heard_count >= 40)
        heard = call.heard_payload()
        # The agent's first frame may overtake his 200, and is then not mixed with the tone that still plays.
        assert heard.index(notice) < heard.index(answered[320:])
        call.hang_up()
        understood = agent.heard_payload()
        (sidecar,) = await until("the sidecar", lambda: [s for s in home.sidecars() if s.from_number == "13800000004"])
        left, right = sides(home, sidecar)
        assert answered in right and notice[:160] not in right
        # The recording begins with the answer, within a frame.
        assert understood in said and understood[160:] in left and said[: 160 * 25] not in left
        assert 500 <= sidecar.notice_ms < sidecar.answered_at_ms - sidecar.started_at_ms
        assert (sidecar.answered_at_ms - sidecar.started_at_ms) >= 1500
        for endpoint in (seat, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_notice_that_is_missing_is_told_and_the_call_goes_on(home: Home):
    async def story() -> None:
        await start(home, notice="gone.wav")
        said, answered = frames(31, 20), frames(32, 20)
        seat = await phone(home, "8001", AutoAnswer(0.0, answered, "PCMA"))
        caller = await citizen()
        for number in ("13800000005", "13800000006"):
            call = await caller.call(home.server, "96510", said, "PCMA", caller=number)
            assert await call.answered
            await call.played
            call.hang_up()
        faults = await until("the fault", lambda: home.journal(JournalKind.FAULT))
        assert [f.facts["text"] for f in faults if "gone.wav" in f.facts["text"]] == [
            "录音告知 gone.wav 播放不了（不存在）：来电没有听到告知就接通；请检查 var/prompts 文件夹"
        ]
        for endpoint in (seat, caller):
            await endpoint.close()

    asyncio.run(story())
