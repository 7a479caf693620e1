"""What `GET /jobs`, `GET /jobs/count` and the lists of a queue can be narrowed by."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.submit import Submission, submit

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
JOBS: list[tuple[str, dict[str, Any]]] = [
    ("fail", {"args": {"message": "100% broken_pipe"}, "correlation_id": "req-1"}),
    ("add", {"args": {"a": 1}, "metadata": {"order": {"id": 12}, "vip": True}}),
    ("add", {"args": {"a": 2}, "metadata": {"order": {"id": "12"}, "name": "Zoë"}, "lock": "Stripe:7"}),
    ("greet", {"args": {"name": "x"}, "task_type": "email", "run_in": "1h"}),
    ("greet", {"args": {"name": "y"}, "queueing_lock": "only-one", "run_in": "2d"}),
]


@pytest.fixture
async def jobs(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection) -> dict[str, int]:
    """Ids by a letter: what failed, what succeeded, two scheduled ones, and a batch of two that waits."""
    made = [(await client.post(f"/tasks/{task}", json=body)).json()["job_id"] for task, body in JOBS]
    await run_waiting_jobs(queue)
    batch = {"jobs": [{"args": {"a": 5}}, {"args": {"a": 6}, "queue": "paused"}]}
    made += (await client.post("/tasks/add/batch", json=batch)).json()["job_ids"]
    # The first two were made two days ago, and ended then.
    await conn.execute(
        "UPDATE procrastinate_events SET at = at - interval '2 days' WHERE job_id = ANY (%s)", [made[:2]]
    )
    return dict(zip("abcdefg", made, strict=True))


def ago(**span: float) -> str:
    """A time before now, as a client says it."""
    return (NOW - timedelta(**span)).isoformat()


CASES = {
    "": "gfedcba",
    "state=failed": "a",
    "state=ready": "gf",
    "state=scheduled": "ed",
    "status=todo": "gfed",
    "task=add": "gfcb",
    "task=sample.greet": "ed",
    "queue=paused": "g",
    "task_type=email": "d",
    "batch=1": "gf",
    "batch=2": "",
    "correlation_id=req-1": "a",
    "correlation_id=req": "",
    "metadata.order.id=12": "cb",
    'metadata.order.id="12"': "c",
    "metadata.vip=true": "b",
    "metadata.name=Zoë": "c",
    "metadata.order.id=12&metadata.vip=true": "b",
    "metadata.nothing=1": "",
    f"created_from={ago(days=1)}": "gfedc",
    f"created_to={ago(days=1)}": "ba",
    f"created_from={ago(days=3)}&created_to={ago(days=1)}": "ba",
    f"created_from={ago(days=-1)}": "",
    f"ended_to={ago(days=1)}": "ba",
    f"ended_from={ago(days=1)}": "c",
    f"scheduled_from={ago(days=-1)}": "e",
    f"scheduled_to={ago(days=-1)}": "d",
    "text=GREET": "ed",
    "text=stripe:": "c",
    "text=only-": "e",
    "text=REQ": "a",
    "text=broken_pipe": "a",
    "text=100% b": "a",
    "text=brokenXpipe": "",
    "text=%": "a",
    "text=\\": "",
    "text=RefusedError": "a",
    "text=paused": "g",
    "state=ready&task=add&queue=paused&batch=1": "g",
}


@pytest.mark.usefixtures("jobs")
async def test_filters(client: httpx.AsyncClient, jobs: dict[str, int]):
    """Each filter lets through what it says, alone and together, in the list and in the count."""
    names = {job_id: letter for letter, job_id in jobs.items()}
    for query, expected in CASES.items():
        given = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
        page = (await client.get("/jobs", params=given)).json()
        total = (await client.get("/jobs/count", params=given)).json()
        assert "".join(names[job["job_id"]] for job in page["items"]) == expected, query
        assert (page["total"], total) == (len(expected), {"total": len(expected), "total_is_exact": True}), query


@pytest.mark.usefixtures("jobs")
async def test_own(queue: Afresh, client: httpx.AsyncClient):
    """What the clock makes for the service itself is in the list, and can be left out of it and of the count."""
    async with queue.connection() as conn:
        own = Submission(task_name="app.tasks.monitoring.evaluate_alerts", queue="monitoring", args={"timestamp": 1})
        job_id = await submit(conn, own)
    assert (await client.get("/jobs")).json()["items"][0]["job_id"] == job_id
    for given in ({"own": "false"}, {"own": "false", "state": "ready"}, {"own": "false", "text": "s"}):
        assert job_id not in [job["job_id"] for job in (await client.get("/jobs", params=given)).json()["items"]]
    assert (await client.get("/jobs/count?own=false")).json()["total"] == len("abcdefg")


async def test_of_a_queue(client: httpx.AsyncClient, jobs: dict[str, int]):
    """A queue lists its own jobs, narrowed in the same ways; and those that run."""
    found = (await client.get("/queues/sums/jobs", params={"state": "succeeded"})).json()
    assert [job["job_id"] for job in found["items"]] == [jobs["c"], jobs["b"]]
    assert (await client.get("/queues/sums/running")).json()["items"] == []


@pytest.mark.parametrize(("path", "name", "said"), [("jobs", "queue", "sums"), ("running", "state", "running")])
async def test_contradicting_the_address(client: httpx.AsyncClient, path: str, name: str, said: str):
    """A filter may repeat what the address says already, and not say otherwise."""
    assert (await client.get(f"/queues/sums/{path}", params={name: said})).status_code == 200
    refused = await client.get(f"/queues/sums/{path}", params={name: "ready"})
    assert [fault["field"] for fault in refused.json()["errors"]] == [name]


SQL_TEXTS = ["'; DROP TABLE procrastinate_jobs; --", "' OR '1'='1", "%' OR true --", "\\'; SELECT pg_sleep(9) --", "$$"]


@pytest.mark.parametrize("text", SQL_TEXTS)
async def test_sql_in_every_text(client: httpx.AsyncClient, text: str):
    """SQL in a filter or a field is text, and finds itself at most."""
    for name in ("task", "queue", "task_type", "correlation_id", "text", "metadata.key"):
        response = await client.get("/jobs", params={name: text})
        assert (response.status_code, response.json()["total"]) == (200, 0), name
    body = {
        "args": {"a": 1}, "queue": text, "correlation_id": text, "lock": text, "queueing_lock": text,
        "task_type": text, "metadata": {text: text},
    }  # fmt: skip
    made = (await client.post("/tasks/add", json=body, headers={"Idempotency-Key": text})).json()
    for name in ("queue", "task_type", "correlation_id", "text"):
        assert (await client.get("/jobs", params={name: text})).json()["total"] == 1, name
    job = (await client.get(f"/jobs/{made['job_id']}")).json()
    assert {name: job[name] for name in body} == body


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "x" * 201),
        ("text", ""),
        ("text", "\0"),
        ("batch", "0"),
        ("batch", "9" * 19),
        ("created_from", "yesterday"),
        ("created_to", "2030-01-01"),
        ("metadata", "{}"),
        ("metadata.", "x"),
        ("metadata.a..b", "x"),
        ("metadata.k", "\0"),
        ("metadata.k", '"\\u0000"'),
        ("metadata" + ".k" * 33, "x"),
        ("metadata.password", "hunter2"),
        ("metadata.db.apiKey", "x"),
        ("Metadata.k", "x"),
        ("nope", "1"),
    ],
)
@pytest.mark.parametrize("path", ["/jobs", "/jobs/count", "/queues/q/jobs"])
async def test_wrong_filters(client: httpx.AsyncClient, path: str, name: str, value: str):
    """A filter that is wrong is named; what is secret cannot be searched for."""
    response = await client.get(path, params={name: value})
    assert response.status_code == 422, response.text
    assert [fault["field"] for fault in response.json()["errors"]] == [name]


@pytest.mark.parametrize("given", [{"metadata.a": "1", "metadata.a.b": "2"}, {"metadata.a.b": "1", "metadata.a": "2"}])
async def test_contradicting_metadata(client: httpx.AsyncClient, given: dict[str, str]):
    """A key cannot have a value and keys of its own."""
    assert (await client.get("/jobs", params=given)).status_code == 422


async def test_too_much_metadata(client: httpx.AsyncClient):
    """Eight of them are enough."""
    given = {f"metadata.k{number}": "x" for number in range(9)}
    assert (await client.get("/jobs", params=given)).status_code == 422


async def test_unicode(client: httpx.AsyncClient):
    """Names in any script are found again."""
    body = {"args": {"a": 1}, "queue": "очередь", "correlation_id": "🦀", "metadata": {"ключ": "значение"}}
    await client.post("/tasks/add", json=body)
    for given in ({"queue": "очередь"}, {"text": "🦀"}, {"metadata.ключ": "значение"}, {"text": "ОЧЕРЕДЬ"}):
        assert (await client.get("/jobs", params=given)).json()["total"] == 1, given
