"""Knowing that the server is asked to stop while answers are still under way.

A server waits for open answers before it tells the application anything; a stream that nobody ends would hold it up
for ever.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_of_shutdown(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop when a signal asks the process to end, beside whoever else handles it."""
    if threading.current_thread() is not threading.main_thread():  # Only there can signals be heard.
        yield
        return
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}

    def heard(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        handler = former[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in SIGNALS:
        signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
