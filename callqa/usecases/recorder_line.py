"""What a person asks of the running recorder over its socket: pause, resume, listen in. Each is in the audit chain.

Nothing here holds a database transaction while it waits for the recorder.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from callqa.errors import StateError
from callqa.live import LiveCommand, LiveReply, parse_reply
from callqa.sip.media.playout import Playout
from callqa.sip.media.spool import MAGIC, MAX_BODY_BYTES, RECORD_HEAD, SpoolRecord, read_records
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import ConfidentialCall

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 2.0
LINE_MOST_BYTES = 1 << 20
STEP_S = 0.04  # how often sound goes out: two frames
DRAIN_S = 0.4  # when the call is over: what is still on its way to the ear
LISTEN_MOST_S = 1800.0  # then the listener has to ask anew
ASK_AGAIN_S = 5.0  # how often it is asked whether he still may
GONE = "录音服务未连接，没有办成；请稍后再试，或请管理员检查录音进程"


def order(path: Path, command: LiveCommand) -> LiveReply:
    """Give one order and wait for its answer; the caller notes it. Raise StateError when the recorder does not answer."""
    return _ask(path, command)


def set_paused(db: Database, path: Path, command: LiveCommand, *, now_ms: int) -> LiveReply:
    """Pause or resume the recording of a call (command.op says which), and note who asked and what came of it.

    Raise StateError when the recorder does not answer.
    """
    try:
        reply = _ask(path, command)
    except StateError as e:
        _note(db, command, f"recording.{command.op}", {"done": False, "text": str(e)}, now_ms)
        raise
    _note(db, command, f"recording.{command.op}", {"done": reply.ok, "text": reply.text}, now_ms)
    return reply


def _ask(path: Path, command: LiveCommand) -> LiveReply:
    deadline = time.monotonic() + ANSWER_WITHIN_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_WITHIN_S)
        try:
            connection.connect(str(path))
            connection.sendall(command.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as lines:
                while time.monotonic() < deadline and (line := lines.readline(LINE_MOST_BYTES)):
                    if (reply := parse_reply(line)) is not None:
                        return reply
        except OSError as e:
            raise StateError(GONE) from e
    raise StateError(GONE)


@dataclass(slots=True)
class Listening:
    """One person listening in. The recorder has granted it and the audit chain knows; `sound` is to be read at once.

    may_go_on: whether the person still may, asked in a thread every ASK_AGAIN_S."""

    db: Database
    command: LiveCommand
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    started_ms: int
    may_go_on: Callable[[], bool]

    async def sound(self) -> AsyncIterator[bytes]:
        """Stereo 16-bit samples at 8 000 Hz, little endian, a piece each STEP_S, until the call is over or the right withdrawn."""
        loop = asyncio.get_running_loop()
        playout = Playout(loop.time())
        reading = asyncio.create_task(self._read(playout))
        withdrawn = asyncio.create_task(self._wait_until_withdrawn())
        ends_at = loop.time() + LISTEN_MOST_S
        try:
            while loop.time() < ends_at and not withdrawn.done():
                if reading.done():
                    ends_at = min(ends_at, loop.time() + DRAIN_S)
                    await asyncio.sleep(STEP_S)
                else:
                    await asyncio.wait((reading,), timeout=STEP_S)
                samples = playout.take(loop.time())
                if samples.size:
                    yield samples.astype("<i2", copy=False).tobytes()
        finally:
            reading.cancel()
            self.writer.close()
            self._note_end(loop, withdrawn=withdrawn.done())
            withdrawn.cancel()

    async def _read(self, playout: Playout) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            async for record in records(self.reader):
                playout.receive(record, clock())

    async def _wait_until_withdrawn(self) -> None:
        """Whoever cannot be asked about (the database is gone) does not listen on."""
        try:
            while True:
                await asyncio.sleep(ASK_AGAIN_S)
                if not await asyncio.to_thread(self.may_go_on):
                    return
        except Exception:  # the worker loop of this task
            log.exception("listening in on call %s", self.command.call_id)

    def _note_end(self, loop: asyncio.AbstractEventLoop, *, withdrawn: bool) -> None:
        """In a thread, and not waited for: the listener may have gone, and with him whoever would wait."""
        seconds = max(0, round((time.time_ns() // 1_000_000 - self.started_ms) / 1000))
        now_ms = self.started_ms + seconds * 1000
        detail = {"seconds": seconds} | ({"withdrawn": True} if withdrawn else {})
        loop.run_in_executor(None, _note, self.db, self.command, "call.listen_end", detail, now_ms)


async def listen(
    db: Database, path: Path, command: LiveCommand, *, now_ms: int, may_go_on: Callable[[], bool]
) -> Listening | LiveReply:
    """Begin to listen in, for as long as may_go_on says so. The audit chain has it before the first sound; a LiveReply says why it was refused.

    Raise StateError when the recorder does not answer.
    """
    if await asyncio.to_thread(_is_confidential, db, command.call_id):
        return LiveReply(reply="listen", ok=False, text="这通电话是保密件，不能监听")
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_MOST_BYTES)
            writer.write(command.model_dump_json().encode() + b"\n")
            reply = None
            while reply is None and (line := await reader.readline()):
                reply = parse_reply(line)
    except (OSError, ValueError) as e:  # TimeoutError is an OSError
        raise StateError(GONE) from e
    if reply is None or not reply.ok:
        writer.close()
        if reply is None:
            raise StateError(GONE)
        return reply
    try:
        await asyncio.to_thread(_note, db, command, "call.listen", {}, now_ms)
    except BaseException:
        writer.close()  # not noted, not heard
        raise
    return Listening(db, command, reader, writer, time.time_ns() // 1_000_000, may_go_on)


def _is_confidential(db: Database, call_id: str) -> bool:
    with db.read() as session:
        return session.get(ConfidentialCall, call_id) is not None


async def records(reader: asyncio.StreamReader) -> AsyncIterator[SpoolRecord]:
    """The records that a listener is sent. Raise ValueError for a length that cannot be, IncompleteReadError at the end."""
    while True:
        head = await reader.readexactly(RECORD_HEAD.size)
        length, _ = RECORD_HEAD.unpack(head)
        if not 1 <= length <= MAX_BODY_BYTES:
            raise ValueError(f"record of {length} bytes, needs 1 to {MAX_BODY_BYTES}")
        for record in read_records(MAGIC + head + await reader.readexactly(length)):
            yield record


def _note(db: Database, command: LiveCommand, action: str, detail: Mapping[str, object], now_ms: int) -> None:
    reason = {"reason": command.reason} if command.reason else {}
    with db.write() as session:
        audit.append(
            session,
            actor=command.actor,
            action=action,
            subject=command.call_id,
            detail={**reason, **detail},
            now_ms=now_ms,
        )
