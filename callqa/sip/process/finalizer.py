"""The recorder's side of the finalizer: a queue of spools, one child that works them off, a result for each.

The child starts with the first job and ends after IDLE_S without one. A child that dies is started again and gets its
job once more; what fails twice stays in the spool folder for the next start and is told as a fault.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

log = logging.getLogger(__name__)

IDLE_S = 60.0
RETRY_S = 60.0  # the disk was full: look again
JOB_LIMIT_S = 600.0  # an hour of talk takes two seconds; a child silent for so long hangs
_LINE_LIMIT_BYTES = 1 << 20


class Finalised(BaseModel):
    """What became of one spool. call_id is "" when error is not; facts as in the journal's CALL_* entries."""

    model_config = ConfigDict(frozen=True)

    call_id: str = ""
    answered: bool = False
    sidecar: str = ""
    ended_at_ms: int = 0
    facts: dict[str, str | int | None] = {}
    error: str = ""
    again: bool = False


class Finalizer:
    """on_done(spool, recovered, result) is called in the loop for every spool, in order."""

    def __init__(self, recordings: Path, on_done: Callable[[Path, bool, Finalised], None]) -> None:
        self._recordings = recordings
        self._on_done = on_done
        self._jobs: asyncio.Queue[tuple[Path, bool]] = asyncio.Queue()
        self._child: asyncio.subprocess.Process | None = None
        self._later: set[asyncio.TimerHandle] = set()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="finalizer")

    def submit(self, spool: Path, *, recovered: bool = False) -> None:
        """Queue one spool that nobody writes to any more."""
        self._jobs.put_nowait((spool, recovered))

    async def stop(self, grace_s: float) -> None:
        """Finish what is queued, within `grace_s`; the rest is found again at the next start."""
        try:
            await asyncio.wait_for(self._jobs.join(), grace_s)
        except TimeoutError:
            log.warning("finalizer: %d calls are left for the next start", self._jobs.qsize() + 1)
        self._task.cancel()
        for timer in self._later:
            timer.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._end_child()

    async def _run(self) -> None:
        while True:
            try:
                spool, recovered = await asyncio.wait_for(self._jobs.get(), IDLE_S)
            except TimeoutError:
                await self._end_child()
                continue
            try:
                result = await self._work_off(spool, recovered)
                if result.again:
                    self._try_later(spool, recovered)
                self._on_done(spool, recovered, result)
            except Exception:  # the worker loop: one call's trouble must not keep the others from being finished
                log.exception("finalizer: %s", spool.name)
            finally:
                self._jobs.task_done()

    async def _work_off(self, spool: Path, recovered: bool) -> Finalised:
        for attempt in (1, 2):
            try:
                return await asyncio.wait_for(self._ask(spool, recovered), JOB_LIMIT_S)
            except (OSError, TimeoutError, ValidationError, ValueError) as e:
                log.warning("finalizer: %s, attempt %d: %s %s", spool.name, attempt, type(e).__name__, e)
                await self._end_child(kill=True)
        return Finalised(error="the finalizer process ended twice over this spool")

    async def _ask(self, spool: Path, recovered: bool) -> Finalised:
        if self._child is None:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "callqa.sip.process.finalize",
                str(self._recordings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT_BYTES,
            )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"spool": str(spool), "recovered": recovered}).encode() + b"\n")
        await self._child.stdin.drain()
        return Finalised.model_validate_json(await self._child.stdout.readline())

    def _try_later(self, spool: Path, recovered: bool) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(RETRY_S, lambda: self.submit(spool, recovered=recovered))
        self._later = {t for t in self._later if t.when() > loop.time()} | {timer}

    async def _end_child(self, *, kill: bool = False) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            if kill:
                child.kill()
            elif child.stdin is not None:
                child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 5)
        except TimeoutError:
            child.kill()
            await child.wait()
