"""What `POST /tasks/{task}` promises to those who send it something sensible."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..eventually import eventually

pytestmark = pytest.mark.anyio


async def stored_job(conn: AsyncConnection, job_id: int) -> dict[str, Any]:
    """The job's row, with its options."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM procrastinate_jobs j LEFT JOIN afresh.job_option o ON o.job_id = j.id WHERE j.id = %s",
            [job_id],
        )
        (row,) = await cursor.fetchall()
        return row


async def has_passed(conn: AsyncConnection, time: str) -> bool:
    """Whether a time is in the past."""
    row = await (await conn.execute("SELECT clock_timestamp() > %s::timestamptz", (time,))).fetchone()
    return row == (True,)


async def test_answer(client: httpx.AsyncClient):
    """A submission is answered with 202, the job's id, and where to follow it."""
    response = await client.post("/tasks/fetch-joke")
    assert response.status_code == 202
    assert response.headers["location"] == "/jobs/1"
    assert response.json() == {
        "job_id": 1,
        "task_name": "app.tasks.jokes.fetch_and_cache_joke",
        "queue": "api_calls",
        "status": "todo",
        "state": "ready",
        "priority": 5,
        "scheduled_at": None,
        "correlation_id": None,
    }


@pytest.mark.parametrize("name", ["fetch-joke", "app.tasks.jokes.fetch_and_cache_joke"])
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_names_and_empty_bodies(client: httpx.AsyncClient, name: str, body: bytes):
    """The slug and the full name both work, and so does every way to say nothing."""
    headers = {"content-type": "application/json"} if body else {}
    response = await client.post(f"/tasks/{name}", content=body, headers=headers)
    assert response.status_code == 202


async def test_empty_form(client: httpx.AsyncClient):
    """An empty body is fine whatever its type: `curl -d ''` calls it a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/tasks/fetch-joke", content=b"", headers=headers)).status_code == 202


@pytest.mark.parametrize("queue", ["q" * 40, "ü" * 20])
async def test_the_longest_queue(client: httpx.AsyncClient, queue: str):
    """A queue may be named as long as Postgres can announce its jobs."""
    assert (await client.post("/tasks/fetch-joke", json={"queue": queue})).json()["queue"] == queue


async def test_everything_is_stored(client: httpx.AsyncClient, conn: AsyncConnection):
    """Whatever a client says about a job is kept with it."""
    body = {
        "args": {"a": 1, "b": 2},
        "queue": "special",
        "priority": 9,
        "run_at": "2090-01-31T12:00:00+02:00",
        "deadline": "2090-02-01T12:00:00+02:00",
        "max_retries": 7,
        "timeout": "90s",
        "task_type": "maths",
        "metadata": {"order": {"id": 12}},
        "correlation_id": "req-1",
        "dependency": "mail-host",
        "lock": "one",
        "queueing_lock": "two",
    }
    answer = (await client.post("/tasks/add", json=body)).json()
    row = await stored_job(conn, answer["job_id"])
    assert answer["scheduled_at"] == "2090-01-31T10:00:00Z"
    assert {
        "args": {"a": 1, "b": 2},
        "queue_name": "special",
        "priority": 9,
        "scheduled_at": datetime(2090, 1, 31, 10, tzinfo=UTC),
        "deadline": datetime(2090, 2, 1, 10, tzinfo=UTC),
        "max_retries": 7,
        "timeout": timedelta(seconds=90),
        "task_type": "maths",
        "metadata": {"order": {"id": 12}},
        "correlation_id": "req-1",
        "afresh_dependency": "mail-host",
        "lock": "one",
        "queueing_lock": "two",
    }.items() <= row.items()


@pytest.mark.parametrize(
    ("said", "meant"), [("low", 3), ("normal", 5), ("high", 8), ("critical", 10), (1, 1), (10, 10)]
)
async def test_priority(client: httpx.AsyncClient, said: object, meant: int):
    """A priority is a number from 1 to 10 or one of four names."""
    answer = (await client.post("/tasks/fetch-joke", json={"priority": said})).json()
    assert answer["priority"] == meant


@pytest.mark.parametrize(
    ("task_type", "queue", "priority"),
    [("email", "email", 3), ("report", "reports", 5), ("analytics", "analytics", 2), ("cleanup", "cleanup", 1)],
)
async def test_task_type(client: httpx.AsyncClient, task_type: str, queue: str, priority: int):
    """A kind of work brings its queue and priority; what is said outright wins over both."""
    answer = (await client.post("/tasks/add", json={"args": {"a": 1}, "task_type": task_type})).json()
    assert (answer["queue"], answer["priority"]) == (queue, priority)
    body = {"args": {"a": 1}, "task_type": task_type, "queue": "mine", "priority": 9}
    answer = (await client.post("/tasks/add", json=body)).json()
    assert (answer["queue"], answer["priority"]) == ("mine", 9)


@pytest.mark.parametrize(("run_in", "seconds"), [("5m", 300), (90, 90), ("2h", 7200), (30.5, 30.5)])
async def test_run_in(client: httpx.AsyncClient, run_in: object, seconds: float):
    """A job that is to run later is scheduled for then."""
    before = datetime.now(UTC)
    answer = (await client.post("/tasks/fetch-joke", json={"run_in": run_in})).json()
    at = datetime.fromisoformat(answer["scheduled_at"])
    assert answer["state"] == "scheduled"
    assert timedelta(seconds=seconds) <= at - before < timedelta(seconds=seconds + 20)


async def test_deadline(client: httpx.AsyncClient):
    """A deadline in the future is kept, and shown on the job and in lists, in UTC."""
    body = {"deadline": "2090-02-01T12:00:00+02:00"}
    answer = (await client.post("/tasks/fetch-joke", json=body)).json()
    assert (await client.get(f"/jobs/{answer['job_id']}")).json()["deadline"] == "2090-02-01T10:00:00Z"
    assert (await client.get("/jobs")).json()["items"][0]["deadline"] == "2090-02-01T10:00:00Z"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"deadline": "2020-01-01T00:00:00Z"}, "in the future"),
        ({"deadline": "2090-01-01T00:00:00Z", "run_at": "2090-01-02T00:00:00Z"}, "after 2090-01-02 00:00:00 UTC"),
        ({"deadline": "2090-01-01T00:00:00"}, "offset"),
        ({"deadline": "5m"}, ""),
        ({"deadline": 5}, "ISO 8601"),
    ],
    ids=["past", "before run_at", "no offset", "no time", "no text"],
)
async def test_deadline_that_cannot_be_met(client: httpx.AsyncClient, body: dict[str, Any], says: str):
    """A deadline that has passed, or comes before the job may run, is refused by name: alone and in a batch."""
    alone = await client.post("/tasks/fetch-joke", json=body)
    batch = await client.post("/tasks/fetch-joke/batch", json={"jobs": [{}, body]})
    assert (alone.status_code, batch.status_code) == (422, 422)
    assert [each["field"] for each in alone.json()["errors"]] == ["deadline"]
    assert [each["field"] for each in batch.json()["errors"]] == ["jobs.1.deadline"]
    assert says in alone.json()["errors"][0]["message"]
    assert (await client.get("/jobs")).json()["total"] == 0


async def test_a_repeat_after_its_deadline(client: httpx.AsyncClient, conn: AsyncConnection):
    """A submission sent again when its deadline has passed is answered with the job that it made in time."""
    headers = {"Idempotency-Key": "once"}
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    first = await client.post("/tasks/fetch-joke", json={"deadline": soon}, headers=headers)
    batch = {"jobs": [{"deadline": soon}]}
    many = await client.post("/tasks/fetch-joke/batch", json=batch, headers=headers)
    await eventually(lambda: has_passed(conn, soon))
    again = await client.post("/tasks/fetch-joke", json={"deadline": soon}, headers=headers)
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    again = await client.post("/tasks/fetch-joke/batch", json=batch, headers=headers)
    assert (again.status_code, again.json()["job_ids"]) == (202, many.json()["job_ids"])


async def test_run_at_in_the_past(client: httpx.AsyncClient):
    """A time that has passed means now."""
    answer = (await client.post("/tasks/fetch-joke", json={"run_at": "2020-01-01T00:00:00Z"})).json()
    assert answer["state"] == "ready"


async def test_correlation_header(client: httpx.AsyncClient):
    """X-Correlation-ID does where the body says nothing, and comes back either way."""
    headers = {"X-Correlation-ID": "from-header"}
    response = await client.post("/tasks/fetch-joke", headers=headers)
    assert response.json()["correlation_id"] == response.headers["x-correlation-id"] == "from-header"
    response = await client.post("/tasks/fetch-joke", headers=headers, json={"correlation_id": "from-body"})
    assert response.json()["correlation_id"] == response.headers["x-correlation-id"] == "from-body"


async def test_queueing_lock(client: httpx.AsyncClient):
    """A second job with a queueing lock that waits is refused, and told which one waits."""
    body = {"queueing_lock": "one at a time"}
    first = (await client.post("/tasks/fetch-joke", json=body)).json()["job_id"]
    response = await client.post("/tasks/fetch-joke", json=body)
    problem = response.json()
    assert response.status_code == 409
    assert (problem["queueing_lock"], problem["job_id"]) == ("one at a time", first)
    assert (await client.get("/jobs")).json()["total"] == 1


async def test_arguments_are_kept_as_sent(client: httpx.AsyncClient, conn: AsyncConnection):
    """A task receives what was sent: no default is filled in, and text stays as it is."""
    args = {"text": "Zoë 🦀 'quoted' \\ \n", "number": 9007199254740993, "none": None, "nested": {"list": [1.5, True]}}
    args["report"] = "somebody wrote [redacted] here"
    answer = (await client.post("/tasks/accept-anything", json={"args": args})).json()
    assert (await stored_job(conn, answer["job_id"]))["args"] == args


async def test_tasks(client: httpx.AsyncClient):
    """Every task can be looked up, with the schema of its arguments."""
    listed = {task["name"]: task for task in (await client.get("/tasks")).json()}
    shown = (await client.get("/tasks/greet")).json()
    assert listed["sample.greet"] == shown
    assert shown["arguments"]["required"] == ["name"]
    assert shown["arguments"]["properties"]["name"] == {"maxLength": 20, "title": "Name", "type": "string"}
    assert listed["app.tasks.jokes.fetch_and_cache_joke"]["max_attempts"] == 6
    assert not listed["app.tasks.maintenance.retry_stalled_jobs"]["http"]


async def test_policies_of_tasks(client: httpx.AsyncClient):
    """A task says who decides about its failures, and shows the policy that is its own; the rest it relies on, too."""
    joke = (await client.get("/tasks/fetch-joke")).json()
    assert (joke["decided_by"], joke["depends_on"], joke["policy"]["max_retries"]) == ("policy", "joke-api", 5)
    assert len(joke["policy"]["delays_seconds"]) == 5
    greet = (await client.get("/tasks/greet")).json()
    assert (greet["decided_by"], greet["policy"]) == ("failure type", None)
