"""The recorder's Unix socket (0600): every client gets a board at once and another after each change.

Boards are at most ten a second. A client that does not read is cut off rather than waited for. What it may ask for is in
live.py; set_paused, set_confidential and listeners are given by the recorder once it runs.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from callqa.live import COMMAND_MOST_BYTES, Board, LiveCommand, LiveReply
from callqa.sip.process.listen import Listener, Listeners

log = logging.getLogger(__name__)

SHORTEST_S = 0.1
_MAX_UNREAD_BYTES = 1 << 20  # hundreds of boards: the reader is gone or stuck


class LiveDoor:
    """make_board is called whenever a board is to be sent."""

    def __init__(self, path: Path, make_board: Callable[[], Board]) -> None:
        self._path = path
        self._make_board = make_board
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.set_paused: Callable[[LiveCommand], LiveReply] | None = None
        self.set_confidential: Callable[[LiveCommand], LiveReply] | None = None
        self.listeners: Listeners | None = None

    @property
    def is_open(self) -> bool:
        """Whether anybody can come in."""
        return self._server is not None

    async def open(self) -> None:
        """Listen, or raise OSError (disk full or read-only); a socket file left by a recorder that died is replaced (the journal's lock keeps a living one out)."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=COMMAND_MOST_BYTES)
        finally:
            os.umask(before)

    def changed(self) -> None:
        """Something on the board changed: send one soon."""
        if self._timer is None and self._clients:
            self._timer = asyncio.get_running_loop().call_later(SHORTEST_S, self._send_to_all)

    async def close(self) -> None:
        """Send everybody away and remove the socket."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as e:  # the next run replaces it
            log.warning("live: %s", e)

    def _send_to_all(self) -> None:
        self._timer = None
        line = self._line()
        for client in list(self._clients):
            if client.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
                log.warning("live: a client does not read; cut off")
                client.transport.abort()
            else:
                client.write(line)

    def _line(self) -> bytes:
        return self._make_board().model_dump_json().encode() + b"\n"

    def _obey(self, line: bytes, writer: asyncio.StreamWriter) -> Listener | None:
        """Do what a line asks for and answer it; a listener when the connection is one from now on."""
        try:
            command = LiveCommand.model_validate_json(line)
        except ValidationError:
            _reply(writer, LiveReply(reply="?", ok=False, text="录音服务不认识这条命令"))
            return None
        match command.op:
            case "board":
                writer.write(self._line())
            case "listen" if self.listeners is not None:
                granted = self.listeners.admit(writer, command.call_id, command.actor)
                if isinstance(granted, Listener):
                    return granted
                _reply(writer, granted)
            case "pause" | "resume" if self.set_paused is not None:
                _reply(writer, self.set_paused(command))
            case "confidential" if self.set_confidential is not None:
                _reply(writer, self.set_confidential(command))
            case _:
                _reply(writer, LiveReply(reply="?", ok=False, text="录音服务正在启动，请稍后再试"))
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            writer.write(self._line())
            while line := await reader.readline():
                listener = self._obey(line, writer)
                if listener is not None and self.listeners is not None:
                    self._clients.discard(writer)
                    await self.listeners.stay(listener, reader)
                    return
                await writer.drain()
        except (OSError, ValueError) as e:
            log.debug("live: client gone: %s", e)
        finally:
            self._clients.discard(writer)
            writer.close()


def _reply(writer: asyncio.StreamWriter, reply: LiveReply) -> None:
    writer.write(reply.model_dump_json().encode() + b"\n")
