"""Files in memory as a kernel keeps them: what a program wrote is there for every program, but on the disk only after
its sync; a name, a rename or a deletion is there after the sync of its folder.

A power cut keeps what was synced, and of the rest whatever the disk happened to have: nothing, a beginning torn
anywhere, or some pages with holes of zeros between them; folder changes in order or, on a harsher disk, any of them.
"""

import errno
import fnmatch
import os
import random
from collections.abc import Callable
from pathlib import Path

from callqa.files import Files
from tests.simulate.loop import Killed

PAGE = 4096
ROOM_BYTES = 50 << 30


class Inode:
    """data: what programs see. safe: what the disk has for sure; None: data[:safe_size]."""

    __slots__ = ("changed_ns", "data", "links", "locked_by", "number", "safe", "safe_size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.safe: bytes | None = None
        self.safe_size = 0
        self.changed_ns = 0
        self.links = 0
        self.locked_by: MemoryFiles | None = None

    def settle(self) -> None:
        self.safe, self.safe_size = None, len(self.data)

    def cut(self, size: int) -> None:
        if self.safe is None and size < self.safe_size:
            self.safe = bytes(self.data[: self.safe_size])
        del self.data[size:]

    def after_power_cut(self, rng: random.Random) -> bytes:
        """What the disk holds."""
        if self.safe is not None:  # cut and perhaps written again since: either of the two
            return self.safe if rng.random() < 0.5 else bytes(self.data)
        whole, safe = bytes(self.data), self.safe_size
        if len(whole) == safe:
            return whole
        kind = rng.randrange(4)
        if kind == 0:
            return whole[:safe]
        if kind == 1:
            return whole[: rng.randint(safe, len(whole))]
        if kind == 2:
            return whole
        kept = bytearray(whole[: rng.randint(safe, len(whole))])
        for start in range(safe // PAGE * PAGE, len(kept), PAGE):
            if rng.random() < 0.4:
                begin, end = max(start, safe), min(start + PAGE, len(kept))
                kept[begin:end] = bytes(end - begin)
        return bytes(kept)


class Disk:
    """What outlives processes. names: folder → name → inode, as programs see it; ops: what its folder's disk lacks.

    trouble: called with (operation, path) before every operation that may fail; raises OSError where it should.
    """

    def __init__(self, rng: random.Random, now_ns: Callable[[], int], *, in_order: bool = True) -> None:
        self.rng = rng
        self.now_ns = now_ns
        self.in_order = in_order
        self.folders: dict[str, dict[str, Inode]] = {"/": {}}
        self.safe_folders: dict[str, dict[str, Inode]] = {"/": {}}
        self.inside: dict[str, set[str]] = {}  # folders in folders, as programs see them
        self.ops: dict[str, list[tuple[str, str, str, Inode | None]]] = {}
        self.trouble: Callable[[str, str], None] = lambda operation, path: None
        self.full = False
        self._numbers = 0
        self._processes = 0
        self.boots = 1

    def new_process(self) -> int:
        self._processes += 1
        return self._processes

    def new_inode(self) -> Inode:
        self._numbers += 1
        return Inode(self._numbers)

    def note(self, folder: str, kind: str, name: str, other: str = "", inode: Inode | None = None) -> None:
        self.ops.setdefault(folder, []).append((kind, name, other, inode))

    def sync_folder(self, folder: str) -> None:
        for op in self.ops.pop(folder, ()):
            self._apply(folder, op)

    def sync_all(self) -> None:
        for folder in list(self.ops):
            self.sync_folder(folder)
        for names in self.folders.values():
            for inode in names.values():
                inode.settle()

    def _apply(self, folder: str, op: tuple[str, str, str, Inode | None]) -> None:
        kind, name, other, inode = op
        there = self.safe_folders.get(folder)
        if there is None:
            return
        if kind == "folder":
            self.safe_folders.setdefault(f"{folder.rstrip('/')}/{name}", {})
        elif kind == "link":
            assert inode is not None
            there[name] = inode
        elif kind == "unlink":
            there.pop(name, None)
        elif kind == "rename":
            assert inode is not None
            there.pop(name, None)
            there[other] = inode

    def cut_power(self) -> None:
        """Every process is gone already. Leave what the disk has."""
        self.boots += 1
        for folder, ops in sorted(self.ops.items()):
            if self.in_order:
                kept = ops[: self.rng.randint(0, len(ops))]
            else:
                kept = [op for op in ops if self.rng.random() < 0.5]
            for op in kept:
                self._apply(folder, op)
        self.ops.clear()
        self.folders = {folder: dict(names) for folder, names in self.safe_folders.items()}
        self.inside.clear()
        for path in self.folders:
            folder, _, name = path.rpartition("/")
            self.inside.setdefault(folder or "/", set()).add(name)
        seen: dict[int, Inode] = {}
        for folder in sorted(self.folders):
            for _name, inode in sorted(self.folders[folder].items()):
                if inode.number not in seen:
                    seen[inode.number] = inode
                    inode.data = bytearray(inode.after_power_cut(self.rng))
                    inode.settle()
                    inode.links = 0
                    inode.locked_by = None
                inode.links += 1


class MemoryFiles(Files):
    """One process's view. dead: it was killed, and whatever it still tries does nothing."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.dead = False
        self.opened: dict[int, tuple[Inode, str, bool]] = {}
        self._next = 3
        self.kill_in: int | None = None  # operations until the process is killed in the middle of one
        self.on_killed: Callable[[], None] = lambda: None
        self.operations = 0
        self._process = disk.new_process()

    def boot(self) -> bytes:
        return b"%d" % self.disk.boots

    @property
    def process(self) -> int:
        return self._process

    def die(self) -> None:
        """The process is gone: its locks and descriptors with it."""
        self.dead = True
        for inode, _, _ in self.opened.values():
            if inode.locked_by is self:
                inode.locked_by = None
        self.opened.clear()

    def _step(self, operation: str, path: str) -> None:
        if self.dead:
            raise Killed
        self.operations += 1
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in <= 0:
                self.kill_in = None
                self.on_killed()
                raise Killed
        self.disk.trouble(operation, path)

    def _place(self, path: Path) -> tuple[str, str, dict[str, Inode] | None]:
        folder, _, name = str(path).rpartition("/")
        folder = folder or "/"
        return folder, name, self.disk.folders.get(folder)

    def _inode(self, path: Path) -> Inode:
        _, name, there = self._place(path)
        if there is None or name not in there:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return there[name]

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        folder, name, there = self._place(path)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR))
        self._step("open" if writes else "read", str(path))
        inode = there.get(name) if there is not None else None
        if inode is None:
            if there is None or not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self.disk.trouble("create", str(path))
            inode = there[name] = self.disk.new_inode()
            inode.links = 1
            self.disk.note(folder, "link", name, inode=inode)
        elif flags & os.O_TRUNC:
            inode.cut(0)
        descriptor, self._next = self._next, self._next + 1
        self.opened[descriptor] = (inode, str(path), writes)
        return descriptor

    def close(self, descriptor: int) -> None:
        if self.dead:
            return
        inode, path, _ = self.opened.pop(descriptor)
        if inode.locked_by is self:
            inode.locked_by = None
        self._step("close", path)

    def _of(self, descriptor: int) -> tuple[Inode, str]:
        found = self.opened.get(descriptor)
        if found is None:
            raise Killed if self.dead else OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found[0], found[1]

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        inode, path = self._of(descriptor)
        try:
            self._step("write", path)
        except OSError as e:
            if e.errno != errno.ENOSPC or self.disk.rng.random() < 0.5 or len(data) < 2:
                raise
            data = bytes(data)[: self.disk.rng.randint(1, len(data) - 1)]  # the last of the room
        except Killed:
            if not self.dead or self.disk.rng.random() < 0.5:
                raise
            inode.data += bytes(data)[: self.disk.rng.randint(0, len(data))]  # killed when a part was taken
            raise
        inode.data += data
        inode.changed_ns = self.disk.now_ns()
        return len(data)

    def truncate(self, descriptor: int, size: int) -> None:
        inode, path = self._of(descriptor)
        self._step("truncate", path)
        inode.cut(size)

    def sync(self, descriptor: int) -> None:
        inode, path = self._of(descriptor)
        self._step("sync", path)
        inode.settle()

    def sync_disk(self, descriptor: int) -> None:
        _, path = self._of(descriptor)
        self._step("sync", path)
        self.disk.sync_all()

    def lock(self, descriptor: int) -> None:
        inode, path = self._of(descriptor)
        if inode.locked_by not in (None, self):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        inode.locked_by = self

    def size(self, descriptor: int) -> int:
        return len(self._of(descriptor)[0].data)

    def is_deleted(self, descriptor: int) -> bool:
        return self._of(descriptor)[0].links == 0

    def read(self, path: Path, most: int = -1) -> bytes:
        self._step("read", str(path))
        data = self._inode(path).data
        return bytes(data if most < 0 else data[:most])

    def exists(self, path: Path) -> bool:
        self._step("look", str(path))
        _, name, there = self._place(path)
        return (there is not None and name in there) or str(path) in self.disk.folders

    def is_folder(self, path: Path) -> bool:
        self._step("look", str(path))
        return str(path) in self.disk.folders

    def size_of(self, path: Path) -> int:
        self._step("look", str(path))
        return len(self._inode(path).data)

    def version(self, path: Path) -> tuple[int, int, int]:
        self._step("look", str(path))
        inode = self._inode(path)
        return inode.changed_ns, len(inode.data), inode.number

    def list(self, folder: Path, pattern: str) -> list[Path]:
        self._step("look", str(folder))
        inside = {*self.disk.folders.get(str(folder), ()), *self.disk.inside.get(str(folder), ())}
        return [folder / name for name in sorted(fnmatch.filter(inside, pattern))]

    def holds_any(self, folder: Path) -> bool:
        return bool(self.list(folder, "[!.]*"))

    def unlink(self, path: Path) -> None:
        folder, name, there = self._place(path)
        self._step("unlink", str(path))
        inode = there.pop(name, None) if there is not None else None
        if inode is not None:
            inode.links -= 1
            self.disk.note(folder, "unlink", name)

    def rename(self, old: Path, new: Path) -> None:
        folder, name, there = self._place(old)
        to_folder, to_name, _ = self._place(new)
        assert folder == to_folder, "the recorder renames within a folder"
        self._step("rename", str(new))
        inode = self._inode(old)
        assert there is not None
        del there[name]
        before = there.get(to_name)
        if before is not None:
            before.links -= 1
        there[to_name] = inode
        self.disk.note(folder, "rename", name, to_name, inode)

    def new_folder(self, path: Path) -> None:
        folder, name, there = self._place(path)
        is_there = str(path) in self.disk.folders  # then the kernel says so first, whatever else it would say
        self._step("look" if is_there else "create", str(path))
        if there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not is_there:
            self.disk.folders[str(path)] = {}
            self.disk.inside.setdefault(folder, set()).add(name)
            self.disk.note(folder, "folder", name)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync", str(folder))
        if str(folder) not in self.disk.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        self.disk.sync_folder(str(folder))

    def free_bytes(self, folder: Path) -> int:
        self._step("look", str(folder))
        return 0 if self.disk.full else ROOM_BYTES
