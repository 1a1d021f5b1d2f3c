"""The recorder's Unix socket (0600): every client gets a board at once and another after each change.

Boards are at most ten a second. A client that does not read is cut off rather than waited for.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from callqa.live import Board

log = logging.getLogger(__name__)

SHORTEST_S = 0.1
_MAX_COMMAND_BYTES = 4096
_MAX_UNREAD_BYTES = 1 << 20  # hundreds of boards: the reader is gone or stuck


class LiveDoor:
    """make_board is called whenever a board is to be sent."""

    def __init__(self, path: Path, make_board: Callable[[], Board]) -> None:
        self._path = path
        self._make_board = make_board
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen; a socket file left by a recorder that died is replaced (the journal's lock keeps a living one out)."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_MAX_COMMAND_BYTES)
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
        self._path.unlink(missing_ok=True)

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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            writer.write(self._line())
            while line := await reader.readline():
                writer.write(self._line() if _asks_for_board(line) else b'{"error":"unknown op"}\n')
                await writer.drain()
        except (OSError, ValueError) as e:
            log.debug("live: client gone: %s", e)
        finally:
            self._clients.discard(writer)
            writer.close()


def _asks_for_board(line: bytes) -> bool:
    try:
        command = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(command, dict) and command.get("op") == "board"
