"""`Idempotency-Key`: what is sent twice is done once."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import SubmissionSettings
from app.queue.app import Afresh
from app.store.idempotency import expire_claims

from ..application import run_waiting_jobs, serving, settings_for
from .process import running

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "order-1"}
BODY = {"args": {"a": 1}}


async def post(client: httpx.AsyncClient, body: Any = BODY, task: str = "add", **headers: str) -> httpx.Response:
    """A submission with a key."""
    return await client.post(f"/tasks/{task}", json=body, headers=KEY | headers)


async def jobs(client: httpx.AsyncClient) -> int:
    """How many jobs there are."""
    total: int = (await client.get("/jobs/count")).json()["total"]
    return total


async def test_repeat(queue: Afresh, client: httpx.AsyncClient):
    """A repeat is answered with the first job in its present state, and says that it is a repeat."""
    first = await post(client)
    assert "idempotent-replayed" not in first.headers
    await run_waiting_jobs(queue)
    repeat = await post(client)
    assert (repeat.status_code, repeat.headers["idempotent-replayed"]) == (202, "true")
    assert repeat.headers["location"] == first.headers["location"]
    assert repeat.json() == first.json() | {"status": "succeeded", "state": "succeeded"}
    assert await jobs(client) == 1


async def test_same_body_in_other_words(client: httpx.AsyncClient):
    """Two bodies are the same if they mean the same: order, defaults and names of priorities do not matter."""
    await post(client, {"args": {"a": 1, "b": 2}, "priority": "high"})
    repeat = await post(client, {"run_at": None, "priority": 8, "args": {"b": 2, "a": 1}}, task="sample.add")
    assert repeat.headers["idempotent-replayed"] == "true"


async def test_correlation_header_is_no_body(client: httpx.AsyncClient):
    """A repeat may carry another X-Correlation-ID: who sends again often draws a new one."""
    await post(client, **{"X-Correlation-ID": "one"})
    repeat = await post(client, **{"X-Correlation-ID": "two"})
    assert repeat.json()["correlation_id"] == repeat.headers["x-correlation-id"] == "one"


async def test_another_body(client: httpx.AsyncClient):
    """The same key with another body is refused, and makes nothing."""
    await post(client)
    other = await post(client, {"args": {"a": 2}})
    assert (other.status_code, other.json()["type"]) == (422, "urn:afresh:idempotency-key-reused")
    assert await jobs(client) == 1


async def test_scope(client: httpx.AsyncClient):
    """A key means something for one route only."""
    assert (await post(client)).status_code == 202
    assert (await post(client, {"args": {"name": "x"}}, task="greet")).status_code == 202
    batch = await client.post("/tasks/add/batch", json={"jobs": [BODY]}, headers=KEY)
    assert batch.status_code == 202
    assert await jobs(client) == 3


@pytest.mark.parametrize(
    ("body", "status"), [({"args": {}}, 422), ({"args": {"a": 1}, "queueing_lock": "held"}, 409), ({"nope": 1}, 422)]
)
async def test_refusals_store_nothing(client: httpx.AsyncClient, body: dict[str, Any], status: int):
    """A request that was refused leaves its key free for another one."""
    await client.post("/tasks/add", json={"args": {"a": 0}, "queueing_lock": "held"})
    assert (await post(client, body)).status_code == status
    made = await post(client)
    assert (made.status_code, "idempotent-replayed" in made.headers) == (202, False)


async def test_expiry(client: httpx.AsyncClient, conn: AsyncConnection):
    """An expired key is free at once, also before anybody has deleted it."""
    first = await post(client)
    await conn.execute("UPDATE afresh.idempotency SET expires_at = now()")
    second = await post(client, {"args": {"a": 2}})
    assert second.json()["job_id"] > first.json()["job_id"]
    assert (await post(client, {"args": {"a": 2}})).headers["idempotent-replayed"] == "true"


async def test_time_to_live(database_url: str, conn: AsyncConnection):
    """A key is kept for IDEMPOTENCY_TTL."""
    settings = settings_for(database_url, submission=SubmissionSettings(idempotency_ttl=timedelta(hours=2)))
    async with serving(settings) as (_, client):
        await post(client)
    cursor = await conn.execute("SELECT expires_at - claimed_at FROM afresh.idempotency")
    assert await cursor.fetchone() == (timedelta(hours=2),)


async def test_forgetting(client: httpx.AsyncClient, conn: AsyncConnection):
    """Expired keys are deleted, and no others; the task that does it runs every hour."""
    await post(client)
    await post(client, {"args": {"name": "x"}}, task="greet")
    await conn.execute("UPDATE afresh.idempotency SET expires_at = now() WHERE route LIKE '%add'")
    assert await expire_claims(conn) == 1
    assert await expire_claims(conn) == 0
    assert (await post(client, {"args": {"name": "x"}}, task="greet")).headers["idempotent-replayed"] == "true"


async def test_key_outlives_its_job(client: httpx.AsyncClient, conn: AsyncConnection):
    """Where the job is deleted, a repeat is told so, and does not make it again."""
    await post(client)
    await conn.execute("DELETE FROM procrastinate_jobs")
    response = await post(client)
    assert (response.status_code, response.json()["type"]) == (410, "urn:afresh:gone")
    assert await jobs(client) == 0


async def test_batch(client: httpx.AsyncClient):
    """A batch is made once, too, and a repeat gets the same answer."""
    await client.post("/tasks/add", json={"args": {"a": 0}, "queueing_lock": "held"})
    body = {"jobs": [BODY, {"args": {"a": 2}, "queueing_lock": "held"}, {"args": {"a": 3}}], "on_conflict": "skip"}
    first = await client.post("/tasks/add/batch", json=body, headers=KEY)
    repeat = await client.post("/tasks/add/batch", json=body, headers=KEY)
    assert (repeat.status_code, repeat.headers["idempotent-replayed"]) == (202, "true")
    assert repeat.json() == first.json()
    assert repeat.json()["skipped"] == [1]
    other = await client.post("/tasks/add/batch", json={"jobs": [BODY]}, headers=KEY)
    assert other.status_code == 422
    assert await jobs(client) == 3


async def test_batch_conflict_leaves_the_key_free(client: httpx.AsyncClient):
    """A batch that is refused leaves its key free."""
    held = {"args": {"a": 0}, "queueing_lock": "held"}
    refused = await client.post("/tasks/add/batch", json={"jobs": [held, held]}, headers=KEY)
    assert refused.status_code == 409
    assert (await client.post("/tasks/add/batch", json={"jobs": [BODY]}, headers=KEY)).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é"])
async def test_impossible_keys(client: httpx.AsyncClient, key: str):
    """A key is 1 to 255 printable characters."""
    response = await client.post("/tasks/add", json=BODY, headers={b"Idempotency-Key": key.encode()})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "idempotency-key"


@pytest.mark.parametrize("path", ["/tasks/add", "/tasks/add/batch"])
async def test_fifty_at_once(database_url: str, tmp_path: Path, conn: AsyncConnection, path: str):
    """Of 50 equal requests that a real server gets at the same moment, one makes something; all get its id."""
    body = {"jobs": [BODY]} if path.endswith("batch") else BODY
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks"}
    with running(tmp_path / "log", **settings) as address:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=address, limits=limits, trust_env=False, timeout=30) as client:
            answers = await asyncio.gather(*(client.post(path, json=body, headers=KEY) for _ in range(50)))
    assert Counter(each.status_code for each in answers) == {202: 50}
    assert Counter("idempotent-replayed" in each.headers for each in answers) == {True: 49, False: 1}
    assert len({each.headers["location"] for each in answers}) == 1
    cursor = await conn.execute("SELECT (SELECT count(*) FROM procrastinate_jobs), repeats FROM afresh.idempotency")
    assert await cursor.fetchall() == [(1, 49)]


async def test_without_double_execution_no_promise(client: httpx.AsyncClient):
    """The description says that a key removes double submission, and not double execution."""
    described = (await client.get("/openapi.json")).json()["paths"]
    for path in ("/tasks/{task}", "/tasks/{task}/batch"):
        text = described[path]["post"]["description"]
        assert "double *submission*, not double *execution*" in text
