"""How the recorder's process begins: ports and folders first, then priority, memory and the loop that it runs in."""

import asyncio
import contextlib
import functools
import gc
import logging
import resource
import socket
import ssl
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop

from callqa.config import Settings
from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.priority import describe as priority
from callqa.sip.process.priority import raise_priority
from callqa.sip.process.recorder import Recorder
from callqa.sip.process.tls import client_context, server_context
from callqa.sip.process.transport import bind_sip, bind_sip_stream

log = logging.getLogger(__name__)

HELPER_THREADS = 4
# 2 000 connections (streams.py) and four sockets for each of thousands of streams; a process begins with 1024 as a rule.
FILES_WANTED = 65_536
# A call's legs, dialogs and transactions know each other and outlive it by 32 s (RFC 3261, 64·T1): only a full collection frees
# them. It comes by the clock: counted by allocations, packets would set it off all the time (a seventh of all CPU at 100 calls).
COLLECT_EVERY_S = 30.0
GC_THRESHOLDS = (10_000, 10, 1_000_000)


def run(settings: Settings) -> int:
    """Record until SIGTERM or SIGINT. Raise ConfigError where a port or folder cannot be had."""
    sip = settings.sip
    sip_socket = bind_sip(sip.listen_host, sip.listen_port)
    ways: list[tuple[socket.socket, ssl.SSLContext | None]] = []
    if sip.tcp_port:
        ways.append((bind_sip_stream(sip.listen_host, sip.tcp_port, "tcp_port"), None))
    if sip.tls_port:
        context = server_context(sip, settings.home)
        ways.append((bind_sip_stream(sip.listen_host, sip.tls_port, "tls_port"), context))
    for folder in (settings.spool_dir, settings.journal_dir, settings.state_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                f"文件夹 {folder} 建不了（{os_reason(e)}）；请检查权限，或在 callqa.toml 的 [paths] 里改位置"
            ) from e
    with contextlib.closing(sip_socket):
        client = functools.cache(lambda: client_context(sip, settings.home))
        if sip.tls_port:  # else with the first trunk that is reached by TLS, which the desk may name at any time
            client()
        journal = JournalWriter(settings.journal_dir)
        try:
            raise_priority()
            allow_many_files()
            log.info("priority: %s", priority())
            _settle_memory()
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(_with_clean_memory(Recorder(settings, journal, client).run(sip_socket, ways)))
        finally:
            journal.close()
    return 0


def allow_many_files() -> None:
    """Let this process have as many files and sockets as it may, so that connections leave calls enough for their media."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop whose helper threads are as quick as it is: one that waits for its turn while it holds the interpreter holds up all."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(HELPER_THREADS, "helper", initializer=raise_priority))
    return loop


def _settle_memory() -> None:
    """What was loaded by now stays for good: full collections pass it over and hold up nobody for long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _with_clean_memory(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; meanwhile what ended calls left behind is freed every COLLECT_EVERY_S."""

    async def collect() -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            gc.collect()

    collecting = asyncio.get_running_loop().create_task(collect())
    try:
        await work
    finally:
        collecting.cancel()
