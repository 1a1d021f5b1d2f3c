"""Virtual time: one heap of everything that will happen, and an asyncio loop over it for each run of the recorder.

A loop that was killed does nothing any more; what it had planned is passed over. Nothing here knows real time.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

SECOND_NS = 1_000_000_000


class Killed(BaseException):
    """The process stops in the middle of what it does."""


class Clockwork:
    """Virtual nanoseconds and what is due when. Equal times are in the order in which they were planned."""

    def __init__(self, rng: random.Random) -> None:
        self.now_ns = 1_000 * SECOND_NS
        self.rng = rng
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._n = itertools.count()
        self.events = 0

    @property
    def now(self) -> float:
        return self.now_ns / SECOND_NS

    def after(self, delay_ns: int, call: Callable[..., object], *args: Any) -> None:
        """Plan a call."""
        heapq.heappush(self._heap, (self.now_ns + delay_ns, next(self._n), call, args))

    def at_ns(self, when_ns: int, call: Callable[..., object], *args: Any) -> None:
        """Plan a call; one in the past is due now."""
        heapq.heappush(self._heap, (max(when_ns, self.now_ns), next(self._n), call, args))

    def run_until(self, end_ns: int, done: Callable[[], bool] | None = None) -> None:
        """Let time pass up to an instant, or until `done`, which is asked after every event."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end_ns:
            when, _, call, args = pop(heap)
            self.now_ns = when
            self.events += 1
            call(*args)
            if done is not None and done():
                return
        self.now_ns = max(self.now_ns, end_ns)


class SimLoop(asyncio.AbstractEventLoop):
    """One recorder's event loop. troubles: contexts of exceptions that nobody caught."""

    def __init__(self, work: Clockwork) -> None:
        self.work = work
        self.dead = False
        self.troubles: list[str] = []
        self.handlers: dict[int, Callable[[], object]] = {}
        self.open_datagram: Callable[[asyncio.DatagramProtocol], asyncio.DatagramTransport] | None = None
        self.timers: set[asyncio.TimerHandle] = set()
        self.listen: Callable[..., Any] = lambda protocol_factory, address: None
        self.connect: Callable[..., Any] = lambda protocol_factory, address: None

    def time(self) -> float:
        return self.work.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def close(self) -> None:
        self.dead = True

    def _fire(self, handle: asyncio.Handle) -> None:
        if self.dead or handle.cancelled():
            return
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)

    def _ring(self, handle: asyncio.TimerHandle) -> None:
        self.timers.discard(handle)
        self._fire(handle)

    def call(self, call: Callable[..., object], *args: Any) -> None:
        """Call something as this loop would: at once, unless it is dead."""
        if self.dead:
            return
        asyncio._set_running_loop(self)
        try:
            call(*args)
        except Killed:  # in the middle of it; nothing else may come out of a callback
            pass
        finally:
            asyncio._set_running_loop(None)

    def call_soon(self, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        handle = asyncio.Handle(callback, args, self, context)
        self.work.after(0, self._fire, handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True
        self.timers.add(handle)
        # Never early, and never without any time passing: the caller may have rounded.
        self.work.at_ns(max(int(when * SECOND_NS), self.work.now_ns) + 1, self._ring, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.discard(handle)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):  # type: ignore[no-untyped-def, override]
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def run_in_executor(self, executor, func, *args):  # type: ignore[no-untyped-def, override]
        """The call is made all at once, a moment later: a thread has its own pace."""
        future = self.create_future()
        delay_ns = self.work.rng.randrange(50_000, 4_000_000)

        def work() -> None:
            if self.dead or future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as e:
                future.set_exception(e)
            else:
                future.set_result(result)

        self.work.after(delay_ns, self.call, work)
        return future

    def add_signal_handler(self, sig, callback, *args):  # type: ignore[no-untyped-def, override]
        self.handlers[sig] = lambda: callback(*args)

    async def create_datagram_endpoint(self, protocol_factory, *_: Any, **__: Any):  # type: ignore[no-untyped-def, override]
        assert self.open_datagram is not None
        protocol = protocol_factory()
        transport = self.open_datagram(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    async def create_server(self, protocol_factory, host=None, port=None, *, sock=None, ssl=None, **_: Any):  # type: ignore[no-untyped-def, override]
        """sock: the address to listen at."""
        return self.listen(protocol_factory, sock)

    async def create_connection(self, protocol_factory, host=None, port=None, **_: Any):  # type: ignore[no-untyped-def, override]
        await asyncio.sleep(self.work.rng.uniform(0.001, 0.03))
        return self.connect(protocol_factory, (host, port))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)
