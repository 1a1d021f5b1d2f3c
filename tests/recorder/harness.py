"""A real recorder process in a temporary home, with seats and a trunk on loopback, and its phones.

Nothing here sleeps for a fixed time: `until` waits for a condition with a deadline.
"""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from callqa.config import Settings, load_settings
from callqa.demo.endpoint import AutoAnswer, Endpoint
from callqa.demo.endpoint_call import EndpointCall
from callqa.desk import Desk, DeskRouting, DeskSeat, DeskTrunk, DialRule, save_desk
from callqa.journal import JournalEntry, read_entries
from callqa.live import Board
from callqa.sidecar import GapNote, Sidecar, load_sidecar
from tests.ports import own_port

REALM = "callqa"
TRUNK_HOST = "127.0.0.2"
LIMIT_S = 60.0  # reached only on failure; machines that build are often busy

T = TypeVar("T")


def seat(extension: str) -> DeskSeat:
    text = f"{extension}:{REALM}:{password(extension)}".encode()
    return DeskSeat(
        extension=extension,
        ha1_md5=hashlib.md5(text).hexdigest(),
        ha1_sha256=hashlib.sha256(text).hexdigest(),
        agent_no=f"A{extension}",
    )


def password(extension: str) -> str:
    return f"pw-{extension}"


def make_desk(extensions: list[str], **routing: object) -> Desk:
    return Desk(
        number=1,
        realm=REALM,
        seats=tuple(seat(e) for e in extensions),
        trunks=(DeskTrunk(name="loop", addresses=(TRUNK_HOST,), host=TRUNK_HOST, port=9),),
        dial_plan=(DialRule(pattern=r"1\d{10}", trunk="loop"),),
        routing=DeskRouting(hotline_number="96510", ring_timeout_s=20, **routing),
    )


async def until(what: str, ready: Callable[[], T], limit_s: float = LIMIT_S) -> T:
    """The first truthy value of `ready`."""
    deadline = time.monotonic() + limit_s
    while not (value := ready()):
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        await asyncio.sleep(0.02)
    return value


class Home:
    """One installation and its recorder process."""

    def __init__(self, folder: Path, desk: Desk | None, **sip: object) -> None:
        self.port = own_port()
        lines = [f"{key} = {value!r}" for key, value in {"listen_host": "127.0.0.1", **sip}.items()]
        (folder / "callqa.toml").write_text("[sip]\n" + "\n".join(lines) + f"\nlisten_port = {self.port}\n")
        self.settings: Settings = load_settings(folder / "callqa.toml", {})
        self.folder = folder
        self.log = folder / "recorder.log"
        self.environment: dict[str, str] = {}  # besides ours
        self.process: subprocess.Popen[bytes] | None = None
        self.settings.state_dir.mkdir(parents=True)
        if desk is not None:
            save_desk(self.settings.desk_path, desk)

    @property
    def server(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "callqa", "--config", str(self.folder / "callqa.toml"), "record"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | self.environment,
            )
        return self.process

    async def start(self) -> None:
        """Start the recorder and wait until it answers at the live socket."""
        process = self.spawn()

        def up() -> bool:
            assert process.poll() is None, self.log.read_text()
            return self.board() is not None

        await until("the recorder to start", up)

    def board(self) -> Board | None:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT_S)
            try:
                s.connect(str(self.settings.live_socket))
                with s.makefile("rb") as lines:
                    line = lines.readline()
            except OSError:
                return None
        return Board.model_validate_json(line) if line else None

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(LIMIT_S)
        self.process = None
        return status

    def sidecars(self) -> list[Sidecar]:
        return [load_sidecar(p) for p in sorted(self.settings.recordings_dir.glob("[0-9]*/*/*/*.json"))]

    def journal(self, kind: str = "") -> list[JournalEntry]:
        return [e for e in journal_entries(self.settings.journal_dir) if not kind or e.kind == kind]


def journal_entries(folder: Path) -> list[JournalEntry]:
    """All whole entries of a journal, in order."""
    return [e for path in sorted(folder.glob("*.jsonl")) for e in read_entries(path) if isinstance(e, JournalEntry)]


def waited_for_cpu_s(pid: int) -> float:
    """How long the main thread of a process was ready to run and others ran instead; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def frames(seed: int, n: int) -> bytes:
    """n frames of 160 bytes, each different from every other."""
    return b"".join(hashlib.shake_128(f"{seed}/{k}".encode()).digest(160) for k in range(n))


async def phone(home: Home, extension: str, answer: AutoAnswer) -> Endpoint:
    """A registered seat phone."""
    endpoint = await Endpoint("127.0.0.1", on_invite=lambda _: answer).start()
    assert await endpoint.register(home.server, extension, password(extension)) == 200
    return endpoint


async def citizen() -> Endpoint:
    """A caller at the trunk's address."""
    return await Endpoint(TRUNK_HOST).start()


async def talked_out(one: EndpointCall, other: EndpointCall) -> None:
    """Until both have said everything and each has heard all of the other: the BYE travels by another socket and may
    otherwise be read before the last word."""
    await asyncio.gather(one.played, other.played)
    await until("the last words", lambda: one.heard_count >= other.sent_count and other.heard_count >= one.sent_count)


def inner_gaps(sidecar: Sidecar) -> list[GapNote]:
    """Gaps but for those at the ends of the recording: one side begins and stops later than the other."""
    assert sidecar.recording is not None
    return [g for g in sidecar.gaps if g.start_ms > 0 and g.end_ms < sidecar.recording.duration_ms]
