"""On the path of a recorder under test, and so of its child: while the file SICK_DISK_FLAG exists, the folder SICK_DISK_BELOW is
on a disk that the kernel has made read-only. What is open for writing stays open, and every change is refused."""

import errno
import os

_FLAG, _BELOW = os.environ["SICK_DISK_FLAG"], os.environ["SICK_DISK_BELOW"] + "/"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _refuse(where):
    path = os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.path.abspath(os.fspath(where))
    if path.startswith(_BELOW) and os.path.exists(_FLAG):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def _sick(real, unless=lambda *args: False):
    def call(*args, **more):
        if not unless(*args):
            _refuse(args[0])
        return real(*args, **more)

    return call


def _only_reads(path, flags, *more):
    return not flags & _WRITES


def _is_there(path, *more):
    return os.path.exists(path)  # mkdir says so before it looks whether it may write


def _is_missing(path, *more):
    return not os.path.lexists(path)


os.open = _sick(os.open, _only_reads)
os.mkdir = _sick(os.mkdir, _is_there)
os.unlink = os.remove = _sick(os.unlink, _is_missing)
for _name in ("write", "ftruncate", "fsync", "fdatasync", "rename", "replace"):
    setattr(os, _name, _sick(getattr(os, _name)))
