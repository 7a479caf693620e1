"""`POST /tasks/{task}/batch`: all of it or nothing, and how far it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.batch import MOST
from app.store.batches import BatchProgress

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio


async def post(client: httpx.AsyncClient, jobs: list[Any], **besides: Any) -> httpx.Response:
    """A batch of additions."""
    return await client.post("/tasks/add/batch", json={"jobs": jobs, **besides})


async def count(client: httpx.AsyncClient) -> int:
    """How many jobs there are."""
    total: int = (await client.get("/jobs/count")).json()["total"]
    return total


async def test_ten_thousand(client: httpx.AsyncClient):
    """Ten thousand jobs are made at once, in order, each as it was described; one more is too many."""
    jobs = [{"args": {"a": number}, "metadata": {"n": number}} for number in range(MOST)]
    response = await post(client, jobs)
    answer = response.json()
    assert (response.status_code, answer["total"], answer["skipped"]) == (202, MOST, [])
    assert answer["job_ids"] == sorted(answer["job_ids"])
    for index in (0, 1, 5000, MOST - 1):
        job = (await client.get(f"/jobs/{answer['job_ids'][index]}")).json()
        assert (job["args"], job["metadata"], job["batch_id"]) == ({"a": index}, {"n": index}, answer["batch_id"])
    report = (await client.get(response.headers["location"])).json()
    assert (report["states"], report["percent"], report["eta"]) == ({"ready": MOST}, 0.0, None)
    refused = await post(client, [*jobs, jobs[0]])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "jobs")
    assert await count(client) == MOST


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"args": {"a": "x"}}, "jobs.2.args.a"),
        ({"args": {}}, "jobs.2.args.a"),
        ({"args": {"a": 1}, "priority": 11}, "jobs.2.priority"),
        ({"args": {"a": 1}, "nope": 1}, "jobs.2.nope"),
        ({"args": {"a": "\0"}}, "jobs.2.args.a"),
        ("text", "jobs.2"),
    ],
)
async def test_one_bad_item(client: httpx.AsyncClient, item: object, field: str):
    """One item that is wrong is named by its index, and nothing is stored."""
    good = {"args": {"a": 1}}
    response = await post(client, [good, good, item, good])
    assert response.status_code == 422
    assert [fault["field"] for fault in response.json()["errors"]] == [field]
    assert await count(client) == 0


async def test_many_bad_items(client: httpx.AsyncClient):
    """Of very many faults the first hundred are told."""
    items: list[dict[str, Any]] = [{"args": {}}, {"priority": 0}]
    for item in items:
        response = await post(client, [item] * 500)
        assert (response.status_code, len(response.json()["errors"])) == (422, 100)


@pytest.mark.parametrize("jobs", [[], None, {}, "x"])
async def test_no_items(client: httpx.AsyncClient, jobs: object):
    """A batch is a list with something in it."""
    response = await client.post("/tasks/add/batch", json={"jobs": jobs})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "jobs")


async def test_conflict(client: httpx.AsyncClient):
    """A queueing lock that a waiting job holds refuses the batch, with the item's index and that job's id."""
    held = (await client.post("/tasks/add", json={"args": {"a": 1}, "queueing_lock": "one"})).json()["job_id"]
    response = await post(client, [{"args": {"a": 2}}, {"args": {"a": 3}, "queueing_lock": "one"}])
    problem = response.json()
    assert (response.status_code, problem["index"], problem["job_id"]) == (409, 1, held)
    assert await count(client) == 1
    assert (await client.get("/batches/1")).status_code == 404


async def test_conflict_within(client: httpx.AsyncClient):
    """Two items with one queueing lock are a conflict, too, which the second one causes."""
    twice = {"args": {"a": 1}, "queueing_lock": "one"}
    problem = (await post(client, [twice, {"args": {"a": 2}}, twice])).json()
    assert (problem["status"], problem["index"], problem["job_id"]) == (409, 2, None)
    assert await count(client) == 0


async def test_skipping(client: httpx.AsyncClient):
    """Asked to skip, it leaves out what conflicts and makes the rest."""
    await client.post("/tasks/add", json={"args": {"a": 1}, "queueing_lock": "one"})
    jobs = [{"args": {"a": n}, "queueing_lock": lock} for n, lock in enumerate(["one", "two", "two", "three"])]
    answer = (await post(client, jobs, on_conflict="skip")).json()
    assert (answer["total"], answer["skipped"]) == (2, [0, 2])
    made = [(await client.get(f"/jobs/{job_id}")).json()["args"]["a"] for job_id in answer["job_ids"]]
    assert made == [1, 3]
    report = (await client.get(f"/batches/{answer['batch_id']}")).json()
    assert (report["total"], report["skipped"]) == (2, 2)


async def test_everything_skipped(client: httpx.AsyncClient):
    """A batch of which nothing is left is an empty one, and done."""
    await client.post("/tasks/add", json={"args": {"a": 1}, "queueing_lock": "one"})
    answer = (await post(client, [{"args": {"a": 2}, "queueing_lock": "one"}], on_conflict="skip")).json()
    report = (await client.get(f"/batches/{answer['batch_id']}")).json()
    assert (answer["job_ids"], report["percent"], report["eta_seconds"]) == ([], 100.0, 0.0)


async def test_progress(queue: Afresh, client: httpx.AsyncClient):
    """A batch reports its jobs by state, how much of it has ended, and when it will be done."""
    jobs = [
        {"args": {"a": 1}},
        {"args": {"a": 2}},
        {"args": {"a": 3}, "run_in": "1h"},
        {"args": {"a": 4}, "queue": "x"},
    ]
    location = (await post(client, jobs)).headers["location"]
    await client.post("/queues/x/pause", json={"reason": "test"})
    await run_waiting_jobs(queue)
    asked = datetime.now(UTC)
    report = (await client.get(location)).json()
    assert report["states"] == {"succeeded": 2, "scheduled": 1, "ready": 1}
    assert (report["finished"], report["percent"]) == (2, 50.0)
    assert 0 < report["eta_seconds"] < 300
    assert datetime.fromisoformat(report["eta"]) > asked


async def test_gone_jobs_have_ended(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Jobs that were deleted after they ended still count as finished."""
    location = (await post(client, [{"args": {"a": 1}}] * 3)).headers["location"]
    await run_waiting_jobs(queue)
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = 1")
    report = (await client.get(location)).json()
    assert (report["gone"], report["finished"], report["percent"], report["eta_seconds"]) == (1, 3, 100.0, 0.0)


def test_eta():
    """What is left takes as long as the rate of the last minutes says; without one nobody can tell."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    states = {"succeeded": 20, "ready": 40}
    batch = BatchProgress(1, "t", 60, [], "local", now, states, 20, now - timedelta(seconds=10))
    assert batch.eta_seconds(now) == 20.0
    assert BatchProgress(1, "t", 60, [], "local", now, states, 0, None).eta_seconds(now) is None


@pytest.mark.parametrize(("batch", "status"), [("7", 404), ("0", 422), ("9" * 30, 422), ("x", 422)])
async def test_unknown_batch(client: httpx.AsyncClient, batch: str, status: int):
    """A batch that does not exist is not found; an id that none can have is not valid."""
    assert (await client.get(f"/batches/{batch}")).status_code == status


async def test_internal_task(client: httpx.AsyncClient):
    """A task that is not for HTTP is not so in a batch either."""
    assert (await client.post("/tasks/internal/batch", json={"jobs": [{}]})).status_code == 403
