"""Limits: set, shown and lifted by operators."""

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio


async def test_a_limit_and_its_end(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A limit is set, holds, is shown with what it leaves, replaced and lifted; the audit has each change."""
    rate = {"rate": {"jobs": 1, "per": "7d"}, "reason": "contract"}
    assert (await client.put("/limits/queue/sums", json=rate)).json() == {
        "kind": "queue",
        "name": "sums",
        "max_running": None,
        "rate": {"jobs": 1, "per_seconds": 604_800.0, "burst": 1},
        "room": 1,
    }
    for _ in range(2):
        await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    assert [(await client.get(f"/jobs/{job_id}")).json()["waiting_for"] for job_id in (1, 2)] == [None, "limit"]
    assert (await client.get("/limits")).json()[0]["room"] == 0
    replaced = await client.put("/limits/queue/sums", json={"max_running": 5, "reason": "more"})
    assert (replaced.json()["max_running"], replaced.json()["rate"]) == (5, None)
    await run_waiting_jobs(queue)
    assert (await client.get("/jobs/2")).json()["state"] == "succeeded"
    assert (await client.delete("/limits/queue/sums")).status_code == 204
    assert (await client.delete("/limits/queue/sums")).status_code == 404
    assert (await client.get("/limits/queue/sums")).status_code == 404
    audit = await (
        await conn.execute("SELECT action, target, reason FROM afresh.audit WHERE action LIKE 'queue.%' ORDER BY id")
    ).fetchall()
    assert audit == [
        ("queue.limit", "sums", "contract"),
        ("queue.limit", "sums", "more"),
        ("queue.unlimit", "sums", "lifted"),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("queue/q", {"reason": "x"}),
        ("queue/q", {"max_running": 5}),
        ("queue/q", {"max_running": 0, "reason": "x"}),
        ("queue/q", {"max_running": 2_000_000, "reason": "x"}),
        ("queue/q", {"rate": {"jobs": 5}, "reason": "x"}),
        ("queue/q", {"rate": {"jobs": 5, "per": "0s"}, "reason": "x"}),
        ("dependency/d", {"max_running": 5, "reason": "x"}),
        ("worker/w", {"max_running": 5, "reason": "x"}),
    ],
)
async def test_no_limit(client: httpx.AsyncClient, path: str, body: dict[str, object]):
    """What limits nothing, says not why, or cannot be counted, is refused."""
    assert (await client.put(f"/limits/{path}", json=body)).status_code == 422
    assert (await client.get("/limits")).json() == []
