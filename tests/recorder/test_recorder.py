"""One recorder process and what calls, strangers and operators do to it."""

import asyncio
import os
import socket
import stat
import subprocess
import sys

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint, RingForever
from callqa.desk import save_desk
from callqa.journal import JournalKind
from callqa.live import parse_reply
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, inner_gaps, make_desk, phone, talked_out, until


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One recorder for the module; every test adds calls of its own numbers."""
    home = Home(tmp_path_factory.mktemp("recorder"), make_desk(["8001", "8002", "8003"]))
    asyncio.run(home.start())
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


def of_number(home, number):
    return [s for s in home.sidecars() if s.from_number == number]


def lines_of(home, number):
    return [e for e in home.journal() if e.facts.get("from_number") == number]


def test_a_call_is_recorded_bit_for_bit_and_relayed_unchanged(home):
    async def story():
        said, answered = frames(1, 60), frames(2, 60)
        talker = await phone(home, "8001", AutoAnswer(0.05, answered, "PCMA"))
        caller = await citizen()
        fields = {"X-Ticket-Id": "GD-1", "User-to-User": "48656c6c6f;encoding=hex"}
        call = await caller.call(home.server, "96510", said, "PCMA", fields, caller="13800000001")
        assert await call.answered
        agent = talker.incoming.get_nowait()
        await talked_out(call, agent)
        assert [c.state for c in home.board().calls] == ["talking"]
        agent.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000001"))
        master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        audio = master[master.index(b"data") + 8 :]
        assert said in audio[0::2]
        assert answered in audio[1::2]
        assert (call.heard_payload(), agent.heard_payload()) == (answered, said)
        assert [f.sequence for f in agent.heard] == list(range(60))
        assert (sidecar.hangup_party, sidecar.recovered, sidecar.faults) == ("agent", False, ())
        assert inner_gaps(sidecar) == []
        assert (sidecar.ticket_hint, sidecar.user_to_user) == ("GD-1", "48656c6c6f;encoding=hex")
        assert len(sidecar.sip_call_ids) == 2
        complete = await until(
            "its last line",
            lambda: [e for e in home.journal(JournalKind.CALL_COMPLETE) if e.call_id == sidecar.call_id],
        )
        assert (home.settings.recordings_dir / complete[0].facts["sidecar"]).exists()
        assert [e.kind for e in lines_of(home, "13800000001")] == ["call_started", "call_answered", "call_ended"]
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_caller_who_gives_up_leaves_a_line_and_no_spool(home):
    async def story():
        ringing = await phone(home, "8002", RingForever())
        caller = await citizen()
        call = await caller.call(home.server, "96510", b"", "PCMA", caller="13800000002")
        await call.ringing
        call.hang_up()
        lines = await until("the line", lambda: lines_of(home, "13800000002")[1:])
        assert lines[0].kind is JournalKind.CALL_ABANDONED
        assert lines[0].facts["ring_ms"] >= 0
        assert lines[0].facts["direction"] == "inbound"
        await until("the spool to go", lambda: not list(home.settings.spool_dir.glob(f"{lines[0].call_id}*")))
        for endpoint in (ringing, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_call_without_media_is_noted_and_has_no_recording(home):
    async def story():
        talker = await phone(home, "8001", AutoAnswer(0, b"", "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", b"", "PCMA", caller="13800000003")
        assert await call.answered
        call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000003"))
        assert sidecar.recording is None
        assert sidecar.faults == ("通话已接通，但没有收到任何媒体；请检查防火墙是否放行 RTP 端口",)
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_garbage_on_every_port_harms_no_call(home):
    async def story():
        said = frames(4, 50)
        talker = await phone(home, "8001", AutoAnswer(0, frames(5, 50), "PCMA"))
        caller = await citizen()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.3", 0))
            call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000004")
            assert await call.answered
            assert call.leg is not None and call.leg.session is not None
            await until("first audio", lambda: call.heard_count > 3)
            for k in range(200):
                stranger.sendto(os.urandom(k), home.server)
                stranger.sendto(b"INVITE sip:x SIP/2.0\r\n" + os.urandom(k), home.server)
                stranger.sendto(os.urandom(k + 12), call.leg.session.remote)
            await call.played
            call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000004"))
        master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        assert said in master[master.index(b"data") + 8 :][0::2]
        assert sidecar.streams[0].foreign == 200
        assert any("陌生地址" in fault.text for fault in home.board().faults)
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_bad_desk_is_refused_and_a_good_one_taken_over(home):
    async def story():
        path = home.settings.desk_path
        good = path.read_bytes()
        path.write_bytes(good[: len(good) // 2])
        await until("the fault", lambda: any("desk.json 无法读取" in f.text for f in home.board().faults))
        assert len(home.board().seats) == 3
        save_desk(path, make_desk(["8001", "8002", "8003", "8004"]).model_copy(update={"number": 2}))
        await until("the new desk", lambda: home.board().desk_number == 2)
        assert len(home.board().seats) == 4

    asyncio.run(story())


def next_reply(lines):
    """The next answer; the board may change in between."""
    while (reply := parse_reply(lines.readline())) is None:
        pass
    return reply


def test_the_live_door_is_private_and_answers_a_question(home):
    assert stat.S_IMODE(home.settings.live_socket.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT_S)
        s.connect(str(home.settings.live_socket))
        with s.makefile("rb") as lines:
            first = lines.readline()
            s.sendall(b'{"op":"board"}\n')
            second = lines.readline()
            s.sendall(b'{"op":"dance"}\nnonsense\n')
            unknown = (next_reply(lines), next_reply(lines))
            s.sendall(b"[" * 3000 + b"\n")
            refused = next_reply(lines)
    assert unknown == (refused, refused)
    assert (refused.ok, refused.text) == (False, "录音服务不认识这条命令")
    assert b'"desk_number"' in first
    assert b'"desk_number"' in second


def test_a_taken_port_is_named_with_its_setting(home, tmp_path):
    (tmp_path / "callqa.toml").write_text(f"[sip]\nlisten_host = '127.0.0.1'\nlisten_port = {home.port}\n")
    result = subprocess.run(
        [sys.executable, "-m", "callqa", "--config", str(tmp_path / "callqa.toml"), "record"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert result.returncode == 2
    assert f"127.0.0.1:{home.port}" in result.stderr
    assert "sip.listen_port" in result.stderr


def test_without_a_desk_it_answers_options_refuses_calls_and_hangs_up_dead_ones(tmp_path):
    """No desk.json, no database. Then one is published, and a call whose media stops is ended by the recorder."""
    home = Home(tmp_path, None, rtp_timeout_s=5)

    async def story():
        await home.start()
        caller = await citizen()
        assert await caller.options(home.server) == 200
        call = await caller.call(home.server, "96510", b"", "PCMA")
        assert not await call.answered
        assert call.status == 403
        save_desk(home.settings.desk_path, make_desk(["8001"]))
        await until("the desk", lambda: home.board().desk_number == 1)
        talker = await phone(home, "8001", AutoAnswer(0, b"", "PCMA"))
        dead = await caller.call(home.server, "96510", frames(6, 5), "PCMA")
        assert await dead.answered
        assert await asyncio.wait_for(dead.ended, LIMIT_S) == "remote"
        (sidecar,) = await until("the sidecar", home.sidecars)
        assert sidecar.hangup_party == "network"
        assert any("没有媒体" in e.facts["text"] for e in home.journal(JournalKind.FAULT))
        for endpoint in (talker, caller):
            await endpoint.close()

    try:
        asyncio.run(story())
    finally:
        home.stop()


def test_a_single_leg_call_is_recorded_on_the_left(tmp_path):
    home = Home(tmp_path, make_desk(["8001"], inbound_mode="answer"))

    async def story():
        await home.start()
        said = frames(7, 40)
        caller = await Endpoint("127.0.0.2").start()
        call = await caller.call(home.server, "96510", said, "PCMU", caller="13800000007")
        assert await call.answered
        await call.played
        call.hang_up()
        (sidecar,) = await until("the sidecar", home.sidecars)
        master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        audio = master[master.index(b"data") + 8 :]
        assert said in audio[0::2]
        assert set(audio[1::2]) == {0xFF}
        assert (sidecar.mode, sidecar.recording.encoding, sidecar.faults) == ("answer", "ulaw", ())
        await caller.close()

    try:
        asyncio.run(story())
    finally:
        home.stop()
