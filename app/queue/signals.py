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
    told: list[signal.Signals] = []

    def obey(number: signal.Signals) -> None:
        if told:
            _die_of(number)
        told.append(number)
        stop()

    former = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, obey, number)
    try:
        yield
    finally:
        for number, handler in former.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _die_of(number: signal.Signals) -> None:
    """End as the signal ends a process that has no handler, so that the exit code tells the truth."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # The first process of a container is spared by the kernel.
