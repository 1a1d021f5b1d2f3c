"""Room on a disk that is nearly full: the raw media of calls whose master is safe is given up, the oldest first.

A spool goes only when the worker has marked it (`<call_id>.archived`, written once the master's hash was verified) and its
sidecar and master are there, of the hash in the mark and of their full length. Nothing else is ever deleted, however full the
disk is. Masters are not read again here: a full disk is a busy moment, and the worker has read them.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from callqa.config import RetentionSettings
from callqa.files import DISK, Files
from callqa.journal import JournalKind
from callqa.refusals import os_reason
from callqa.sidecar import ARCHIVED_SUFFIX, Recording, Sidecar
from callqa.sip.media.spool import FIRST_BYTES, read_started, sidecar_path
from callqa.sip.media.wav import wav_header
from callqa.sip.process.call_book import SPOOL_SUFFIX
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.faults import FaultBook
from callqa.sip.process.journal_writer import JournalWriter

log = logging.getLogger(__name__)

# Ten minutes of talk are 20 MB of spool: with every round there is room for as much as two hundred calls write in a minute.
MOST_AT_ONCE = 20
MORE = 1.25  # times the floor is what is freed up to, so that the next round is not due a second later
AGAIN_S = 60.0  # after a round that found nothing to give up


@dataclass(frozen=True, slots=True)
class Room:
    """What one round gave back. enough: there is as much free as was asked for."""

    call_ids: tuple[str, ...] = ()
    bytes: int = 0
    enough: bool = False


def make_room(spool_dir: Path, recordings: Path, least_bytes: int, files: Files = DISK) -> Room:
    """Free spools until `least_bytes` are free where they lie, or MOST_AT_ONCE; meant for a thread. Raise OSError where the
    folder cannot be looked at or the disk does not let go of anything."""
    freed: list[str] = []
    size = 0
    for marker in files.list(spool_dir, f"*{ARCHIVED_SUFFIX}"):  # call_ids sort by time
        if files.free_bytes(spool_dir) >= least_bytes:
            return Room(tuple(freed), size, enough=True)
        if len(freed) == MOST_AT_ONCE:
            break
        spool = marker.with_suffix(SPOOL_SUFFIX)
        if not _is_safe(marker, spool, recordings, files):
            continue
        spool_bytes = files.size_of(spool)
        files.unlink(spool)
        files.unlink(marker)
        freed.append(marker.stem)
        size += spool_bytes
    return Room(tuple(freed), size, enough=files.free_bytes(spool_dir) >= least_bytes)


def _is_safe(marker: Path, spool: Path, recordings: Path, files: Files) -> bool:
    """Whether the call can do without its spool. False when anything about it is not as it should be."""
    if not files.exists(spool):
        return False  # freed already; the mark goes with the worker's next round
    try:
        note = json.loads(files.read(marker))
        started = read_started(files.read(spool, FIRST_BYTES))
        if started is None or not note["call_id"] == started.call_id == marker.stem:
            return False
        recording = Sidecar.model_validate_json(files.read(recordings / sidecar_path(started))).recording
        if recording is None or recording.sha256 != note["recording_sha256"]:
            return False
        return files.size_of(recordings / recording.path) == _length_of(recording)
    except (OSError, ValueError, ValidationError, KeyError, TypeError) as e:
        log.warning("spool %s is kept: %s", spool.name, e)
        return False


def _length_of(recording: Recording) -> int:
    """Bytes of a whole master."""
    header = wav_header(
        recording.encoding,
        recording.n_samples,
        sample_rate_hz=recording.sample_rate_hz,
        channels=recording.channels,
    )
    return len(header) + recording.n_samples * recording.channels * (2 if recording.encoding == "pcm16" else 1)


class DiskRoom:
    """Looked at once a second: the alarm, and room made below the floor. A disk that is away has none."""

    def __init__(
        self, spool_dir: Path, recordings: Path, retention: RetentionSettings, faults: FaultBook, journal: JournalWriter,
        files: Files = DISK, clock: Clock = CLOCK,
    ) -> None:  # fmt: skip
        self._spool_dir = spool_dir
        self._recordings = recordings
        self._retention = retention
        self._faults = faults
        self._journal = journal
        self._files = files
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def free_mb(self) -> int:
        """Room left for recordings; for their spools where those have a disk of their own, and it has less."""
        try:
            return min(self._files.free_bytes(folder) for folder in (self._recordings, self._spool_dir)) >> 20
        except OSError:
            return 0

    def look(self) -> None:
        """Raise the alarm where it is due, and begin to make room where that is."""
        free_mb, alarm_mb, floor_mb = self.free_mb(), self._retention.disk_alarm_mb, self._retention.disk_floor_mb
        if free_mb < alarm_mb:
            self._faults.tell(f"磁盘剩余空间不足 {alarm_mb} MB，请尽快清理或扩容")
        now = self._clock.monotonic()
        if free_mb < floor_mb and self._task is None and now >= self._not_before:
            self._not_before = now + AGAIN_S
            self._task = asyncio.get_running_loop().create_task(self._make_room(int(floor_mb * MORE) << 20))

    async def stop(self) -> None:
        """Wait for a round that is on its way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _make_room(self, least_bytes: int) -> None:
        try:
            room = await asyncio.get_running_loop().run_in_executor(
                None, make_room, self._spool_dir, self._recordings, least_bytes, self._files
            )
            self._tell(room)
        except OSError as e:
            self._faults.tell(f"磁盘将满，原始媒体暂存也删不掉（{os_reason(e)}）：录音会有缺口；请立即清理或扩容")
        finally:
            self._task = None

    def _tell(self, room: Room) -> None:
        if room.call_ids:
            self._not_before = 0.0
            self._journal.append(
                JournalKind.SPOOLS_FREED, self._clock.wall_ms(), call_ids=list(room.call_ids), bytes=room.bytes
            )
            self._faults.tell(
                f"磁盘剩余空间不足 {self._retention.disk_floor_mb} MB，已从最早的起删除归档通话的原始媒体暂存，"
                "录音母版都在；请尽快清理或扩容"
            )
        elif not room.enough:
            self._faults.tell(
                "磁盘将满，没有可以释放的原始媒体暂存（只释放已归档、母版完好的）：录音会有缺口；请立即清理或扩容"
            )
