"""Whether jobs get done: healthy, degraded or unhealthy, and why."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import psycopg
from psycopg import AsyncConnection

from ..postgres.migrate import read_steps
from ..store.alerts import OpenAlert, list_open
from ..store.health import count_workers, schema_version, working_since
from ..store.monitoring import Monitoring, read_monitoring
from ..store.samples import last_sampled

ANSWER_SECONDS = 3.0
"""Who asks for health wants an answer while nothing else answers."""

STALE = timedelta(minutes=5)
"""How long alerts may go without being evaluated, or minutes without being sampled."""

MENTIONED = 5
"""Alerts that a reason names."""

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


class Status(StrEnum):
    """How things stand; each is worse than the one before."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `reason` says what was found, also where that is well."""

    name: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """The worst of all checks, and the reasons of those that are not well.

    Attributes:
        monitoring: Whether it is stopped; None: that could not be asked.
    """

    checks: tuple[Check, ...]
    monitoring: Monitoring | None = None

    @property
    def status(self) -> Status:
        """The worst."""
        return max((check.status for check in self.checks), key=list(Status).index)

    @property
    def reasons(self) -> list[str]:
        """What is not well."""
        return [check.reason for check in self.checks if check.status is not Status.HEALTHY]


async def examine(connect: Connect, *, stalled_after: timedelta) -> Health:
    """Look at the database, its schema and the workers. Never raises for what is wrong with them."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), connect() as conn:
            return await look(conn, stalled_after=stalled_after)
    except TimeoutError:
        reason = f"the database does not answer within {ANSWER_SECONDS:g} s"
        return Health((Check("database", Status.UNHEALTHY, reason),))
    except psycopg.Error as error:
        return Health((Check("database", Status.UNHEALTHY, f"the database does not answer ({_line(error)})"),))


async def is_ready(connect: Connect) -> bool:
    """Whether requests can be served: the database answers, and its schema is not behind. Never raises for that."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), connect() as conn:
            return judge_schema(await schema_version(conn), newest_migration()).status is Status.HEALTHY
    except (psycopg.Error, TimeoutError):
        return False


async def look(conn: AsyncConnection[Any], *, stalled_after: timedelta) -> Health:
    """As `examine`, on a connection that answers.

    Raises:
        psycopg.Error: It does not any more, or there is no schema of ours.
    """
    answers = Check("database", Status.HEALTHY, "the database answers")
    schema = judge_schema(await schema_version(conn), newest_migration())
    alive, silent = await count_workers(conn, stalled_after=stalled_after)
    workers = judge_workers(alive, silent, stalled_after)
    if schema.status is Status.UNHEALTHY:  # What follows may not be there yet.
        return Health((answers, schema, workers))
    monitoring = await read_monitoring(conn)
    told = judge_alerts(await list_open(conn, severity="critical", most=MENTIONED))
    watched = judge_monitoring(
        monitoring,
        datetime.now(UTC),
        sampled=await last_sampled(conn),
        working_since=await working_since(conn, stalled_after=stalled_after),
    )
    return Health((answers, schema, workers, told, watched), monitoring)


def judge_schema(found: int, needed: int) -> Check:
    """A schema that is ahead is well: during a deploy the older code still runs."""
    if found < needed:
        reason = f"the schema is at migration {found} of {needed}: run afresh migrate"
        return Check("schema", Status.UNHEALTHY, reason)
    return Check("schema", Status.HEALTHY, f"the schema is at migration {found}")


def judge_workers(alive: int, silent: int, stalled_after: timedelta) -> Check:
    """Without a worker jobs wait, which is no reason to restart what takes them in."""
    if alive == 0:
        return Check("workers", Status.DEGRADED, "no worker is alive: jobs wait")
    if silent:
        silence = f"silent for over {stalled_after.total_seconds():g} s"
        reason = f"{silent} of {alive + silent} workers {silence} while holding jobs"
        return Check("workers", Status.DEGRADED, reason)
    return Check("workers", Status.HEALTHY, f"{alive} {'worker is' if alive == 1 else 'workers are'} alive")


def judge_alerts(critical: Sequence[OpenAlert]) -> Check:
    """Critical alerts degrade: something does not get done, though jobs are taken in."""
    if not critical:
        return Check("alerts", Status.HEALTHY, "no critical alert is open")
    causes = "; ".join(f"{each.rule}{f' of {each.subject}' if each.subject else ''}: {each.cause}" for each in critical)
    return Check("alerts", Status.DEGRADED, f"critical: {causes}")


def judge_monitoring(
    monitoring: Monitoring, now: datetime, *, sampled: datetime | None = None, working_since: datetime | None = None
) -> Check:
    """A maintenance window is well; alerts that nobody evaluates, or judges by old numbers, are not.

    Args:
        monitoring: When alerts were evaluated last.
        now: The time of asking.
        sampled: The minute that was sampled last.
        working_since: Since when there has been a worker that could have; None: there is none.
    """
    if monitoring.is_stopped(now) and monitoring.stopped_until is not None:
        reason = f"monitoring is stopped until {_at(monitoring.stopped_until)} by {monitoring.stopped_by}"
        return Check("monitoring", Status.HEALTHY, f"{reason}: {monitoring.stopped_because}")
    seen = {"alerts have not been evaluated": monitoring.evaluated_at, "nothing has been sampled": sampled}
    for what, last in seen.items():
        # Whoever never did has had time since there is somebody to do it; whoever did, since then or the last window.
        since = max(filter(None, (last or working_since, monitoring.resumed_at(now))), default=None)
        if since is not None and now - since > STALE:
            reason = f"{what} since {_at(since)}: see whether a worker takes jobs of the queue monitoring"
            return Check("monitoring", Status.DEGRADED, reason)
    well = "alerts are evaluated" if monitoring.evaluated_at else "no alert was evaluated yet"
    return Check("monitoring", Status.HEALTHY, well)


def _at(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@cache
def newest_migration() -> int:
    """The number that this code needs."""
    return read_steps()[-1].number


def _line(error: psycopg.Error) -> str:
    """The first line of an error without what it says of addresses and users."""
    return error.diag.message_primary or type(error).__name__
