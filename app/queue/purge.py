"""The pace of forgetting: small slices with rests between them, so that workers hardly notice.

Safe to run twice at once: whoever comes second finds the lease taken, and does nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg import AsyncConnection

from ..config import RetentionSettings
from ..store.retention import KINDS, Bounds, Terms, end_purge, find_bounds, hold_purge, hurry_clocked, purge_slice
from ..telemetry import HistoryPurged, emit
from .connector import AfreshConnector

if TYPE_CHECKING:
    from .app import Afresh

SLICE_SECONDS = 0.03
"""What a slice should take: long enough to be worth its transaction, too short to be felt."""

FEWEST, FIRST, MOST = 50, 500, 5_000
"""Rows of a slice: the fewest and the most, and those of the first, from which it adapts to how long they take."""

REST = 6.0
"""A rest is so many times as long as the slice before it, so that forgetting takes a seventh of one processor."""

SHORTEST_REST = 0.005

RUN_SECONDS = 20.0
"""A run that is not done is ended, and another follows: a worker that stops does not have to wait for it."""

LEASE = timedelta(seconds=60)
"""After which the purge of a process that died is succeeded."""

RENEW_SECONDS = 5.0

PATIENCE = timedelta(minutes=10)
"""How long a purge gives way to all other jobs, which is until the next one is due; then it goes before them. So does
what else the clock defers for the service itself."""

URGENT = 1_000
"""Above what any client can ask for."""

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


@dataclass(slots=True)
class Purged:
    """What a run has done.

    Attributes:
        removed: Rows by kind.
        after: Where to go on, by kind; empty: it is done.
        busy: Somebody else was at it.
    """

    removed: Counter[str] = field(default_factory=Counter)
    after: dict[str, int] = field(default_factory=dict)
    busy: bool = False


async def hurry(app: "Afresh") -> None:
    """See that a purge which is overdue runs next, and so does what else the clock defers for the service itself.

    Every worker looks every few seconds, whatever queues it serves: so one begins at most `PATIENCE` and a few seconds
    after it was due, as soon as a worker of its queue has room. Nothing on a connector that is not ours.

    Raises:
        psycopg.Error, TimeoutError: The database is out of reach.
    """
    if isinstance(app.connector, AfreshConnector):
        async with app.connector.connection() as conn:
            await hurry_clocked(conn, patience=PATIENCE, priority=URGENT)


def terms_from(settings: RetentionSettings) -> Terms:
    """What the settings say."""
    return Terms(
        succeeded=settings.succeeded,
        failed=settings.failed,
        attempts=settings.attempts,
        audit=settings.audit,
        samples=settings.samples,
        most_succeeded=settings.most_succeeded,
        most_failed=settings.most_failed,
    )


async def purge(
    connect: Connect,
    terms: Terms,
    *,
    after: Mapping[str, int] | None = None,
    seconds: float = RUN_SECONDS,
    rest: float = REST,
) -> Purged:
    """Remove what is older than the terms say, or more than they say, for at most so many seconds.

    Args:
        connect: Lends a connection in autocommit mode; it is given back before each rest.
        terms: What is kept how long.
        after: Where a run that was not done has come to; kinds that it names not are done. None: begin.
        seconds: Then it says where it has come to.
        rest: Of what length the rests are, in those of the slices.

    Raises:
        psycopg.Error: The database is out of reach. What was removed stays so.
    """
    run = _Run(connect, terms, rest)
    begun = time.monotonic()
    await run.whole(after or {}, [kind for kind in KINDS if after is None or kind in after], begun + seconds)
    emit(HistoryPurged(dict(run.done.removed), time.monotonic() - begun, is_done=not run.done.after))
    return run.done


class _Run:
    def __init__(self, connect: Connect, terms: Terms, rest: float) -> None:
        self._connect, self._terms, self._rest = connect, terms, rest
        self._holder = uuid4()
        self._renew_at = 0.0
        self.done = Purged()

    async def whole(self, after: Mapping[str, int], kinds: list[str], until: float) -> None:
        async with self._connect() as conn:
            if not await self._held(conn):
                return
            bounds = await find_bounds(conn, self._terms)
        for number, kind in enumerate(kinds):
            # Half of what is left: one kind with a million rows does not keep all others waiting.
            left = max(0.0, until - time.monotonic())
            its_end = until if number == len(kinds) - 1 else time.monotonic() + left / 2
            if not await self._kind(kind, after.get(kind, 0), bounds, its_end):
                return
        async with self._connect() as conn:
            await end_purge(conn, self._holder, removed=self.done.removed)

    async def _kind(self, kind: str, after: int, bounds: Bounds, until: float) -> bool:
        """Whether the lease was kept."""
        most = FIRST
        while True:
            async with self._connect() as conn:
                if not await self._held(conn):
                    return False
                begun = time.monotonic()
                done = await purge_slice(conn, kind, self._terms, after=after, most=most, bounds=bounds)
                took = time.monotonic() - begun
            if done.removed:
                self.done.removed[kind] += done.removed
            if done.last is None or done.looked < most:
                return True
            after, most = done.last, _sized(most, took)
            if time.monotonic() >= until:
                self.done.after[kind] = after
                return True
            await asyncio.sleep(max(SHORTEST_REST, took * self._rest))

    async def _held(self, conn: AsyncConnection[Any]) -> bool:
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + RENEW_SECONDS
            self.done.busy = not await hold_purge(conn, self._holder, lease=LEASE, removed=self.done.removed)
        return not self.done.busy


def _sized(most: int, took: float) -> int:
    """How many rows the next slice has: at most twice or half as many as this one."""
    wanted = most * SLICE_SECONDS / max(took, 1e-6)
    return int(min(MOST, max(FEWEST, most / 2, min(wanted, most * 2))))
