"""A queue that is full takes no more. Counts rarely, and only up to the limit: the check costs next to nothing."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..store.adaptation import count_ready

if TYPE_CHECKING:
    from .app import Afresh

FRESH_SECONDS = 1.0
"""For so long a count is believed, with what this process has added since."""

RECOUNTED_SECONDS = 0.05
"""Before a refusal, for so long."""

RETRY_AFTER_SECONDS = 5

_REMEMBERED = 1_000
"""Queues whose counts are kept; their names come from requests."""


class QueueFull(Exception):  # noqa: N818  Reads as what happened.
    """A queue has as many ready jobs as it may have."""

    def __init__(self, queue: str, limit: int) -> None:
        super().__init__(f"the queue {queue!r} has its limit of {limit:,} ready jobs; try again later")
        self.queue = queue
        self.limit = limit


@dataclass(slots=True)
class _Count:
    """What is known of one queue.

    Attributes:
        ready: As counted, with what this process has made since.
        at: When it was counted.
        held: Jobs that are being made.
        made: All that this process has ever made.
    """

    ready: int = 0
    at: float = -math.inf
    held: int = 0
    made: int = 0


class Backpressure:
    """The limit of ready jobs in each queue, as one process sees it."""

    def __init__(self, app: "Afresh", limit: int) -> None:
        """No limit where it is 0."""
        self._app = app
        self._limit = limit
        self._counts: defaultdict[str, _Count] = defaultdict(_Count)
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def room(self, jobs: Mapping[str, int]) -> AsyncIterator[None]:
        """Keep room for so many more ready jobs in each of these queues while they are made.

        Raises:
            QueueFull: One of them has no room for all of its own.
        """
        if not self._limit:
            yield
            return
        async with self._lock:  # Of many requests that find an old count, one counts.
            for queue, more in jobs.items():
                await self._look(queue, more)
            for queue, more in jobs.items():
                self._counts[queue].held += more
        try:
            yield
        finally:
            for queue, more in jobs.items():
                counted = self._counts[queue]
                counted.held -= more
                counted.ready += more
                counted.made += more

    async def _look(self, queue: str, more: int) -> None:
        """Refuse what has no room, but not by an old count: jobs that were ready then may run by now."""
        for seconds in (FRESH_SECONDS, RECOUNTED_SECONDS):
            counted = await self._fresh(queue, seconds)
            if counted.ready + counted.held + more <= self._limit:
                return
        raise QueueFull(queue, self._limit)

    async def _fresh(self, queue: str, seconds: float) -> _Count:
        """What is known, at most so many seconds old."""
        if queue not in self._counts and len(self._counts) >= _REMEMBERED:
            self._counts = defaultdict(_Count, {name: each for name, each in self._counts.items() if each.held})
        counted = self._counts[queue]
        now = time.monotonic()
        if now - counted.at >= seconds:
            made = counted.made
            found = await self._count(queue)
            # What has been made while it was counted may be in the count or not: rather too many than too few.
            counted.ready, counted.at = found + counted.made - made, now
        return counted

    async def _count(self, queue: str) -> int:
        async with self._app.connection() as conn:
            return await count_ready(conn, queue, own=self._app.own_dependencies(), most=self._limit)
