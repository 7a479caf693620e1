import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio


async def lose(conn: AsyncConnection, task_name: str, *, attempts: int = 0) -> int:
    """A job whose worker is gone."""
    cursor = await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts) "
        "VALUES ('lost', %s, 'doing', %s) RETURNING id",
        [task_name, attempts],
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_stalled_jobs(served: tuple[Afresh, httpx.AsyncClient], conn: AsyncConnection):
    """Jobs of lost workers are put back, and the job's result says which; it costs them no attempt."""
    queue, client = served
    lost = [await lose(conn, "nobody.knows"), await lose(conn, "nobody.knows", attempts=2)]
    await queue.tasks["app.tasks.maintenance.retry_stalled_jobs"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    rescued = [(await client.get(f"/jobs/{job_id}")).json() for job_id in lost]
    assert [(job["rescues"], job["attempts"]) for job in rescued] == [(1, 0), (1, 2)]


async def test_gone_workers(served: tuple[Afresh, httpx.AsyncClient], conn: AsyncConnection):
    """Workers that are gone and that no job names are forgotten, and the job's result says how many."""
    queue, client = served
    await conn.execute("INSERT INTO procrastinate_workers (last_heartbeat) SELECT 'epoch' FROM generate_series(1, 3)")
    job_id = await queue.tasks["app.tasks.maintenance.purge_gone_workers"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{job_id}")).json()["result"] == {"purged": 3}


def test_every_ten_minutes(served: tuple[Afresh, httpx.AsyncClient]):
    """It is on the clock whatever the settings, and not to be had over HTTP."""
    info = served[0].catalog.resolve("retry-stalled-jobs")
    assert not info.http
    assert info.queue == "maintenance"


async def test_failures_are_folded(served: tuple[Afresh, httpx.AsyncClient], conn: AsyncConnection):
    """The clock folds failures every minute, and the job's result says how many there were."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await queue.tasks["app.tasks.maintenance.fold_failures"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get("/jobs/2")).json()["result"] == {"folded": 1, "forgotten": 0}
    assert await (await conn.execute("SELECT failures FROM afresh.failure_group")).fetchall() == [(1,)]
