from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.audit import record
from app.store.keys import KeyRefused, Role, create_key, revoke_key
from app.web.origin import SAFE_METHODS

from ..application import run_waiting_jobs, serving, settings_for
from .test_roles import QUESTIONS, ROUTES

pytestmark = pytest.mark.anyio

WHY = {"reason": "told by the customer"}

SUBMISSIONS = {("POST", "/tasks/{task}"), ("POST", "/tasks/{task}/batch")}
"""A job says itself who asked for it, and so does a batch."""

PREVIEW = ("POST", "/dead-letters/bulk/preview")

# In this order each is possible: jobs 1 to 3 wait, 4 to 6 have died, of one cause.
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
    ("POST", "/dead-letters/bulk", "/dead-letters/bulk", WHY | {"token": "TOKEN"}),
    ("POST", "/dead-letters/bulk/{bulk_id}/cancel", "/dead-letters/bulk/1/cancel", WHY),
)


def test_every_change_is_in_the_story():
    """Each route that changes something is called below, so that a new one has to say who, what and why, too."""
    told = {(method, route) for method, route, *_ in STORY}
    changing = {(method, path) for method, path, _ in ROUTES if method not in SAFE_METHODS and path not in QUESTIONS}
    assert changing - SUBMISSIONS - {PREVIEW} == told


async def test_every_change_is_told(database_url: str, conn: AsyncConnection):
    """Whatever is changed leaves one row, with the key's name as the actor, the reason, and on what it was done."""
    async with serving(settings_for(database_url)) as (queue, client):
        client.headers["Authorization"] = f"Bearer {await create_key(conn, 'zoe', Role.ADMIN, actor='test')}"
        places = await prepare(queue, client)
        await conn.execute("DELETE FROM afresh.audit")
        for method, _, path, given in STORY:
            url = path.replace("GROUP", places["GROUP"])
            body = {name: places.get(value, value) for name, value in given.items()} if method == "POST" else None
            answer = await client.request(method, url, json=body)
            assert answer.status_code in {200, 202}, (path, answer.text)
            cursor = await conn.execute("DELETE FROM afresh.audit RETURNING actor, target <> '', reason")
            assert await cursor.fetchall() == [("zoe", True, WHY["reason"])], path


async def prepare(queue: Afresh, client: httpx.AsyncClient) -> dict[str, Any]:
    """Bring about what the story begins with; what stands in it in capitals."""
    waiting, dying = {"args": {"a": 1}, "run_in": "1h"}, {"args": {"message": "refused"}}
    for task, body in [("add", waiting)] * 3 + [("fail", dying)] * 3:
        await client.post(f"/tasks/{task}", json=body)
    await run_waiting_jobs(queue)
    (group,) = (await client.get("/failures/groups")).json()["items"]
    preview = await client.post(PREVIEW[1], json={"action": "replay", "filter": {"task": "fail"}})
    return {"GROUP": f"/failures/groups/{group['fingerprint']}", "TOKEN": preview.json()["token"]}


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


async def test_keys(conn: AsyncConnection):
    """Making and revoking a key is told, with its public part; a refusal is not."""
    prefix = (await create_key(conn, "deploy", Role.OPERATOR, actor="cli")).rpartition("_")[0]
    with pytest.raises(KeyRefused):
        await create_key(conn, "deploy", Role.ADMIN, actor="cli")
    await revoke_key(conn, "deploy", actor="cli")
    with pytest.raises(KeyRefused):
        await revoke_key(conn, "deploy", actor="cli")
    cursor = await conn.execute("SELECT actor, action, target, details FROM afresh.audit ORDER BY id")
    assert await cursor.fetchall() == [
        ("cli", "key.create", "deploy", {"role": "operator", "prefix": prefix}),
        ("cli", "key.revoke", "deploy", {"prefix": prefix}),
    ]
    await create_key(conn, "deploy", Role.VIEWER, actor="cli")  # The name is free again.


@pytest.mark.parametrize("name", ["", "local", "CLI", "a\nb", "-x", "x" * 64, "Admin_Api_Key", "a;b"])
async def test_names(conn: AsyncConnection, name: str):
    """A key has a name that is one line and means nobody else in the audit."""
    with pytest.raises(KeyRefused):
        await create_key(conn, name, Role.VIEWER, actor="cli")
