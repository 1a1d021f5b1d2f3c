# ruff: noqa: T201  a bench prints its figures
"""Score calls with the default rubric: are planted defects found, are clean calls left alone?

    python bench/checks.py --set DIR [--only reference|base] [--model DIR] [--fresh]

DIR holds NAME.json (turns with exact text, `planted_defects`), NAME.wav and tickets.csv. Each call is scored twice: with its
exact text, which judges the rubric and the operators, and with what Whisper base made of the sound, which adds the speech
errors (kept in bench/out/checks until the recording, the model or callqa/transcribe changes, or --fresh).

bench/checks.json maps each defect to the checks of which one at least must report it. A suggestion of one of these checks for
a call without that defect is a false alarm, hint or not. All other suggestions are extras; each was read once and marked
right or wrong there, and one that is not marked counts as wrong. The last line printed is one JSON object.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from callqa.audiofile import read_audio  # noqa: E402  # after the path
from callqa.scoring.acoustics import measure_loudness  # noqa: E402
from callqa.scoring.criteria import Level, Rubric  # noqa: E402
from callqa.scoring.facts import CallFacts  # noqa: E402
from callqa.scoring.operators.finding import State  # noqa: E402
from callqa.scoring.rubric import parse_rubric  # noqa: E402
from callqa.scoring.scorer import CheckOutcome, Suggestion, score  # noqa: E402
from callqa.speech import Transcript  # noqa: E402
from callqa.transcribe.assemble import transcribe_call  # noqa: E402
from callqa.transcribe.model import inspect_model, install_packaged_model  # noqa: E402
from callqa.transcribe.repair import load_repairer  # noqa: E402
from callqa.transcribe.vocabulary import parse_vocabulary  # noqa: E402
from callqa.transcribe.whisper import WhisperEngine, load_engine  # noqa: E402
from tests.scoring.reference_calls import ReferenceCall, load_base_transcript, load_call, transcript_json  # noqa: E402

OUT = ROOT / "bench" / "out" / "checks"
MODEL = ROOT / "var" / "models" / "whisper-base"
MAX_WRONG_IN_A_CALL = 1  # extras that are wrong, with the exact text
# Checks that were never meant for this call are no abstentions.
NOT_MEANT = ("本项不适用", "前置条件不满足，未检")


@dataclass(frozen=True, slots=True)
class Table:
    """bench/checks.json. defects: defect -> check ids. must: defects that base must find. right: extras marked right."""

    defects: dict[str, frozenset[str]]
    must: frozenset[str]
    right: frozenset[str]


@dataclass(slots=True)
class Figures:
    """What is counted over all calls of one kind of transcript. unchecked: results not_checked or unsure, of `results`."""

    calls: int = 0
    planted: int = 0
    found: int = 0
    missed: int = 0
    false_alarms: int = 0
    extra: int = 0
    extra_wrong: int = 0
    most_wrong_in_a_call: int = 0
    false_fatal: int = 0
    clean_above_hint_wrong: int = 0
    must_missed: int = 0
    results: int = 0
    unchecked: int = 0
    ms_per_call: float = 0.0


def main() -> int:
    args = _arguments()
    rubric = parse_rubric((ROOT / "scorecards" / "rubric.yaml").read_text(encoding="utf-8"))
    table = read_table(ROOT / "bench" / "checks.json")
    names = [path.stem for path in sorted(args.set.glob("*.json")) if (args.set / f"{path.stem}.wav").exists()]
    if not names:
        sys.exit(f"bench checks: {args.set} holds no call (NAME.json beside NAME.wav)")
    figures: dict[str, Figures] = {}
    for kind in ("reference", "base"):
        if args.only in ("", kind):
            transcripts = _Transcripts(args.set, args.model, args.fresh) if kind == "base" else None
            print(f"===== {kind}")
            figures[kind] = _run(args.set, names, rubric, table, transcripts)
    print(json.dumps({kind: dataclasses.asdict(each) for kind, each in figures.items()}))
    return 0 if all(_is_good(kind, each) for kind, each in figures.items()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--only", choices=("reference", "base"), default="")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--fresh", action="store_true", help="transcribe again")
    return parser.parse_args()


def read_table(path: Path) -> Table:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Table(
        {defect: frozenset(checks) for defect, checks in data["defects"].items()},
        frozenset(data["must_with_base"]),
        frozenset(key for key, mark in data["extras"].items() if mark["right"]),
    )


def _is_good(kind: str, figures: Figures) -> bool:
    common = not (figures.false_fatal or figures.clean_above_hint_wrong or figures.must_missed)
    if kind == "base":
        return common
    return (
        common and not (figures.missed or figures.false_alarms) and figures.most_wrong_in_a_call <= MAX_WRONG_IN_A_CALL
    )


def _run(folder: Path, names: list[str], rubric: Rubric, table: Table, transcripts: "_Transcripts | None") -> Figures:
    figures = Figures()
    elapsed_s = 0.0
    for name in names:
        call = load_call(folder, name)
        facts = call.facts if transcripts is None else replace(call.facts, transcript=transcripts.of(name))
        facts = _with_loudness(facts, folder / f"{name}.wav")
        begun = time.perf_counter()
        outcome = score(rubric, facts)
        elapsed_s += time.perf_counter() - begun
        print(f"{name} {list(call.planted)} 预评 {outcome.auto_score} 不适用 {sorted(outcome.not_applicable)}")
        for line in judge(call, outcome, table, figures):
            print(f"  {line}")
    figures.ms_per_call = round(1000 * elapsed_s / len(names), 1)
    return figures


def judge(call: ReferenceCall, outcome: CheckOutcome, table: Table, figures: Figures) -> Iterator[str]:
    """Count one call into the figures; one line a suggestion and a missed defect."""
    reported = {suggestion.check_id for suggestion in outcome.suggestions}
    tabled = frozenset().union(*table.defects.values())
    wanted = frozenset().union(*(table.defects[defect] for defect in call.planted))
    figures.calls += 1
    figures.planted += len(call.planted)
    wrong_before = figures.extra_wrong
    for suggestion in outcome.suggestions:
        verdict = "found"
        if suggestion.check_id not in wanted:
            extra = suggestion.check_id not in tabled
            right = f"{call.name} {suggestion.check_id}" in table.right
            verdict = ("extra right" if right else "extra WRONG") if extra else "FALSE ALARM"
            figures.extra += extra
            figures.extra_wrong += extra and not right
            figures.false_alarms += not extra
            above_hint = suggestion.level is Level.PRESELECT
            figures.clean_above_hint_wrong += not call.planted and above_hint and not (extra and right)
        figures.false_fatal += suggestion.fatal_id is not None  # no call of the set has a fatal defect
        yield f"{verdict:11} {_say(suggestion)}"
    figures.most_wrong_in_a_call = max(figures.most_wrong_in_a_call, figures.extra_wrong - wrong_before)
    for defect in call.planted:
        if table.defects[defect] & reported:
            figures.found += 1
            continue
        figures.missed += 1
        figures.must_missed += defect in table.must
        yield f"MISSED      {defect}"
        for result in outcome.results:
            if result.check_id in table.defects[defect]:
                yield f"            {result.check_id} {result.state.value} {result.explanation}"
    meant = [result for result in outcome.results if result.explanation not in NOT_MEANT]
    figures.results += len(meant)
    figures.unchecked += sum(result.state in (State.NOT_CHECKED, State.UNSURE) for result in meant)


def _say(suggestion: Suggestion) -> str:
    target = suggestion.fatal_id or f"{suggestion.item_id}.{suggestion.option_code}"
    return f"{suggestion.level.value:9} {suggestion.check_id:7} {target:7} -{suggestion.points} {suggestion.reason}"


def _with_loudness(facts: CallFacts, path: Path) -> CallFacts:
    if facts.transcript is None:
        return facts
    audio = read_audio(path)
    return replace(facts, loudness=measure_loudness(audio.samples, audio.sample_rate_hz, facts.transcript))


class _Transcripts:
    """Base's own transcripts of a folder of recordings, kept on disk. The model is loaded when the first one is missing."""

    def __init__(self, folder: Path, model: Path | None, fresh: bool) -> None:
        self._folder, self._fresh = folder, fresh
        self._model = model or install_packaged_model(MODEL, lambda line: print(line, file=sys.stderr))
        sources = sorted((ROOT / "callqa" / "transcribe").glob("*.py"))
        vocabulary = (ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8")
        self._repairer = load_repairer(parse_vocabulary(vocabulary))
        made_by = f"{inspect_model(self._model).sha256} {self._repairer.options if self._repairer else 'no repair'}"
        parts = [made_by.encode(), *(source.read_bytes() for source in sources)]
        self._made_by = b"".join(hashlib.sha256(part).digest() for part in parts)
        self._engine: WhisperEngine | None = None

    def of(self, name: str) -> Transcript:
        recording = (self._folder / f"{name}.wav").read_bytes()
        kept = OUT / f"{name}-{hashlib.sha256(recording + self._made_by).hexdigest()[:12]}.json"
        if kept.exists() and not self._fresh:
            return load_base_transcript(kept)
        self._engine = self._engine or load_engine(self._model)
        recording_sha256 = hashlib.sha256(recording).hexdigest()
        audio = read_audio(self._folder / f"{name}.wav")
        transcript = transcribe_call(audio, self._engine, recording_sha256=recording_sha256, repairer=self._repairer)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(transcript_json(transcript), encoding="utf-8")
        return transcript


if __name__ == "__main__":
    sys.exit(main())
