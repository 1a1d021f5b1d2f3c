"""The child that finishes calls: there before the first of them, one for all."""

import asyncio
import os
from pathlib import Path

from callqa.demo.endpoint import AutoAnswer
from callqa.sip.process import finalizer
from callqa.sip.process.finalizer import Child, Finalised, Finalizer
from callqa.sip.process.priority import CHILD_NICE
from tests.media.builders import Sender, call, spool_bytes
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, phone, talked_out, until

RECORDS = call(Sender(0, 50).records() + Sender(1, 50, seed=2, ssrc=5).records(), 1000)


class Noting:
    """A helper that notes what is asked of it."""

    def __init__(self):
        self.done = []

    async def begin(self):
        self.done.append("begin")

    async def ask(self, spool, recovered):
        self.done.append(spool.stem)
        return Finalised(call_id=spool.stem)

    async def end(self, *, kill=False):
        self.done.append("end")


def test_it_begins_before_the_first_job_and_stays_for_all():
    async def story():
        helper = Noting()
        made = Finalizer(helper, lambda *_: None)
        await until("it to begin", lambda: helper.done)
        for call_id in ("B", "A", "C"):
            made.submit(Path(f"{call_id}.spool"))
        await made.stop(LIMIT_S)
        return helper.done

    assert asyncio.run(story()) == ["begin", "B", "A", "C", "end"]


def test_it_is_looked_after_while_nothing_is_to_be_done(monkeypatch):
    """It ended after a minute: on a quiet line every caller's recording waited for its start."""
    monkeypatch.setattr(finalizer, "LOOK_S", 0.01)

    async def story():
        helper = Noting()
        made = Finalizer(helper, lambda *_: None)
        await until("some looks", lambda: helper.done.count("begin") > 3)
        assert set(helper.done) == {"begin"}
        await made.stop(LIMIT_S)

    asyncio.run(story())


def test_one_that_cannot_start_is_tried_again_with_the_job():
    class Refusing(Noting):
        async def begin(self):
            raise OSError(11, "Resource temporarily unavailable")

    async def story():
        helper = Refusing()
        made = Finalizer(helper, lambda *_: None)
        made.submit(Path("A.spool"))
        await made.stop(LIMIT_S)
        return helper.done

    assert asyncio.run(story()) == ["A", "end"]


def test_the_child_begins_below_the_recorder_once_and_anew_when_it_died(tmp_path):
    spool = tmp_path / "a.spool"
    spool.write_bytes(spool_bytes(RECORDS))

    async def story():
        child = Child(tmp_path)
        await child.begin()
        first = child._process
        assert os.getpriority(os.PRIO_PROCESS, first.pid) >= CHILD_NICE, "before it has read a line of Python"
        await child.begin()
        assert child._process is first
        first.kill()
        await first.wait()
        await child.begin()
        assert child._process is not first
        result = await asyncio.wait_for(child.ask(spool, False), LIMIT_S)
        await child.end()
        return result

    assert asyncio.run(story()).call_id == RECORDS[0].call_id


def children(pid):
    """Of a process, by pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # gone meanwhile
            continue
    return found


def test_one_child_is_there_before_the_first_call_and_serves_all(tmp_path):
    async def talk(home, caller, seat):
        made = await caller.call(home.server, "96510", frames(1, 30), "PCMA")
        assert await made.answered
        await talked_out(made, await asyncio.wait_for(seat.incoming.get(), LIMIT_S))
        made.hang_up()

    async def story():
        await home.start()
        before = await until("the child", lambda: children(home.process.pid))
        ((pid, command),) = before.items()
        assert "callqa.sip.process.finalize" in command
        assert os.getpriority(os.PRIO_PROCESS, pid) == CHILD_NICE
        seat = await phone(home, "8001", AutoAnswer(0, frames(2, 30), "PCMA"))
        caller = await citizen()
        for n in (1, 2):
            await talk(home, caller, seat)
            await until("the recording", lambda n=n: len(home.sidecars()) == n)
        assert children(home.process.pid) == before
        for endpoint in (seat, caller):
            await endpoint.close()

    home = Home(tmp_path, make_desk(["8001"]))
    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0
