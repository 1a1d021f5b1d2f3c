"""The files of a call, removed one after the other, each as if nothing had been removed before.

The spool goes first: a recorder that starts and finds a spool without a sidecar would make the recording anew. What may
still be half written of a file goes with it.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from callqa.config import Settings
from callqa.files import DISK, Files
from callqa.sip.media.spool import sidecar_place
from callqa.usecases.archive import remove_spool
from callqa.usecases.draw_peaks import FOLDER as PEAKS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of calls lie. var: peaks and exports are below it."""

    recordings: Path
    spool: Path
    var: Path
    files: Files = DISK

    @property
    def journal(self) -> Path:
        return self.recordings / "journal"


@dataclass(frozen=True, slots=True)
class CallFiles:
    """Which files are a call's. master: relative to the recordings folder, "" where there is none."""

    call_id: str
    started_at_ms: int
    master: str
    recording_sha256: str


def places_of(settings: Settings) -> Places:
    """Where this installation keeps them."""
    return Places(settings.recordings_dir, settings.spool_dir, settings.var_dir)


def remove_files(places: Places, call: CallFiles) -> None:
    """Remove the spool, the master, the sidecar and the peaks, and bring that to the disk. Raise OSError."""
    if places.spool.is_dir():
        remove_spool(places.spool, call.call_id)
        places.files.sync_folder(places.spool)
    for path in files_of(places, call):
        if path.parent.is_dir():
            places.files.clear_halves(path)
            places.files.unlink(path)
            places.files.sync_folder(path.parent)


def files_of(places: Places, call: CallFiles) -> list[Path]:
    """Master, sidecar and peaks, whether they are there or not. A master outside the recordings folder is none of ours."""
    sidecar = places.recordings / sidecar_place(call.started_at_ms, call.call_id)
    found = [sidecar.with_suffix(".wav"), sidecar]
    root = places.recordings.resolve()
    if call.master:
        master = places.recordings / call.master
        if master.resolve().is_relative_to(root):
            found = [master, master.with_suffix(".json"), *found]
        else:
            log.error("call %s: its recording lies outside the recordings folder and is left alone", call.call_id)
    if call.recording_sha256:
        found.append(places.var / PEAKS / f"{call.recording_sha256}.json")
    return list(dict.fromkeys(found))


__all__ = ["CallFiles", "Places", "files_of", "places_of", "remove_files"]
