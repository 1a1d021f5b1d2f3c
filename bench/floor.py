"""The floor to compare with: a recorder that does as little as one can, on plain asyncio. Run by bench/peers.py.

No signalling, no spool, no journal, no check of anything: each port is an asyncio transport, a packet goes to the other leg
and into a list, and at the end the payloads are written as they came, one WAV a call. A crash loses everything, reordering and
duplicates spoil the audio.
"""

import asyncio
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from judge import read_wave
from load import Flow, Load, as_the_recorder


class Port(asyncio.DatagramProtocol):
    """One leg: keeps payloads, sends to the other leg's peer."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.other: Port | None = None
        self.peer: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        self.kept.append(data[12:])
        if self.other is not None and self.other.peer is not None:
            self.other.transport.sendto(data, self.other.peer)


async def serve(calls: int, folder: Path) -> None:
    """Open the ports, say them, record until input ends, write the files."""
    loop = asyncio.get_running_loop()
    ports: list[list[Port]] = []
    for _ in range(calls):
        pair = [(await loop.create_datagram_endpoint(Port, local_addr=("127.0.0.1", 0)))[1] for _ in range(2)]
        pair[0].other, pair[1].other = pair[1], pair[0]
        ports.append(pair)
    print(json.dumps([[p.transport.get_extra_info("sockname")[1] for p in pair] for pair in ports]), flush=True)  # noqa: T201
    await loop.run_in_executor(None, sys.stdin.read)
    for call, pair in enumerate(ports):
        left, right = (b"".join(p.kept) for p in pair)
        n = max(len(left), len(right))
        stereo = bytearray(2 * n)
        stereo[0::2], stereo[1::2] = left.ljust(n, b"\xd5"), right.ljust(n, b"\xd5")
        fmt = struct.pack("<HHIIHHH", 6, 2, 8000, 16000, 2, 8, 0)
        chunks = b"WAVEfmt " + struct.pack("<I", 18) + fmt + b"fact" + struct.pack("<II", 4, n)
        chunks += b"data" + struct.pack("<I", len(stereo)) + stereo
        (folder / f"{call}.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    print(json.dumps(sum(os.times()[:2])), flush=True)  # noqa: T201


class Floor:
    """One process of it."""

    name = "asyncio"
    heard_as = None
    legs = 2

    def __init__(self, folder: Path, calls: int) -> None:
        self.folder, self.calls = folder, calls
        self.cpu_s = self._rss_mb = 0.0
        self.process: subprocess.Popen[str] | None = None

    @staticmethod
    def missing() -> str:
        """It runs wherever Python does."""
        return ""

    def start(self) -> None:
        """Start it; it says its ports."""
        command = [sys.executable, __file__, str(self.calls), str(self.folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def place(self, load: Load, frames: int) -> None:
        """Both legs of every call are to talk."""
        assert self.process is not None
        assert self.process.stdout is not None
        for call, pair in enumerate(json.loads(self.process.stdout.readline())):
            for leg, port in enumerate(pair):
                load.add(Flow(call, leg, frames, 8, ("127.0.0.1", port)))

    def hang_up(self) -> None:
        """Let it write its files."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._rss_mb = self.rss_mb()
        self.process.stdin.close()
        self.cpu_s = float(self.process.stdout.readline())

    def stop(self, *, kill: bool = False) -> None:
        """End the process."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
            self.process = None

    def rss_mb(self) -> float:
        """Memory at its peak."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), self._rss_mb)

    def recording(self, call: int) -> tuple[bytes, ...]:
        """Both channels of one call, A-law."""
        return read_wave(self.folder / f"{call}.wav").channels


if __name__ == "__main__":
    as_the_recorder()
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
