# ruff: noqa: T201  a bench prints its figures; the tests are found from the root
"""Tell stories: the real recorder under a virtual clock, with a simulated network and disk, one story a seed.

    ./run bench simulate --seeds 100000 --jobs 2     stories 0 to 99 999; a line for each that fails, a JSON line last
    ./run bench simulate --seed 4711 --trace         one story again, with all that happens in it

A story that fails is told the same way by its seed for as long as the code is the same. Exit status 1 when one failed, or when a
figure asked for with --require "stories_per_min>=2000" (bench/required.py) is missed.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from required import Requirement, add_option, missed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulate.plan import draw, plain
from tests.simulate.story import Told, tell

CHUNK = 25


def _tell_some(seeds: range) -> list[Told]:
    return [_tell(seed) for seed in seeds]


def _tell(seed: int) -> Told:
    try:
        return tell(seed)
    except Exception as e:  # a story that breaks the simulator is a story that failed
        return Told(seed, (f"the simulator itself: {type(e).__name__}: {e}",), "", 0, 0, 0, 0, 0, 0)


def _all(first: int, n: int, jobs: int) -> Iterator[Told]:
    chunks = [range(s, min(s + CHUNK, first + n)) for s in range(first, first + n, CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from _tell_some(chunk)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for some in pool.imap(_tell_some, chunks):
            yield from some


def main() -> int:
    """Tell the stories asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one story")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--plain", action="store_true", help="that story without what tests/simulate/wider.py adds")
    parser.add_argument("--trace", action="store_true", help="say what happens")
    add_option(parser)
    args = parser.parse_args()
    if args.seed is not None:
        told = tell(plain(args.seed) if args.plain else draw(args.seed), print if args.trace else None)
        print(*(f"seed {told.seed}: {v}" for v in told.violations), sep="\n")
        return _sum_up([told], 0.0, args.require)
    began = time.monotonic()
    everything = []
    for told in _all(args.first, args.seeds, args.jobs):
        everything.append(told)
        if told.violations:
            print(
                f"seed {told.seed}: {told.violations[0]}   (./run bench simulate --seed {told.seed} --trace)",
                flush=True,
            )
    return _sum_up(everything, time.monotonic() - began, args.require)


def _sum_up(told: list[Told], seconds: float, wanted: Sequence[Requirement]) -> int:
    failed = sum(1 for t in told if t.violations)
    summary: dict[str, object] = {
        "stories": len(told),
        "failed": failed,
        "stories_per_min": round(len(told) * 60 / seconds) if seconds else None,
        "calls": sum(t.calls for t in told),
        "answered": sum(t.answered for t in told),
        "crashes": sum(t.crashes for t in told),
        "power_cuts": sum(t.power_cuts for t in told),
        "packets": sum(t.packets for t in told),
        "hash": hashlib.sha256("".join(t.hash for t in told).encode()).hexdigest()[:32],
    }
    summary["missed"] = missed(summary, (Requirement("failed", "=", 0), *wanted))
    print(json.dumps(summary))
    return 1 if summary["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
