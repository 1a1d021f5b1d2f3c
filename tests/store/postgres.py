"""A PostgreSQL server of the test's own: temporary data folder, Unix socket only, gone at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_program(name: str) -> str:
    """Debian keeps initdb and pg_ctl out of the path. Skips (or, in the CI, fails) where they are not installed."""
    on_path = shutil.which(name)
    candidates = [on_path] if on_path else sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))
    if candidates:
        return candidates[-1]
    if os.environ.get("CALLQA_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} (package postgresql) is required here and not installed")
    pytest.skip(f"{name} (package postgresql) is not installed")


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database `callqa`. The server refuses to run as root, so root lends it another user."""
    initdb, pg_ctl = find_program("initdb"), find_program("pg_ctl")
    owner = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="callqa-pg-"))  # short: a socket's path has at most 107 bytes
    try:
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        _run(
            owner, initdb, "-D", str(data), "-U", "callqa", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(owner, pg_ctl, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "-t", "120", "start")
        try:
            _run(owner, find_program("createdb"), "-h", str(folder), "-U", "callqa", "callqa")
            yield f"postgresql://callqa@/callqa?host={folder}"
        finally:
            _run(owner, pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("there is no user that PostgreSQL could run as")


def _run(owner: pwd.struct_passwd | None, *command: str) -> None:
    as_owner = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    done = subprocess.run(
        command, cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, capture_output=True, **as_owner
    )  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')}")
