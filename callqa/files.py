"""The file operations that the recorder's promises hang on, one method each, so that a simulated disk can stand in.

`sync` and `sync_folder` are where durability comes from: what was written is safe from a power cut once its file was
synced, and a new name, a rename or a deletion once its folder was.
"""

import ctypes
import errno
import fcntl
import fnmatch
import io
import os
import shutil
from pathlib import Path

# The kernel may copy as much as one call asks for without letting anybody else have the processor, real time or not (measured on
# Linux 6.18 without preemption: 15 ms for the spool of half an hour, in which no packet was relayed).
_MOST_AT_ONCE = 1 << 18


def read_file(path: Path, most: int = -1) -> bytes:
    """A whole file, or its first `most` bytes, however long, without holding up other programs."""
    held = io.BytesIO()
    with open(path, "rb", buffering=0) as f:
        while held.tell() != most:
            left = _MOST_AT_ONCE if most < 0 else min(_MOST_AT_ONCE, most - held.tell())
            piece = f.read(left)
            if not piece:
                break
            held.write(piece)
    return held.getvalue()


class Files:
    """The system's files. Every method may raise OSError."""

    @property
    def process(self) -> int:
        """A number that no other process has just now."""
        return os.getpid()

    def boot(self) -> bytes:
        """What tells this run of the machine from the one before; b"" where it does not say."""
        try:
            return self.read(_BOOT_ID).strip()
        except OSError:
            return b""

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        """A descriptor, not passed on to child processes."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write at the end (O_APPEND) or the position; return how many bytes were taken."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Bring a file's bytes and size to the disk."""
        os.fdatasync(descriptor)

    def sync_disk(self, descriptor: int) -> None:
        """Bring everything written on the file system of an open file to the disk, names too (syncfs; it tells of errors from
        Linux 5.8 on). OSError ENOSYS where there is no such call."""
        if _SYNCFS is None:
            raise OSError(errno.ENOSYS, "syncfs is not there")
        if _SYNCFS(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")

    def sync_file(self, path: Path) -> None:
        """Bring a file that somebody else wrote, and its name, to the disk."""
        descriptor = self.open(path, os.O_RDONLY)
        try:
            self.sync(descriptor)
        finally:
            self.close(descriptor)
        self.sync_folder(path.parent)

    def lock(self, descriptor: int) -> None:
        """Lock a file for this process, or raise BlockingIOError; a process that dies lets go."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def size(self, descriptor: int) -> int:
        """Bytes of an open file."""
        return os.fstat(descriptor).st_size

    def is_deleted(self, descriptor: int) -> bool:
        """Whether an open file has no name any more."""
        return os.fstat(descriptor).st_nlink == 0

    def read(self, path: Path, most: int = -1) -> bytes:
        """A whole file, or its first `most` bytes."""
        return read_file(path, most)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def is_folder(self, path: Path) -> bool:
        return path.is_dir()

    def size_of(self, path: Path) -> int:
        return path.stat().st_size

    def version(self, path: Path) -> tuple[int, int, int]:
        """Three numbers that change when a file is replaced or written."""
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def list(self, folder: Path, pattern: str) -> list[Path]:
        """The matching paths in a folder, sorted; none when there is no such folder."""
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        return [folder / name for name in sorted(fnmatch.filter(names, pattern))]

    def holds_any(self, folder: Path) -> bool:
        """Whether something is in a folder whose name does not begin with a dot. A day's folder has thousands: the first will do."""
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith(".") for entry in entries)

    def unlink(self, path: Path) -> None:
        """Delete a file; no error when it is gone already."""
        path.unlink(missing_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, over whatever has it."""
        os.replace(old, new)

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it, each durable in the one above; nothing when it is there.

        One that is there and empty was perhaps made by somebody who died before its name was on the disk.
        """
        if self.is_folder(path) and (path == path.parent or self.holds_any(path)):
            return
        self.make_folder(path.parent)
        self.new_folder(path)
        self.sync_folder(path.parent)

    def new_folder(self, path: Path) -> None:
        """Make one folder; nothing when it is there."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Bring the names in a folder to the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, folder: Path) -> int:
        """Room left on the folder's disk."""
        return shutil.disk_usage(folder).free

    def clear_halves(self, path: Path) -> None:
        """Delete what somebody who died had half written of a file, and of its neighbours of the same stem."""
        for left in self.list(path.parent, ".*.tmp"):  # one pattern for all calls: each new one is compiled anew
            if left.name.startswith(f".{path.stem}."):
                self.unlink(left)

    def put(self, path: Path, data: bytes) -> None:
        """Write beside `path`, sync, rename over it, sync the folder. Leaves nothing behind when it fails."""
        temporary = path.with_name(f".{path.name}.{self.process}.tmp")
        try:
            descriptor = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                view, written = memoryview(data), 0
                while written < len(data):
                    written += self.write(descriptor, view[written : written + _MOST_AT_ONCE])
                self.sync(descriptor)
            finally:
                self.close(descriptor)
            self.rename(temporary, path)
        except OSError:
            self.unlink(temporary)  # half a file would help to keep a full disk full
            raise
        self.sync_folder(path.parent)


_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
DISK = Files()
