"""Workers, as they describe themselves with each heartbeat."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from ..retry.budget import CAPACITY

SQL = load("workers")

SHOWN = timedelta(hours=1)
"""How long a worker that is gone is still shown."""

REMEMBERED = timedelta(days=7)
"""How long its description is kept."""

MOST = 1_000

WorkerStatus = Literal["alive", "overloaded", "lost", "stopped"]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker. What is None was not said, as by a plain Procrastinate worker.

    Attributes:
        queues: Those it takes jobs from; None: all, or not said.
        running: Jobs that run under its name.
        memory_bytes: Of its process.
        host_memory_percent, host_cpu_percent, host_disk_percent: Of its machine, or container if that is fuller.
        status: lost: silent for too long without having said that it stops.
    """

    worker_id: int
    name: str | None
    host: str | None
    pid: int | None
    version: str | None
    queues: list[str] | None
    concurrency: int | None
    running: int
    overloaded: bool | None
    memory_bytes: int | None
    host_memory_percent: float | None
    host_cpu_percent: float | None
    host_disk_percent: float | None
    started_at: datetime | None
    beat_at: datetime | None
    stopped_at: datetime | None
    heartbeat_age_seconds: float | None
    status: WorkerStatus

    @property
    def lives(self) -> bool:
        """Whether it has given a sign of life lately."""
        return self.status in {"alive", "overloaded"}

    def was_lost(self, *, since: datetime) -> bool:
        """Whether it has fallen silent since then, without having said that it stops."""
        return self.status == "lost" and self.beat_at is not None and self.beat_at >= since

    def __str__(self) -> str:
        where = f" on {self.host} (process {self.pid})" if self.host else ""
        return f"{self.name or f'worker-{self.worker_id}'}{where}"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with workers, as the fullest of them saw it with its last heartbeat; in percent.

    Attributes:
        workers: Those that live.
        overloaded: A worker there takes no jobs because of it.
    """

    name: str
    workers: int
    cpu_percent: float
    memory_percent: float
    disk_percent: float
    overloaded: bool


def hosts_of(workers: Iterable[Worker]) -> list[Host]:
    """The machines of the workers that live, by name."""
    by_host: dict[str, list[Worker]] = {}
    for each in workers:
        if each.lives and each.host:
            by_host.setdefault(each.host, []).append(each)
    return [
        Host(
            name=name,
            workers=len(there),
            cpu_percent=max(each.host_cpu_percent or 0.0 for each in there),
            memory_percent=max(each.host_memory_percent or 0.0 for each in there),
            disk_percent=max(each.host_disk_percent or 0.0 for each in there),
            overloaded=any(each.overloaded for each in there),
        )
        for name, there in sorted(by_host.items())
    ]


async def list_workers(
    conn: AsyncConnection[Any], *, stalled_after: timedelta, kept: timedelta = SHOWN
) -> list[Worker]:
    """Workers that live or have been gone for less than `kept`, the oldest first, 1 000 at most."""
    async with conn.cursor(row_factory=class_row(Worker)) as cursor:
        given = {"stalled_after": stalled_after, "kept": kept, "most": MOST}
        return await (await cursor.execute(SQL["list_workers"], given)).fetchall()


class RunningJob(NamedTuple):
    """A job that a worker runs now.

    Attributes:
        started_at: None: not told, as where its events were purged.
    """

    worker_id: int
    job_id: int
    task_name: str
    queue: str
    started_at: datetime | None


async def list_running(conn: AsyncConnection[Any], worker_ids: Sequence[int], *, most: int) -> list[RunningJob]:
    """What these workers run now, of each the `most` jobs that were made first."""
    given = {"worker_ids": list(worker_ids), "most": most}
    return [RunningJob(*row) for row in await (await conn.execute(SQL["list_running"], given)).fetchall()]


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What is left of the retry budget of a dependency, as the living workers said with their last heartbeats.

    Attributes:
        least: Tokens in the process that has the fewest, of `CAPACITY`; below 1 its retries wait.
        worker: Of that process; None: it is full in all of them.
        told_at: When that was said; where it is full, the first of all the words that say so.
        left: Tokens in all processes together; what is promised already in one takes nothing from the others.
        processes: That say what they have.
    """

    least: float
    worker: str | None
    told_at: datetime
    left: float
    processes: int

    @property
    def capacity(self) -> float:
        """Tokens of all processes where nothing is spent."""
        return CAPACITY * self.processes


async def read_budgets(
    conn: AsyncConnection[Any], names: Sequence[str], *, stalled_after: timedelta
) -> dict[str, BudgetLeft]:
    """What is left of the retry budgets of these dependencies; of none where no living worker says anything."""
    given = {"names": list(names), "stalled_after": stalled_after, "capacity": CAPACITY}
    rows = await (await conn.execute(SQL["read_budgets"], given)).fetchall()
    return {name: BudgetLeft(*budget) for name, *budget in rows}


async def forget_workers(conn: AsyncConnection[Any], *, kept: timedelta = REMEMBERED) -> int:
    """Forget workers that have been gone for longer; return how many."""
    return (await conn.execute(SQL["forget_workers"], {"kept": kept})).rowcount
