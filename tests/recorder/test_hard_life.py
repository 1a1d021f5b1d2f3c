"""One recorder process and a hard life: floods, damaged files, folders that go away, and very many short calls."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint
from callqa.desk import save_desk
from callqa.journal import JournalKind
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, inner_gaps, make_desk, phone, talked_out, until


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path, make_desk(["8001", "8002"]))
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


def left(home, sidecar):
    data = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    return data[data.index(b"data") + 8 :][0::2]


def test_damaged_files_of_state_do_not_keep_the_recorder_from_starting(home):
    """Nested so deep that a parser gives up; numbers that are none; a desk that is none."""
    home.settings.registrations_path.write_bytes(b"[" * 200_000)
    home.settings.desk_path.write_bytes(b"\xff\xfe{" + b"[" * 100_000)

    async def story():
        await home.start()
        assert any("desk.json 无法读取" in fault.text for fault in home.board().faults)
        save_desk(home.settings.desk_path, make_desk(["8001"]))
        await until("the desk", lambda: home.board().desk_number == 1)
        endpoint = await phone(home, "8001", AutoAnswer())
        await until("the registration on disk", lambda: "8001" in home.settings.registrations_path.read_text())
        assert json.loads(home.settings.registrations_path.read_bytes())[0]["extension"] == "8001"
        await endpoint.close()

    asyncio.run(story())


@pytest.mark.parametrize("taken", ["recordings", "var"])
def test_a_folder_that_cannot_be_made_is_named_and_nothing_else_is_said(tmp_path, taken):
    (tmp_path / taken).write_text("a file")
    (tmp_path / "callqa.toml").write_text(f"[sip]\nlisten_host = '127.0.0.1'\nlisten_port = {own_port()}\n")
    command = [sys.executable, "-m", "callqa", "--config", str(tmp_path / "callqa.toml"), "record"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert result.returncode == 2
    assert f"{tmp_path}/{taken}" in result.stderr
    assert "[paths]" in result.stderr
    assert "Traceback" not in result.stderr


def test_two_thousand_garbage_datagrams_cost_a_call_no_packet(home):
    """Every kind of garbage at once, while the call talks: on the wire to both sides and in the master nothing is lost."""

    async def story():
        await home.start()
        said, answered = frames(1, 100), frames(2, 100)
        talker = await phone(home, "8001", AutoAnswer(0, answered, "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", said, "PCMA")
        assert await call.answered
        await until("some talk", lambda: call.heard_count > 10)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.3", 0))
            for k in range(500):
                head = b"SIP/2.0/UDP 127.0.0.3;branch=z9hG4bK%d" % k
                stranger.sendto(os.urandom(k), home.server)
                stranger.sendto(
                    b"INVITE sip:1 SIP/2.0\r\nVia: %s\r\n" % head + os.urandom(9) + b"\r\n\r\n", home.server
                )
                stranger.sendto(b"BYE sip:1 SIP/2.0\r\nVia: %s\r\nTo: \xff\xfe\r\n\r\n" % head, home.server)
                stranger.sendto(b"SIP/2.0 200 OK\r\nVia: %s\r\nCSeq: 1 INVITE\r\n\r\n" % head, home.server)
                if k % 25 == 0:
                    await asyncio.sleep(0)
        agent = talker.incoming.get_nowait()
        await talked_out(call, agent)
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        assert said in left(home, sidecar)
        assert (call.heard_payload(), agent.heard_payload()) == (answered, said)
        assert (inner_gaps(sidecar), [s.lost for s in sidecar.streams]) == ([], [0, 0])
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_stranger_cannot_stop_the_journal(home):
    """One REGISTER with a user name in no encoding was enough: no call was written down any more."""

    async def story():
        await home.start()
        stranger = await Endpoint("127.0.0.1").start()
        assert await stranger.register(home.server, "\udcff\udcfe", "x") == 403
        talker = await phone(home, "8001", AutoAnswer(0, frames(2, 10), "PCMA"))
        caller = await citizen()
        fields = {"X-Ticket-Id": "SW\udcff1"}
        call = await caller.call(home.server, "96510", frames(1, 10), "PCMA", fields, caller="13800000001")
        assert await call.answered
        await call.played
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        assert sidecar.ticket_hint == "SW?1"
        assert sidecar.recording is not None
        kinds = [e.kind for e in home.journal()]
        assert kinds.count(JournalKind.CALL_STARTED) == kinds.count(JournalKind.CALL_ENDED) == 1
        assert any("密码不对" in e.facts["text"] for e in home.journal(JournalKind.FAULT))
        for endpoint in (stranger, talker, caller):
            await endpoint.close()

    asyncio.run(story())


HELD_KB_A_CALL = 60


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_a_hundred_short_calls_leave_ports_files_and_memory_as_they_were(home):
    """Every third is refused or given up; ten ports for twenty calls at once is the tightest fit."""

    async def story():
        await home.start()
        talkers = [await phone(home, e, AutoAnswer(0, frames(2, 2), "PCMA")) for e in ("8001", "8002")]
        caller = await citizen()

        async def short(n):
            call = await caller.call(home.server, "96510", frames(n, 2), "PCMA", caller=f"138{n:08}")
            if n % 5 == 4:
                call.hang_up()
                return False
            if not await call.answered:
                return False
            await call.played
            call.hang_up()
            return True

        def open_files():
            return len(os.listdir(f"/proc/{home.process.pid}/fd"))

        async def rest(answered):
            await until("all masters", lambda: len(home.journal(JournalKind.CALL_COMPLETE)) == answered)
            await until("an empty board", lambda: not home.board().calls)

        answered = sum([await short(n) for n in range(20)])
        await rest(answered)
        files, memory = open_files(), memory_kb(home.process.pid)
        for n in range(20, 120, 2):
            answered += sum(await asyncio.gather(short(n), short(n + 1)))
        await rest(answered)
        assert answered >= 80
        assert await until("the files of the last call to be closed", lambda: open_files() <= files + 2)
        # Transactions stay for 64·T1 = 32 s after their call (RFC 3261 §17.2.1): about 30 KB a call are still held here.
        assert memory_kb(home.process.pid) - memory < 100 * HELD_KB_A_CALL
        begun = home.journal(JournalKind.CALL_STARTED)
        missed = [*home.journal(JournalKind.CALL_UNANSWERED), *home.journal(JournalKind.CALL_ABANDONED)]
        assert len(begun) == 120
        assert {e.call_id for e in begun} == {s.call_id for s in home.sidecars()} | {e.call_id for e in missed}
        assert len(home.sidecars()) + len(missed) == 120
        for endpoint in (*talkers, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_recordings_folder_that_goes_away_is_told_and_calls_go_on(home):
    """As when a mount is lost; the last one of the process, since nothing can be saved."""

    async def story():
        await home.start()
        talker = await phone(home, "8001", AutoAnswer(0, frames(2, 10), "PCMA"))
        caller = await citizen()
        first = await caller.call(home.server, "96510", frames(1, 10), "PCMA")
        await first.played
        first.hang_up()
        # A journal line that still came would make the folder anew.
        await until("a first call, so that the start is over", lambda: home.journal(JournalKind.CALL_COMPLETE))
        gone = home.settings.recordings_dir.with_name("gone")  # at once: the recorder writes in it meanwhile
        home.settings.recordings_dir.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        await until("the alarm", lambda: any("磁盘剩余空间不足" in fault.text for fault in home.board().faults))
        call = await caller.call(home.server, "96510", frames(1, 10), "PCMA")
        assert await call.answered
        await call.played
        call.hang_up()
        await until(
            "the trouble with the spool", lambda: any("写盘失败" in fault.text for fault in home.board().faults)
        )
        home.settings.spool_dir.mkdir(parents=True, exist_ok=True)
        (sidecar,) = await until("the sidecar once the folder is back", home.sidecars)
        assert any("写盘失败" in fault for fault in sidecar.faults)
        assert [e.call_id for e in home.journal(JournalKind.CALL_ENDED)] == [sidecar.call_id]
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_readers_of_the_board_that_do_not_read_or_vanish_harm_nobody(home):
    async def story():
        await home.start()
        stuck = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for n, s in enumerate(stuck):
            s.connect(str(home.settings.live_socket))
            s.sendall(b'{"op":"board"}\n' * 100 if n % 2 else b"[" * 4000 + b"\n")
        for s in stuck[:10]:
            s.close()
        talker = await phone(home, "8001", AutoAnswer(0, frames(2, 20), "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", frames(1, 20), "PCMA")
        assert await call.answered
        await call.played
        assert [c.state for c in home.board().calls] == ["talking"]
        call.hang_up()
        assert frames(1, 20) in left(home, (await until("the sidecar", home.sidecars))[0])
        for s in stuck[10:]:
            s.close()
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())
