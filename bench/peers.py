"""Other recorders under the same load and the same judge, one after the other, and callqa among them.

    python bench/peers.py --calls 100 --seconds 15 --reorder 2 --duplicate 1 [--only rtpengine] [--kill-at 5]

pyVoIP answers calls (one leg), the plain asyncio program and rtpengine relay both legs and are spared the signalling, callqa does all of
it. What a frame of the judge is, and when a call is whole, is the same for all (bench/judge.py); gap maps are judged at callqa only, for
the others have none. CPU counts from the first call until the files are there. One JSON line a program, a table, and one JSON
object of all as the last line.
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from floor import Floor
from judge import FRAME_MS, CallVerdict, Judge, Sent
from load import FRAMES_PER_S, Impairments, Load
from peer_pyvoip import PyVoip
from peer_rtpengine import Rtpengine

HOSTS = ("127.0.0.2", "127.0.0.1")
PEERS = {peer.name: peer for peer in (PyVoip, Floor, Rtpengine)}
COLUMNS = {
    "calls": "通话", "whole": "完整", "exact_pct": "逐字节 %", "placed_pct": "位置 %", "crosstalk": "串音", "dup": "重复",
    "relay_p99_ms": "转发 p99 ms", "leg_s_per_cpu_s": "侧·秒/CPU 秒", "peak_rss_mb": "内存 MB", "worst_lost_s": "最多丢 秒",
}  # fmt: skip


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One program, from its start to its verdict."""
    folder = Path(tempfile.mkdtemp(prefix="callqa-peer-"))
    peer = PEERS[name](folder, args.calls)
    how = Impairments(args.reorder / 100, args.duplicate / 100, args.loss / 100)
    load = Load(HOSTS, how, args.seed)
    rss_mb = 0.0
    try:
        peer.start()
        peer.place(load, args.seconds * FRAMES_PER_S)
        load.start()
        if args.kill_at:
            time.sleep(args.kill_at)
            rss_mb = peer.rss_mb()
            peer.stop(kill=True)
            load.stop()
        else:
            load.wait()
            peer.hang_up()
            rss_mb = peer.rss_mb()
        peer.stop()
        verdicts = judge(peer, load, args.calls, cut_s=args.seconds if args.kill_at else 0.0)
        return summarise(peer, load, verdicts, args) | {"peak_rss_mb": round(rss_mb, 1)}
    finally:
        peer.stop(kill=True)
        load.close()
        shutil.rmtree(folder)


def judge(peer: Any, load: Load, calls: int, cut_s: float) -> list[CallVerdict]:
    """Every call's verdict; one without a readable file misses everything."""
    flows = {(f.call, f.leg): f for f in load.flows}
    sent = {
        call: tuple(
            Sent(f.sent, frozenset(k for k in f.dropped if k < f.sent)) if (f := flows.get((call, leg))) else Sent()
            for leg in (0, 1)
        )
        for call in range(calls)
    }
    by_frames = Judge(sent, cut_s, heard_as=peer.heard_as)  # type: ignore[arg-type]  # two legs each
    verdicts = []
    for call in range(calls):
        try:
            channels = peer.recording(call)
        except (OSError, ValueError, KeyError, struct.error) as e:
            verdicts.append(by_frames.unreadable(call, str(e)))
            continue
        pair = [flows.get((call, leg)) for leg in (0, 1)]
        lead_ms = (pair[1].phase_us - pair[0].phase_us) / 1000 if pair[0] and pair[1] else 0.0
        verdicts.append(by_frames.judge_channels(call, channels, lead_ms))
    return verdicts


def summarise(peer: Any, load: Load, verdicts: list[CallVerdict], args: argparse.Namespace) -> dict[str, Any]:
    """The same names as in bench/record.py. whole: of the calls asked for, also those that were never answered."""
    legs = [leg for verdict in verdicts for leg in verdict.legs]
    frames = args.seconds * FRAMES_PER_S
    arrived = sum(f.sent - sum(k < f.sent for k in f.dropped) for f in load.flows)
    asked = arrived + (args.calls * peer.legs - len(load.flows)) * frames
    line: dict[str, Any] = {
        "mode": peer.name,
        "calls": args.calls,
        "answered": len(load.flows) // peer.legs,
        "whole": sum(v.whole and any(leg.sent.frames for leg in v.legs) for v in verdicts),
        "exact_pct": round(100 * sum(leg.exact for leg in legs) / asked, 3),
        "placed_pct": round(100 * sum(leg.placed for leg in legs) / asked, 3),
        "crosstalk": sum(leg.crosstalk for leg in legs),
        "dup": sum(leg.dup for leg in legs),
        "relay_p99_ms": None,
        "worst_lost_s": round(max((len(leg.missing) for leg in legs), default=0) * FRAME_MS / 1000, 3),
        "leg_s_per_cpu_s": round(sum(f.sent for f in load.flows) / FRAMES_PER_S / peer.cpu_s, 1)
        if peer.cpu_s
        else None,
        "sender_late_ms": round(load.late_ms, 1),
    }
    if peer.legs == 2:
        delays_ms = load.relayed().delays_ms
        line["relay_p99_ms"] = round(float(np.percentile(delays_ms, 99)), 3) if delays_ms.size else None
    return line


def callqa(args: argparse.Namespace) -> dict[str, Any]:
    """The product, by bench/record.py."""
    options = [
        f"--{name}={getattr(args, name)}" for name in ("calls", "seconds", "reorder", "duplicate", "loss", "seed")
    ]
    options += [f"--kill-at={args.kill_at}"] if args.kill_at else []
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("record.py")), *options],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return line | {"mode": "callqa"}


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown."""
    rows = [["程序", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    rows += [[line["mode"], *("—" if line.get(c) is None else str(line[c]) for c in COLUMNS)] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description="同一负载、同一判定下的其他录音程序")
    parser.add_argument("--only", choices=["callqa", *PEERS], help="只跑一个")
    parser.add_argument("--calls", type=int, default=100, help="同时通话数")
    parser.add_argument("--seconds", type=int, default=15, help="每通时长，秒")
    parser.add_argument("--reorder", type=float, default=2, help="乱序的包，百分之几")
    parser.add_argument("--duplicate", type=float, default=1, help="重复的包，百分之几")
    parser.add_argument("--loss", type=float, default=0, help="丢失的包，百分之几")
    parser.add_argument("--kill-at", type=float, default=0, help="媒体开始后几秒 kill -9")
    parser.add_argument("--seed", type=int, default=1, help="乱序、重复、丢失的随机种子")
    return parser.parse_args()


def main() -> int:
    """All of them, in turn. 0 when callqa's calls are whole."""
    args = arguments()
    lines = []
    for name in [args.only] if args.only else ["callqa", *PEERS]:
        missing = "" if name == "callqa" else PEERS[name].missing()
        if missing:
            print(missing, file=sys.stderr)  # noqa: T201  a bench speaks to its user
            continue
        lines.append(callqa(args) if name == "callqa" else measure(name, args))
        print(json.dumps(lines[-1]), flush=True)  # noqa: T201
    print(table(lines))  # noqa: T201
    print(json.dumps({"mode": "peers", "programs": lines}))  # noqa: T201
    return 0 if all(line["whole"] == args.calls for line in lines if line["mode"] == "callqa") else 1


if __name__ == "__main__":
    sys.exit(main())
