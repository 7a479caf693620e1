"""Threads for tasks that are not asynchronous: as many as jobs may run, none that a process must wait for at its end.

The standard pool joins its threads when the interpreter exits, so that one task that hangs would keep a stopped worker
alive for ever.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Work = tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class DaemonThreads:
    """At most `most` daemon threads, started when they are needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._started = 0
        self._busy = 0

    def run(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Start `call` in a thread, in a copy of the caller's context; the future holds what comes of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()
        self._busy += 1
        future.add_done_callback(self._freed)
        if self._busy > self._started < self._most:
            self._started += 1
            threading.Thread(target=self._serve, name=f"task-{self._started}", daemon=True).start()
        self._work.put((lambda: context.run(call), future, loop))
        return future

    def close(self) -> None:
        """Let each thread end after what it is doing."""
        for _ in range(self._started):
            self._work.put(None)

    def _freed(self, _: "asyncio.Future[Any]") -> None:
        self._busy -= 1

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            call, future, loop = work
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  Carried to whoever waits for the future.
                _settle(loop, future, None, error)
            else:
                _settle(loop, future, result, None)


def loop_here() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread; None: the thread is a task's, or has none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _settle(
    loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", result: Any, error: BaseException | None
) -> None:
    def settle() -> None:
        if future.done():  # Cancelled: nobody waits any more.
            return
        if error is None:
            future.set_result(result)
        else:
            # A future refuses StopIteration, which would end the generator that awaits it.
            future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
