"""Pausing a recording and listening in, from the page to the recorder's socket: who may, what is asked, what is noted."""

import asyncio
import json
import threading
import time

import numpy as np
import pytest
from sqlmodel import col, delete, select

from callqa.errors import StoreError
from callqa.live import LiveCommand, LiveSeat
from callqa.sip.media.codec import PCMA
from callqa.sip.media.rtp import build_rtp
from callqa.sip.media.spool import MediaMark, encode_mark, encode_packet
from callqa.store import audit
from callqa.store.tables import Account, AuditEntry, ConfidentialCall, WebSession
from callqa.usecases import recorder_line
from callqa.usecases.recorder_line import listen
from tests.media.builders import G711, Sender
from tests.web.conftest import LIMIT_S, NOW_MS
from tests.web.test_live import board, call_of

BOARD = board(
    1,
    calls=(call_of("T1", "talking", seat_extension="8001"), call_of("T2", "talking", seat_extension="8002")),
    seats=(LiveSeat(extension="8001", agent_no="801", registered=True), LiveSeat(extension="8002", agent_no="802")),
)


class TalkingRecorder:
    """A recorder's socket that answers commands as told, and streams `sound` to a listener."""

    def __init__(self, path, reply: dict, sound: bytes = b"") -> None:
        self.path, self.reply, self.sound = path, reply, sound
        self.asked: list[dict] = []
        self._up = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._up.wait(LIMIT_S)

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(self._serve, str(self.path))
        self._up.set()
        await self._over.wait()
        server.close()

    async def _serve(self, reader, writer) -> None:
        line = BOARD.model_dump_json().encode() + b"\n"
        writer.write(line)
        while command := await reader.readline():
            self.asked.append(json.loads(command))
            writer.write(line + json.dumps({"reply": self.asked[-1]["op"], **self.reply}).encode() + b"\n" + self.sound)
            if self.sound:
                break
        writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(LIMIT_S)


@pytest.fixture
def recorder(settings):
    made = []

    def make(reply=None, sound=b""):
        made.append(TalkingRecorder(settings.live_socket, reply or {"ok": True}, sound))
        return made[0]

    yield make
    for each in made:
        each.stop()


def trail(database, action: str) -> list[AuditEntry]:
    with database.read() as session:
        assert audit.verify(session) == []
        return list(session.exec(select(AuditEntry).where(AuditEntry.action == action)))


def test_the_leader_pauses_any_call_and_it_is_noted(browser, database, recorder):
    line = recorder()
    answer = browser("shift_leader").post("/api/live/T2/pause", data={"reason": " 银行卡号 "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/live")
    assert line.asked == [{"op": "pause", "call_id": "T2", "actor": "shift_leader", "reason": "银行卡号"}]
    (entry,) = trail(database, "recording.pause")
    assert (entry.actor, entry.subject, entry.at_ms) == ("shift_leader", "T2", NOW_MS)
    assert entry.detail == {"reason": "银行卡号", "done": True, "text": ""}


def test_an_agent_pauses_the_own_seats_call_and_no_other(browser, database, recorder):
    line = recorder()
    client = browser("agent")
    headers = {"Accept": "application/json"}
    assert client.post("/api/live/T2/pause", data={"reason": "银行卡号"}, headers=headers).status_code == 403
    assert client.post("/api/live/T2/resume", headers=headers).status_code == 403
    assert [c for c in line.asked if c["op"] != "board"] == []
    answer = client.post("/api/live/T1/pause", data={"reason": "银行卡号"}, headers=headers)
    assert answer.json() == {"ok": True, "text": "录音已暂停"}
    assert client.post("/api/live/T1/resume", headers=headers).json() == {"ok": True, "text": "录音已继续"}
    assert [(c["op"], c["call_id"], c["actor"]) for c in line.asked] == [
        ("pause", "T1", "agent"),
        ("resume", "T1", "agent"),
    ]
    assert len(trail(database, "recording.pause")) == len(trail(database, "recording.resume")) == 1


@pytest.mark.parametrize("reason", ["", "  ", "a\x00b", "长" * 61])
def test_a_pause_has_a_reason(browser, recorder, reason):
    line = recorder()
    answer = browser("shift_leader").post(
        "/api/live/T1/pause", data={"reason": reason}, headers={"Accept": "application/json"}
    )
    assert answer.status_code in (409, 400)
    assert line.asked == []


def test_a_refusal_is_said_and_noted(browser, database, recorder):
    recorder({"ok": False, "text": "本热线不允许暂停录音"})
    answer = browser("shift_leader").post(
        "/api/live/T1/pause", data={"reason": "银行卡号"}, headers={"Accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["text"]) == (409, "本热线不允许暂停录音")
    assert trail(database, "recording.pause")[0].detail["done"] is False


def test_without_a_recorder_nothing_is_said_to_be_done(browser, database):
    answer = browser("shift_leader").post(
        "/api/live/T1/pause", data={"reason": "卡号"}, headers={"Accept": "application/json"}
    )
    assert answer.status_code == 409 and "录音服务未连接" in answer.json()["text"]
    answer = browser("agent").post("/api/live/T1/resume", headers={"Accept": "application/json"})
    assert answer.status_code == 409
    assert browser("shift_leader").post("/live/T1/listen").status_code == 409
    assert trail(database, "call.listen") == []


@pytest.mark.parametrize(("role", "path"), [
    ("agent", "/live/T1/listen"), ("client_supervisor", "/live/T1/listen"), ("admin", "/live/T1/listen"),
    ("client_supervisor", "/api/live/T1/pause"), ("admin", "/api/live/T1/pause"),
])  # fmt: skip
def test_who_may_not(browser, recorder, database, role, path):
    line = recorder()
    assert browser(role).post(path, data={"reason": "x"}).status_code == 403
    assert line.asked == []
    assert trail(database, "call.listen") == []


def test_a_request_from_another_site_is_refused(browser, recorder):
    line = recorder()
    for path in ("/live/T1/listen", "/api/live/T1/pause"):
        answer = browser("shift_leader").post(path, data={"reason": "x"}, headers={"Origin": "http://elsewhere"})
        assert answer.status_code == 403
    assert line.asked == []


def test_a_listener_hears_the_right_side_and_leaves_a_trace_of_start_and_end(database, recorder, settings):
    sender = Sender(1, 20)
    sound = encode_mark(MediaMark(at_ns=1, channel=1, codecs=G711))
    sound += b"".join(encode_packet(1, 1 + k, build_rtp(sender.packet(k))) for k in range(20))
    line = recorder(sound=sound)

    async def hear() -> bytes:
        granted = await listen(
            database, settings.live_socket, LiveCommand(op="listen", call_id="T1", actor="li"), now_ms=NOW_MS,
            may_go_on=lambda: True,
        )  # fmt: skip
        assert [e.subject for e in trail(database, "call.listen")] == ["T1"], "noted before the first sound"
        pieces = [piece async for piece in granted.sound()]
        return b"".join(pieces)

    asked_s = time.monotonic()
    heard = np.frombuffer(asyncio.run(hear()), "<i2").reshape(-1, 2)
    assert line.asked[0]["actor"] == "li"
    assert not heard[:, 0].any()
    (end,) = trail(database, "call.listen_end")  # asyncio.run waits for its threads
    assert (end.actor, end.subject, list(end.detail)) == ("li", "T1", ["seconds"])
    assert 0 <= end.detail["seconds"] <= round(time.monotonic() - asked_s)
    start = int(np.flatnonzero(heard[:, 1])[0])
    assert heard[start : start + 1600, 1].tolist() == PCMA.decode(sender.audio())[:1600].tolist()


def _close_account(session, account):
    account.active = False


def _take_the_right(session, account):
    account.role = "agent"


def _sign_out(session, account):
    session.exec(delete(WebSession).where(col(WebSession.account_id) == account.id))


def _ask_for_another_password(session, account):
    account.must_change_password = True


def _make_confidential(session, account):
    other = session.exec(select(Account.id).where(Account.username == "client_supervisor")).one()
    session.add(ConfidentialCall(call_id="T1", reason="x", marked_by=other, marked_at_ms=NOW_MS))


@pytest.mark.parametrize(
    "withdraw",
    [_close_account, _take_the_right, _sign_out, _ask_for_another_password, _make_confidential],
)
def test_who_may_not_any_more_hears_nothing_more(browser, database, recorder, monkeypatch, withdraw):
    """The call went on, and so did the sound for up to half an hour."""
    monkeypatch.setattr(recorder_line, "ASK_AGAIN_S", 0.05)
    recorder()
    client, answers = browser("shift_leader"), []
    listener = threading.Thread(target=lambda: answers.append(client.post("/live/T1/listen")))
    listener.start()
    deadline_s = time.monotonic() + LIMIT_S
    while not trail(database, "call.listen") and time.monotonic() < deadline_s:
        time.sleep(0.02)
    with database.write() as session:
        account = session.exec(select(Account).where(Account.username == "shift_leader")).one()
        withdraw(session, account)
        session.add(account)
    listener.join(LIMIT_S)
    assert not listener.is_alive() and answers[0].status_code == 200
    while not (ends := trail(database, "call.listen_end")) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert ends[0].detail["withdrawn"] is True


def test_a_listener_of_whom_nothing_can_be_known_hears_nothing_more(database, recorder, settings, monkeypatch):
    monkeypatch.setattr(recorder_line, "ASK_AGAIN_S", 0.05)
    recorder()

    def gone() -> bool:
        raise StoreError("no database")

    async def hear() -> None:
        command = LiveCommand(op="listen", call_id="T1", actor="li")
        granted = await listen(database, settings.live_socket, command, now_ms=NOW_MS, may_go_on=gone)
        async for _ in granted.sound():
            pass

    asyncio.run(asyncio.wait_for(hear(), LIMIT_S))
    assert trail(database, "call.listen_end")[0].detail["withdrawn"] is True


def test_a_listener_who_is_refused_leaves_no_trace_of_listening(browser, database, recorder):
    recorder({"ok": False, "text": "已有 4 人在监听"})
    answer = browser("shift_leader").post("/live/T1/listen")
    assert (answer.status_code, answer.json()["text"]) == (409, "已有 4 人在监听")
    assert trail(database, "call.listen") == []
