# ruff: noqa: T201  a bench prints its figures
"""Measure who spoke when: voice activity against exact references, without any words. Half a second a call, no speech model.

    python bench/turns.py --set DIR [--write FILE] [--require "turn_start_p90_s<=0.25"]

DIR holds NAME.wav (left = citizen, right = agent) and NAME.json with `turns` [{speaker, start, end, interrupts?,
silence_before_s?}] in seconds. bench/timing.py says what is heard and how it is judged.

--write: one line a call of the references' times and of what was heard, for tests without the recordings
(tests/data/calls/speech.json, of 13 calls). Calls of which that file says something else are counted as `unlike_stored`.

Prints a table and, as the last line, one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from required import add_option, missed
from timing import (
    Listener,
    Turns,
    compared,
    figures,
    line_of,
    listen,
    percentile_90,
    reference_turns,
    start_deviations_s,
)

from callqa.audiofile import read_audio

STORED: Final = Path(__file__).parents[1] / "tests" / "data" / "calls" / "speech.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="times of the references and of what was heard")
    add_option(parser)
    args = parser.parse_args()
    calls = dict(_heard_calls(args.set))
    if not calls:
        sys.exit(f"bench turns: {args.set} holds no call (NAME.json with turns beside NAME.wav)")
    lines = {
        name: line_of((args.set / f"{name}.wav").read_bytes(), reference, heard)
        for name, (reference, heard) in calls.items()
    }
    if args.write:
        rows = [f"{json.dumps(name)}: {json.dumps(line)}" for name, line in lines.items()]
        args.write.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    stored = {line["recording_sha256"]: line for line in json.loads(STORED.read_text(encoding="utf-8")).values()}
    print("| 通话 | 语句 | 句首偏差 p90（秒） | 静音：有、漏、多 | 抢话：有、漏、多 |\n|---|---|---|---|---|")
    for name, call in calls.items():
        print(_row(name, *call))
    found: dict[str, Any] = {"calls": len(calls)} | figures(list(calls.values()))
    found["unlike_stored"] = sum(stored.get(line["recording_sha256"], line) != line for line in lines.values())
    found["missed"] = missed(found, args.require)
    print(json.dumps(found))
    return 1 if found["missed"] else 0


def _heard_calls(folder: Path) -> Iterator[tuple[str, tuple[Turns, Turns]]]:
    listener = Listener()
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        recording = path.with_suffix(".wav")
        if "turns" in told and recording.exists():
            yield path.stem, (reference_turns(told["turns"]), listen(read_audio(recording), listener))


def _row(name: str, reference: Turns, heard: Turns) -> str:
    quiet = compared(reference.dead_air, heard.dead_air)
    over = compared(reference.interruptions, heard.interruptions)
    off = start_deviations_s(reference, heard)
    return (
        f"| {name} | {len(off)} | {percentile_90(off)} | {quiet.planted}、{quiet.missed}、{quiet.extra} | "
        f"{over.planted}、{over.missed}、{over.extra} |"
    )


if __name__ == "__main__":
    sys.exit(main())
