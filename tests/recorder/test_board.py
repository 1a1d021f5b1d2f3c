"""The board of a real recorder: who rings, the trunks, the day so far, over a restart too."""

import asyncio

from callqa.demo.endpoint import RingForever
from callqa.sip.process.board import live_trunks
from callqa.sip.trunks import TrunkView
from tests.recorder.harness import Home, citizen, make_desk, phone, until


def test_ringing_seats_trunks_and_the_day(tmp_path):
    home = Home(tmp_path, make_desk(["8001", "8002"]))

    async def story():
        await home.start()
        board = home.board()
        assert [(t.name, t.up, t.text) for t in board.trunks] == [("loop", True, "可用")]
        assert (board.today.answered, board.today.missed, board.today.answer_rate) == (0, 0, None)
        ringing = await phone(home, "8001", RingForever())
        caller = await citizen()
        call = await caller.call(home.server, "96510", b"", "PCMA", caller="13800000001")
        await call.ringing
        board = home.board()
        assert [(s.extension, s.ringing, s.registered) for s in board.seats] == [
            ("8001", True, True),
            ("8002", False, False),
        ]
        assert [(c.state, c.mode, c.paused) for c in board.calls] == [("ringing", "bridge", False)]
        call.hang_up()
        await until("the end", lambda: home.board().today.missed == 1)
        await until("the phone to be quiet", lambda: not home.board().seats[0].ringing)
        for endpoint in (ringing, caller):
            await endpoint.close()
        assert home.stop() == 0
        await home.start()
        today = home.board().today
        assert (today.answered, today.missed, today.answer_rate) == (0, 1, 0.0)

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0


def test_how_a_trunk_stands_is_said_in_words():
    views = [
        TrunkView("a", True, None),
        TrunkView("b", True, True),
        TrunkView("c", True, False),
        TrunkView("d", False, True),
    ]
    assert [(t.up, t.text) for t in live_trunks(views)] == [
        (True, "可用"), (True, "已登记"), (False, "没有登记上"), (False, "没有应答"),
    ]  # fmt: skip
