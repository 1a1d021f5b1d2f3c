"""Every measurement of docs/benchmarks.md, one after the other; about 15 minutes on an idle machine.

    python bench/all.py [--only soak,peers] [--skip soak]

Prints each command, the machine's load before it and its JSON line; the last line is one JSON object of all. Nothing else should
run meanwhile: with other programs at work delays and CPU figures are lower bounds only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RUNS: dict[str, str] = {
    "bridge": "record.py --calls 100 --seconds 15",
    "impaired": "record.py --calls 20 --seconds 8 --reorder 2 --duplicate 1 --loss 1 --ssrc-change --timestamp-jump",
    "answer": "record.py --mode answer --calls 100 --seconds 10",
    "siprec": "record.py --mode siprec --calls 200 --seconds 15",
    "kill": "record.py --calls 50 --seconds 10 --kill-at 5",
    "calls50": "record.py --calls 50 --seconds 15",
    "busy": "record.py --calls 50 --seconds 15 --busy-worker --finalise-minutes 30",
    "align": "align.py --minutes 10",
    "peers": "peers.py --calls 100 --seconds 15 --reorder 2 --duplicate 1",
    "peers_kill": "peers.py --calls 20 --seconds 10 --reorder 0 --duplicate 0 --kill-at 5",
    "simulate": "simulate.py --seeds 1000",
    "soak": "soak.py --calls 2000 --rate 5",
}


def main() -> int:
    """Run them; 0 when every one ended well."""
    parser = argparse.ArgumentParser(description="依次跑完全部测量")
    parser.add_argument("--only", default="", help=f"只跑这些，逗号隔开：{'、'.join(RUNS)}")
    parser.add_argument("--skip", default="", help="不跑这些")
    args = parser.parse_args()
    wanted = [n for n in RUNS if (not args.only or n in args.only.split(",")) and n not in args.skip.split(",")]
    results: dict[str, object] = {}
    failed = []
    for name in wanted:
        program, *options = RUNS[name].split()
        if not (HERE / program).exists():
            continue
        say(f"\n==> {name}: bench/{program} {' '.join(options)}   (load {os.getloadavg()[0]:.2f})")
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(HERE / program), *options], stdout=subprocess.PIPE, text=True, check=False
        )
        lines = done.stdout.splitlines()
        say("\n".join(line for line in lines if line.startswith("|")))
        say(lines[-1] if lines else "(nothing)")
        say(f"    {time.monotonic() - begun:.0f} s, status {done.returncode}")
        if done.returncode:
            failed.append(name)
        if lines and lines[-1].startswith("{"):
            results[name] = json.loads(lines[-1])
    say(json.dumps({"failed": failed, "results": results}))
    return 1 if failed else 0


def say(text: str) -> None:
    """To whoever waits."""
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
