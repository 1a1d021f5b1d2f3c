"""Which phones are registered, on disk, so that they ring after a restart without registering anew."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from callqa.files import Files
from callqa.refusals import os_reason
from callqa.sip.process.clock import Clock
from callqa.sip.process.faults import FaultBook
from callqa.sip.useragent import UserAgent

log = logging.getLogger(__name__)


class Registrations:
    """changed: set by whoever sees a phone come or go; what is on disk is then no longer true."""

    def __init__(self, path: Path, agent: UserAgent, files: Files, clock: Clock, faults: FaultBook) -> None:
        self.changed = False
        self._path = path
        self._agent = agent
        self._files = files
        self._clock = clock
        self._faults = faults

    def restore(self) -> None:
        """Give the user agent what an earlier run saved. A file that cannot be read costs only that."""
        try:
            saved = json.loads(self._files.read(self._path))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as e:
            log.error("registrations: %s", e)
            return
        bindings: list[Any] = [b for b in saved if isinstance(b, dict)] if isinstance(saved, list) else []
        self._agent.restore_registrations(bindings, self._clock.monotonic(), self._clock.wall_ms())

    async def save(self) -> None:
        """In a thread: phones register all the time, and a sync of the disk would hold up every packet."""
        self.changed = False
        saved = json.dumps(self._agent.registrations(self._clock.monotonic(), self._clock.wall_ms()), indent=1).encode()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._files.put, self._path, saved + b"\n")
        except OSError as e:
            self.changed = True  # again in a second
            self._faults.tell(f"话机注册没能存盘（{os_reason(e)}）：重启后话机要重新注册；请检查磁盘")
