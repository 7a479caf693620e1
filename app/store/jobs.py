"""Jobs and their attempts, as people and programs read them. Never changes anything."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..postgres.sqlfiles import load

SQL = load("jobs")

STATES = ("ready", "scheduled", "retrying", "running", "succeeded", "failed", "cancelled", "aborted")
STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")

COUNTED_EXACTLY = 10_000
"""Jobs that are counted one by one; beyond, the planner's estimate has to do."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs. None: any."""

    state: str | None = None
    status: str | None = None
    task_name: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the jobs that a filter lets through, newest first.

    Attributes:
        total: How many there are in all.
        total_is_exact: False: `total` is an estimate, and more than `COUNTED_EXACTLY`.
        next_before: Ask for the jobs before this one to go on; None at the end.
    """

    items: list[Row]
    total: int
    total_is_exact: bool
    next_before: int | None


async def find_job(conn: AsyncConnection[Any], job_id: int) -> Row | None:
    """Return the job, or None where there is none."""
    rows = await _fetch(conn, SQL["find_job"], {"job_id": job_id})
    return rows[0] if rows else None


async def find_result(conn: AsyncConnection[Any], job_id: int) -> Row | None:
    """Return the job's state, result or note, and last failure; None where there is no such job."""
    rows = await _fetch(conn, SQL["find_result"], {"job_id": job_id})
    return rows[0] if rows else None


async def list_attempts(conn: AsyncConnection[Any], job_ids: Sequence[int]) -> dict[int, list[Row]]:
    """Return the ended runs of each job, in order; a job without any is there with an empty list."""
    attempts: dict[int, list[Row]] = {job_id: [] for job_id in job_ids}
    for row in await _fetch(conn, SQL["list_attempts"], {"job_ids": list(job_ids)}):
        attempts[row.pop("job_id")].append(row)
    return attempts


async def list_jobs(
    conn: AsyncConnection[Any], chosen: JobFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> Page:
    """Return one page: at most `limit` jobs, older than job `before`, after skipping `offset` of them."""
    parameters = _parameters(chosen) | {"before": before, "limit": limit + 1, "offset": offset}
    items = await _fetch(conn, SQL["list_jobs"], parameters)
    total, exact = await _count(conn, chosen)
    more = len(items) > limit
    items = items[:limit]
    return Page(items, total, exact, items[-1]["job_id"] if more else None)


async def _count(conn: AsyncConnection[Any], chosen: JobFilter) -> tuple[int, bool]:
    parameters = _parameters(chosen) | {"most": COUNTED_EXACTLY + 1}
    (counted,) = await _fetch(conn, SQL["count_jobs"], parameters)
    if counted["total"] <= COUNTED_EXACTLY:
        return counted["total"], True
    (explained,) = await _fetch(conn, SQL["estimate_jobs"], _parameters(chosen))
    (plan,) = explained["QUERY PLAN"]
    return max(int(plan["Plan"]["Plan Rows"]), counted["total"]), False


def _parameters(chosen: JobFilter) -> dict[str, Any]:
    return asdict(chosen)


async def _fetch(conn: AsyncConnection[Any], query: LiteralString, parameters: Row) -> list[Row]:
    """Run a query, planned for these very parameters: a filter that is not set then costs nothing."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters, prepare=False)
        return await cursor.fetchall()
