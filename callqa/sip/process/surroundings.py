"""What a recorder reaches the world by: clocks, files, randomness, RTP sockets, threads, the finalizer's child, the door.

The defaults are the system's. A simulation brings its own, all of them in one thread and from one seed.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callqa.files import DISK, Files
from callqa.live import Board
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.disk import Workers
from callqa.sip.process.finalizer import Child, Helper
from callqa.sip.process.identity import node_name
from callqa.sip.process.live_door import LiveDoor
from callqa.sip.process.ports import Bind, bind_rtp
from callqa.sip.process.rtp_sockets import RtpSockets
from callqa.sip.process.worker import WorkerThread


@dataclass(frozen=True, slots=True)
class Surroundings:
    """random: so many unguessable bytes."""

    clock: Clock = CLOCK
    files: Files = DISK
    random: Callable[[int], bytes] = secrets.token_bytes
    node: Callable[[], str] = node_name
    bind: Bind = bind_rtp
    sockets: Callable[[asyncio.AbstractEventLoop], RtpSockets] = RtpSockets
    workers: Workers = WorkerThread
    helper: Callable[[Path], Helper] = Child
    door: Callable[[Path, Callable[[], Board]], LiveDoor] = LiveDoor

    def token(self) -> str:
        """Unguessable text for tags, branches and Call-IDs."""
        return self.random(12).hex()


SYSTEM = Surroundings()
