"""Bulk actions on dead letters over HTTP: previewed, confirmed by the count, run, watched and ended."""

import asyncio
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue import bulk
from app.queue.app import Afresh
from app.queue.task import RetryStrategy

from ..application import run_waiting_jobs
from ..eventually import eventually
from ..queue.workers import working
from .test_dead_letters import insert

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
ADDING: Json = {"task": "add"}
FAST: Json = {"reason": "it is mended", "rate_per_second": 10_000}


async def preview(client: httpx.AsyncClient, chosen: Json = ADDING, action: str = "replay") -> Json:
    """What an action would be about."""
    response = await client.post("/dead-letters/bulk/preview", json={"action": action, "filter": chosen})
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


async def start(client: httpx.AsyncClient, chosen: Json = ADDING, action: str = "replay", **terms: Any) -> Json:
    """An action that is confirmed."""
    token = (await preview(client, chosen, action))["token"]
    response = await client.post("/dead-letters/bulk", json={"token": token} | FAST | terms)
    assert response.status_code == 202, response.text
    made: Json = response.json()
    assert response.headers["location"] == f"/dead-letters/bulk/{made['id']}"
    return made


async def look(client: httpx.AsyncClient, made: Json) -> Json:
    """How far it is."""
    found: Json = (await client.get(f"/dead-letters/bulk/{made['id']}")).json()
    return found


async def addable(conn: AsyncConnection, count: int) -> None:
    """Letters of jobs that will succeed when they are replayed."""
    await insert(conn, count)
    await conn.execute("UPDATE afresh.dead_letter SET args = '{\"a\": 1}'")


async def test_a_preview(client: httpx.AsyncClient, conn: AsyncConnection):
    """A preview counts the pending letters that match, exactly, and names their tasks, groups and age."""
    await insert(conn, 3, failure_type="TRANSIENT_NETWORK", fingerprint="g")
    await insert(conn, 2, failure_type="TRANSIENT_NETWORK", fingerprint="h", task_name="sample.greet")
    await insert(conn, failure_type="TRANSIENT_NETWORK", fingerprint="h")
    await insert(conn, 4)
    await insert(conn, failure_type="TRANSIENT_NETWORK", status="abandoned")
    seen = await preview(client, {"failure_type": "TRANSIENT_NETWORK"})
    assert (seen["count"], seen["oldest"]) == (6, "2030-01-01T00:00:00Z")
    assert [(each["task_name"], each["letters"]) for each in seen["tasks"]] == [("sample.add", 4), ("sample.greet", 2)]
    assert [(each["fingerprint"], each["letters"]) for each in seen["groups"]] == [("g", 3), ("h", 3)]


@pytest.mark.parametrize("chosen", [{}, {"task": None}, {"status": "pending"}, {"died_from": "yesterday"}])
async def test_refused_filters(client: httpx.AsyncClient, chosen: Json):
    """A filter that says nothing, or what cannot be asked for, is refused."""
    response = await client.post("/dead-letters/bulk/preview", json={"action": "replay", "filter": chosen})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].startswith("filter")


async def test_replaying_many(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Every letter that matches gets a job, and nothing else does; what became of them is told, and who wanted it."""
    await addable(conn, 600)
    await insert(conn, 5, task_name="sample.greet")
    made = await start(client)
    assert (made["state"], made["total"]) == ("waiting", 600)
    await run_waiting_jobs(queue)
    found = await look(client, made)
    assert (found["state"], found["acted"], found["skipped"], found["percent"]) == ("done", 600, 0, 100)
    assert found["statuses"] == {"resolved": 600}
    job = (await client.get(f"/jobs/{made['job_id']}")).json()
    assert job["result"] == {"outcome": "done", "acted": 600, "skipped": 0, "failed_again": None}
    assert job["progress"] == 1
    assert (await client.get("/dead-letters", params={"status": "pending"})).json()["total"] == 5
    cursor = await conn.execute("SELECT action, actor, reason FROM afresh.audit ORDER BY id")
    assert await cursor.fetchall() == [
        ("dead_letter.replay_many", "local", "it is mended"),
        ("dead_letter.end_many", "local", "it is mended"),
    ]


async def test_a_replay_keeps_its_options_and_links(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A job made in bulk is as one that is replayed alone: its options, and the job that it replaces."""
    await addable(conn, 1)
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, max_retries, correlation_id) "
        "SELECT job_id, 3, 'c' FROM afresh.dead_letter"
    )
    await start(client)
    await run_waiting_jobs(queue)
    letter = (await client.get("/dead-letters/1")).json()
    job = (await client.get(f"/jobs/{letter['replayed_as']}")).json()
    assert (job["max_attempts"], job["correlation_id"], job["replay_of"]) == (4, "c", letter["job_id"])
    assert (letter["status"], letter["replays"], letter["bulk_id"]) == ("resolved", 1, 1)


async def test_abandoning_many(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """The reason becomes the note of every letter that is given up."""
    await insert(conn, 3)
    made = await start(client, action="abandon", reason="customer has left")
    await run_waiting_jobs(queue)
    assert (await look(client, made))["statuses"] == {"abandoned": 3}
    assert {each["note"] for each in (await client.get("/dead-letters")).json()["items"]} == {"customer has left"}


async def test_what_cannot_be_replayed_is_skipped(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Letters whose task is not here, or whose queueing lock is held, stay pending, and are counted."""
    await addable(conn, 4)
    await conn.execute("UPDATE afresh.dead_letter SET task_name = 'gone' WHERE id = 1")
    await conn.execute("UPDATE afresh.dead_letter SET queueing_lock = 'one' WHERE id IN (2, 3)")
    made = await start(client, {"queue": "sums"})
    await run_waiting_jobs(queue)
    found = await look(client, made)
    assert (found["acted"], found["skipped"]) == (2, 2)
    assert found["skips"] == {"task_not_registered": 1, "queueing_lock_held": 1}
    pending = (await client.get("/dead-letters", params={"status": "pending"})).json()["items"]
    assert [each["id"] for each in pending] == [3, 1]


async def test_the_token_works_once(client: httpx.AsyncClient, conn: AsyncConnection):
    """Confirming again, also at the same moment, answers the same action; an unknown or late token is refused."""
    await insert(conn, 3)
    token = (await preview(client))["token"]
    body = {"token": token} | FAST
    answers = await asyncio.gather(*(client.post("/dead-letters/bulk", json=body) for _ in range(5)))
    assert {each.json()["id"] for each in answers} == {1}
    assert {each.json()["job_id"] for each in answers} == {1}
    assert (await client.post("/dead-letters/bulk", json=body | {"token": "x"})).status_code == 410
    late = (await preview(client))["token"]
    await conn.execute("UPDATE afresh.bulk SET expires_at = now() WHERE job_id IS NULL")
    assert (await client.post("/dead-letters/bulk", json=body | {"token": late})).status_code == 410
    await bulk.drop_previews(conn)
    assert (await client.get("/dead-letters/bulk/2")).status_code == 404


@pytest.mark.parametrize(("more", "status"), [(1, 202), (2, 409)])
async def test_growth(client: httpx.AsyncClient, conn: AsyncConnection, more: int, status: int):
    """Up to a tenth more letters than were previewed are no surprise; beyond that it asks for another preview."""
    await insert(conn, 10)
    token = (await preview(client))["token"]
    await insert(conn, more)
    response = await client.post("/dead-letters/bulk", json={"token": token} | FAST)
    assert response.status_code == status
    if status == 409:
        assert (response.json()["previewed"], response.json()["count"]) == (10, 12)


async def test_what_was_not_previewed_is_left_alone(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A letter that comes after the preview is not acted on."""
    await addable(conn, 10)
    made = await start(client)
    await insert(conn, 1)
    await run_waiting_jobs(queue)
    assert (await look(client, made))["acted"] == 10
    assert (await client.get("/dead-letters/11")).json()["status"] == "pending"


async def test_it_stops_when_the_failures_come_back(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """When more than the given share of the jobs it replayed die again, it stops by itself and says so."""
    await insert(conn, 500)
    await conn.execute(
        "UPDATE afresh.dead_letter SET task_name = 'sample.fail', args = '{\"message\": \"still down\"}'"
    )
    made = await start(client, {"task": "fail"}, rate_per_second=40)

    async def is_over() -> bool:
        return bool((await look(client, made))["state"] == "stopped")

    async with working(queue):
        await eventually(is_over, within=30)
    found = await look(client, made)
    assert 10 <= found["acted"] < 250
    assert found["statuses"]["pending"] >= 10
    job = (await client.get(f"/jobs/{made['job_id']}")).json()
    assert job["result"]["outcome"] == "stopped"
    assert job["result"]["failed_again"] >= 10


async def test_cancelling_before_it_runs(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """An action that waits is over at once when it is cancelled, and cannot be cancelled twice."""
    await addable(conn, 3)
    made = await start(client)
    response = await client.post(f"/dead-letters/bulk/{made['id']}/cancel", json={"reason": "wrong filter"})
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    await run_waiting_jobs(queue)
    assert (await look(client, made))["acted"] == 0
    assert (await client.post(f"/dead-letters/bulk/{made['id']}/cancel")).status_code == 409
    assert (await client.post("/dead-letters/bulk/99/cancel")).status_code == 404


async def test_cancelling_while_it_runs(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """An action that runs ends before its next letters; what it has replayed stays replayed."""
    await addable(conn, 1000)
    made = await start(client, rate_per_second=20)

    async def has_begun() -> bool:
        return bool((await look(client, made))["acted"] > 0)

    async def is_over() -> bool:
        return bool((await look(client, made))["state"] == "cancelled")

    async with working(queue):
        await eventually(has_begun)
        await client.post(f"/dead-letters/bulk/{made['id']}/cancel")
        await eventually(is_over)
    found = await look(client, made)
    assert 0 < found["acted"] < 1000
    assert found["cancelled_by"] == "local"
    job = (await client.get(f"/jobs/{made['job_id']}")).json()
    assert job["state"] == "succeeded"


async def test_another_worker_goes_on(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """When the worker of an action is lost, the next one goes on from the cursor: no letter is replayed twice."""
    await addable(conn, 700)
    made = await start(client)
    step = await bulk.step(conn, made["id"], limit=300, tasks=["sample.add"], judge=False)
    assert step.acted == 300
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [made["job_id"]])
    await queue.tasks["app.tasks.maintenance.retry_stalled_jobs"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    assert (await look(client, made))["statuses"] == {"resolved": 700}
    cursor = await conn.execute("SELECT count(*), max(replays) FROM afresh.dead_letter")
    assert await cursor.fetchone() == (700, 1)


async def test_a_letter_that_the_database_refuses(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A letter that can be no job as it is stays pending, is counted with what refused it, and the others go on."""
    await addable(conn, 600)
    await conn.execute("UPDATE afresh.dead_letter SET job_id = 1000000 + id WHERE id IN (260, 261, 500)")
    made = await start(client)
    await run_waiting_jobs(queue)
    found = await look(client, made)
    assert (found["state"], found["acted"], found["skipped"]) == ("done", 597, 3)
    assert found["skips"] == {"refused: job_option_check": 3}  # No job is older than itself.
    pending = (await client.get("/dead-letters", params={"status": "pending"})).json()["items"]
    assert [each["id"] for each in pending] == [500, 261, 260]


async def test_an_action_whose_job_dies(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """When the job of an action dies, the action has failed; retrying that job lets it go on where it was."""
    await addable(conn, 300)
    made = await start(client)
    await conn.execute("ALTER TABLE afresh.bulk RENAME COLUMN cursor TO gone")
    await run_waiting_jobs(queue)
    failed = await look(client, made)
    assert (failed["state"], failed["acted"]) == ("failed", 0)
    await conn.execute("ALTER TABLE afresh.bulk RENAME COLUMN gone TO cursor")
    again = (await client.post(f"/jobs/{made['job_id']}/retry")).json()
    await run_waiting_jobs(queue)
    done = await look(client, made)
    assert (done["state"], done["acted"], done["job_id"]) == ("done", 300, again["job_id"])


async def test_the_actions_are_listed(client: httpx.AsyncClient, conn: AsyncConnection):
    """Actions are listed, newest first, as each is shown; what was only previewed is none."""
    await insert(conn, 3)
    made = [await start(client, reason=f"reason {number}") for number in range(3)]
    await preview(client)
    page = (await client.get("/dead-letters/bulk", params={"limit": 2})).json()
    assert (page["items"], page["total"]) == ([made[2], made[1]], 3)
    last = (await client.get("/dead-letters/bulk", params={"cursor": page["next_cursor"]})).json()
    assert (last["items"], last["next_cursor"]) == ([made[0]], None)
    assert made[0]["filter"] == {"task": "sample.add"}


async def test_a_failure_counts_before_the_retries_are_spent(
    queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection
):
    """It stops when jobs fail again, though each will be retried for an hour, and none has died again by then."""

    @queue.task(name="waits", retry=RetryStrategy(max_attempts=3, wait=1200))
    async def waits(**_: Any) -> None:
        raise ConnectionRefusedError

    await insert(conn, 500, task_name="waits")
    made = await start(client, {"queue": "sums"}, rate_per_second=40)
    await run_waiting_jobs(queue)
    found = await look(client, made)
    assert (found["state"], found["statuses"]) == ("stopped", {"retrying": found["acted"]})
    assert 10 <= found["acted"] < 250


async def test_late_failures_weigh(client: httpx.AsyncClient, conn: AsyncConnection):
    """Failures that come back late stop it: what went well long before does not outweigh them."""
    await addable(conn, 1000)
    made = await start(client)
    for _ in range(2):
        await bulk.step(conn, made["id"], limit=250, tasks=["sample.add"], judge=False)
    end = "UPDATE procrastinate_jobs SET status = %s WHERE afresh_letter BETWEEN %s AND %s"
    await conn.execute(end, ("succeeded", 1, 300))
    assert (await bulk.step(conn, made["id"], limit=0, tasks=[], judge=True)).seen == bulk.Seen(200, 0, 200)
    await conn.execute("UPDATE afresh.dead_letter SET died_as = replayed_as WHERE id BETWEEN 301 AND 420")
    await conn.execute(end, ("failed", 301, 420))
    stopped = await bulk.step(conn, made["id"], limit=0, tasks=[], judge=True)
    assert (stopped.outcome, stopped.seen) == ("stopped", bulk.Seen(80, 120, 80))
