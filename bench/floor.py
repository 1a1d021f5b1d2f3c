"""The floor to compare with: a recorder that does as little as one can, on plain asyncio. Run by bench/record.py's sender:

    python bench/floor.py --calls 100 --seconds 15

No signalling, no spool, no journal, no check of anything: each port is an asyncio transport, a packet goes to the other leg
and into a list, and at the end the payloads are written as they came, one WAV a call. A crash loses everything, reordering and
duplicates spoil the audio. The last line printed is one JSON object; exact_pct counts frames standing in the right order.
"""

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from judge import FRAME_BYTES, frame, read_wave
from load import Flow, Impairments, Load

HOSTS = ("127.0.0.2", "127.0.0.1")


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


def right_frames(path: Path, call: int, frames: int) -> int:
    """Frames that stand where a faultless stream would have them."""
    wave = read_wave(path)
    return sum(
        wave.channels[leg][k * FRAME_BYTES : (k + 1) * FRAME_BYTES] == frame(call, leg, k)
        for leg in (0, 1)
        for k in range(frames)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="对照：只转发、只攒包的 asyncio 程序")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--reorder", type=float, default=0)
    parser.add_argument("--duplicate", type=float, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.calls, args.serve))
        return
    frames = args.seconds * 50
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--calls", str(args.calls), "--serve", name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as floor:
            assert floor.stdin is not None
            assert floor.stdout is not None
            load = Load(HOSTS, Impairments(args.reorder / 100, args.duplicate / 100))
            for call, pair in enumerate(json.loads(floor.stdout.readline())):
                for leg, port in enumerate(pair):
                    load.add(Flow(call, leg, frames, 8, ("127.0.0.1", port)))
            load.start()
            load.wait()
            floor.stdin.close()
            cpu_s = float(floor.stdout.readline())
        exact = sum(right_frames(Path(name) / f"{call}.wav", call, frames) for call in range(args.calls))
    heard = load.relayed()
    sent = 2 * frames * args.calls
    line = {
        "mode": "floor",
        "calls": args.calls,
        "exact_pct": round(100 * exact / sent, 3),
        "relay_p99_ms": round(float(np.percentile(heard.delays_ms, 99)), 3),
        "leg_s_per_cpu_s": round(sent / 50 / cpu_s, 1),
    }
    print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    main()
