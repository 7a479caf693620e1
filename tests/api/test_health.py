from datetime import timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.monitoring.health import Status, judge_schema, judge_workers
from app.queue.app import create

from ..application import client_of, settings_for

pytestmark = pytest.mark.anyio

SILENCE = timedelta(seconds=30)


async def test_healthy(client: httpx.AsyncClient, conn: AsyncConnection):
    """With a database, its schema and a worker all is well."""
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    response = await client.get("/monitoring/health")
    report = response.json()
    assert (response.status_code, report["status"], report["reasons"]) == (200, "healthy", [])
    assert report["database"] == "external"
    assert {check["name"]: check["status"] for check in report["checks"]} == {
        "database": "healthy",
        "schema": "healthy",
        "workers": "healthy",
        "alerts": "healthy",
        "monitoring": "healthy",
    }


async def test_long_dead_workers(client: httpx.AsyncClient, conn: AsyncConnection):
    """A worker that fell silent is missed while it holds a job, and not a moment longer."""
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    await conn.execute(
        "INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE "
        "VALUES (99, now() - interval '1 hour')"
    )
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 99")
    report = (await client.get("/monitoring/health")).json()
    assert report["reasons"] == ["1 of 2 workers silent for over 30 s while holding jobs"]
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded'")
    assert (await client.get("/monitoring/health")).json()["status"] == "healthy"


async def test_no_worker(client: httpx.AsyncClient):
    """Without a worker it is degraded, and still takes jobs in."""
    response = await client.get("/monitoring/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["reasons"] == ["no worker is alive: jobs wait"]


async def test_schema_behind(client: httpx.AsyncClient, conn: AsyncConnection):
    """A schema that is behind is unhealthy, and the reason says what to run."""
    await conn.execute("DELETE FROM afresh.migration WHERE number > 7")
    response = await client.get("/monitoring/health")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert "afresh migrate" in response.json()["reasons"][0]


async def test_not_ready_while_the_schema_is_behind(client: httpx.AsyncClient, conn: AsyncConnection):
    """Where the schema is behind, or there is none, requests cannot be served, and the process lives all the same."""
    assert (await client.get("/monitoring/ready")).status_code == 200
    await conn.execute("DELETE FROM afresh.migration WHERE number > 7")
    ready = await client.get("/monitoring/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
    await conn.execute("ALTER TABLE afresh.migration RENAME TO gone")
    assert (await client.get("/monitoring/ready")).status_code == 503
    assert (await client.get("/monitoring/live")).status_code == 200


async def test_nobody_evaluates_alerts(client: httpx.AsyncClient, conn: AsyncConnection):
    """A worker that has lived for long without ever evaluating alerts is a reason, as alerts that went stale are."""
    await conn.execute("INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (7)")
    await conn.execute(
        "INSERT INTO afresh.worker "
        "VALUES (7, 'w', 'host', 1, '0', '{email}', 10, 0, false, 1, 1, 1, 1, now() - interval '6 minutes', now())"
    )
    report = (await client.get("/monitoring/health")).json()
    assert report["status"] == "degraded"
    assert report["reasons"][0].startswith("alerts have not been evaluated since")
    await conn.execute("UPDATE afresh.monitoring SET evaluated_at = now()")
    assert (await client.get("/monitoring/health")).json()["reasons"][0].startswith("nothing has been sampled since")
    await conn.execute("INSERT INTO afresh.service_sample VALUES (60, date_trunc('minute', now()), 0, 0, 1)")
    assert (await client.get("/monitoring/health")).json()["status"] == "healthy"


async def test_no_database(anyio_backend: str):  # noqa: ARG001 - it makes the test async
    """Without a database it is unhealthy, and says so within a moment."""
    from psycopg_pool import AsyncConnectionPool

    from app.api.main import create_app

    queue = create(settings_for("postgresql://nobody@127.0.0.1:9/nothing", admin_key="a-key-for-this-test"))
    async with AsyncConnectionPool(
        "postgresql://nobody@127.0.0.1:9/nothing", min_size=0, max_size=1, open=False
    ) as pool:
        await queue.connector.open_async(pool)
        async with client_of(create_app(queue)) as client:
            response = await client.get("/monitoring/health", headers={"Authorization": "Bearer a-key-for-this-test"})
            live, ready = await client.get("/monitoring/live"), await client.get("/monitoring/ready")
            nobody = await client.get("/monitoring/health")
    assert (live.status_code, ready.status_code, nobody.status_code) == (200, 503, 401)
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert "does not answer" in response.json()["reasons"][0]


def test_judging_workers():
    """Silent workers degrade; a schema ahead of the code is well."""
    assert judge_workers(2, 0, SILENCE).status is Status.HEALTHY
    assert judge_workers(2, 1, SILENCE).reason == "1 of 3 workers silent for over 30 s while holding jobs"
    assert judge_workers(0, 1, SILENCE).status is Status.DEGRADED
    assert judge_schema(9, 8).status is Status.HEALTHY
    assert judge_schema(7, 8).status is Status.UNHEALTHY
