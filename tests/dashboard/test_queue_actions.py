"""Pausing, resuming, clearing and limiting a queue from its page."""

from typing import Any

import httpx
import pytest

from app.queue.app import Afresh
from app.store.audit import AuditFilter, list_audit
from app.store.keys import Role, create_key
from app.store.limits import list_limits

from ..application import Served, serving, settings_for
from .forms import do, send, sign_in
from .parts import text_of
from .test_sign_in import ADMIN_KEY

pytestmark = pytest.mark.anyio

SUMS = "/dashboard/queues/sums"
LIMIT = {"max_running": "", "rate_jobs": "", "rate_per": "", "rate_burst": "", "reason": "as the contract says"}


async def wait_in_sums(client: httpx.AsyncClient, jobs: int = 3) -> None:
    """Jobs that nobody takes."""
    for number in range(jobs):
        await client.post("/tasks/add", json={"args": {"a": number}})


async def changes(queue: Afresh) -> list[tuple[Any, ...]]:
    """What the audit says of the queue, the newest first."""
    async with queue.connection() as conn:
        rows = (await list_audit(conn, AuditFilter(target="sums"), limit=10)).items
    return [(row["actor"], row["action"], row["reason"]) for row in rows]


async def test_pause_and_resume(served: Served):
    """A pause and its end lead back to the queue, which says how it stands; why is in the audit."""
    queue, client = served
    page = await do(client, SUMS, f"{SUMS}/pause", reason="a deploy")
    assert "sums is paused" in page
    assert f'action="{SUMS}/resume"' in page
    page = await do(client, SUMS, f"{SUMS}/resume", reason="it is over")
    assert "sums goes on" in page
    assert f'action="{SUMS}/pause"' in page
    assert await changes(queue) == [("local", "queue.resume", "it is over"), ("local", "queue.pause", "a deploy")]


async def test_without_a_reason(served: Served):
    """Nothing is paused without a reason."""
    assert (await send(served[1], SUMS, f"{SUMS}/pause", reason=" ")).status_code == 422
    assert await changes(served[0]) == []


async def test_paused_by_another(served: Served):
    """Who wants to pause what somebody else has paused meanwhile is told who did, and why."""
    await served[1].post("/queues/sums/pause", json={"reason": "the first reason"})
    answer = await send(served[1], SUMS, f"{SUMS}/pause", reason="the second")
    assert answer.status_code == 409
    assert "the first reason" in answer.text


async def test_clear(served: Served):
    """Before a queue is cleared its jobs are counted; their number clears it, and a queue with a strange name too."""
    queue, client = served
    await wait_in_sums(client)
    assert "3 jobs wait in it" in await text_of(client, f"{SUMS}/clear")
    page = await do(client, f"{SUMS}/clear", f"{SUMS}/clear", confirm="3", reason="made by mistake")
    assert "3 jobs are cancelled" in page
    assert (await client.get("/jobs?state=cancelled")).json()["total"] == 3
    assert (await changes(queue))[0] == ("local", "queue.clear", "made by mistake")
    await client.post("/tasks/add", json={"args": {"a": 1}, "queue": "north/south & west"})
    strange = "/dashboard/queues/north/south%20%26%20west"
    assert "1 job is cancelled" in await do(client, f"{strange}/clear", f"{strange}/clear", confirm="1", reason="x")


@pytest.mark.parametrize("confirmed", ["2", "0"])
async def test_clear_another_number(served: Served, confirmed: str):
    """With another number nothing is cancelled, and the page says how many there are."""
    queue, client = served
    await wait_in_sums(client)
    page = await do(client, f"{SUMS}/clear", f"{SUMS}/clear", confirm=confirmed, reason="x")
    assert f"Nothing is cancelled: 3 wait by now, and {confirmed} was confirmed." in page
    assert (await client.get("/jobs?state=ready")).json()["total"] == 3
    assert ("local", "queue.clear", "x") not in await changes(queue)


@pytest.mark.parametrize("confirmed", ["", "many", "-1"])
async def test_clear_without_a_number(served: Served, confirmed: str):
    """What is no number clears nothing."""
    await wait_in_sums(served[1])
    answer = await send(served[1], f"{SUMS}/clear", f"{SUMS}/clear", confirm=confirmed, reason="x")
    assert answer.status_code == 422
    assert (await served[1].get("/jobs?state=ready")).json()["total"] == 3


async def test_nothing_to_clear(served: Served):
    """Where no job waits there is nothing to confirm."""
    page = (await served[1].get(f"{SUMS}/clear")).text
    assert "No job waits in it" in page
    assert "<form" not in page.partition("<main")[2].partition("</main>")[0]


async def test_limit(served: Served):
    """A limit is set, shown and lifted; it stands in the form that changes it."""
    queue, client = served
    given = LIMIT | {"max_running": "5", "rate_jobs": "100", "rate_per": "1m"}
    page = await do(client, SUMS, f"{SUMS}/limit", **given)
    assert "5 at once, 100 per 60 s" in page
    assert 'name="max_running" type="number" min="1" max="1000000" value="5"' in page
    assert 'value="60s"' in page
    async with queue.connection() as conn:
        (limit,) = await list_limits(conn, "queue", "sums")
    assert limit.rate is not None
    assert (limit.max_running, limit.rate.jobs, limit.rate.per.total_seconds()) == (5, 100, 60)
    page = await do(client, SUMS, f"{SUMS}/unlimit", reason="it bears more")
    assert "no limit of its own" in page
    assert [action for _, action, _ in await changes(queue)] == ["queue.unlimit", "queue.limit"]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"rate_jobs": "5"}, {"rate_per": "1m"}, {"rate_burst": "5"}, {"max_running": "0"}, {"max_running": "9999999"},
     {"rate_jobs": "5", "rate_per": "soon"}],
)  # fmt: skip
async def test_what_is_no_limit(served: Served, wrong: dict[str, str]):
    """What limits nothing, or half of a rate, is refused."""
    assert (await send(served[1], SUMS, f"{SUMS}/limit", **(LIMIT | wrong))).status_code == 422
    assert await changes(served[0]) == []


async def test_no_limit_to_lift(served: Served):
    """A limit that somebody else has lifted meanwhile is told."""
    assert (await send(served[1], SUMS, f"{SUMS}/unlimit", reason="x")).status_code == 404


@pytest.mark.parametrize(
    ("role", "pauses", "clears"), [(Role.VIEWER, False, False), (Role.OPERATOR, True, False), (Role.ADMIN, True, True)]
)
async def test_who_may(database_url: str, role: Role, *, pauses: bool, clears: bool):
    """An operator pauses and limits, an admin clears too; the others see no buttons, and their forms are refused."""
    async with serving(settings_for(database_url, admin_key=ADMIN_KEY)) as (queue, client):
        await client.post("/tasks/add", json={"args": {"a": 1}}, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        async with queue.connection() as conn:
            key = await create_key(conn, name="somebody", role=role, actor="test")
        await sign_in(client, key)
        page = (await client.get(SUMS)).text
        assert (f'action="{SUMS}/pause"' in page, f'href="{SUMS}/clear"' in page) == (pauses, clears)
        assert ('href="/dashboard/audit"' in page) == clears
        assert (await client.get(f"{SUMS}/clear")).status_code == (200 if clears else 403)
        refused = await send(client, SUMS, f"{SUMS}/clear", confirm="1", reason="x")
        assert refused.status_code == (303 if clears else 403)
        for action in ("pause", "limit"):
            answer = await send(client, SUMS, f"{SUMS}/{action}", max_running="5", reason="x")
            assert answer.status_code == (303 if pauses else 403)
