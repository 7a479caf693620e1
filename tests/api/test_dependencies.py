"""Dependencies: what is known of them, and what operators say about them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from ..application import run_waiting_jobs
from ..eventually import eventually
from ..queue.dependencies import open_breaker
from ..queue.workers import working

pytestmark = pytest.mark.anyio

WHY = {"reason": "provider maintenance"}


async def test_one_that_never_failed(client: httpx.AsyncClient):
    """What a task names is listed as closed, with its tasks; what nothing names is not found."""
    listed = {each["name"]: each for each in (await client.get("/dependencies")).json()}
    assert (listed["joke-api"]["state"], listed["joke-api"]["generation"]) == ("closed", 0)
    assert "app.tasks.jokes.fetch_and_cache_joke" in listed["joke-api"]["tasks"]
    assert (await client.get("/dependencies/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("name", "task", "body"),
    [
        ("llm", "app.tasks.translation.translate", {"text": "Tea", "target": "Dutch"}),
        ("mail-server", "app.tasks.email.send_email", {"to": ["zoe@example.com"], "subject": "Hi", "text": "there"}),
        ("joke-api", "app.tasks.jokes.fetch_and_cache_joke", {}),
    ],
)
async def test_those_of_tasks_that_ship(
    queue: Afresh, client: httpx.AsyncClient, name: str, task: str, body: dict[str, Any]
):
    """What a task that ships relies on is listed and shown before it was ever called, and its jobs wait if isolated."""
    assert name in {each["name"] for each in (await client.get("/dependencies")).json()}
    shown = (await client.get(f"/dependencies/{name}")).json()
    assert (shown["state"], shown["waiting"], shown["history"]) == ("closed", {}, [])
    assert task in shown["tasks"]
    assert (await client.post(f"/dependencies/{name}/isolate", json=WHY)).json()["state"] == "isolated"
    job = (await client.post(f"/tasks/{task}", json={"args": body})).json()
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{job['job_id']}")).json()["waiting_for"] == "dependency"
    shown = (await client.get(f"/dependencies/{name}")).json()
    assert (shown["state"], shown["waiting"]) == ("isolated", {task: 1})


async def test_an_outage_is_told(client: httpx.AsyncClient, conn: AsyncConnection):
    """An open breaker says why, until when, what happened to it and because of what, and how many jobs wait."""
    await open_breaker(conn)
    for _ in range(3):
        assert (await client.post("/tasks/fetch-joke")).status_code == 202
    story = (await client.get("/dependencies/joke-api")).json()
    assert (story["state"], story["failure_type"]) == ("open", "TRANSIENT_NETWORK")
    assert story["until"] is not None
    assert story["waiting"] == {"app.tasks.jokes.fetch_and_cache_joke": 3}
    assert [(each["before"], each["after"]) for each in story["history"]] == [("closed", "open")]
    assert story["cause"].startswith("5 of 5 calls failed, the last with TRANSIENT_NETWORK")
    assert (await client.post("/dependencies/joke-api/isolate", json=WHY)).status_code == 200
    history = (await client.get("/dependencies/joke-api")).json()["history"]
    assert [each["cause"] for each in history] == ["local: provider maintenance", story["cause"]]
    assert [each["generation"] for each in history] == [2, 1]


async def test_its_budget(queue: Afresh, client: httpx.AsyncClient):
    """What is left of its retry budget is told as a real worker said it with its heartbeat; null where none lives."""
    assert (await client.get("/dependencies/joke-api")).json()["budget"] is None
    job = (await client.post("/tasks/fetch-joke")).json()["job_id"]  # Port 9 refuses: it is retried five times.
    async with working(queue, fetch_job_polling_interval=0.05) as worker:
        await eventually(lambda: has_ended(client, job))
        await worker.beat()
        told = (await client.get("/dependencies/joke-api")).json()["budget"]
    assert (told["capacity"], told["processes"]) == (50, 1)
    assert 44 < told["least"] < 50  # Five retries less, and what a fifth of a token a second has given back.
    assert datetime.now(UTC) - datetime.fromisoformat(told["told_at"]) < timedelta(minutes=1)


async def has_ended(client: httpx.AsyncClient, job_id: int) -> bool:
    """Whether a job is over."""
    return (await client.get(f"/jobs/{job_id}")).json()["state"] in {"succeeded", "failed"}


async def test_isolation_and_its_end(client: httpx.AsyncClient, conn: AsyncConnection):
    """A dependency is isolated with a reason and reset; twice is refused; the audit has both."""
    isolated = await client.post("/dependencies/joke-api/isolate", json=WHY)
    assert (isolated.status_code, isolated.json()["state"]) == (200, "isolated")
    assert (await client.post("/dependencies/joke-api/isolate", json=WHY)).status_code == 409
    assert (await client.post("/dependencies/joke-api/probe", json=WHY)).status_code == 409
    reset = await client.post("/dependencies/joke-api/reset", json=WHY)
    assert (reset.status_code, reset.json()["state"]) == (200, "ramping")
    assert (await client.post("/dependencies/joke-api/reset", json=WHY)).status_code == 409
    audit = await (await conn.execute("SELECT action, target, reason FROM afresh.audit ORDER BY id")).fetchall()
    assert audit == [
        ("dependency.isolate", "joke-api", "provider maintenance"),
        ("dependency.reset", "joke-api", "provider maintenance"),
    ]


async def test_a_probe_at_once(client: httpx.AsyncClient, conn: AsyncConnection):
    """An operator has the next probe of an open breaker go now instead of at its time."""
    await open_breaker(conn)
    await conn.execute("UPDATE afresh.breaker SET probe_at = now() + interval '1 hour'")
    assert (await client.post("/dependencies/joke-api/probe", json=WHY)).status_code == 200
    row = await (await conn.execute("SELECT probe_at <= clock_timestamp() FROM afresh.breaker")).fetchone()
    assert row == (True,)


async def test_a_probe_goes_through(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """The probe that an operator asks for over HTTP is a job that waits: it runs at once, and what it finds moves the
    breaker.
    """  # noqa: D205 - one sentence
    await open_breaker(conn, "api.example.com")
    await conn.execute("UPDATE afresh.breaker SET probe_at = now() + interval '1 hour'")
    job = (await client.post("/tasks/add", json={"args": {"a": 1}, "dependency": "api.example.com"})).json()["job_id"]
    async with working(queue):
        await conn.execute("SELECT pg_notify('afresh_wake', '')")
        assert (await client.get(f"/jobs/{job}")).json()["waiting_for"] == "dependency"
        asked = await client.post("/dependencies/api.example.com/probe", json=WHY)
        assert (asked.status_code, asked.json()["state"] in {"open", "half_open"}) == (200, True)  # It may be done.
        await eventually(lambda: has_ended(client, job))
        await eventually(lambda: came_to(client, "half_open"))
    shown = (await client.get("/dependencies/api.example.com")).json()
    assert (shown["history"][0]["cause"], shown["probes_in_flight"]) == ("an early probe worked", 0)
    assert (await client.get(f"/jobs/{job}")).json()["state"] == "succeeded"
    audit = await (await conn.execute("SELECT action, target, reason FROM afresh.audit")).fetchall()
    assert ("dependency.probe", "api.example.com", "provider maintenance") in audit


async def came_to(client: httpx.AsyncClient, state: str) -> bool:
    """Whether its breaker is in this state."""
    return bool((await client.get("/dependencies/api.example.com")).json()["state"] == state)


async def test_a_dependency_of_one_job(client: httpx.AsyncClient):
    """A job may name what it relies on at its submission, and then waits for that."""
    await client.post("/dependencies/api.example.com/isolate", json=WHY)
    job = (await client.post("/tasks/add", json={"args": {"a": 1}, "dependency": "api.example.com"})).json()
    shown = (await client.get(f"/jobs/{job['job_id']}")).json()
    assert (shown["dependency"], shown["waiting_for"]) == ("api.example.com", "dependency")


@pytest.mark.parametrize("path", ["api.example.com:8443/v2", "api.example.com%3A8443%2Fv2"], ids=["plain", "encoded"])
async def test_a_name_with_a_path_in_it(client: httpx.AsyncClient, path: str):
    """A dependency may be named by host, port and path: it is shown, isolated, reset and limited by that name."""
    name = "api.example.com:8443/v2"
    job = (await client.post("/tasks/add", json={"args": {"a": 1}, "dependency": name})).json()
    isolated = await client.post(f"/dependencies/{path}/isolate", json=WHY)
    assert (isolated.status_code, isolated.json()["name"], isolated.json()["state"]) == (200, name, "isolated")
    assert (await client.get(f"/jobs/{job['job_id']}")).json()["waiting_for"] == "dependency"
    assert (await client.get(f"/dependencies/{path}")).json()["waiting"] == {job["task_name"]: 1}
    assert (await client.post(f"/dependencies/{path}/probe", json=WHY)).status_code == 409
    assert (await client.post(f"/dependencies/{path}/reset", json=WHY)).json()["state"] == "ramping"
    limit = {"rate": {"jobs": 100, "per": "1m"}, "reason": "as the contract says"}
    assert (await client.put(f"/limits/dependency/{path}", json=limit)).json()["name"] == name
    assert (await client.delete(f"/limits/dependency/{path}")).status_code == 204
