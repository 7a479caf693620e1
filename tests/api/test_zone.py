"""A database in another zone: whatever its server is set to, times are told in UTC."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection, sql

from app.monitoring.alerts.evaluate import evaluate

from ..application import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database whose sessions are in a zone that is half an hour off."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Kolkata'").format(name))
    return database_url


async def test_answers(served: Served, conn: AsyncConnection):
    """Every time in an answer or a stream is in UTC."""
    _, client = served
    begun = datetime.now(UTC)
    job_id = (await client.post("/tasks/add", json={"args": {"a": 1}})).json()["job_id"]
    await client.post(f"/jobs/{job_id}/cancel")
    await conn.execute("ANALYZE procrastinate_jobs")
    await conn.execute("UPDATE afresh.purge SET began_at = now(), ended_at = now()")
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/events", "/monitoring/summary", "/audit"):
        text = (await client.get(path)).text
        assert any(f"{day:%Y-%m-%dT}" in text for day in (begun, datetime.now(UTC))), path
        assert "+05:30" not in text, path


async def test_messages(served: Served, conn: AsyncConnection):
    """What is told of an alert names the hour in UTC, as it says."""
    queue, client = served
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, generation, changed_at, until, probe_at, permits)"
        " SELECT 'down', 'open', 1, now(), at, at, '[]' FROM (SELECT now() + interval '1 day') AS later (at)"
    )
    now = datetime.now(UTC)
    async with queue.connection() as own:
        await evaluate(queue, own, now=now)
    told = (await client.get("/monitoring/alerts/messages")).json()
    assert told[0]["body"].startswith(f"{now:%H:%M} UTC  ")


async def test_decisions(served: Served):
    """What a worker reads, and tells in its decisions, is in UTC."""
    row = await served[0].connector.execute_query_one_async("SELECT now() AS at")
    assert row["at"].utcoffset() == timedelta(0)
