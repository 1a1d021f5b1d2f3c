"""A disk that turns read-only under a real recorder: its calls go on, and what it could not keep is said."""

import asyncio
import os
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer
from callqa.journal import JournalKind
from tests.recorder.harness import Home, citizen, frames, make_desk, phone, talked_out, until

SICK_DISK = Path(__file__).parent / "sick_disk"
REFUSED = "录音写盘失败（所在磁盘是只读的）"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    home = Home(tmp_path / "home", make_desk(["8001", "8002"]))
    home.environment = {
        "PYTHONPATH": os.pathsep.join((str(SICK_DISK), os.environ.get("PYTHONPATH", ""))),
        "SICK_DISK_FLAG": str(tmp_path / "read-only"),
        "SICK_DISK_BELOW": str(home.folder),
    }
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


def flag(home):
    return home.folder.parent / "read-only"


def faults(home):
    return " ".join(fault.text for fault in home.board().faults)


def sides(home, sidecar):
    data = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    audio = data[data.index(b"data") + 8 :]
    return audio[0::2], audio[1::2]


def there(audio, payload):
    return [audio.find(payload[at : at + 160]) >= 0 for at in range(0, len(payload), 160)]


def test_calls_go_on_while_the_disk_is_read_only_and_what_is_missing_is_said(home):
    async def story():
        await home.start()
        said, answered = frames(1, 700), frames(2, 700)
        first_seat = await phone(home, "8001", AutoAnswer(0, answered, "PCMA"))
        caller = await citizen()
        first = await caller.call(home.server, "96510", said, "PCMA", caller="13800000001")
        assert await first.answered
        seat = first_seat.incoming.get_nowait()
        await until("a second of talk on the disk", lambda: seat.heard_count >= 60)
        await until(
            "its spool", lambda: [p for p in home.settings.spool_dir.glob("*.spool") if p.stat().st_size > 9000]
        )

        flag(home).touch()
        await until("the fault of the spool", lambda: REFUSED in faults(home))
        first_seat.on_invite = lambda _: AutoAnswer(0, frames(4, 30), "PCMA")
        second_seat = await phone(home, "8002", AutoAnswer(0, frames(4, 30), "PCMA"))
        second = await caller.call(home.server, "96510", frames(3, 30), "PCMA", caller="13800000002")
        assert await second.answered, "a call that comes while nothing can be written"
        await talked_out(second, second_seat.incoming.get_nowait())
        second.hang_up()
        lost_to = seat.heard_count
        flag(home).unlink()

        await talked_out(first, seat)
        first.hang_up()
        await until("both recordings", lambda: len(home.journal(JournalKind.CALL_COMPLETE)) == 2)
        assert (first.heard_payload(), seat.heard_payload()) == (answered, said), "not a frame lost between the two"
        for endpoint in (first_seat, second_seat, caller):
            await endpoint.close()
        return lost_to

    lost_to = asyncio.run(story())
    first, second = (next(s for s in home.sidecars() if s.from_number == f"1380000000{n}") for n in (1, 2))
    for side, payload in zip(sides(home, first), (frames(1, 700), frames(2, 700)), strict=True):
        kept = there(side, payload)
        assert all(kept[:40]), "what was on the disk before"
        assert all(kept[-100:]), "what came after"
        assert not all(kept)
        assert all(kept[lost_to + 50 :]), "no longer than it lasted"
    assert any(REFUSED in fault for fault in first.faults)
    assert {gap.kind for gap in first.gaps} != set()
    assert any(REFUSED in fault for fault in second.faults), "all of it said in its sidecar"
    assert second.ended_at_ms > second.answered_at_ms
    lines = home.journal()
    assert [e.number for e in lines] == list(range(1, len(lines) + 1)), "entries waited, none was passed over"
    for sidecar in (first, second):
        kinds = [e.kind for e in lines if e.call_id == sidecar.call_id and e.kind is not JournalKind.FAULT]
        assert kinds == [
            JournalKind.CALL_STARTED, JournalKind.CALL_ANSWERED, JournalKind.CALL_ENDED, JournalKind.CALL_COMPLETE,
        ]  # fmt: skip


def test_a_recorder_killed_and_started_on_a_read_only_disk_takes_calls(home):
    async def story():
        await home.start()
        seat = await phone(home, "8001", AutoAnswer(0, frames(2, 200), "PCMA"))
        await until("its registration on the disk", home.settings.registrations_path.exists)
        home.kill()
        flag(home).touch()
        home.spawn()
        caller = await citizen()

        async def answered():
            call = await caller.call(home.server, "96510", frames(1, 200), "PCMA", caller="13800000001")
            return call if await asyncio.wait_for(call.answered, 30) else None

        call = await answered()
        assert call is not None
        assert home.board() is None, "its socket of before cannot be replaced"
        flag(home).unlink()
        await until("the board", home.board)
        await talked_out(call, seat.incoming.get_nowait())
        call.hang_up()
        (sidecar,) = await until("the recording", home.sidecars)
        assert sidecar.recording is not None
        assert all(there(sides(home, sidecar)[0], frames(1, 200))[-20:])
        await until("its last line", lambda: home.journal(JournalKind.CALL_COMPLETE))
        assert "接口开不了（所在磁盘是只读的）" in faults(home)
        for endpoint in (seat, caller):
            await endpoint.close()

    asyncio.run(story())
