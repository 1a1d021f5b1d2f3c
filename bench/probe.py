"""The recorder as it is run, with a window into its process. Used by bench/soak.py and for hunting leaks:

    python bench/probe.py SOCKET --config FILE record

A thread serves SOCKET (Unix): a client that sends a word gets one JSON object back. `count`: tasks, threads, objects that the
collector sees. `types`: how many of each type. `collect`: collect garbage first, then as `count`. `trim`: give free memory back to
the system (glibc). `trace`: start tracemalloc; `top`: what was allocated since `trace`, by line.
"""

import asyncio
import ctypes
import gc
import json
import socket
import sys
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

from callqa.cli import main

TOP = 40


pauses_ms: list[float] = []
cpu_ms: list[float] = []
_begun = [0.0, 0.0]
_asked = threading.Event()  # a collection that we ask for is none of the recorder's


def _time_collection(phase: str, info: dict[str, int]) -> None:
    """Full collections stop every thread: how long."""
    if phase == "start":
        _begun[:] = time.perf_counter(), time.thread_time()
    elif info["generation"] == 2 and not _asked.is_set():
        pauses_ms.append((time.perf_counter() - _begun[0]) * 1000)
        cpu_ms.append((time.thread_time() - _begun[1]) * 1000)


def answer(word: str) -> Any:
    """What a client asked for."""
    if word == "types":
        return Counter(f"{type(x).__module__}.{type(x).__qualname__}" for x in gc.get_objects())
    if word == "trace":
        tracemalloc.start(12)
        gc.collect()
        answer.before = tracemalloc.take_snapshot()  # type: ignore[attr-defined]  # one probe, one trace
        return {}
    if word == "top":
        gc.collect()
        now = tracemalloc.take_snapshot()
        found = now.compare_to(answer.before, "traceback")  # type: ignore[attr-defined]
        return [{"kb": d.size_diff / 1024, "count": d.count_diff, "at": d.traceback.format()[-8:]} for d in found[:TOP]]
    if word == "trim":
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    _asked.set()
    freed = gc.collect() if word == "collect" else 0
    _asked.clear()
    return {
        "tasks": _tasks(),
        "threads": threading.active_count() - 1,
        "objects": len(gc.get_objects()),
        "collections": [generation["collections"] for generation in gc.get_stats()],
        "pauses": len(pauses_ms),
        "longest_pause_cpu_ms": round(max(cpu_ms, default=0.0), 2),
        "longest_pause_ms": round(max(pauses_ms, default=0.0), 2),
        "freed": freed,
    }


def _tasks() -> int:
    """Tasks of all loops; the set may change under our feet."""
    for _ in range(100):
        try:
            return sum(not task.done() for task in list(asyncio.tasks._all_tasks))  # type: ignore[attr-defined]
        except RuntimeError:
            continue
    return -1


def serve(path: Path) -> None:
    """Answer one client after the other."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        while True:
            client, _ = s.accept()
            with client:
                word = client.recv(100).decode()
                client.sendall(json.dumps(answer(word)).encode())


def ask(path: Path, word: str) -> Any:
    """The client's side."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(word.encode())
        parts = []
        while part := s.recv(1 << 16):
            parts.append(part)
    return json.loads(b"".join(parts))


if __name__ == "__main__":
    gc.callbacks.append(_time_collection)
    threading.Thread(target=serve, args=(Path(sys.argv[1]),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))
