"""The live board: from the recorder's socket to the page, and what is shown when it is gone."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from callqa.live import Board, LiveCall, LiveFault, LiveSeat, LiveToday, LiveTrunk
from callqa.web import live
from callqa.web.live_board import own_seat, view_board
from callqa.web.live_socket import find_board
from tests.web.conftest import LIMIT_S, NOW_MS


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
        self._thread.join(LIMIT_S)
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


def test_a_number_in_a_fault_is_masked_from_who_may_not_see_numbers(browser, month, settings):
    faults = (LiveFault(at_ms=NOW_MS, text="席位 8002 拨 13871206358 被拒绝"),)
    fake = FakeRecorder(settings.live_socket, [board(1, calls=(), faults=faults).model_dump_json().encode() + b"\n"])
    try:
        shown = {(role, path): browser(role).get(path).text for role, path in (
            ("client_supervisor", "/"), ("client_supervisor", "/live"), ("admin", "/"), ("admin", "/system"))}  # fmt: skip
        assert "拨 13871206358 被拒绝" in browser("shift_leader").get("/system").text
    finally:
        fake.stop()
    for where, html in shown.items():
        assert "138****6358 被拒绝" in html and "13871206358 被拒绝" not in html, where


def test_garbage_from_the_socket_is_no_board(settings):
    fake = FakeRecorder(settings.live_socket, [b'{"half": \n'])
    try:
        assert find_board(settings.live_socket) is None
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

    found = asyncio.run(asyncio.wait_for(read(), LIMIT_S))
    assert [b.number if b else None for b in found] == [1, 2, None]


def test_events_are_pieces_of_html_and_end_when_the_browser_leaves(recorder, settings):
    async def first() -> str:
        events = live.events(settings.live_socket, lambda board: f"<p>\n{board.recorded_today}\n\n</p>", lambda: True)
        event = await anext(events)
        await events.aclose()
        return event

    event = asyncio.run(asyncio.wait_for(first(), LIMIT_S))
    assert event == f"event: board\nid: {NOW_MS + 1}\ndata: <p>\ndata: 37\ndata: </p>\n\n"


def test_the_board_goes_no_further_to_who_may_not_any_more(recorder, settings, monkeypatch):
    monkeypatch.setattr(live, "ASK_AGAIN_S", 0.0)

    async def read() -> list[str]:
        return [event async for event in live.events(settings.live_socket, str, lambda: False)]

    assert asyncio.run(asyncio.wait_for(read(), LIMIT_S)) == []


def test_only_those_who_may_get_the_stream(browser):
    assert browser("agent").get("/live/events").status_code == 403
    assert browser("shift_leader").get("/live/own/events").status_code == 403


def call_of(call_id: str, state: str, **more) -> LiveCall:
    fields = {"direction": "inbound", "number": "13871206358", "since_ms": NOW_MS - 60_000}
    return LiveCall.model_validate({"call_id": call_id, "state": state, **fields, **more})


SEATS = (
    LiveSeat(extension="8001", agent_no="801", registered=True),
    LiveSeat(extension="8002", agent_no="802", registered=True, ringing=True),
    LiveSeat(extension="8003", registered=True),
    LiveSeat(extension="8004", agent_no="804"),
)


def test_the_board_is_put_in_order():
    """The queue by position, then who rings; a seat shows the call somebody is in; what has no seat stands apart."""
    calls = (
        call_of("F", "finalizing", seat_extension="8001"),
        call_of("T", "held", seat_extension="8001"),
        call_of("R", "ringing", since_ms=NOW_MS - 3000),
        call_of("Q2", "queued", position=2, since_ms=NOW_MS - 90_000),
        call_of("Q1", "queued", position=1, since_ms=NOW_MS - 70_000),
        call_of("S", "talking", mode="siprec"),
        call_of("F2", "finalizing", seat_extension="8003"),
    )
    view = view_board(board(calls=calls, seats=SEATS), [], {"801": "王小雨"})
    assert [c.call_id for c in view.waiting] == ["Q1", "Q2", "R"]
    assert (view.queued, view.connected, view.signed_in) == (2, 2, 3)
    assert view.waiting_since_ms == NOW_MS - 90_000
    assert [row.call.call_id if row.call else None for row in view.rows] == ["T", None, "F2", None]
    assert [row.state[0] for row in view.rows] == ["保持", "振铃", "未签入", "话机未注册"]
    assert [c.call_id for c in view.others] == ["S"]
    assert [c.call_id for c in view.finalizing] == ["F", "F2"]
    assert own_seat(board(calls=calls, seats=SEATS), "801")[1].call_id == "T"
    assert own_seat(board(calls=calls, seats=SEATS), "") == (None, None)


@pytest.fixture
def busy(settings) -> Iterator[FakeRecorder]:
    calls = (
        call_of("T", "talking", seat_extension="8001", paused=True, paused_since_ms=NOW_MS - 20_000),
        call_of("Q1", "queued", position=1, since_ms=NOW_MS - 70_000, number="15927340866"),
        call_of("S", "talking", mode="siprec", trouble="听不到诉求人一侧的声音"),
    )
    more = {
        "trunks": (LiveTrunk(name="电信", up=True, text="已登记"), LiveTrunk(name="联通", up=False, text="探测无应答")),
        "today": LiveToday(answered=39, missed=1, longest_wait_ms=95_000),
        "faults": (LiveFault(at_ms=NOW_MS, text="席位 8002 拨 13871206358 被拒绝"),),
    }
    fake = FakeRecorder(
        settings.live_socket, [board(1, calls=calls, seats=SEATS, **more).model_dump_json().encode() + b"\n"]
    )
    yield fake
    fake.stop()


def test_the_page_shows_the_queue_pauses_troubles_trunks_and_the_day(browser, month, busy):
    html = browser("shift_leader").get("/live").text
    for text in (
        "排队第 1 位", "录音暂停", "20秒", "SIPREC", "听不到诉求人一侧的声音", "电信", "已登记", "探测无应答",
        "今日接通", "39", "97.5%", "最长等待 1分35秒", "最长已等", "继续录音", 'data-listen="S"',
    ):  # fmt: skip
        assert text in html, text
    assert "暂停录音" not in html, "the policy does not allow it, so there is no button; going on is always allowed"
    for role in ("client_supervisor", "admin"):
        html = browser(role).get("/live").text
        assert "data-listen" not in html and "/pause" not in html and "/resume" not in html
        assert "138****6358" in html and "13871206358" not in html, "in the fault too"


def test_an_agent_sees_the_own_seat_and_no_other(browser, month, busy):
    html = browser("agent").get("/live/own").text
    assert "席位 8001" in html and "录音暂停" in html and "继续录音" in html
    assert "8002" not in html and "15927340866" not in html
    assert browser("shift_leader").get("/live/own").status_code == 403


def test_without_a_recorder_an_agent_is_told(browser):
    assert "录音服务未连接" in browser("agent").get("/live/own").text
