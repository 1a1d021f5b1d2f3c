"""The recorder's side of the finalizer: a queue of spools, one child that works them off, a result for each.

The child starts with the recorder and stays. What it has to load takes as long as ten minutes of talk to decode, and no caller's
recording should wait for that; and starting it holds up the loop until it got a processor, which on a machine with much to do takes
20 to 50 ms, in which no packet is relayed. A child that dies is started again and gets its
job once more; what fails twice stays in the spool folder for the next start and is told as a fault.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from callqa.sip.process.priority import CHILD_NICE

log = logging.getLogger(__name__)

LOOK_S = 60.0  # a child that died over nothing is started again before it is needed
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


class Helper(Protocol):
    """Who turns spools into recordings, one at a time."""

    async def begin(self) -> None:
        """Get ready for `ask`, without waiting until it is; nothing where it is. Raise OSError where it cannot."""

    async def ask(self, spool: Path, recovered: bool) -> Finalised:
        """Raise OSError or ValueError when it died over it."""

    async def end(self, *, kill: bool = False) -> None:
        """Let it go; the next `ask` brings another."""


class Finalizer:
    """on_done(spool, recovered, result) is called in the loop for every spool, in order."""

    def __init__(self, helper: Helper, on_done: Callable[[Path, bool, Finalised], None]) -> None:
        self._helper = helper
        self._on_done = on_done
        self._jobs: asyncio.Queue[tuple[Path, bool]] = asyncio.Queue()
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
        await self._helper.end()

    async def _run(self) -> None:
        await self._get_ready()
        while True:
            try:
                spool, recovered = await asyncio.wait_for(self._jobs.get(), LOOK_S)
            except TimeoutError:
                await self._get_ready()
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

    async def _get_ready(self) -> None:
        try:
            await self._helper.begin()
        except OSError as e:  # it is tried again with the job
            log.warning("finalizer: cannot start: %s", e)

    async def _work_off(self, spool: Path, recovered: bool) -> Finalised:
        for attempt in (1, 2):
            try:
                return await asyncio.wait_for(self._helper.ask(spool, recovered), JOB_LIMIT_S)
            except (OSError, TimeoutError, ValidationError, ValueError) as e:
                log.warning("finalizer: %s, attempt %d: %s %s", spool.name, attempt, type(e).__name__, e)
                await self._helper.end(kill=True)
        return Finalised(error="the finalizer process ended twice over this spool")

    def _try_later(self, spool: Path, recovered: bool) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(RETRY_S, lambda: self.submit(spool, recovered=recovered))
        self._later = {t for t in self._later if t.when() > loop.time()} | {timer}


class Child:
    """The child process `callqa.sip.process.finalize`."""

    def __init__(self, recordings: Path) -> None:
        self._recordings = recordings
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        """Start the child where there is none; below the recorder from its first instruction, not only once it runs Python."""
        if self._process is not None and self._process.returncode is not None:
            await self.end()
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "callqa.sip.process.finalize",
                str(self._recordings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ
                | {"OPENBLAS_NUM_THREADS": "1"},  # nothing here multiplies matrices: half of numpy's start
                limit=_LINE_LIMIT_BYTES,
            )
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, CHILD_NICE)

    async def ask(self, spool: Path, recovered: bool) -> Finalised:
        """Have one spool worked off. An empty answer of a child that died is a ValidationError."""
        await self.begin()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"spool": str(spool), "recovered": recovered}).encode() + b"\n")
        await self._process.stdin.drain()
        return Finalised.model_validate_json(await self._process.stdout.readline())

    async def end(self, *, kill: bool = False) -> None:
        """End the child, if there is one."""
        child, self._process = self._process, None
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
