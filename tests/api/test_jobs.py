"""What `GET /jobs…` tells about jobs that ran, wait or failed."""

from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.cli.joke_server import JokeServer, Reply
from app.queue.app import Afresh
from app.redact import MASK

from ..application import run_waiting_jobs, serving, settings_for
from ..eventually import eventually

pytestmark = pytest.mark.anyio


async def defer(client: httpx.AsyncClient, task: str, **body: Any) -> int:
    """Make a job and return its id."""
    response = await client.post(f"/tasks/{task}", json=body)
    assert response.status_code == 202, response.text
    job_id: int = response.json()["job_id"]
    return job_id


async def run_until_ended(queue: Afresh, client: httpx.AsyncClient, job_id: int) -> dict[str, Any]:
    """Run what can run until the job has ended, and return it."""

    async def ended() -> dict[str, Any]:
        await run_waiting_jobs(queue)
        job: dict[str, Any] = (await client.get(f"/jobs/{job_id}")).json()
        return job if job["ended_at"] else {}

    return await eventually(ended)


async def test_success_after_retries(database_url: str):
    """A job that fails twice and then succeeds shows three attempts, and why each ended."""
    with JokeServer() as jokes:
        jokes.will(Reply(status=503), Reply(hang_up=True))
        async with serving(settings_for(database_url, joke_api=jokes.url)) as (queue, client):
            job_id = await defer(client, "fetch-joke", args={"joke_id": 42})
            job = await run_until_ended(queue, client, job_id)
            attempts = (await client.get(f"/jobs/{job_id}/attempts")).json()
    assert (job["job_id"], job["status"], job["state"]) == (1, "succeeded", "succeeded")
    assert (job["attempts"], job["max_attempts"]) == (3, 6)
    assert job["result"] == {"joke_id": 42}
    assert job["last_failure"]["exception_type"] == "httpx.RemoteProtocolError"
    assert job["created_at"] <= job["started_at"] <= job["ended_at"]
    assert job["created_at"].endswith("Z")
    assert (attempts["total"], attempts["total_is_exact"], attempts["next_cursor"]) == (3, True, None)
    first, second, third = attempts["items"]
    assert [each["attempt"] for each in attempts["items"]] == [1, 2, 3]
    assert (first["outcome"], first["failure_type"], first["decision"]) == ("failed", "EXTERNAL_API_DOWN", "retry")
    assert (first["exception_type"], first["delay_seconds"]) == ("httpx.HTTPStatusError", 0.001)
    assert "httpx" in first["traceback"]
    assert first["explanation"]
    assert first["reason"]
    assert second["failure_type"] == "TRANSIENT_NETWORK"
    assert (third["outcome"], third["decision"], third["failure_type"]) == ("succeeded", None, None)
    assert all(each["duration_seconds"] >= 0 for each in attempts["items"])


async def test_failure(queue: Afresh, client: httpx.AsyncClient):
    """A job that failed for good says with what, and that it will not run again."""
    job_id = await defer(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    job = (await client.get(f"/jobs/{job_id}")).json()
    (attempt,) = (await client.get(f"/jobs/{job_id}/attempts")).json()["items"]
    assert (job["state"], job["attempts"], job["max_attempts"]) == ("failed", 1, 1)
    assert job["last_failure"]["message"] == attempt["message"] == "no such luck"
    assert attempt["exception_type"] == "tests.sample_tasks.RefusedError"
    assert (attempt["decision"], attempt["next_run_at"]) == ("dead_letter", None)


async def test_waiting(client: httpx.AsyncClient):
    """A job that waits has no attempts, no times of a run, and a null last failure."""
    job_id = await defer(client, "add", args={"a": 1}, max_retries=2, metadata={"k": "v"})
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["state"], job["attempts"], job["max_attempts"]) == ("ready", 0, 3)
    assert (job["started_at"], job["ended_at"], job["last_failure"], job["result"]) == (None, None, None, None)
    assert (job["args"], job["metadata"]) == ({"a": 1}, {"k": "v"})
    assert (await client.get(f"/jobs/{job_id}/attempts")).json()["items"] == []


async def test_secrets(queue: Afresh, client: httpx.AsyncClient):
    """Values of keys that name a secret are masked in arguments, metadata and results, at any depth."""
    args = {"user": "ada", "db": {"Password": "hunter2"}, "keys": [{"apiKey": "k"}], "max_tokens": 5}
    job_id = await defer(client, "accept-anything", args=args, metadata={"auth_token": "t"})
    await run_waiting_jobs(queue)
    job = (await client.get(f"/jobs/{job_id}")).json()
    masked = {"user": "ada", "db": {"Password": MASK}, "keys": [{"apiKey": MASK}], "max_tokens": 5}
    assert job["args"] == job["result"] == masked
    assert job["metadata"] == {"auth_token": MASK}


async def test_filters(queue: Afresh, client: httpx.AsyncClient):
    """A list can be narrowed by state, status, task and queue, together."""
    done = await defer(client, "add", args={"a": 1})
    failed = await defer(client, "fail", args={"message": "x"})
    await run_waiting_jobs(queue)
    ready = await defer(client, "add", args={"a": 2})
    later = await defer(client, "greet", args={"name": "x"}, run_in="1h")

    async def found(**filters: str) -> list[int]:
        answer = (await client.get("/jobs", params=filters)).json()
        assert answer["total"] == len(answer["items"])
        return [job["job_id"] for job in answer["items"]]

    assert await found() == [later, ready, failed, done]
    assert await found(state="succeeded") == [done]
    assert await found(state="failed") == [failed]
    assert await found(state="ready") == [ready]
    assert await found(state="scheduled") == [later]
    assert await found(status="todo") == [later, ready]
    assert await found(task="add") == await found(task="sample.add") == await found(queue="sums") == [ready, done]
    assert await found(task="add", state="ready") == [ready]
    assert await found(task="gone.long.ago") == []


async def test_pages(client: httpx.AsyncClient):
    """Pages follow each other by cursor without a gap, also while jobs are added; offset works too."""
    made = [await defer(client, "add", args={"a": number}) for number in range(5)]
    first = (await client.get("/jobs", params={"limit": 2})).json()
    await defer(client, "add", args={"a": 99})
    second = (await client.get("/jobs", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    third = (await client.get("/jobs", params={"limit": 2, "cursor": second["next_cursor"]})).json()
    seen = [job["job_id"] for page in (first, second, third) for job in page["items"]]
    assert seen == made[::-1]
    assert third["next_cursor"] is None
    assert (first["total"], first["total_is_exact"]) == (5, True)
    skipped = (await client.get("/jobs", params={"limit": 2, "offset": 4})).json()
    assert [job["job_id"] for job in skipped["items"]] == [made[1], made[0]]


async def test_many_jobs(client: httpx.AsyncClient, conn: AsyncConnection):
    """Where there are very many jobs the total is an estimate, and says so."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) SELECT 'q', 't', 'succeeded' "
        "FROM generate_series(1, 12000)"
    )
    await conn.execute("ANALYZE procrastinate_jobs")
    answer = (await client.get("/jobs", params={"queue": "q", "limit": 1})).json()
    assert not answer["total_is_exact"]
    assert 11_000 <= answer["total"] <= 13_000


async def test_job_of_an_unknown_task(client: httpx.AsyncClient, conn: AsyncConnection):
    """A job whose task is not registered here can still be read."""
    await conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 'gone.long.ago')")
    job = (await client.get("/jobs/1")).json()
    assert (job["task_name"], job["state"], job["max_attempts"]) == ("gone.long.ago", "ready", None)


async def test_reading_is_bounded(queue: Afresh, conn: AsyncConnection):
    """A page that the database is too slow for ends as 503, with a time to come back."""
    from app.api.main import create_app

    from ..application import client_of

    app = create_app(queue)
    async with client_of(app) as client, conn.transaction():
        await conn.execute("LOCK TABLE procrastinate_jobs IN ACCESS EXCLUSIVE MODE")
        response = await client.get("/jobs")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("time", "shown"),
    [("infinity", "9999-12-31T23:59:59.999999Z"), ("0044-03-15 BC", "0001-01-01T00:00:00Z")],
)
async def test_a_time_beyond_the_calendar(client: httpx.AsyncClient, conn: AsyncConnection, time: str, shown: str):
    """A job whose time only Postgres can hold is shown at the end of our calendar, and hides no other job."""
    job_id = await defer(client, "fetch-joke")
    other = await defer(client, "fetch-joke")
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = %s WHERE id = %s", [time, job_id])
    assert (await client.get(f"/jobs/{job_id}")).json()["scheduled_at"] == shown
    assert {job["job_id"] for job in (await client.get("/jobs")).json()["items"]} == {job_id, other}
    assert (await client.get("/dashboard/jobs")).status_code == 200
