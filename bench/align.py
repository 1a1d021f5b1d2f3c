# ruff: noqa: T201  a bench prints its figures
"""How fast a spool becomes a master: `python bench/align.py [--minutes 10] [--require "decode_align_x>=3000"]`, one core, one JSON line last.

The spool is a made-up two-sided G.711 call as the recorder writes it. decode_align_x: seconds of call per CPU second from spool
bytes to stereo; finalise_x: with the master, its digest and the sidecar on disk; finalise_s: wall time of that; playable_s: from the
hang-up to the sidecar, through the recorder's own threads and its child, which has been there for a while (the call lasted so long);
cold_s: the same where the child died just then. Exit status 1 when a figure asked for with --require (bench/required.py) is missed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from required import add_option, missed

from callqa.sip.media.align import to_stereo
from callqa.sip.media.columns import read_columns
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import MAGIC, AnsweredMark, EndedMark, MediaMark, StartedMark, encode_mark, encode_packet
from callqa.sip.media.story import tell
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.finalize import finalise
from callqa.sip.process.finalizer import Child, Finalised, Finalizer

FRAME_NS = 20_000_000
LOADED_S = 5.0  # a call lasts at least so long; the child has loaded by then
CODECS = ((8, "PCMA/8000"),)


def spool(minutes: int) -> bytes:
    """A call of so many minutes: both sides speak without pause."""
    parts = [
        MAGIC,
        encode_mark(StartedMark(at_ns=0, wall_ms=0, call_id="0-BENCH", mode="bridge", direction="inbound")),
        *(encode_mark(MediaMark(at_ns=0, channel=channel, codecs=CODECS)) for channel in (0, 1)),
        encode_mark(AnsweredMark(at_ns=0)),
    ]
    n = minutes * 3000
    for k in range(n):
        for channel in (0, 1):
            packet = RtpPacket(8, k == 0, k & 0xFFFF, k * 160, 7 + channel, bytes([k & 0xFF]) * 160)
            parts.append(encode_packet(channel, k * FRAME_NS + channel * 7_000_000, build_rtp(packet)))
    parts.append(encode_mark(EndedMark(at_ns=n * FRAME_NS, hangup_party="citizen")))
    return b"".join(parts)


def main() -> int:
    """Measure, print. 0 when nothing that is required was missed."""
    parser = argparse.ArgumentParser(description="暂存还原成录音要多久")
    parser.add_argument("--minutes", type=int, default=10, help="通话时长，分钟")
    add_option(parser)
    args = parser.parse_args()
    minutes = args.minutes
    data = spool(minutes)
    best = min(_cpu_s(lambda: (tell(columns := read_columns(data)), to_stereo(columns))) for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.spool"
        path.write_bytes(data)
        wall, cpu = time.perf_counter(), time.process_time()
        finalise(Path(folder), path, recovered=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    playable_s, cold_s = uvloop.run(_playable_s(data))
    line: dict[str, object] = {
        "minutes": minutes,
        "decode_align_x": round(minutes * 60 / best),
        "finalise_x": round(minutes * 60 / cpu),
        "finalise_s": round(wall, 3),
        "playable_s": round(playable_s, 3),
        "cold_s": round(cold_s, 3),
    }
    line["missed"] = missed(line, args.require)
    print(json.dumps(line))
    return 1 if line["missed"] else 0


async def _playable_s(data: bytes) -> tuple[float, float]:
    """From the last record of a spool to its sidecar: with a child that is there, and with one that is not."""
    with tempfile.TemporaryDirectory() as folder:
        results: asyncio.Queue[Finalised] = asyncio.Queue()
        child = Child(Path(folder))
        finalizer = Finalizer(child, lambda spool, recovered, result: results.put_nowait(result))
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: print(f"{path}: {reason}", file=sys.stderr))
        took: list[float] = []
        for name in ("there.spool", "cold.spool"):
            file = disk.open(Path(folder) / name)
            disk.append_mark(file, data)
            await asyncio.sleep(LOADED_S)  # the threads have written and synced it, as they do while a call lasts
            if name == "cold.spool":
                await child.end(kill=True)
            begun = time.perf_counter()
            disk.close(file, lambda path=file.path: finalizer.submit(path))
            result = await results.get()
            took.append(time.perf_counter() - begun)
            if result.error:
                raise SystemExit(f"{name}: {result.error}")
            (Path(folder) / result.sidecar).unlink()
        await finalizer.stop(LOADED_S)
        disk.stop()
        return took[0], took[1]


def _cpu_s(work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
