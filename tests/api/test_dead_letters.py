"""Dead letters over HTTP: found, counted, told whole, brought back and given up."""

import asyncio
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.dead_letters import fold_counts
from app.store.paging import SEARCHED

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


async def bury(queue: Afresh, client: httpx.AsyncClient, **args: Any) -> Json:
    """The letter of a job that has just died."""
    body = {"args": {"message": "no luck", "password": "hunter2"} | args}
    job_id = (await client.post("/tasks/fail", json=body)).json()["job_id"]
    await run_waiting_jobs(queue)
    job = (await client.get(f"/jobs/{job_id}")).json()
    letter: Json = (await client.get(f"/dead-letters/{job['dead_letter_id']}")).json()
    return letter


async def insert(conn: AsyncConnection, count: int = 1, **columns: Any) -> None:
    """Letters as rows, with what differs from one of nothing in particular; of jobs older than any that is made."""
    row = {
        "status": "pending",
        "cause": "permanent",
        "task_name": "sample.add",
        "queue_name": "sums",
        "dependency": None,
        "failure_type": "UNKNOWN",
        "fingerprint": "f",
        "message": "no",
        "remediation": "INVESTIGATE",
        "died_at": "2030-01-01T00:00:00Z",
        "replayed_as": 1 if columns.get("status") in {"retrying", "resolved"} else None,
        "note": "gone" if columns.get("status") == "abandoned" else None,
    } | columns
    names = ", ".join(row)
    holes = ", ".join(["%s"] * len(row))
    await conn.execute(
        f"INSERT INTO afresh.dead_letter (job_id, priority, args, attempts, first_died_at, died_as, {names}) "  # noqa: S608 - constants of ours.
        f"SELECT -n, 5, '{{}}', 1, '2030-01-01', -n, {holes} "
        "FROM generate_series((SELECT count(*) + 1 FROM afresh.dead_letter), "
        "(SELECT count(*) + %s FROM afresh.dead_letter)) n",
        [*row.values(), count],
    )


async def test_the_whole_story(queue: Afresh, client: httpx.AsyncClient):
    """A letter tells what died, why, what helps, its arguments without secrets, and every attempt of all its jobs."""
    letter = await bury(queue, client)
    assert letter["args"] == {"message": "no luck", "password": "[redacted]"}
    assert (letter["status"], letter["cause"], letter["exception_type"]) == (
        "pending",
        "retries_spent",
        "tests.sample_tasks.RefusedError",
    )
    assert letter["meaning"]
    assert letter["remediations"][0] == letter["remediation"]
    await client.post(f"/dead-letters/{letter['id']}/replay")
    await run_waiting_jobs(queue)
    jobs = (await client.get(f"/dead-letters/{letter['id']}")).json()["jobs"]
    assert [(job["job_id"], job["state"]) for job in jobs] == [(letter["job_id"], "failed"), (2, "failed")]
    assert [run["decision"] for job in jobs for run in job["runs"]] == ["dead_letter"] * 2
    assert [(await client.get(f"/jobs/{job['job_id']}")).json()["dead_letter_id"] for job in jobs] == [letter["id"]] * 2


async def test_a_replay(queue: Afresh, client: httpx.AsyncClient):
    """A replay answers the new job, and where it is; what is changed about it is changed."""
    letter = await bury(queue, client)
    change = {"queue": "elsewhere", "priority": "high", "run_in": "1h", "args": {"message": "again"}, "reason": "why"}
    response = await client.post(f"/dead-letters/{letter['id']}/replay", json=change)
    assert response.status_code == 202, response.text
    made = response.json()
    assert response.headers["location"] == f"/jobs/{made['job_id']}"
    assert (made["replay_of"], made["queue"], made["priority"], made["state"]) == (1, "elsewhere", 8, "scheduled")
    job = (await client.get(f"/jobs/{made['job_id']}")).json()
    assert (job["args"], job["attempts"], job["replay_of"]) == ({"message": "again"}, 0, 1)
    letter = (await client.get(f"/dead-letters/{letter['id']}")).json()
    assert (letter["status"], letter["replayed_as"]) == ("retrying", made["job_id"])
    again = await client.post(f"/dead-letters/{letter['id']}/replay")
    assert (again.status_code, again.json()["job_id"]) == (409, made["job_id"])


async def test_ahead_of_others(queue: Afresh, client: httpx.AsyncClient):
    """A replay can go ahead of every job that waits, whatever its priority."""
    letter = await bury(queue, client)
    await client.post("/tasks/fail", json={"args": {"message": "urgent"}, "priority": "critical"})
    made = (await client.post(f"/dead-letters/{letter['id']}/replay", json={"ahead": True})).json()
    await run_waiting_jobs(queue)
    first = (await client.get(f"/jobs/{made['job_id']}")).json()
    other = (await client.get("/jobs/2")).json()
    assert first["started_at"] <= other["started_at"]
    assert first["priority"] > other["priority"]


async def test_replays_at_once(queue: Afresh, client: httpx.AsyncClient):
    """Of twenty replays of one letter at the same moment one makes a job, and the others name it."""
    letter = await bury(queue, client)
    answers = await asyncio.gather(*(client.post(f"/dead-letters/{letter['id']}/replay") for _ in range(20)))
    assert sorted(each.status_code for each in answers) == [202, *[409] * 19]
    assert {each.json()["job_id"] for each in answers} == {2}


async def test_one_key_is_one_replay(queue: Afresh, client: httpx.AsyncClient):
    """With one Idempotency-Key all of them get the one job; another body is refused, also after the job's end."""
    letter = await bury(queue, client)
    url, headers = f"/dead-letters/{letter['id']}/replay", {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(client.post(url, headers=headers) for _ in range(10)))
    assert {each.status_code for each in answers} == {202}
    assert {each.json()["job_id"] for each in answers} == {2}
    assert sum("idempotent-replayed" in each.headers for each in answers) == 9
    await run_waiting_jobs(queue)
    assert (await client.post(url, headers=headers)).json()["job_id"] == 2
    assert (await client.post(url, headers=headers, json={"ahead": True})).status_code == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"args": {"message": 5}}, "args.message"),
        ({"args": {}}, "args.message"),
        ({"args": {"message": "x", "extra": 1}}, "args.extra"),
        ({"args": {"message": "[redacted]"}}, "args.message"),
        ({"args": {"message": "x", "password": "[redacted] "}}, "args.password"),
        ({"priority": 11}, "priority"),
        ({"run_at": "2090-01-01T00:00:00Z", "run_in": "1h"}, "body"),
        ({"ahead": True, "priority": 3}, "body"),
        ({"speed": 1}, "speed"),
    ],
)
async def test_wrong_changes(queue: Afresh, client: httpx.AsyncClient, change: Json, field: str):
    """A change that does not fit is refused with its field, and the letter stays pending."""
    letter = await bury(queue, client)
    response = await client.post(f"/dead-letters/{letter['id']}/replay", json=change)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field
    assert (await client.get(f"/dead-letters/{letter['id']}")).json()["status"] == "pending"


async def test_a_mask_means_unchanged(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Arguments that are sent back as they were shown, with one of them changed, keep their secrets."""
    letter = await bury(queue, client)
    args = letter["args"] | {"message": "changed"}
    made = (await client.post(f"/dead-letters/{letter['id']}/replay", json={"args": args})).json()
    cursor = await conn.execute("SELECT args FROM procrastinate_jobs WHERE id = %s", [made["job_id"]])
    assert await cursor.fetchone() == ({"message": "changed", "password": "hunter2"},)
    cursor = await conn.execute("SELECT details::text FROM afresh.audit")
    assert "hunter2" not in str(await cursor.fetchall())


async def test_abandoning(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A letter is given up with a note, once; both are in the audit."""
    letter = await bury(queue, client)
    url = f"/dead-letters/{letter['id']}/abandon"
    assert (await client.post(url, json={})).status_code == 422
    response = await client.post(url, json={"reason": "customer has left"})
    assert (response.status_code, response.json()["status"]) == (200, "abandoned")
    assert response.json()["note"] == "customer has left"
    again = (await client.post(url, json={"reason": "again"})).json()
    assert (again["status"], again["letter_status"]) == (409, "abandoned")
    cursor = await conn.execute("SELECT action, target, reason FROM afresh.audit WHERE action <> 'job.submit'")
    assert await cursor.fetchall() == [("dead_letter.abandon", str(letter["id"]), "customer has left")]


@pytest.mark.parametrize("action", ["", "/replay", "/abandon"])
async def test_unknown_letters(client: httpx.AsyncClient, action: str):
    """What does not exist can be neither seen nor changed."""
    method, body = ("POST", {"reason": "x"}) if action else ("GET", None)
    assert (await client.request(method, f"/dead-letters/99{action}", json=body)).status_code == 404
    assert (await client.request(method, f"/dead-letters/{'9' * 40}{action}", json=body)).status_code == 422


async def test_an_unknown_task(client: httpx.AsyncClient, conn: AsyncConnection):
    """A letter whose task is not deployed here cannot be replayed, and says so."""
    await insert(conn, task_name="gone")
    response = await client.post("/dead-letters/1/replay")
    assert (response.status_code, response.json()["type"]) == (409, "urn:afresh:task-not-deployed")


async def test_the_servers_own_tasks(client: httpx.AsyncClient, conn: AsyncConnection):
    """A letter of a task that is not for clients is brought back as it was, and with no arguments of a client's."""
    await insert(conn, task_name="sample.internal")
    refused = await client.post("/dead-letters/1/replay", json={"args": {}})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:afresh:not-over-http")
    assert (await client.post("/dead-letters/1/replay")).status_code == 202


FILTERS: list[tuple[Json, Json, str]] = [
    ({"status": "resolved"}, {"status": "resolved"}, "a status"),
    ({"task_name": "sample.greet"}, {"task": "greet"}, "a task by its slug"),
    ({"task_name": "gone"}, {"task": "gone"}, "a task of the past"),
    ({"queue_name": "other"}, {"queue": "other"}, "a queue"),
    ({"failure_type": "TRANSIENT_NETWORK"}, {"failure_type": "TRANSIENT_NETWORK"}, "a type"),
    ({"fingerprint": "g"}, {"group": "g"}, "a group"),
    ({"dependency": "joke-api"}, {"dependency": "joke-api"}, "a job's dependency"),
    ({"task_name": "app.tasks.jokes.fetch_and_cache_joke"}, {"dependency": "joke-api"}, "a task's dependency"),
    ({"cause": "worker_lost"}, {"cause": "worker_lost"}, "a cause"),
    ({"bulk_id": 7}, {"bulk": 7}, "a bulk action"),
    ({"died_at": "2031-01-01T00:00:00Z"}, {"died_from": "2031-01-01T00:00:00Z"}, "from a time"),
    ({"died_at": "2029-01-01T00:00:00Z"}, {"died_to": "2030-01-01T00:00:00Z"}, "up to a time"),
    ({"message": "100% OF It"}, {"text": "0% of"}, "text"),
]


@pytest.mark.parametrize(("columns", "query"), [each[:2] for each in FILTERS], ids=[each[2] for each in FILTERS])
async def test_filters(client: httpx.AsyncClient, conn: AsyncConnection, columns: Json, query: Json):
    """Each filter finds what it names, and nothing else; what it finds is counted."""
    await insert(conn, 3)
    await insert(conn, **columns)
    page = (await client.get("/dead-letters", params=query)).json()
    assert ([each["id"] for each in page["items"]], page["total"]) == ([4], 1)


async def test_pages(client: httpx.AsyncClient, conn: AsyncConnection):
    """A list is read page by page, newest first, without gaps."""
    await insert(conn, 7)
    seen, cursor = [], None
    while True:
        page = (await client.get("/dead-letters", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_search_is_bounded(client: httpx.AsyncClient, conn: AsyncConnection):
    """A text is looked for among so many of the newest letters; the next page goes on behind them."""
    await insert(conn, message="very rare")
    await insert(conn, SEARCHED)
    first = (await client.get("/dead-letters", params={"text": "rare"})).json()
    assert (first["items"], first["total"], first["total_is_exact"]) == ([], 0, False)
    then = (await client.get("/dead-letters", params={"text": "rare", "cursor": first["next_cursor"]})).json()
    assert ([each["id"] for each in then["items"]], then["next_cursor"]) == ([1], None)


@pytest.mark.parametrize("folded", [False, True])
async def test_summary_and_distribution(client: httpx.AsyncClient, conn: AsyncConnection, *, folded: bool):
    """Letters are counted by status, type, task, cause, remediation and day, as they are now."""
    assert (await client.get("/dead-letters/summary")).json()["total"] == 0
    await insert(conn, 3, failure_type="TRANSIENT_NETWORK", died_at="2029-12-31T23:59:59Z")
    await insert(conn, 2, failure_type=None)
    if folded:
        await fold_counts(conn)
    await conn.execute("UPDATE afresh.dead_letter SET status = 'abandoned', note = 'n' WHERE id = 1")
    await conn.execute("DELETE FROM afresh.dead_letter WHERE id = 5")
    if folded:
        await fold_counts(conn)
    summary = (await client.get("/dead-letters/summary")).json()
    assert (summary["total"], summary["statuses"]) == (4, {"pending": 3, "abandoned": 1})
    assert summary["oldest_pending_at"] == "2030-01-01T00:00:00Z"
    assert summary["by_type"] == [
        {"name": "TRANSIENT_NETWORK", "total": 3, "statuses": {"pending": 2, "abandoned": 1}},
        {"name": None, "total": 1, "statuses": {"pending": 1}},
    ]
    assert [share["name"] for share in summary["by_cause"]] == ["permanent"]
    days = (await client.get("/dead-letters/distribution", params={"days": 30})).json()
    assert [(share["name"], share["total"]) for share in days["by_day"]] == [("2029-12-31", 3), ("2030-01-01", 1)]
    cursor = await conn.execute("SELECT count(*) FROM afresh.dead_letter_count WHERE NOT folded")
    assert (await cursor.fetchone() == (0,)) is folded


async def test_only_recent_days_are_distributed(client: httpx.AsyncClient, conn: AsyncConnection):
    """What died before the days asked for is left out."""
    await insert(conn, died_at="2020-01-01T00:00:00Z")
    assert (await client.get("/dead-letters/distribution", params={"days": 30})).json()["by_day"] == []
