"""A full queue takes no more, until there is room."""

import asyncio
from collections import Counter

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import Settings, SubmissionSettings
from app.queue import backpressure

from ..application import settings_for
from ..eventually import eventually

pytestmark = pytest.mark.anyio

LIMIT = 5
JOB = {"args": {"a": 1}}


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Of a server whose queues hold five ready jobs each."""
    return settings_for(database_url, submission=SubmissionSettings(max_queue_size=LIMIT))


async def fill(conn: AsyncConnection, jobs: int = LIMIT, scheduled_at: str = "NULL", task: str = "sample.add") -> None:
    """Put jobs into queue sums, past the API."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at) "  # noqa: S608 - constants of ours.
        f"SELECT 'sums', '{task}', {scheduled_at} FROM generate_series(1, {jobs})"
    )


async def test_full(client: httpx.AsyncClient, conn: AsyncConnection):
    """A full queue refuses with 429 and a time to come back; other queues go on."""
    await fill(conn)
    response = await client.post("/tasks/add", json=JOB)
    assert (response.status_code, response.json()["type"]) == (429, "urn:afresh:queue-full")
    assert (response.json()["queue"], response.json()["limit"]) == ("sums", LIMIT)
    assert int(response.headers["retry-after"]) > 0
    assert (await client.post("/tasks/add", json=JOB | {"queue": "other"})).status_code == 202


async def test_no_overshoot(client: httpx.AsyncClient):
    """Many requests at once do not slip in between two counts."""
    answers = await asyncio.gather(*(client.post("/tasks/add", json=JOB) for _ in range(20)))
    assert Counter(each.status_code for each in answers) == {202: LIMIT, 429: 20 - LIMIT}


async def test_room_again(client: httpx.AsyncClient, conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch):
    """Once jobs have gone there is room again: an old count lets jobs in, and refuses none."""
    monkeypatch.setattr(backpressure, "FRESH_SECONDS", 3600.0)

    async def submit() -> int:
        return (await client.post("/tasks/add", json=JOB)).status_code

    async def is_taken() -> bool:
        return await submit() == 202

    assert [await submit() for _ in range(LIMIT + 1)] == [202] * LIMIT + [429]
    await conn.execute("DELETE FROM procrastinate_jobs")
    await eventually(is_taken)


@pytest.mark.parametrize("held", ["later", "paused", "dependency"])
async def test_what_is_not_ready(client: httpx.AsyncClient, conn: AsyncConnection, held: str):
    """What waits for its time, a paused queue or a dependency is not ready, and fills nothing."""
    await fill(conn, 20, scheduled_at="now() + interval '1 hour'" if held == "later" else "NULL")
    if held == "paused":
        await conn.execute("INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('queue', 'sums', 'r', 'me')")
    if held == "dependency":
        await conn.execute("UPDATE procrastinate_jobs SET afresh_dependency = 'down'")
        await conn.execute(
            "INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('dependency', 'down', 'r', 'me')"
        )
    assert (await client.post("/tasks/add", json=JOB)).status_code == 202


async def test_jobs_that_fell_due(client: httpx.AsyncClient, conn: AsyncConnection):
    """What fell due is ready."""
    await fill(conn, scheduled_at="now() - interval '1 hour'")
    assert (await client.post("/tasks/add", json=JOB)).status_code == 429


async def test_for_later(client: httpx.AsyncClient, conn: AsyncConnection):
    """A full queue still takes what is to run later."""
    await fill(conn)
    assert (await client.post("/tasks/add", json=JOB | {"run_in": "1h"})).status_code == 202


async def test_batch(client: httpx.AsyncClient):
    """A batch that does not fit is refused as a whole."""
    assert (await client.post("/tasks/add/batch", json={"jobs": [JOB] * (LIMIT + 1)})).status_code == 429
    assert (await client.get("/jobs/count")).json()["total"] == 0
    assert (await client.post("/tasks/add/batch", json={"jobs": [JOB] * LIMIT})).status_code == 202


@pytest.mark.parametrize(("path", "body"), [("/tasks/add", JOB), ("/tasks/add/batch", {"jobs": [JOB]})])
async def test_repeats(client: httpx.AsyncClient, conn: AsyncConnection, path: str, body: dict[str, object]):
    """A repeat makes no job, so a full queue does not refuse it; a refusal keeps no key."""
    key, other = {"Idempotency-Key": "one"}, {"Idempotency-Key": "two"}
    first = await client.post(path, json=body, headers=key)
    await fill(conn)
    for _ in range(LIMIT):
        repeat = await client.post(path, json=body, headers=key)
        assert (repeat.status_code, repeat.headers["location"]) == (202, first.headers["location"])
    assert (await client.post(path, json=body, headers=other)).status_code == 429
    cursor = await conn.execute("SELECT key FROM afresh.idempotency")
    assert await cursor.fetchall() == [("one",)]
