"""Attempts that go on although they were cancelled at their time limit: they are settled from outside, as timed out.

Nothing can end them, but their jobs need not wait for that. Their slots do, as those of threads that go on.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .worker import AfreshWorker

LOOK_SECONDS = 1.0
"""Between two looks. A timer beside each attempt would cost every job, and next to none overruns."""

LOOKS = 5
"""At which an attempt must be found beyond its limit: it may have something to put in order, and where the loop was
blocked it has only now heard that it is to end."""

Attempts = Mapping[asyncio.Task[Any], float]
"""Attempts that run, each with its limit in seconds."""


class Overruns:
    """The watch over the attempts of one worker."""

    def __init__(self) -> None:
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: dict[asyncio.Task[Any], int] = {}

    def among(self, attempts: Attempts, now: float) -> list[asyncio.Task[Any]]:
        """Those that go on beyond their limit, each told once; `now` is in seconds, and never goes back."""
        self._begun = {run: self._begun.get(run, now) for run in attempts}
        self._late = {
            run: self._late.get(run, 0) + 1 for run, limit in attempts.items() if now - self._begun[run] > limit
        }
        return [run for run, looks in self._late.items() if looks == LOOKS]


async def end_overruns(worker: "AfreshWorker") -> None:
    """Look, until cancelled."""
    overruns, executor = Overruns(), worker._executor  # noqa: SLF001  The worker's own loop, kept out of its file.
    running, claimed = worker._running_jobs, worker._claimed  # noqa: SLF001  As above.
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        limits = {run: limit for run, each in claimed.items() if (limit := executor.limit_of(each)) is not None}
        for run in overruns.among(limits, time.monotonic()):
            if run in claimed:  # Others were given up meanwhile.
                await executor.give_up(claimed[run], running[run], run)
