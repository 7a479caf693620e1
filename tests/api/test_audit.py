from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.audit import record
from app.store.keys import KeyRefused, Role, create_key, revoke_key
from app.web.cookies import is_page
from app.web.origin import SAFE_METHODS

from ..application import run_waiting_jobs, serving, settings_for
from ..queue.dependencies import open_breaker
from .test_roles import QUESTIONS, ROUTES

pytestmark = pytest.mark.anyio

WHY = {"reason": "told by the customer"}

WITHOUT_REASON = {
    ("POST", "/tasks/{task}"),
    ("POST", "/tasks/{task}/batch"),
    ("POST", "/translations"),
    ("POST", "/translations/batch"),
    ("POST", "/translations/compare"),
    ("DELETE", "/translations/{job_id}"),
}
"""They take none: a job is asked for all the time, and a translation given up by whoever asked for it."""

TEXT = {"text": "Good morning", "target": "French"}

PREVIEW = ("POST", "/dead-letters/bulk/preview")

# In this order each is possible: jobs 1 to 3 wait, 4 to 6 have died, of one cause; a dependency is out.
STORY: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("POST", "/jobs/{job_id}/cancel", "/jobs/1/cancel", WHY),
    ("POST", "/jobs/{job_id}/reschedule", "/jobs/2/reschedule", WHY | {"priority": 9}),
    ("POST", "/jobs/{job_id}/retry", "/jobs/2/retry", WHY),
    ("POST", "/queues/{name}/pause", "/queues/sums/pause", WHY),
    ("POST", "/queues/{name}/resume", "/queues/sums/resume", WHY),
    ("DELETE", "/queues/{name}/jobs", "/queues/sums/jobs?confirm=2&reason=told by the customer", {}),
    ("POST", "/failures/groups/{fingerprint:path}/resolve", "GROUP/resolve", WHY),
    ("POST", "/failures/groups/{fingerprint:path}/reopen", "GROUP/reopen", WHY),
    ("POST", "/failures/groups/{fingerprint:path}/mute", "GROUP/mute", WHY | {"duration": "1h"}),
    ("POST", "/failures/groups/{fingerprint:path}/unmute", "GROUP/unmute", WHY),
    ("POST", "/dead-letters/{letter_id}/replay", "/dead-letters/1/replay", WHY),
    ("POST", "/dead-letters/{letter_id}/abandon", "/dead-letters/2/abandon", WHY),
    ("POST", "/dead-letters/bulk", "/dead-letters/bulk", WHY | {"token": "of the preview"}),
    ("POST", "/dead-letters/bulk/{bulk_id}/cancel", "/dead-letters/bulk/1/cancel", WHY),
    ("POST", "/dependencies/{name:path}/probe", "/dependencies/joke-api/probe", WHY),
    ("POST", "/dependencies/{name:path}/isolate", "/dependencies/joke-api/isolate", WHY),
    ("POST", "/dependencies/{name:path}/reset", "/dependencies/joke-api/reset", WHY),
    ("PUT", "/limits/{kind}/{name:path}", "/limits/queue/sums", WHY | {"max_running": 2}),
    ("DELETE", "/limits/{kind}/{name:path}", "/limits/queue/sums?reason=told by the customer", {}),
    ("POST", "/monitoring/stop", "/monitoring/stop", WHY | {"duration": "1h"}),
    ("POST", "/monitoring/start", "/monitoring/start", WHY),
    ("POST", "/tasks/{task}", "/tasks/fetch-joke", {}),
    ("POST", "/tasks/{task}/batch", "/tasks/fetch-joke/batch", {"jobs": [{}, {}]}),
    ("POST", "/translations", "/translations", TEXT),
    ("DELETE", "/translations/{job_id}", "/translations/NEWEST", {}),
    ("POST", "/translations/{job_id}/retry", "/translations/NEWEST/retry", WHY),
    ("POST", "/translations/compare", "/translations/compare", TEXT),
    ("POST", "/translations/batch", "/translations/batch", {"translations": [TEXT]}),
)


def test_every_change_is_in_the_story():
    """Each route that changes something is called below, so that a new one has to leave its row, too.

    The forms of the pages come to the same functions; their own tests look for their rows.
    """
    told = {(method, route) for method, route, *_ in STORY}
    asked = [(method, path) for method, path, _ in ROUTES if not is_page(path)]
    changing = {(method, path) for method, path in asked if method not in SAFE_METHODS and path not in QUESTIONS}
    assert changing - {PREVIEW} == told


async def test_every_change_is_told(database_url: str, conn: AsyncConnection):
    """Whatever is changed leaves one row, with the key's name as the actor, the reason, and on what it was done."""
    async with serving(settings_for(database_url)) as (queue, client):
        client.headers["Authorization"] = f"Bearer {await create_key(conn, 'zoe', Role.ADMIN, actor='test')}"
        places = await prepare(queue, client)
        await open_breaker(conn)
        await conn.execute("DELETE FROM afresh.audit")
        for method, route, path, given in STORY:
            newest = await (await conn.execute("SELECT max(id) FROM procrastinate_jobs")).fetchone()
            url = path.replace("GROUP", places["group"]).replace("NEWEST", str(newest and newest[0]))
            body = None if method == "DELETE" else given | {name: places[name] for name in given.keys() & places}
            answer = await client.request(method, url, json=body)
            assert answer.status_code in {200, 202, 204}, (path, answer.text)
            cursor = await conn.execute("DELETE FROM afresh.audit RETURNING actor, target <> '', reason")
            reason = None if (method, route) in WITHOUT_REASON else WHY["reason"]
            assert await cursor.fetchall() == [("zoe", True, reason)], path


async def told(conn: AsyncConnection) -> list[Any]:
    """Who did what on what, in the order of time."""
    cursor = await conn.execute("SELECT actor, action, target, details FROM afresh.audit ORDER BY id")
    return await cursor.fetchall()


async def test_submissions(client: httpx.AsyncClient, conn: AsyncConnection):
    """A submission leaves one row, and so does a batch, which says how many jobs it made; without a key: `local`."""
    held = {"args": {"a": 1}, "queueing_lock": "held"}
    job = (await client.post("/tasks/add", json=held)).json()
    body = {"jobs": [{"args": {"a": 2}}, held, {"args": {"a": 3}}], "on_conflict": "skip"}
    batch = (await client.post("/tasks/add/batch", json=body)).json()
    assert await told(conn) == [
        ("local", "job.submit", str(job["job_id"]), {"task": "sample.add"}),
        ("local", "batch.submit", str(batch["batch_id"]), {"task": "sample.add", "jobs": 2}),
    ]


@pytest.mark.parametrize("path", ["/tasks/add", "/tasks/add/batch"])
async def test_repeated_submission(client: httpx.AsyncClient, conn: AsyncConnection, path: str):
    """What an Idempotency-Key keeps from being done twice is not told twice."""
    item = {"args": {"a": 1}}
    body = {"jobs": [item]} if path.endswith("batch") else item
    answers = [await client.post(path, json=body, headers={"Idempotency-Key": "order-1"}) for _ in range(2)]
    made = answers[1].headers["location"].rpartition("/")[2]
    assert [(actor, target) for actor, _, target, _ in await told(conn)] == [("local", made)]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "order-1"}])
async def test_refused_submission(client: httpx.AsyncClient, conn: AsyncConnection, headers: dict[str, str]):
    """What was refused did not happen, and is not told."""
    held = {"args": {"a": 1}, "queueing_lock": "held"}
    await client.post("/tasks/add", json=held)
    refused = [
        await client.post("/tasks/add", json=held, headers=headers),
        await client.post("/tasks/add/batch", json={"jobs": [held]}, headers=headers),
        await client.post("/tasks/add", json={"args": {}}, headers=headers),
    ]
    assert [answer.status_code for answer in refused] == [409, 409, 422]
    assert len(await told(conn)) == 1


async def prepare(queue: Afresh, client: httpx.AsyncClient) -> dict[str, Any]:
    """Bring about what the story begins with; its group of failures, and the token for its bulk replay."""
    waiting, dying = {"args": {"a": 1}, "run_in": "1h"}, {"args": {"message": "refused"}}
    for task, body in [("add", waiting)] * 3 + [("fail", dying)] * 3:
        await client.post(f"/tasks/{task}", json=body)
    await run_waiting_jobs(queue)
    (group,) = (await client.get("/failures/groups")).json()["items"]
    preview = await client.post(PREVIEW[1], json={"action": "replay", "filter": {"task": "fail"}})
    return {"group": f"/failures/groups/{group['fingerprint']}", "token": preview.json()["token"]}


async def changes(conn: AsyncConnection) -> None:
    """Three changes."""
    await record(conn, actor="ada", action="queue.pause", target="emails", reason="the provider is down")
    await record(conn, actor="bob", action="job.cancel", target="7")
    await record(conn, actor="ada", action="queue.resume", target="emails", details={"token": "x", "jobs": 3})


async def test_pages(client: httpx.AsyncClient, conn: AsyncConnection):
    """Changes are listed newest first, page by page."""
    await changes(conn)
    first = (await client.get("/audit?limit=2")).json()
    second = (await client.get(f"/audit?limit=2&cursor={first['next_cursor']}")).json()
    assert [each["action"] for each in first["items"] + second["items"]] == [
        "queue.resume",
        "job.cancel",
        "queue.pause",
    ]
    assert (first["total"], first["total_is_exact"], second["next_cursor"]) == (3, True, None)
    assert second["items"][0]["reason"] == "the provider is down"


async def test_secrets(client: httpx.AsyncClient, conn: AsyncConnection):
    """Details hold no secret."""
    await changes(conn)
    newest = (await client.get("/audit")).json()["items"][0]
    assert newest["details"] == {"token": "[redacted]", "jobs": 3}


@pytest.mark.parametrize(("query", "count"), [("actor=ada", 2), ("action=job.cancel", 1), ("target=emails", 2)])
async def test_filters(client: httpx.AsyncClient, conn: AsyncConnection, query: str, count: int):
    """They can be filtered by who, what and on what."""
    await changes(conn)
    page = (await client.get(f"/audit?{query}")).json()
    assert (page["total"], len(page["items"])) == (count, count)


async def test_longest_target(client: httpx.AsyncClient):
    """What was done to a dependency can be looked up, however long its name is."""
    name = "x" * 255
    assert (await client.post(f"/dependencies/{name}/isolate", json={"reason": "it is moved"})).status_code == 200
    (told,) = (await client.get("/audit", params={"target": name})).json()["items"]
    assert told["reason"] == "it is moved"


async def test_keys(conn: AsyncConnection):
    """Making and revoking a key is told, with its public part; a refusal is not."""
    prefix = (await create_key(conn, "deploy", Role.OPERATOR, actor="cli")).rpartition("_")[0]
    with pytest.raises(KeyRefused):
        await create_key(conn, "deploy", Role.ADMIN, actor="cli")
    await revoke_key(conn, "deploy", actor="cli")
    with pytest.raises(KeyRefused):
        await revoke_key(conn, "deploy", actor="cli")
    assert await told(conn) == [
        ("cli", "key.create", "deploy", {"role": "operator", "prefix": prefix}),
        ("cli", "key.revoke", "deploy", {"prefix": prefix}),
    ]
    await create_key(conn, "deploy", Role.VIEWER, actor="cli")  # The name is free again.


@pytest.mark.parametrize("name", ["", "local", "CLI", "a\nb", "-x", "x" * 64, "Admin_Api_Key", "a;b"])
async def test_names(conn: AsyncConnection, name: str):
    """A key has a name that is one line and means nobody else in the audit."""
    with pytest.raises(KeyRefused):
        await create_key(conn, name, Role.VIEWER, actor="cli")
