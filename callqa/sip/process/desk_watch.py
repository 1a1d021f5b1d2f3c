"""The published desk.json, looked at once a second: a new one is taken over, a bad one refused and the last good one kept."""

import logging
from collections.abc import Callable
from pathlib import Path

from callqa.desk import Desk, load_desk
from callqa.errors import SpoolError
from callqa.files import Files
from callqa.sip.process.faults import FaultBook

log = logging.getLogger(__name__)


class DeskWatch:
    """desk: the one in force; number 0 until there was one. take: called with each new one."""

    def __init__(self, path: Path, files: Files, faults: FaultBook, take: Callable[[Desk], None]) -> None:
        self.desk = Desk(number=0)
        self._path = path
        self._files = files
        self._faults = faults
        self._take = take
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Load it when it changed."""
        try:
            seen = self._files.version(self._path)
        except OSError:
            if self._seen is not None:
                self._faults.tell("席位配置 desk.json 不见了，继续使用原来的配置；请在“人员与席位”里重新发布")
            return
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.desk = load_desk(self._path, self._files)
        except SpoolError as e:
            log.error("%s", e)
            self._faults.tell(f"席位配置 desk.json 无法读取，继续使用第 {self.desk.number} 版；请重新发布")
            return
        self._take(self.desk)
        log.info("desk %d: %d seats, %d trunks", self.desk.number, len(self.desk.seats), len(self.desk.trunks))
