"""A queue that is full takes no more. Counts rarely, and only up to the limit: the check costs next to nothing."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..store.adaptation import count_ready

if TYPE_CHECKING:
    from .app import Afresh

FRESH_SECONDS = 1.0
"""For so long a count is believed, with what this process has added since."""

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
    ready: int
    at: float


class Backpressure:
    """The limit of ready jobs in each queue, as one process sees it."""

    def __init__(self, app: "Afresh", limit: int) -> None:
        """No limit where it is 0."""
        self._app = app
        self._limit = limit
        self._counts: dict[str, _Count] = {}
        self._lock = asyncio.Lock()

    async def admit(self, queue: str, jobs: int = 1) -> None:
        """Let so many more ready jobs into a queue, and count them in.

        Raises:
            QueueFull: There is no room for all of them.
        """
        if not self._limit:
            return
        async with self._lock:  # Of many requests that find an old count, one counts.
            counted = await self._fresh(queue)
            if counted.ready + jobs > self._limit:
                raise QueueFull(queue, self._limit)
            counted.ready += jobs

    async def _fresh(self, queue: str) -> _Count:
        now = time.monotonic()
        counted = self._counts.get(queue)
        if counted is None or now - counted.at >= FRESH_SECONDS:
            if len(self._counts) >= _REMEMBERED:
                self._counts.clear()
            counted = self._counts[queue] = _Count(await self._count(queue), now)
        return counted

    async def _count(self, queue: str) -> int:
        async with self._app.connection() as conn:
            return await count_ready(conn, queue, own=self._app.own_dependencies(), most=self._limit)
