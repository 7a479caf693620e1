"""What is stored about a failure shows no secret."""

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.task import task
from app.store.audit import record

from ..application import run_waiting_jobs, serving, settings_for

pytestmark = pytest.mark.anyio

SECRET = "hunter2hunter2"  # noqa: S105 - it is the one that must not be seen.


@task(name="sample.leaky", retry=False)
async def leaky() -> None:
    """Fail with secrets in the message, in a cause's message and in a note."""
    try:
        raise ValueError(f"cannot reach postgresql://ada:{SECRET}@db/shop")  # noqa: TRY301 - it becomes a cause.
    except ValueError as cause:
        error = httpx.ConnectError(f"Authorization: Bearer {SECRET}")
        error.add_note(f"api_key={SECRET}")
        raise error from cause


async def test_failure(database_url: str, conn: AsyncConnection):
    """Neither message, traceback, evidence, explanation nor reason of an attempt or a dead letter holds one."""
    async with serving(settings_for(database_url)) as (queue, client):
        assert isinstance(queue, Afresh)
        await client.post("/tasks/leaky")
        await run_waiting_jobs(queue)
    cursor = await conn.execute(
        "SELECT a::text, d::text FROM afresh.attempt a LEFT JOIN afresh.dead_letter d USING (job_id)"
    )
    ((attempt, letter),) = await cursor.fetchall()
    assert SECRET not in f"{attempt}{letter}"
    assert attempt.count("[redacted]") >= 3


async def test_audit(conn: AsyncConnection):
    """An audit row holds none either."""
    await record(
        conn,
        actor="ada",
        action="job.cancel",
        target="1",
        reason=f"password={SECRET}",
        details={"args": {"token": SECRET}},
    )
    cursor = await conn.execute("SELECT a::text FROM afresh.audit a")
    assert SECRET not in str(await cursor.fetchall())
