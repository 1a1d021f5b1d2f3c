"""The child that turns a spool into a master file and a sidecar, one after the other, beside the recorder.

Run as `python -m callqa.sip.process.finalize RECORDINGS`: a JSON job a line comes in, a JSON result a line goes out, end of
input ends it. Order on disk: master with fsync, then the sidecar, whose appearance means that the call is complete.
"""

import hashlib
import json
import logging
import os
import signal
import sys
from pathlib import Path, PurePath
from typing import Any

from callqa import __version__
from callqa.errors import SpoolError
from callqa.files import DISK, Files
from callqa.sidecar import Recording, save_sidecar
from callqa.sip.media.align import Stereo, to_stereo
from callqa.sip.media.columns import read_columns
from callqa.sip.media.spool import sidecar_path
from callqa.sip.media.story import CallStory, sidecar_of, tell
from callqa.sip.media.wav import wav_header
from callqa.sip.process.priority import CHILD_NICE

log = logging.getLogger(__name__)


def finalise(recordings: Path, spool: Path, *, recovered: bool, files: Files = DISK) -> CallStory:
    """Write master and sidecar of one spool. A call that was never answered gets none; its story says so.

    Does nothing when the sidecar exists. Raise SpoolError when the spool tells too little, OSError from the disk.
    """
    if recovered:
        files.sync_file(spool)  # whoever wrote it may have been killed before
    columns = read_columns(files.read(spool))
    story = tell(columns)
    relative = sidecar_path(story.started)
    target = recordings / relative
    if story.answered is None or files.exists(target):
        return story
    stereo = to_stereo(columns)
    files.make_folder(target.parent)
    files.clear_halves(target)
    recording = _save_master(recordings, relative.with_suffix(".wav"), stereo, files) if stereo.heard else None
    sidecar = sidecar_of(story, stereo, recording, recovered=recovered, recorder=f"callqa {__version__}")
    save_sidecar(target, sidecar, files)
    return story


def _save_master(recordings: Path, relative: PurePath, stereo: Stereo, files: Files) -> Recording:
    data = (
        wav_header(
            stereo.encoding,
            stereo.n_samples,
            sample_rate_hz=stereo.sample_rate_hz,
            channels=1 if stereo.mono else 2,
        )
        + stereo.samples.tobytes()
    )
    files.put(recordings / relative, data)  # its name is on the disk before the sidecar, which speaks of it, is
    return Recording(
        path=relative.as_posix(),
        sha256=hashlib.sha256(data).hexdigest(),
        encoding=stereo.encoding,
        sample_rate_hz=stereo.sample_rate_hz,
        n_samples=stereo.n_samples,
        duration_ms=stereo.duration_ms,
        channels=1 if stereo.mono else 2,
    )


def work_off(recordings: Path, job: dict[str, Any], files: Files = DISK) -> dict[str, Any]:
    """The result of one job, both as they pass between recorder and child."""
    try:
        story = finalise(recordings, Path(job["spool"]), recovered=job["recovered"], files=files)
    except SpoolError as e:
        return {"error": str(e), "again": False}
    except FileNotFoundError as e:
        spool = Path(job["spool"])  # gone for good, or is the whole folder away (a mount)?
        return {"error": f"文件 {e.filename} 不见了", "again": files.exists(spool) or not files.is_folder(spool.parent)}
    except (OSError, MemoryError) as e:
        return {"error": str(e) or type(e).__name__, "again": True}
    started = story.started
    return {
        "call_id": started.call_id,
        "answered": story.answered is not None,
        "sidecar": sidecar_path(started).as_posix(),
        "ended_at_ms": story.ended_at_ms,
        "facts": {
            "mode": started.mode,
            "direction": story.direction,
            "from_number": story.from_number,
            "to_number": story.to_number,
            "seat_extension": story.seat_extension,
            "ticket_hint": started.ticket_hint,
            "user_to_user": started.user_to_user,
            "withheld": started.withheld,
            "diverted_from": started.diverted_from,
            "started_at_ms": story.started_at_ms,
            "answered_at_ms": story.answered_at_ms,
            "ended_at_ms": story.ended_at_ms,
            "hangup_party": story.hangup_party,
        },
    }


def main(recordings: Path) -> int:
    """Work off jobs from standard input until it ends."""
    os.setpriority(os.PRIO_PROCESS, 0, CHILD_NICE)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the recorder, which ends our input when it is done
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin:
        try:
            result = work_off(recordings, json.loads(line))
        except Exception as e:  # the worker loop: one bad call must not stop the others
            log.exception("finalizer job %s", line.strip())
            result = {"error": f"{type(e).__name__}: {e}", "again": False}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    sys.exit(main(Path(sys.argv[1])))
