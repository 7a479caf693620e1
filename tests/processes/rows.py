"""What tests read from the database about a job."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from app.queue.submit import Submission, submit

from ..eventually import eventually

JOKE = "app.tasks.jokes.fetch_and_cache_joke"

ENDED = {"succeeded", "failed", "cancelled", "aborted"}


async def defer(conn: psycopg.AsyncConnection[Any], task: str = JOKE, queue: str = "api_calls", **args: Any) -> int:
    """Put a job into its queue; return its id."""
    return await submit(conn, Submission(task_name=task, args=args, queue=queue))


async def rows(conn: psycopg.AsyncConnection[Any], query: str, *parameters: Any) -> list[dict[str, Any]]:
    """The rows that a query finds, by column."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall()


async def job(conn: psycopg.AsyncConnection[Any], job_id: int) -> dict[str, Any]:
    """A job as afresh.jobs shows it."""
    (found,) = await rows(conn, "SELECT * FROM afresh.jobs WHERE id = %s", job_id)
    return found


async def attempts(conn: psycopg.AsyncConnection[Any], job_id: int) -> list[dict[str, Any]]:
    """Its attempts as afresh.attempts shows them, in order."""
    query = "SELECT * FROM afresh.attempts WHERE job_id = %s ORDER BY ended_at, attempt_id NULLS LAST"
    return await rows(conn, query, job_id)


async def events(conn: psycopg.AsyncConnection[Any], job_id: int) -> list[str]:
    """What Procrastinate's events say, in order."""
    found = await rows(conn, "SELECT type::text FROM procrastinate_events WHERE job_id = %s ORDER BY id", job_id)
    return [event["type"] for event in found]


async def ended(conn: psycopg.AsyncConnection[Any], job_id: int, within: float = 40.0) -> dict[str, Any]:
    """Wait until a job has ended, and return it."""

    async def look() -> dict[str, Any]:
        found = await job(conn, job_id)
        return found if found["state"] in ENDED else {}

    return await eventually(look, within)
