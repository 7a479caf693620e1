"""What decisions adapt to: how retries went, how deep a queue is; and what putting work off has saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("adaptation")

LEARNED_FROM = timedelta(days=7)
"""How far back retries count."""

MOST_ATTEMPTS = 1_000_000
"""Attempts that are looked at; where there are more, the time begins later."""

MOST_SAMPLES = 10_000
"""Pairs of task and failure type that are read, those with the most retries first."""

MOST_PUT_OFF = 50_000
"""Jobs put off that a sum is made of, the latest."""

GLANCED_AT = 500
"""The same for a page, whose reader would not wait a second for the sum."""


@dataclass(frozen=True, slots=True)
class RetrySample:
    """How retries of one task after one failure type went, since some hour."""

    task_name: str
    failure_type: str
    retries: int
    successes: int
    since: datetime
    refreshed_at: datetime


class PutOff(NamedTuple):
    """Jobs that waited for the quiet hours.

    Attributes:
        put_off: How often a job was.
        runs: Those of them that ran afterwards, and not in the peak at an operator's word.
        spent: How long these took.
        is_exact: False: there are more than were looked at.
    """

    put_off: int
    runs: int
    spent: timedelta
    is_exact: bool


async def refresh_samples(
    conn: AsyncConnection[Any], *, kept: timedelta = LEARNED_FROM, most: int = MOST_ATTEMPTS
) -> int:
    """Count how retries went anew, from `most` attempts at most; return how many samples that makes."""
    row = await (await conn.execute(SQL["refresh_samples"], {"kept": kept, "most": most})).fetchone()
    return int(row[0]) if row else 0


async def read_samples(conn: AsyncConnection[Any], *, most: int = MOST_SAMPLES) -> list[RetrySample]:
    """How retries went, the most frequent first."""
    async with conn.cursor(row_factory=class_row(RetrySample)) as cursor:
        return await (await cursor.execute(SQL["read_samples"], {"most": most})).fetchall()


async def count_ready(
    conn: AsyncConnection[Any], queue: str, *, own: tuple[Sequence[str], Sequence[str]], most: int
) -> int:
    """Count the jobs of a queue that could run now, up to `most`; `own` says what tasks rely on, as `claim` has it."""
    tasks, dependencies = map(list, own)
    wanted = {"queue": queue, "tasks": tasks, "dependencies": dependencies, "most": most}
    row = await (await conn.execute(SQL["count_ready"], wanted)).fetchone()
    return int(row[0]) if row else 0


async def count_ready_by_queue(
    conn: AsyncConnection[Any], *, own: tuple[Sequence[str], Sequence[str]], most: int
) -> dict[str, int]:
    """The same of every queue that has any, in one look."""
    tasks, dependencies = map(list, own)
    wanted = {"tasks": tasks, "dependencies": dependencies, "most": most}
    return dict(await (await conn.execute(SQL["count_ready_by_queue"], wanted)).fetchall())


async def sum_put_off(
    conn: AsyncConnection[Any], since: datetime, *, until: datetime | None = None, most: int = MOST_PUT_OFF
) -> PutOff:
    """Sum up the latest jobs that were put off since a time, and before another, and their runs after it."""
    given = {"since": since, "until": until, "most": most}
    async with conn.cursor(row_factory=class_row(PutOff)) as cursor:
        await cursor.execute(SQL["sum_put_off"], given, prepare=False)
        return await cursor.fetchone() or PutOff(0, 0, timedelta(0), is_exact=True)


async def sum_retries_ended_well(conn: AsyncConnection[Any], since: datetime) -> int:
    """Retries with which their job succeeded, since the hour that began at `since`."""
    row = await (await conn.execute(SQL["sum_retries_ended_well"], {"since": since})).fetchone()
    return int(row[0]) if row else 0
