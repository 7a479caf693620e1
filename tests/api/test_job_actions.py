"""Cancelling, retrying and moving jobs: what each does in which state, and what it refuses."""

import asyncio
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from ..application import run_waiting_jobs
from ..eventually import eventually
from ..queue.workers import NO_POLL, idle, working

pytestmark = pytest.mark.anyio

FUTURE = "now() + interval '1 hour'"


async def make(conn: AsyncConnection, status: str, scheduled_at: str = "NULL", attempts: int = 0, **more: Any) -> int:
    """A job in a state."""
    names = ", ".join(["queue_name", "task_name", "args", "status", "attempts", "scheduled_at", *more])
    holes = ", ".join(["'sums'", "'sample.add'", "'{\"a\": 1}'", "%s", "%s", scheduled_at, *["%s"] * len(more)])
    cursor = await conn.execute(
        f"INSERT INTO procrastinate_jobs ({names}) VALUES ({holes}) RETURNING id",  # noqa: S608 - constants of ours.
        [status, attempts, *more.values()],
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


STATES = {
    "ready": ("todo", "NULL", 0),
    "scheduled": ("todo", FUTURE, 0),
    "retrying": ("todo", FUTURE, 2),
    "running": ("doing", "NULL", 0),
    "succeeded": ("succeeded", "NULL", 1),
    "failed": ("failed", "NULL", 3),
    "cancelled": ("cancelled", "NULL", 0),
    "aborted": ("aborted", "NULL", 1),
}
OUTCOMES = [
    ("cancel", "ready", 200, "cancelled"),
    ("cancel", "scheduled", 200, "cancelled"),
    ("cancel", "retrying", 200, "cancelled"),
    ("cancel", "running", 202, "running"),
    ("cancel", "succeeded", 409, "succeeded"),
    ("cancel", "failed", 409, "failed"),
    ("cancel", "cancelled", 409, "cancelled"),
    ("cancel", "aborted", 409, "aborted"),
    ("retry", "scheduled", 202, "ready"),
    ("retry", "retrying", 202, "ready"),
    ("retry", "failed", 202, "failed"),
    ("retry", "cancelled", 202, "cancelled"),
    ("retry", "aborted", 202, "aborted"),
    ("retry", "ready", 409, "ready"),
    ("retry", "running", 409, "running"),
    ("retry", "succeeded", 409, "succeeded"),
    ("reschedule", "ready", 200, "scheduled"),
    ("reschedule", "scheduled", 200, "scheduled"),
    ("reschedule", "retrying", 200, "retrying"),
    ("reschedule", "running", 409, "running"),
    ("reschedule", "succeeded", 409, "succeeded"),
    ("reschedule", "failed", 409, "failed"),
]


@pytest.mark.parametrize(("action", "before", "status", "after"), OUTCOMES, ids=str)
async def test_states(  # noqa: PLR0913, PLR0917 - a row of the table.
    client: httpx.AsyncClient, conn: AsyncConnection, action: str, before: str, status: int, after: str
):
    """What an action does depends on the job's state; a refusal names it, and changes nothing."""
    job_id = await make(conn, *STATES[before])
    body = {"run_in": "5h"} if action == "reschedule" else {}
    response = await client.post(f"/jobs/{job_id}/{action}", json=body)
    assert response.status_code == status, response.text
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["state"], job["attempts"]) == (after, STATES[before][2])
    cursor = await conn.execute("SELECT actor, action, target FROM afresh.audit")
    if status == 409:
        assert before in response.json()["detail"]
        assert response.json()["state"] == before
        assert await cursor.fetchall() == []
    else:
        assert await cursor.fetchall() == [("local", f"job.{action}", str(job_id))]


async def test_replay(queue: Afresh, client: httpx.AsyncClient):
    """A job that failed is run again as a fresh one with all that was said about it; both know of each other."""
    body = {
        "args": {"message": "x"}, "priority": 7, "queue": "mine", "max_retries": 0, "timeout": 90, "task_type": "email",
        "correlation_id": "c", "metadata": {"k": 1}, "lock": "l", "queueing_lock": "q",
    }  # fmt: skip
    old = (await client.post("/tasks/fail", json=body)).json()["job_id"]
    await run_waiting_jobs(queue)
    response = await client.post(f"/jobs/{old}/retry", json={"reason": "mended"})
    new = response.json()["job_id"]
    assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{new}")
    assert (response.json()["effect"], response.json()["replay_of"]) == ("replayed", old)
    was, now = [(await client.get(f"/jobs/{job_id}")).json() for job_id in (old, new)]
    kept = set(body) - {"max_retries", "timeout"} | {"max_attempts", "task_name"}
    assert {name: now[name] for name in kept} == {name: was[name] for name in kept}
    assert (now["attempts"], now["state"], now["replay_of"], now["replayed_as"]) == (0, "ready", old, None)
    assert (was["state"], was["replay_of"], was["replayed_as"]) == ("failed", None, new)
    found = (await client.get("/jobs", params={"replay_of": old})).json()["items"]
    assert [job["job_id"] for job in found] == [new]


async def test_replay_twice(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """While the fresh job waits or runs there is no second one; once it has ended, there may be."""
    old = await make(conn, "failed")
    first = (await client.post(f"/jobs/{old}/retry")).json()["job_id"]
    refused = await client.post(f"/jobs/{old}/retry")
    assert (refused.status_code, refused.json()["job_id"]) == (409, first)
    await run_waiting_jobs(queue)
    assert (await client.post(f"/jobs/{old}/retry")).status_code == 202


async def test_replays_at_once(client: httpx.AsyncClient, conn: AsyncConnection):
    """Of ten who retry a job at the same moment, one does."""
    old = await make(conn, "failed")
    answers = await asyncio.gather(*(client.post(f"/jobs/{old}/retry") for _ in range(10)))
    assert sorted(each.status_code for each in answers) == [202, *[409] * 9]


async def test_replay_conflict(client: httpx.AsyncClient, conn: AsyncConnection):
    """A fresh job obeys its queueing lock: who holds it is named."""
    old = await make(conn, "failed", queueing_lock="one")
    twin = await make(conn, "todo", queueing_lock="one")
    response = await client.post(f"/jobs/{old}/retry")
    assert (response.status_code, response.json()["job_id"]) == (409, twin)
    assert (await client.get(f"/jobs/{old}")).json()["replayed_as"] is None


async def test_moving(client: httpx.AsyncClient, conn: AsyncConnection):
    """Time, priority and queue of a waiting job can be changed, each alone."""
    job_id = await make(conn, "todo")
    moves = {"run_at": "2090-01-01T00:00:00Z", "priority": 9, "queue": "elsewhere"}
    for name, value in moves.items():
        assert (await client.post(f"/jobs/{job_id}/reschedule", json={name: value})).status_code == 200
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["scheduled_at"], job["priority"], job["queue"]) == tuple(moves.values())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "x"},
        {"run_in": "5m", "run_at": "2090-01-01T00:00:00Z"},
        {"priority": 11},
        {"queue": "\0"},
        {"x": 1},
    ],
)
async def test_wrong_moves(client: httpx.AsyncClient, conn: AsyncConnection, body: dict[str, Any]):
    """A move says what is to change, and only what can."""
    job_id = await make(conn, "todo")
    assert (await client.post(f"/jobs/{job_id}/reschedule", json=body)).status_code == 422


@pytest.mark.parametrize("action", ["cancel", "retry", "reschedule"])
async def test_unknown_job(client: httpx.AsyncClient, action: str):
    """What does not exist cannot be changed."""
    body = {"priority": 5} if action == "reschedule" else {}
    assert (await client.post(f"/jobs/99/{action}", json=body)).status_code == 404
    assert (await client.post(f"/jobs/{'9' * 40}/{action}", json=body)).status_code == 422


async def test_reason_is_kept(client: httpx.AsyncClient, conn: AsyncConnection):
    """The reason goes into the audit."""
    job_id = await make(conn, "todo")
    await client.post(f"/jobs/{job_id}/cancel", json={"reason": "wrong customer"})
    cursor = await conn.execute("SELECT reason FROM afresh.audit")
    assert await cursor.fetchone() == ("wrong customer",)


async def test_stopping_async(queue: Afresh, client: httpx.AsyncClient):
    """An async task that runs is stopped at once, not when its worker looks again, and its job ends as aborted."""
    job_id = (await client.post("/tasks/sleep-well")).json()["job_id"]

    async def state() -> str:
        found: str = (await client.get(f"/jobs/{job_id}")).json()["state"]
        return found

    async def is_running() -> bool:
        return await state() == "running"

    async def is_aborted() -> bool:
        return await state() == "aborted"

    async with working(queue, abort_job_polling_interval=120):
        await eventually(is_running)
        response = await client.post(f"/jobs/{job_id}/cancel")
        assert (response.status_code, response.json()["effect"]) == (202, "abort_requested")
        await eventually(is_aborted, within=20)


async def test_asking_sync(client: httpx.AsyncClient, conn: AsyncConnection):
    """A sync task can only be asked, and the answer says so."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('q', 'sample.greet', 'doing')"
    )
    response = await client.post("/jobs/1/cancel")
    assert response.status_code == 202
    assert "cannot be stopped from outside" in response.json()["detail"]
    assert (await client.get("/jobs/1")).json()["abort_requested"]


async def test_run_now_wakes_a_worker(queue: Afresh, client: httpx.AsyncClient):
    """A job that is told to run now does so at once, not when an idle worker looks again."""
    job_id = (await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})).json()["job_id"]

    async def has_succeeded() -> bool:
        return bool((await client.get(f"/jobs/{job_id}")).json()["state"] == "succeeded")

    async with working(queue, **NO_POLL) as worker:
        await idle(worker)
        response = await client.post(f"/jobs/{job_id}/retry")
        assert response.json()["effect"] == "runs_now"
        await eventually(has_succeeded)
