"""Listening in on a real call: the right side within a second, no more than four, never at the recorder's cost."""

import asyncio
import socket
import time

import numpy as np
import pytest
from sqlmodel import select

from callqa.demo.endpoint import AutoAnswer
from callqa.journal import JournalKind
from callqa.live import LiveCommand, LiveReply
from callqa.sip.media.codec import PCMA
from callqa.sip.process.listen import LISTENERS_MOST, UNREAD_MOST_BYTES, Listener
from callqa.store.tables import Account, AuditEntry
from callqa.usecases import recorder_line
from callqa.usecases.confidential import mark_confidential
from callqa.usecases.recorder_line import Listening, listen
from tests.recorder.harness import LIMIT_S, Home, citizen, make_desk, phone, until
from tests.recorder.test_pause import order
from tests.store_fixture import make_database

TALK_S = 60  # longer than any test waits: they hang up


def tone(hz: int, seconds: float) -> bytes:
    at = np.arange(round(seconds * 8000)) / 8000
    return PCMA.encode((12_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16))


def loudest_hz(samples) -> int:
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    return round(int(np.argmax(spectrum[1:]) + 1) * 8000 / samples.size)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(recorder_line, "ANSWER_WITHIN_S", LIMIT_S)


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path, make_desk(["8001"], pause_allowed=True))
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


@pytest.fixture
def db(tmp_path):
    (tmp_path / "db").mkdir()
    db = make_database(tmp_path / "db")
    yield db
    db.dispose()


def test_the_listener_hears_each_side_within_a_second_and_nothing_in_a_pause(home, db):
    heard = {"samples": np.zeros((0, 2), np.int16)}

    async def hear(granted: Listening) -> None:
        async for piece in granted.sound():
            samples = np.frombuffer(piece, "<i2").reshape(-1, 2)
            heard["samples"] = np.concatenate((heard["samples"], samples))

    async def story():
        await home.start()
        talker = await phone(home, "8001", AutoAnswer(0.02, tone(700, TALK_S), "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", tone(400, TALK_S), "PCMA", caller="13800000001")
        assert await call.answered
        await until("talk", lambda: call.heard_count > 20)
        (live,) = home.board().calls
        command = LiveCommand(op="listen", call_id=live.call_id, actor="li")
        asked_s = time.monotonic()
        granted = await listen(db, home.settings.live_socket, command, now_ms=1, may_go_on=lambda: True)
        assert isinstance(granted, Listening)
        hearing = asyncio.create_task(hear(granted))
        await until("sound", lambda: (heard["samples"][-4000:] != 0).all(axis=1).sum() > 3500)
        early = heard["samples"][-4000:]
        assert np.flatnonzero(heard["samples"].any(axis=1))[0] < 8000, "no more than a second of silence before it"
        assert abs(loudest_hz(early[:, 0]) - 400) <= 2 and abs(loudest_hz(early[:, 1]) - 700) <= 2

        assert (await order(home, "pause", live.call_id)).ok
        await until("silence", lambda: not heard["samples"][-2000:].any())
        assert not hearing.done(), "paused is not over"
        assert (await order(home, "resume", live.call_id)).ok
        await until("sound again", lambda: heard["samples"][-400:].all())

        call.hang_up()
        await asyncio.wait_for(hearing, LIMIT_S)
        (line,) = await until("the line", lambda: home.journal(JournalKind.LISTENED))
        assert (line.call_id, line.facts["actor"]) == (live.call_id, "li")
        assert 0 < line.facts["seconds"] <= time.monotonic() - asked_s + 1
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())
    with db.read() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.sequence)).all()
        assert [(e.action, e.actor) for e in entries] == [("call.listen", "li"), ("call.listen_end", "li")]
        assert entries[1].detail["seconds"] >= 1


def test_no_more_than_four_listen_and_a_place_is_free_again(home, db):
    async def story():
        await home.start()
        talker = await phone(home, "8001", AutoAnswer(0.02, tone(700, TALK_S), "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", tone(400, TALK_S), "PCMA", caller="13800000001")
        assert await call.answered
        (live,) = home.board().calls
        assert isinstance(await ask(home, db, "NONE"), LiveReply)
        present = [await ask(home, db, live.call_id) for _ in range(LISTENERS_MOST)]
        refused = await ask(home, db, live.call_id)
        assert isinstance(refused, LiveReply) and "已有 4 人在监听" in refused.text
        present[0].writer.close()
        await until("his line", lambda: home.journal(JournalKind.LISTENED))
        present.append(await ask(home, db, live.call_id))
        assert isinstance(present[-1], Listening)
        call.hang_up()
        await until("all lines", lambda: len(home.journal(JournalKind.LISTENED)) == LISTENERS_MOST + 1)
        assert await until("the sidecar", home.sidecars)
        for each in present:
            each.writer.close()
        for endpoint in (talker, caller):
            await endpoint.close()

    async def ask(home, db, call_id):
        command = LiveCommand(op="listen", call_id=call_id, actor="li")
        return await listen(db, home.settings.live_socket, command, now_ms=1, may_go_on=lambda: True)

    asyncio.run(story())


def test_a_call_made_confidential_leaves_the_board_and_nobody_listens(home, db):
    with db.write() as session:
        session.add(Account(id=1, username="li", display_name="li", role="shift_leader", password_hash="x"))

    async def story():
        await home.start()
        talker = await phone(home, "8001", AutoAnswer(0.02, tone(700, TALK_S), "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", tone(400, TALK_S), "PCMA", caller="13800000001")
        assert await call.answered
        (live,) = home.board().calls
        assert live.number == "13800000001" and not live.confidential
        command = LiveCommand(op="listen", call_id=live.call_id, actor="li")
        granted = await listen(db, home.settings.live_socket, command, now_ms=1, may_go_on=lambda: True)
        assert isinstance(granted, Listening)
        marked = await asyncio.to_thread(
            mark_confidential, db, live.call_id, reason="举报", readers=[], account_id=1,
            live_socket=home.settings.live_socket, now_ms=2,
        )  # fmt: skip
        assert marked is True
        await until("the listener's end", lambda: home.journal(JournalKind.LISTENED))
        granted.writer.close()
        (live,) = home.board().calls
        assert live.confidential and live.number == ""
        assert (await order(home, "listen", live.call_id)).text == "这通电话是保密件，不能监听"  # the recorder itself
        refused = await listen(db, home.settings.live_socket, command, now_ms=3, may_go_on=lambda: True)
        assert isinstance(refused, LiveReply) and "保密件" in refused.text
        call.hang_up()
        assert await until("the sidecar", home.sidecars)  # recorded all the same
        for endpoint in (talker, caller):
            await endpoint.close()

    asyncio.run(story())


def test_a_listener_who_does_not_read_is_cut_off_and_holds_nobody_up(tmp_path):
    async def story() -> None:
        made: list[Listener] = []
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader, writer):
            writers.append(writer)
            made.append(Listener(writer, "C", "li", 0.0))

        server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.connect(str(tmp_path / "s"))
            await until("him", lambda: made)
            sent = 0

            def push() -> bool:
                nonlocal sent
                for _ in range(20):
                    made[0].push(b"x" * 190)
                    sent += 190
                return made[0].over.is_set()

            await until("the end", push)
            assert sent < 1_000_000
            made[0].push(b"more")  # nothing happens
            writers[0].close()
        server.close()

    asyncio.run(story())


def test_a_flood_within_one_step_is_cut_off_too(tmp_path):
    async def story() -> None:
        made: list[Listener] = []
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader, writer):
            writers.append(writer)
            made.append(Listener(writer, "C", "li", 0.0))

        server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        await until("him", lambda: made)
        for _ in range(UNREAD_MOST_BYTES // 1000 + 1):
            made[0].push(b"x" * 1000)
        assert made[0].over.is_set()
        assert await reader.read() == b""
        writer.close()
        writers[0].close()
        server.close()

    asyncio.run(story())
