"""The first signal asks for an orderly end, the second one is obeyed at once.

Procrastinate hands the second one to whoever had the signal before: for Ctrl-C that is `asyncio.run`, which would only
ask for an orderly end once more.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def obeying(stop: Callable[[], None]) -> Iterator[None]:
    """Within this block the first SIGINT or SIGTERM calls `stop`, and the process dies of the second.

    Only the main thread is told of signals; in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    told: list[int] = []

    def obey(number: int, _: FrameType | None) -> None:
        if told:
            _die_of(number)
        told.append(number)
        loop.call_soon_threadsafe(stop)  # It may sleep just now, and only this wakes it.

    # Not by the loop, which is told of nothing while a task blocks it: then the second signal is most needed.
    former = {number: signal.signal(number, obey) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _die_of(number: int) -> None:
    """End as the signal ends a process that has no handler, so that the exit code tells the truth."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # The first process of a container is spared by the kernel.
