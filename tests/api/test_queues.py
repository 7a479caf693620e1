"""Queues: what is in them, holding them back, and clearing them."""

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio

WHY = {"reason": "deploy"}


async def submit(client: httpx.AsyncClient, times: int = 1, **body: object) -> None:
    """Additions, which wait in queue sums."""
    for number in range(times):
        assert (await client.post("/tasks/add", json={"args": {"a": number}, **body})).status_code == 202


async def test_depth(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A queue says what is in it by state, how old that is, how fast it fills and empties, and who works on it."""
    await submit(client, 30)
    await run_waiting_jobs(queue)
    await submit(client, 2)
    await submit(client, 3, run_in="1h")
    await conn.execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id = (SELECT max(id) FROM procrastinate_jobs)")
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id) "
        "SELECT 'sums', 'sample.add', 'doing', max(id) FROM procrastinate_workers"
    )
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '1 minute' WHERE job_id = 31")
    report = (await client.get("/queues/sums")).json()
    states = ("ready", "scheduled", "retrying", "running")
    assert [report[state] for state in states] == [2, 2, 1, 1]
    assert 60 <= report["oldest_ready_seconds"] < 90
    assert (report["workers"], report["depth_is_exact"], report["paused"]) == (1, True, None)
    assert report["rate_in"] == pytest.approx(35 / 300)
    assert report["rate_out"] == pytest.approx(30 / 300)
    assert report["eta_seconds"] is None


async def test_time_to_empty(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A queue that empties faster than it fills says when it will be empty."""
    await submit(client, 10)
    await run_waiting_jobs(queue)
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '1 hour' WHERE type = 'deferred'")
    await submit(client, 4)
    report = (await client.get("/queues/sums")).json()
    assert report["eta_seconds"] == pytest.approx(4 / ((10 - 4) / 300))


async def test_all(client: httpx.AsyncClient):
    """Every queue is listed that a task, a job or a pause names; one that nothing names is not found."""
    await submit(client, queue="of-a-job")
    await client.post("/queues/of-a-pause/pause", json=WHY)
    names = [each["name"] for each in (await client.get("/queues")).json()]
    assert names == sorted(names)
    assert {"api_calls", "maintenance", "sums", "of-a-job", "of-a-pause"} <= set(names)
    assert (await client.get("/queues/nowhere")).status_code == 404


async def test_pause_and_resume(queue: Afresh, client: httpx.AsyncClient):
    """A paused queue keeps its jobs until it is resumed, and says who paused it, when and why."""
    await submit(client)
    paused = (await client.post("/queues/sums/pause", json=WHY)).json()["paused"]
    assert (paused["reason"], paused["paused_by"]) == ("deploy", "local")
    await run_waiting_jobs(queue)
    job = (await client.get("/jobs/1")).json()
    assert (job["state"], job["waiting_for"]) == ("ready", "queue_paused")
    assert (await client.post("/queues/sums/resume", json=WHY)).json()["paused"] is None
    await run_waiting_jobs(queue)
    assert (await client.get("/jobs/1")).json()["state"] == "succeeded"


async def test_pausing_twice(client: httpx.AsyncClient):
    """What is paused cannot be paused again: who did it, and why, is told. Nor can what goes on be resumed."""
    assert (await client.post("/queues/sums/resume", json=WHY)).status_code == 409
    await client.post("/queues/sums/pause", json=WHY)
    again = await client.post("/queues/sums/pause", json={"reason": "other"})
    assert (again.status_code, again.json()["reason"], again.json()["paused_by"]) == (409, "deploy", "local")


@pytest.mark.parametrize("body", [None, {}, {"reason": ""}, {"reason": "x" * 256}, {"reason": "\0"}])
async def test_no_reason(client: httpx.AsyncClient, body: object):
    """Who holds a queue back says why."""
    assert (await client.post("/queues/sums/pause", json=body)).status_code == 422


async def test_clearing(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A queue is cleared once its count is confirmed; then what waited is cancelled, and nothing else."""
    await submit(client)
    await run_waiting_jobs(queue)
    await submit(client, 2)
    await submit(client, run_in="1h")
    await submit(client, queue="other")
    for confirm in ({}, {"confirm": 2}, {"confirm": 4}):
        asked = await client.delete("/queues/sums/jobs", params=confirm)
        assert (asked.status_code, asked.json()["count"]) == (409, 3)
    assert (await client.get("/jobs/count", params={"status": "todo"})).json()["total"] == 4
    cleared = await client.delete("/queues/sums/jobs", params={"confirm": 3, "reason": "made by mistake"})
    assert cleared.json() == {"queue": "sums", "cancelled": 3}
    found = (await client.get("/jobs")).json()["items"]
    assert [job["state"] for job in found] == ["ready", "cancelled", "cancelled", "cancelled", "succeeded"]
    cursor = await conn.execute("SELECT actor, action, target, reason, details FROM afresh.audit WHERE target = 'sums'")
    assert await cursor.fetchall() == [("local", "queue.clear", "sums", "made by mistake", {"cancelled": 3})]


async def test_clearing_nothing(client: httpx.AsyncClient):
    """An empty queue can be cleared, too."""
    assert (await client.delete("/queues/sums/jobs", params={"confirm": 0})).json()["cancelled"] == 0


@pytest.mark.parametrize("name", ["%00", "x" * 129, "%ff%fe"])
async def test_odd_names(client: httpx.AsyncClient, name: str):
    """A name that no queue can have is not valid, or not found."""
    assert (await client.get(f"/queues/{name}")).status_code in {404, 422}
    assert (await client.post(f"/queues/{name}/pause", json=WHY)).status_code in {200, 404, 422}
