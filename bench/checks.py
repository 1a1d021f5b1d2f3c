"""Score reference calls with the default rubric: are planted defects found, are clean calls left alone?

`python bench/checks.py FOLDER` takes a folder of Dnn.json references (and Dnn.wav, where loudness is wanted) with
tickets.csv. Prints every suggestion, then one JSON line. It judges the rubric and the operators on exact text, not
the speech engine.
"""

import json
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from callqa.scoring.acoustics import measure_loudness  # noqa: E402  # after the path
from callqa.scoring.criteria import Level  # noqa: E402
from callqa.scoring.facts import CallFacts  # noqa: E402
from callqa.scoring.rubric import parse_rubric  # noqa: E402
from callqa.scoring.scorer import Suggestion, score  # noqa: E402
from tests.scoring.reference_calls import load_call  # noqa: E402

# Which suggestion answers to which planted defect.
EXPECTED = {
    "no_greeting": {("S1.1", "e")},
    "no_closing": {("S1.4", "a"), ("S1.4", "b")},
    "no_satisfaction": {("S1.4", "d"), ("S4.3", "a")},
    "forbidden_phrase": {("S1.2", "c"), ("S1.2", "d")},
    "interruption": {("S2.1", "a"), ("S2.1", "b")},
    "dead_air": {("S2.3", "a"), ("S2.3", "c")},
    "fast_speech": {("S1.3", "a")},
    "address_mismatch": {("S6.2", "b")},
    "phone_mismatch": {("S6.2", "b")},
    "no_phone_verification": {("S3.1", "d")},
    "no_promise": {("S5.1", "b")},
    "no_address_readback": {("S3.2", "a"), ("S3.2", "b")},
}


def with_loudness(facts: CallFacts, path: Path) -> CallFacts:
    """The facts with loudness measured from a 16-bit PCM WAV, unchanged where there is none."""
    if not path.exists() or facts.transcript is None:
        return facts
    with wave.open(str(path)) as audio:
        samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16).reshape(-1, audio.getnchannels())
        return replace(facts, loudness=measure_loudness(samples, audio.getframerate(), facts.transcript))


def say(suggestion: Suggestion) -> str:
    target = suggestion.fatal_id or f"{suggestion.item_id}.{suggestion.option_code}"
    return f"  {suggestion.level.value:9} {suggestion.check_id:7} {target:7} -{suggestion.points} {suggestion.reason}"


def main(folder: Path) -> int:
    rubric = parse_rubric((ROOT / "scorecards" / "rubric.yaml").read_text(encoding="utf-8"))
    planted = found = false_alarms = 0
    started = time.perf_counter()
    names = sorted(path.stem for path in folder.glob("D*.json"))
    for name in names:
        call = load_call(folder, name)
        outcome = score(rubric, with_loudness(call.facts, folder / f"{name}.wav"))
        print(f"{name} {list(call.planted)} 预评 {outcome.auto_score} 不适用 {sorted(outcome.not_applicable)}")  # noqa: T201
        for suggestion in outcome.suggestions:
            print(say(suggestion))  # noqa: T201
        given = {(s.item_id, s.option_code) for s in outcome.suggestions}
        planted += len(call.planted)
        found += sum(bool(EXPECTED[defect] & given) for defect in call.planted)
        if not call.planted:
            false_alarms += sum(s.level is Level.PRESELECT for s in outcome.suggestions)
    elapsed_ms = (time.perf_counter() - started) * 1000
    figures = {"calls": len(names), "planted": planted, "found": found, "preselected_on_clean": false_alarms}
    print(json.dumps(figures | {"ms_per_call": round(elapsed_ms / max(1, len(names)), 1)}))  # noqa: T201
    return 0 if found == planted else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
