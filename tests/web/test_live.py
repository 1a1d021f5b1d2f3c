"""The live board: from the recorder's socket to the page, and what is shown when it is gone."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from callqa.live import Board, LiveCall, LiveFault, LiveSeat
from callqa.web import live
from tests.web.conftest import NOW_MS


def board(number: int = 1, **values) -> Board:
    fields = {
        "number": number,
        "at_ms": NOW_MS + number,
        "started_at_ms": NOW_MS - 1000,
        "desk_number": 3,
        "listening": "udp 0.0.0.0:5060",
        "recorded_today": 36 + number,
        "disk_free_mb": 5000,
        "calls": (
            LiveCall(
                call_id="A", direction="inbound", state="talking", number="13871206358", seat_extension="8001",
                since_ms=NOW_MS - 72_000,
            ),
            LiveCall(call_id="B", direction="inbound", state="ringing", number="15927340866", since_ms=NOW_MS - 4_000),
        ),
        "seats": (LiveSeat(extension="8001", agent_no="801", registered=True, contact="10.1.2.11:5060"),),
    }  # fmt: skip
    return Board.model_validate({**fields, **values})


class FakeRecorder:
    """Listens on the live socket and tells every client the same lines."""

    def __init__(self, path, lines: list[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = lines
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._clients.append(client)
                for line in self._lines:
                    client.sendall(line)

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for client in self._clients:
            client.close()


@pytest.fixture
def recorder(settings) -> Iterator[FakeRecorder]:
    fake = FakeRecorder(settings.live_socket, [board(1).model_dump_json().encode() + b"\n"])
    yield fake
    fake.stop()


def test_without_a_recorder_the_page_says_so(browser):
    html = browser("shift_leader").get("/live").text
    assert "录音服务未连接" in html


def test_the_page_shows_seats_calls_and_the_queue(browser, month, recorder):
    html = browser("shift_leader").get("/live").text
    for text in ("801 王", "呼入 · 通话", "13871206358", "1分12秒", "等待接听", "四号席", "未注册"):
        assert text in html, text
    masked = browser("client_supervisor").get("/live").text
    assert "13871206358" not in masked and "138****6358" in masked and "签出" not in masked


@pytest.mark.parametrize("address", ["/", "/live", "/system"])
def test_a_fault_is_shown_with_its_time_and_repeats(browser, month, settings, address):
    faults = (
        LiveFault(at_ms=1_795_327_500_000, text="话机 8001 的密码不对", times=3),
        LiveFault(at_ms=1_795_327_440_000, text="磁盘剩余空间不足"),
    )
    fake = FakeRecorder(settings.live_socket, [board(1, faults=faults).model_dump_json().encode() + b"\n"])
    try:
        html = browser("admin").get(address).text
    finally:
        fake.stop()
    assert "11月22日 14:05 话机 8001 的密码不对（3 次）" in html
    assert "11月22日 14:04 磁盘剩余空间不足<" in html


def test_garbage_from_the_socket_is_no_board(settings):
    fake = FakeRecorder(settings.live_socket, [b'{"half": \n'])
    try:
        assert live.find_board(settings.live_socket) is None
    finally:
        fake.stop()


def test_boards_follow_and_the_loss_is_told(settings):
    lines = [board(n).model_dump_json().encode() + b"\n" for n in (1, 2)]
    fake = FakeRecorder(settings.live_socket, lines)

    async def read() -> list[Board | None]:
        found = []
        stream = live.boards(settings.live_socket)
        async for item in stream:
            found.append(item)
            if len(found) == 2:
                fake.stop()
            if item is None:
                break
        await stream.aclose()
        return found

    found = asyncio.run(asyncio.wait_for(read(), 10))
    assert [b.number if b else None for b in found] == [1, 2, None]


def test_events_are_pieces_of_html_and_end_when_the_browser_leaves(browser, month, recorder, settings, database):
    from types import SimpleNamespace

    from callqa.web.deps import Person, WebState
    from callqa.web.templating import build_templates

    state = WebState(settings, database, build_templates(), lambda: NOW_MS, ())
    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(callqa=state)))
    person = Person(SimpleNamespace(role="shift_leader"))

    async def first() -> str:
        events = live._events(request, person, database, settings.live_socket)
        event = await anext(events)
        await events.aclose()
        return event

    event = asyncio.run(asyncio.wait_for(first(), 10))
    assert event.startswith("event: board\n") and event.endswith("\n\n")
    assert all(line.startswith(("event: ", "id: ", "data: ")) for line in event.strip().splitlines())
    assert "801 王" in event


def test_only_those_who_may_get_the_stream(browser):
    assert browser("agent").get("/live/events").status_code == 403
