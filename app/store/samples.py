"""Samples of how the service did: by the minute for two days, by the hour for as long as they are kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("samples")

MINUTE, HOUR = 60, 3600
"""The two widths of a sample, in seconds."""

MINUTES_KEPT = timedelta(hours=48)
"""How long samples by the minute are kept."""

EVENTS_LOOKED_AT = 60_000
"""Of a minute; where there are more, a share of the jobs stands for all."""

COUNTED = 20_000
"""Ready jobs of a queue that are counted; beyond, there are at least so many."""

OTHER_QUEUES = 100
"""Queues that neither code nor settings name and that are sampled by name, the fullest."""

OTHER = "other"
"""The name of the rest, as in metrics."""

Relying = tuple[Sequence[str], Sequence[str]]
"""Tasks, and the dependency of each."""

MOST_QUEUE_POINTS = 20_000
MOST_TASKS = 500
FORGOTTEN_AT_ONCE = 5_000

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the classes of durations, in seconds, as ``afresh.duration_bounds()`` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What became of jobs in some time.

    Attributes:
        submitted: Jobs made.
        succeeded, failed: Attempts that ran to their end.
        retried: Failures that were followed by another attempt.
        buried: Dead letters.
        spent, longest: Seconds that these attempts took, in all and at most.
        durations: Attempts by duration: up to each of `BOUNDS`, and longer ones.
    """

    submitted: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    buried: int = 0
    snoozed: int = 0
    lost: int = 0
    spent: float = 0.0
    longest: float = 0.0
    durations: Sequence[int] = ()

    @property
    def attempts(self) -> int:
        """Attempts that ran to their end."""
        return self.succeeded + self.failed

    @property
    def ended(self) -> int:
        """Jobs that came to an end of their own."""
        return self.succeeded + self.buried

    def quantile(self, share: float) -> float | None:
        """The duration that so many attempts stayed below, as closely as the classes tell; None without attempts."""
        total = sum(self.durations)
        if not total:
            return None
        wanted, below, lower = share * total, 0, 0.0
        for count, upper in zip(self.durations, (*BOUNDS, max(self.longest, BOUNDS[-1])), strict=True):
            if count and below + count >= wanted:
                return min(lower + (upper - lower) * (wanted - below) / count, self.longest)
            below, lower = below + count, upper
        return self.longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Work):
    """What became of them from `at` on."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWork(Work):
    """What became of the jobs of one task."""

    task_name: str


class QueuePoint(NamedTuple):
    """How full a queue was; of an hour, `ready` and `running` are means."""

    at: datetime
    queue_name: str
    ready: float
    ready_most: int
    oldest_seconds: float
    running: float


class ServicePoint(NamedTuple):
    """Repeats of submissions, pending dead letters, and workers."""

    at: datetime
    repeats: int
    dead_letters: int
    workers: int


class TaskHour(NamedTuple):
    """How one task did in one hour."""

    task_name: str
    at: datetime
    attempts: int
    failed: int


@dataclass(frozen=True, slots=True)
class Span:
    """A time, in steps of `MINUTE` or `HOUR`: from `since` up to but not including `until`."""

    since: datetime
    until: datetime
    seconds: int = MINUTE

    def parameters(self) -> dict[str, Any]:
        """As the queries take it."""
        return {"since": self.since, "until": self.until, "seconds": self.seconds}

    def steps(self) -> list[datetime]:
        """When each step begins."""
        width = timedelta(seconds=self.seconds)
        return [self.since + number * width for number in range((self.until - self.since) // width)]


def hours_until(now: datetime, hours: int) -> Span:
    """So many hours in steps of one, the present one included."""
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Span(end - timedelta(hours=hours), end, HOUR)


def added(works: Iterable[Work]) -> Work:
    """All of them together."""
    total = Work()
    for each in works:
        total = Work(
            submitted=total.submitted + each.submitted,
            succeeded=total.succeeded + each.succeeded,
            failed=total.failed + each.failed,
            retried=total.retried + each.retried,
            buried=total.buried + each.buried,
            snoozed=total.snoozed + each.snoozed,
            lost=total.lost + each.lost,
            spent=total.spent + each.spent,
            longest=max(total.longest, each.longest),
            durations=[sum(pair) for pair in zip_longest(total.durations, each.durations, fillvalue=0)],
        )
    return total


async def last_sampled(conn: AsyncConnection[Any]) -> datetime | None:
    """The minute that was sampled last."""
    row = await (await conn.execute(SQL["find_sampled"])).fetchone()
    return row[0] if row else None


async def sample_tasks(conn: AsyncConnection[Any], minute: datetime, *, most: int = EVENTS_LOOKED_AT) -> None:
    """Count what became of the jobs of a minute that is over; once more, it comes to the same."""
    await conn.execute(SQL["sample_tasks"], {"minute": minute, "most": most})


async def sample_queues(
    conn: AsyncConnection[Any], minute: datetime, *, now: datetime, known: Sequence[str], own: Relying
) -> None:
    """Keep how full the queues are now, under the minute that has just ended.

    Args:
        conn: Where to.
        minute: When the minute began.
        now: What the age of the oldest job is told at.
        known: Queues that are told by name; of others, `OTHER_QUEUES` are, and the rest together as `OTHER`.
        own: What tasks rely on, as `claim` has it.
    """
    given = {"minute": minute, "now": now, "known": list(known), "tasks": list(own[0]), "dependencies": list(own[1])}
    bounds = {"counted": COUNTED, "others": OTHER_QUEUES, "other": OTHER}
    await conn.execute(SQL["sample_queues"], given | bounds)


async def sample_service(conn: AsyncConnection[Any], minute: datetime, *, workers: int) -> None:
    """Count the repeats of a minute, and what there is now."""
    await conn.execute(SQL["sample_service"], {"minute": minute, "workers": workers})


async def sum_hour(conn: AsyncConnection[Any], hour: datetime) -> None:
    """Sum up an hour from its minutes, as far as they are sampled."""
    await conn.execute(SQL["sum_hour"], {"hour": hour})


async def forget_samples(conn: AsyncConnection[Any], *, hours: timedelta, minutes: timedelta = MINUTES_KEPT) -> int:
    """Delete minutes that are known by the hour, hours older than `hours`, and repeats that are sampled.

    In small steps. Returns how many rows.
    """
    forgotten = 0
    for seconds, kept in ((MINUTE, minutes), (HOUR, hours)):
        for name in ("forget_task_samples", "forget_queue_samples", "forget_service_samples"):
            forgotten += await _forget(conn, name, {"seconds": seconds, "kept": kept})
    return forgotten + await _forget(conn, "forget_repeats", {})


async def _forget(conn: AsyncConnection[Any], name: str, which: dict[str, Any]) -> int:
    forgotten, deleted = 0, FORGOTTEN_AT_ONCE
    while deleted >= FORGOTTEN_AT_ONCE:
        deleted = (await conn.execute(SQL[name], which | {"most": FORGOTTEN_AT_ONCE})).rowcount
        forgotten += deleted
    return forgotten


async def read_points(conn: AsyncConnection[Any], span: Span, *, task_name: str | None = None) -> list[Point]:
    """How one task, or all together, did; steps in which nothing happened are missing."""
    async with conn.cursor(row_factory=class_row(Point)) as cursor:
        await cursor.execute(SQL["read_points"], span.parameters() | {"task_name": task_name}, prepare=False)
        return await cursor.fetchall()


async def read_tasks(conn: AsyncConnection[Any], span: Span, *, most: int = MOST_TASKS) -> list[TaskWork]:
    """How each task did, those that ran most first."""
    async with conn.cursor(row_factory=class_row(TaskWork)) as cursor:
        await cursor.execute(SQL["read_tasks"], span.parameters() | {"most": most}, prepare=False)
        return await cursor.fetchall()


async def read_queues(conn: AsyncConnection[Any], span: Span, *, queue: str | None = None) -> list[QueuePoint]:
    """How full the queues, or one of them, were."""
    given = span.parameters() | {"queue": queue, "most": MOST_QUEUE_POINTS}
    rows = await (await conn.execute(SQL["read_queues"], given, prepare=False)).fetchall()
    return [QueuePoint(*row) for row in rows]


async def read_service(conn: AsyncConnection[Any], span: Span) -> list[ServicePoint]:
    """Repeats, dead letters and workers."""
    rows = await (await conn.execute(SQL["read_service"], span.parameters(), prepare=False)).fetchall()
    return [ServicePoint(*row) for row in rows]


async def read_hours_of_tasks(conn: AsyncConnection[Any], since: datetime, until: datetime) -> list[TaskHour]:
    """How often the tasks ran and failed, by the hour; hours without attempts are missing."""
    rows = await (await conn.execute(SQL["read_hours_of_tasks"], {"since": since, "until": until})).fetchall()
    return [TaskHour(*row) for row in rows]
