import pytest
from psycopg import AsyncConnection

from app.queue import purge

from ..application import Served, run_waiting_jobs
from ..queue.dependencies import open_breaker

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


async def test_stalled_jobs(served: Served, conn: AsyncConnection):
    """Jobs of lost workers are put back, and the job's result says which; it costs them no attempt."""
    queue, client = served
    lost = [await lose(conn, "nobody.knows"), await lose(conn, "nobody.knows", attempts=2)]
    await queue.tasks["app.tasks.maintenance.retry_stalled_jobs"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    rescued = [(await client.get(f"/jobs/{job_id}")).json() for job_id in lost]
    assert [(job["rescues"], job["attempts"]) for job in rescued] == [(1, 0), (1, 2)]


async def test_overdue_jobs(served: Served, conn: AsyncConnection):
    """A job whose deadline passes behind an isolated dependency gets its dead letter by the clock."""
    queue, client = served
    await client.post("/dependencies/joke-api/isolate", json={"reason": "maintenance"})
    body = {"deadline": "2090-01-31T12:00:00Z"}
    late = (await client.post("/tasks/fetch-joke", json=body)).json()["job_id"]
    await conn.execute("UPDATE afresh.job_option SET deadline = now()")
    burying = await queue.tasks["app.tasks.maintenance.bury_overdue"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{burying}")).json()["result"] == {"past_deadline": 1, "held_too_long": 0}
    job = (await client.get(f"/jobs/{late}")).json()
    assert (job["state"], job["attempts"]) == ("failed", 0)
    letter = (await client.get(f"/dead-letters/{job['dead_letter_id']}")).json()
    assert (letter["cause"], letter["reason"][:11]) == ("waited_too_long", "its deadlin")


async def test_idle_breakers(served: Served, conn: AsyncConnection):
    """A breaker that nobody has called for an hour is let go by the clock, and the job's result names it."""
    queue, client = served
    await open_breaker(conn, "host.example")
    await conn.execute(
        "UPDATE afresh.breaker SET changed_at = now() - interval '2 hours', until = now() - interval '2 hours', "
        "probe_at = now() - interval '2 hours'"
    )
    tending = await queue.tasks["app.tasks.maintenance.tend_breakers"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{tending}")).json()["result"] == {"let_go": ["host.example"]}
    assert (await client.get("/dependencies/host.example")).json()["state"] == "ramping"


async def test_gone_workers(served: Served, conn: AsyncConnection):
    """Workers that are gone and that no job names are forgotten, and the job's result says how many."""
    queue, client = served
    await conn.execute("INSERT INTO procrastinate_workers (last_heartbeat) SELECT 'epoch' FROM generate_series(1, 3)")
    job_id = await queue.tasks["app.tasks.maintenance.purge_gone_workers"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{job_id}")).json()["result"] == {"purged": 3}


def test_every_ten_minutes(served: Served):
    """It is on the clock whatever the settings, and not to be had over HTTP."""
    info = served[0].catalog.resolve("retry-stalled-jobs")
    assert not info.http
    assert info.queue == "maintenance"


async def test_failures_are_folded(served: Served, conn: AsyncConnection):
    """The clock folds failures every minute, and the job's result says how many there were."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await queue.tasks["app.tasks.maintenance.fold_failures"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await client.get("/jobs/2")).json()["result"] == {"folded": 1, "forgotten": 0}
    assert await (await conn.execute("SELECT failures FROM afresh.failure_group")).fetchall() == [(1,)]


async def test_old_jobs_are_purged(served: Served, conn: AsyncConnection):
    """Jobs whose time is over go, and the Idempotency-Key of one of them, which outlives it, is answered with 410."""
    queue, client = served
    asked = {"headers": {"Idempotency-Key": "k"}, "json": {"args": {"a": 1, "b": 2}}}
    made = (await client.post("/tasks/add", **asked)).json()["job_id"]  # type: ignore[arg-type]  # As httpx takes it.
    await run_waiting_jobs(queue)
    await conn.execute("UPDATE procrastinate_events SET at = now() - interval '8 days'")
    purging = await queue.tasks["app.tasks.maintenance.purge_old_jobs"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    result = (await client.get(f"/jobs/{purging}")).json()["result"]
    assert result == {"removed": {"jobs": 1}, "after": {}, "busy": False}
    assert (await client.get(f"/jobs/{made}")).status_code == 404
    again = await client.post("/tasks/add", **asked)  # type: ignore[arg-type]  # As above.
    assert (again.status_code, again.json()["detail"][:5]) == (410, f"job {made}"[:5])


async def test_a_purge_that_is_not_done_is_followed_by_another(
    served: Served, conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch
):
    """Where a run's time is over another job goes on from there, until all is done."""
    queue, _ = served
    monkeypatch.setattr(purge.purge, "__kwdefaults__", {"after": None, "seconds": 0.0, "rest": 0.0})
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, 1200)"
    )
    await conn.execute("UPDATE procrastinate_jobs SET status = 'cancelled'")
    await conn.execute("UPDATE procrastinate_events SET at = now() - interval '31 days'")
    await queue.tasks["app.tasks.maintenance.purge_old_jobs"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    results = await (await conn.execute("SELECT result FROM afresh.result ORDER BY job_id")).fetchall()
    assert len(results) > 1
    assert sum(result["removed"].get("jobs", 0) for (result,) in results) == 1_200
    assert [bool(result["after"]) for (result,) in results] == [True] * (len(results) - 1) + [False]
