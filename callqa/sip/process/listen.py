"""Listening in: whoever asked at the live door is sent what is recorded, as it is recorded.

A listener never holds anything up: records wait in a short list for STEP_S, a connection that does not take them is cut
off, and while nobody listens there is nothing here to be asked. What is sent is the call's spool records (live.py).
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

from callqa.journal import JournalKind
from callqa.live import LiveReply
from callqa.sip.process.clock import Clock
from callqa.sip.process.journal_writer import JournalWriter

log = logging.getLogger(__name__)

LISTENERS_MOST = 4
STEP_S = 0.04  # two frames
# Two sides of G.711 are 20 KB a second; who is two seconds behind does not listen.
UNREAD_MOST_BYTES = 40_000
SYSTEM_BUFFER_BYTES = 16_384  # asked for; a kernel keeps what it likes


class Listener:
    """One connection that is sent one call's records. over: set when nothing more will be sent."""

    def __init__(self, writer: asyncio.StreamWriter, call_id: str, actor: str, started_s: float) -> None:
        self.call_id = call_id
        self.actor = actor
        self.started_s = started_s
        self.over = asyncio.Event()
        self._writer = writer
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        sock = writer.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER_BYTES)

    def push(self, record: bytes) -> None:
        """Send one record soon."""
        if self.over.is_set():
            return
        self._waiting.append(record)
        self._bytes += len(record)
        if self._bytes > UNREAD_MOST_BYTES:  # a flood on the port
            self._cut_off()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STEP_S, self._send)

    def end(self) -> None:
        """Send what waits; nothing more comes."""
        self._send()
        self.over.set()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        transport = self._writer.transport
        if self.over.is_set() or transport.is_closing():
            self.over.set()
        elif transport.get_write_buffer_size() > UNREAD_MOST_BYTES:
            self._cut_off()
        else:
            self._writer.write(b"".join(waiting))

    def _cut_off(self) -> None:
        log.warning("call %s: the listener %s does not keep up; cut off", self.call_id, self.actor)
        self._waiting = []
        self._writer.transport.abort()
        self.over.set()


class Listeners:
    """All who listen. attach(call_id, listener) begins to send and gives the records to begin with, or the Chinese reason why
    not; detach ends it."""

    def __init__(self, journal: JournalWriter, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._present: set[Listener] = set()
        self.attach: Callable[[str, Listener], Iterable[bytes] | str] = lambda _call_id, _listener: "录音服务正在启动"
        self.detach: Callable[[Listener], None] = lambda _listener: None

    def __len__(self) -> int:
        return len(self._present)

    def admit(self, writer: asyncio.StreamWriter, call_id: str, actor: str) -> Listener | LiveReply:
        """A listener that has been sent its reply and the first records; else the reply that says why not."""
        if len(self._present) >= LISTENERS_MOST:
            return _refused(f"已有 {LISTENERS_MOST} 人在监听，请等其中一人结束")
        if not actor:
            return _refused("没有说明谁要监听，不能接入")
        listener = Listener(writer, call_id, actor, self._clock.monotonic())
        first = self.attach(call_id, listener)
        if isinstance(first, str):
            return _refused(first)
        self._present.add(listener)
        writer.write(LiveReply(reply="listen", ok=True).model_dump_json().encode() + b"\n" + b"".join(first))
        log.info("call %s: %s listens in", call_id, actor)
        return listener

    async def stay(self, listener: Listener, reader: asyncio.StreamReader) -> None:
        """Until the call is over, or the listener hangs up or is cut off; then it is in the journal."""
        hung_up = asyncio.create_task(reader.read(1))
        over = asyncio.create_task(listener.over.wait())
        try:
            await asyncio.wait((hung_up, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (hung_up, over):
                task.cancel()
            await asyncio.gather(hung_up, over, return_exceptions=True)
            self._leave(listener)

    def _leave(self, listener: Listener) -> None:
        listener.over.set()
        self.detach(listener)
        self._present.discard(listener)
        seconds = round(self._clock.monotonic() - listener.started_s)
        facts = {"actor": listener.actor, "seconds": seconds}
        self._journal.append(JournalKind.LISTENED, self._clock.wall_ms(), listener.call_id, **facts)


def _refused(text: str) -> LiveReply:
    return LiveReply(reply="listen", ok=False, text=text)
