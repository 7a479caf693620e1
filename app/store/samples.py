"""Samples of how the service did: by the minute for two days, by the hour and by the day for as long as they are kept.

What all tasks did together is kept beside what each did, so that no answer adds up more than a few hundred steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from .steps import delete_in_steps

SQL = load("samples")

MINUTE, HOUR, DAY = 60, 3600, 86_400
"""The widths of a sample, in seconds. Days are UTC's."""

MINUTES_KEPT = timedelta(hours=48)
"""How long samples by the minute are kept."""

A_WEEK = timedelta(days=7)

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

MOST_QUEUE_POINTS = 10_000
MOST_TASKS = 500
"""Tasks that a minute tells by name, the busiest."""

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
        """The duration that so many attempts stayed below, as closely as the classes tell; None without attempts.

        Args:
            share: Above 0 and up to 1.
        """
        durations = self.durations
        wanted = share * sum(durations)
        if not wanted:
            return None
        below, at = 0, 0
        while below + durations[at] < wanted:
            below += durations[at]
            at += 1
        lower = BOUNDS[at - 1] if at else 0.0
        upper = BOUNDS[at] if at < len(BOUNDS) else max(self.longest, BOUNDS[-1])
        return min(lower + (upper - lower) * (wanted - below) / durations[at], self.longest)


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
    """Jobs that a key kept from being made twice, pending dead letters, workers, and jobs that were made."""

    at: datetime
    repeats: int
    dead_letters: int
    workers: int
    submitted: int


class TaskPast(NamedTuple):
    """How one task did in the hours of some time in which it ran.

    Attributes:
        hours: So many of them.
        attempts, failed: In all.
        squares: The sum of each hour's failures squared by its attempts.
    """

    task_name: str
    hours: int
    attempts: int
    failed: int
    squares: float


@dataclass(frozen=True, slots=True)
class Span:
    """A time, in steps of `MINUTE`, `HOUR` or `DAY`: from `since` up to but not including `until`."""

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

    def parts(self) -> Iterator["Span"]:
        """The same time in the widest steps that fit, which are far fewer: narrow ones at its ends, wide between."""
        wider = {MINUTE: HOUR, HOUR: DAY}.get(self.seconds)
        if wider is None:
            yield self
            return
        since = _beginning(self.since - timedelta.resolution, wider) + timedelta(seconds=wider)
        until = _beginning(self.until, wider)
        if since >= until:
            yield self
            return
        yield Span(self.since, since, self.seconds)
        yield from Span(since, until, wider).parts()
        yield Span(until, self.until, self.seconds)


def hours_until(now: datetime, hours: int) -> Span:
    """So many hours in steps of one, the present one included."""
    end = _beginning(now, HOUR) + timedelta(hours=1)
    return Span(end - timedelta(hours=hours), end, HOUR)


def days_until(now: datetime, days: int) -> Span:
    """So many days in steps of one, the present one included."""
    end = _beginning(now, DAY) + timedelta(days=1)
    return Span(end - timedelta(days=days), end, DAY)


def _beginning(time: datetime, seconds: int) -> datetime:
    """When the step began that a time is in."""
    return datetime.fromtimestamp(time.timestamp() // seconds * seconds, UTC)


def added(works: Iterable[Work]) -> Work:
    """All of them together."""
    all_ = list(works)
    return Work(
        submitted=sum(each.submitted for each in all_),
        succeeded=sum(each.succeeded for each in all_),
        failed=sum(each.failed for each in all_),
        retried=sum(each.retried for each in all_),
        buried=sum(each.buried for each in all_),
        snoozed=sum(each.snoozed for each in all_),
        lost=sum(each.lost for each in all_),
        spent=sum(each.spent for each in all_),
        longest=max((each.longest for each in all_), default=0.0),
        durations=[sum(classes) for classes in zip_longest(*(each.durations for each in all_), fillvalue=0)],
    )


async def last_sampled(conn: AsyncConnection[Any]) -> datetime | None:
    """The minute that was sampled last."""
    row = await (await conn.execute(SQL["find_sampled"])).fetchone()
    return row[0] if row else None


async def sample_tasks(conn: AsyncConnection[Any], minute: datetime, *, most: int = EVENTS_LOOKED_AT) -> None:
    """Count what became of the jobs of a minute that is over; once more, it comes to the same."""
    await conn.execute(SQL["sample_tasks"], {"minute": minute, "most": most})
    await conn.execute(SQL["fold_tasks"], {"minute": minute, "most": MOST_TASKS, "other": OTHER})


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


async def sample_service(conn: AsyncConnection[Any], minute: datetime, *, dead_letters: int, workers: int) -> None:
    """Count the repeats of a minute, and what there is now, and add up its tasks, which are sampled."""
    await conn.execute(SQL["sample_service"], {"minute": minute, "dead_letters": dead_letters, "workers": workers})
    await conn.execute(SQL["sum_service"], {"minute": minute})


async def sum_up(conn: AsyncConnection[Any], minutes: Iterable[datetime]) -> None:
    """Sum up the hours and days with these minutes, as far as they are sampled."""
    sampled = list(minutes)
    for seconds in (HOUR, DAY):
        for at in sorted({_beginning(minute, seconds) for minute in sampled}):
            await conn.execute(SQL["sum_samples"], {"seconds": seconds, "at": at})


async def forget_samples(conn: AsyncConnection[Any], *, hours: timedelta, minutes: timedelta = MINUTES_KEPT) -> int:
    """Delete minutes that are known by the hour, hours and days older than `hours`, and repeats that are sampled.

    In small steps. Returns how many rows.
    """
    forgotten = await delete_in_steps(conn, SQL["forget_repeats"], {}, most=FORGOTTEN_AT_ONCE)
    for seconds, kept in ((MINUTE, minutes), (HOUR, hours), (DAY, hours)):
        which = {"seconds": seconds, "kept": kept}
        for name in ("forget_task_samples", "forget_queue_samples", "forget_service_samples"):
            forgotten += await delete_in_steps(conn, SQL[name], which, most=FORGOTTEN_AT_ONCE)
    return forgotten


async def read_points(conn: AsyncConnection[Any], span: Span, *, task_name: str | None = None) -> list[Point]:
    """How one task, or all together, did; steps in which nothing happened are missing."""
    # In binary, as all that is read by the thousand here: text takes a third more.
    query = SQL["read_points" if task_name is None else "read_points_of_task"]
    async with conn.cursor(row_factory=class_row(Point), binary=True) as cursor:
        await cursor.execute(query, span.parameters() | {"task_name": task_name}, prepare=False)
        return await cursor.fetchall()


async def read_tasks(
    conn: AsyncConnection[Any], span: Span, *, task_name: str | None = None, most: int = MOST_TASKS + 1
) -> list[TaskWork]:
    """How each task, or the one, did, those that ran most first."""
    parts = list(span.parts())
    given = {
        "since": [part.since for part in parts],
        "until": [part.until for part in parts],
        "seconds": [part.seconds for part in parts],
        "task_name": task_name,
        "most": most,
    }
    async with conn.cursor(row_factory=class_row(TaskWork)) as cursor:
        await cursor.execute(SQL["read_tasks"], given, prepare=False)
        return await cursor.fetchall()


async def read_queues(
    conn: AsyncConnection[Any], span: Span, *, queue: str | None = None, most: int = MOST_QUEUE_POINTS
) -> list[QueuePoint]:
    """How full the queues, or one of them, were: of the fullest, as many as have `most` points in all."""
    wide = HOUR if span.until - span.since <= A_WEEK else DAY
    given = span.parameters() | {
        "queue": queue,
        "wide": wide,
        "wide_since": _beginning(span.since, wide),
        "most": max(1, most // max(1, len(span.steps()))),
    }
    rows = await (await conn.execute(SQL["read_queues"], given, prepare=False, binary=True)).fetchall()
    return [QueuePoint(*row) for row in rows]


async def read_service(conn: AsyncConnection[Any], span: Span) -> list[ServicePoint]:
    """Repeats, dead letters, workers and jobs that were made, but those of the clock."""
    rows = await (await conn.execute(SQL["read_service"], span.parameters(), prepare=False, binary=True)).fetchall()
    return [ServicePoint(*row) for row in rows]


async def read_past_of_tasks(
    conn: AsyncConnection[Any], tasks: Sequence[str], since: datetime, until: datetime
) -> dict[str, TaskPast]:
    """How often these tasks ran and failed in the hours of a time; those that did not run are missing."""
    given = {"tasks": list(tasks), "since": since, "until": until}
    rows = await (await conn.execute(SQL["read_past_of_tasks"], given, prepare=False)).fetchall()
    return {row[0]: TaskPast(*row) for row in rows}
