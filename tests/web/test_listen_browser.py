"""Listening in with a real browser: the sound of each side arrives and is measured, under the strict content policy."""

import asyncio
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright
from sqlmodel import select

from callqa.sip.media.codec import PCMA
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import EndedMark, MediaMark, encode_mark, encode_packet
from callqa.store.tables import AuditEntry
from callqa.web.app import create_app
from tests.conftest import need_tool
from tests.media.builders import G711
from tests.served import FLAGS, LIMIT_S, open_tab, serve, sign_in
from tests.web.conftest import PASSWORD
from tests.web.test_live_call import BOARD

STEP_S = 0.02


class SoundingRecorder:
    """A recorder's socket: the board to everybody, a tone on the agent's side to whoever listens, until `over` is set."""

    def __init__(self, path) -> None:
        self.over = threading.Event()
        self._stop = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(str(path), up)))
        self._thread.start()
        assert up.wait(LIMIT_S)

    async def _run(self, path: str, up: threading.Event) -> None:
        server = await asyncio.start_unix_server(self._serve, path)
        up.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.05)
        server.close()

    async def _serve(self, reader, writer) -> None:
        writer.write(BOARD.model_dump_json().encode() + b"\n")
        try:
            if await reader.readline():
                writer.write(
                    b'{"reply":"listen","ok":true}\n' + encode_mark(MediaMark(at_ns=1, channel=1, codecs=G711))
                )
                await self._sound(writer)
        finally:
            writer.close()

    async def _sound(self, writer) -> None:
        loop = asyncio.get_running_loop()
        start_s, k = loop.time(), 0
        while not (self.over.is_set() or self._stop.is_set() or writer.is_closing()):
            at = (np.arange(160) + k * 160) / 8000
            tone = PCMA.encode((16_000 * np.sin(2 * np.pi * 400 * at)).astype(np.int16))
            packet = RtpPacket(8, False, k & 0xFFFF, k * 160, 7, tone)
            writer.write(encode_packet(1, 1 + k, build_rtp(packet)))
            k += 1
            await asyncio.sleep(max(0.0, start_s + k * STEP_S - loop.time()))
        writer.write(encode_mark(EndedMark(at_ns=k, hangup_party="citizen")))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)


@pytest.fixture
def sounding(settings) -> Iterator[SoundingRecorder]:
    recorder = SoundingRecorder(settings.live_socket)
    yield recorder
    recorder.stop()


@pytest.fixture
def address(settings, database, clock) -> Iterator[str]:
    with serve(create_app(settings, database, clock=clock)) as address:
        yield address


def actions(database) -> list[str]:
    with database.read() as session:
        return [e.action for e in session.exec(select(AuditEntry)) if e.action.startswith("call.listen")]


@pytest.mark.slow
def test_the_leader_listens_and_the_player_tells_how_it_stands(address, month, sounding, database):
    chromium = need_tool("chromium")
    trouble: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = open_tab(browser, address, trouble, width=1280, height=800)
        sign_in(page, "shift_leader", PASSWORD, onto="/live")
        page.click("[data-listen=T1]")
        box = "document.querySelector('[data-listen-player]')"
        page.wait_for_function(f"() => {box}.dataset.listening === 'T1' && {box}.callListen.seconds > 1")
        heard = page.evaluate(f"{box}.callListen.loudest")
        assert heard[0] == 0 and 0.3 < heard[1] < 0.7, "the agent's side only"
        ahead = page.evaluate(f"{box}.callListen.next - {box}.callListen.sound.currentTime")
        assert -0.2 < ahead < 0.7, "what is heard is at most so old"
        expect(page.locator("[data-listen-player]")).to_contain_text("监听中")
        expect(page.locator("[data-listen-player]")).to_contain_text("8001")
        assert actions(database) == ["call.listen"]

        page.click("[data-listen-stop]")
        expect(page.locator("[data-listen-player]")).to_be_hidden()
        deadline = time.monotonic() + LIMIT_S
        while actions(database) != ["call.listen", "call.listen_end"]:
            assert time.monotonic() < deadline, "who stops is noted"
            page.wait_for_timeout(50)

        page.click("[data-listen=T1]")
        page.wait_for_function(f"() => {box}.dataset.listening === 'T1'")
        sounding.over.set()
        page.wait_for_selector("text=监听已结束")
        browser.close()
    assert trouble == []
