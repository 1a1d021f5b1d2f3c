"""The peaks of a recording for its waveform: made by the worker beside the pre-score, or when a page is first to ask.

Small files under var/cache/peaks, named by the recording's hash; they may be deleted at any time.
"""

import json
import logging
from pathlib import Path

from callqa.errors import AudioError
from callqa.peaks import read_peaks
from callqa.refusals import os_reason
from callqa.sidecar import write_atomically
from callqa.store.db import Database
from callqa.store.tables import Call

log = logging.getLogger(__name__)

PEAKS_PER_SECOND = 20
MAX_PEAKS = 6000
FOLDER = Path("cache/peaks")  # under var


def load_peaks(path: Path, recording_sha256: str, var: Path) -> bytes:
    """JSON: {"duration_s": ..., "channels": [[loudest of a stretch in 0..1, ...], ...]}; made once a recording. Raise AudioError."""
    kept = var / FOLDER / f"{recording_sha256}.json"
    if kept.exists():
        return kept.read_bytes()
    peaks = read_peaks(path, a_second=PEAKS_PER_SECOND, most=MAX_PEAKS)
    drawn = {"duration_s": peaks.duration_ms / 1000, "channels": peaks.levels}
    made = json.dumps(drawn, separators=(",", ":")).encode()
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, made)
    return made


def keep_peaks(db: Database, call_id: str, *, recordings: Path, var: Path) -> None:
    """Make a call's ahead of its first page. What is in the way is logged: the page tries again and says it."""
    with db.read() as session:
        call = session.get(Call, call_id)
    if call is None or call.recording_status != "ok" or not call.recording_path or not call.recording_sha256:
        return
    try:
        load_peaks(recordings / call.recording_path, call.recording_sha256, var)
    except AudioError as e:
        log.warning("call %s: no peaks: %s", call_id, e)
    except OSError as e:
        log.warning("call %s: peaks cannot be kept: %s", call_id, os_reason(e))
