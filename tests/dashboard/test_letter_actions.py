"""Replaying and abandoning one dead letter from its page."""

from typing import Any

import httpx
import orjson
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.audit import AuditFilter, list_audit
from app.store.keys import Role, create_key

from ..api.test_dead_letters import bury
from ..application import Served, run_waiting_jobs, serving, settings_for
from .forms import do, send, sign_in
from .test_letters import LIST, page_of
from .test_sign_in import ADMIN_KEY

pytestmark = pytest.mark.anyio


def address_of(letter: dict[str, Any]) -> str:
    """Where its page is."""
    return f"{LIST}/{letter['id']}"


async def job_in_place(queue: Afresh, client: httpx.AsyncClient, letter: dict[str, Any]) -> dict[str, Any]:
    """The newest job in a letter's place, its arguments unmasked."""
    job_id = (await client.get(f"/dead-letters/{letter['id']}")).json()["replayed_as"]
    job: dict[str, Any] = (await client.get(f"/jobs/{job_id}")).json()
    async with queue.connection() as conn:
        cursor = await conn.execute("SELECT args FROM procrastinate_jobs WHERE id = %s", [job_id])
        ((args,),) = await cursor.fetchall()
    return job | {"args": args}


async def test_replay(served: Served):
    """A replay leads back to the letter, which says what job runs in its place, and why is in the audit."""
    queue, client = served
    letter = await bury(queue, client)
    page = await do(client, address_of(letter), f"{address_of(letter)}/replay", reason="the token is renewed")
    assert "Job 2 runs in the place of job 1." in page
    assert '<a href="/dashboard/jobs/2">Job 2</a> waits or runs in its place' in page
    async with queue.connection() as conn:
        (row,) = (await list_audit(conn, AuditFilter(action="dead_letter.replay"), limit=5)).items
    assert (row["actor"], row["target"], row["reason"]) == ("local", str(letter["id"]), "the token is renewed")
    assert "args" not in row["details"]


async def test_replay_with_changes(served: Served):
    """Arguments, queue, priority and time can be other ones; a masked value that comes back is as it was."""
    queue, client = served
    letter = await bury(queue, client)
    args = orjson.dumps(letter["args"] | {"message": "again"}).decode()
    assert "[redacted]" in args
    await do(
        client,
        address_of(letter),
        f"{address_of(letter)}/replay",
        args=args,
        queue="elsewhere",
        priority="8",
        run_in="1h",
        reason="x",
    )
    job = await job_in_place(queue, client, letter)
    assert job["args"] == {"message": "again", "password": "hunter2"}
    assert (job["queue"], job["priority"], job["state"]) == ("elsewhere", 8, "scheduled")


async def test_replay_ahead(served: Served):
    """It can go ahead of every other job."""
    queue, client = served
    letter = await bury(queue, client)
    await do(client, address_of(letter), f"{address_of(letter)}/replay", ahead="yes", reason="x")
    assert (await job_in_place(queue, client, letter))["priority"] == 11


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"args": '{"message": 7}'}, "args.message: "),
        ({"args": '{"message": "a", "password": "x [redacted]"}'}, "args.password: is masked"),
        ({"args": "[1]"}, "args: a JSON object"),
        ({"args": "{oops"}, "args: no JSON: "),
        ({"args": '{"message": "\\u0000"}'}, "args.message: contains a NUL"),
        ({"run_in": "soon"}, "run_in: a duration"),
        ({"run_in": "1h", "run_at": "2030-01-01T00:00"}, "run_at: only one"),
        ({"priority": "11"}, "priority: a whole number from 1 to 10"),
        ({"priority": "3", "ahead": "yes"}, "priority: only one"),
        ({"queue": "q" * 41}, "queue: at most 40"),
        ({"reason": " "}, "reason: is missing"),
    ],
)
async def test_what_cannot_be(served: Served, fields: dict[str, str], fault: str):
    """What cannot be replayed so is told beside the form, which keeps what was typed; nothing is done."""
    letter = await bury(*served)
    given = {"reason": "because of this"} | fields
    answer = await send(served[1], address_of(letter), f"{address_of(letter)}/replay", **given)
    assert answer.status_code == 422
    assert f"Nothing was done. {fault}" in answer.text
    assert '<details class="action wide" id="replay" open>' in answer.text
    if "reason" not in fields:
        assert 'value="because of this"' in answer.text
    assert (await served[1].get(f"/dead-letters/{letter['id']}")).json()["status"] == "pending"


async def test_replayed_already(served: Served):
    """Whoever comes second is told which job runs in its place."""
    letter = await bury(*served)
    await do(served[1], address_of(letter), f"{address_of(letter)}/replay", reason="x")
    answer = await send(served[1], address_of(letter), f"{address_of(letter)}/replay", reason="x")
    assert answer.status_code == 409
    assert "job 2 waits or runs in the place of job 1" in answer.text


async def test_abandon(served: Served, conn: AsyncConnection):
    """An abandoned letter keeps its note, as the audit does; it can still be replayed, and no more be abandoned."""
    letter = await bury(*served)
    page = await do(served[1], address_of(letter), f"{address_of(letter)}/abandon", reason="the customer left")
    assert "is abandoned." in page
    assert "the customer left" in page
    assert 'id="replay"' in page
    assert 'id="abandon"' not in page
    (row,) = (await list_audit(conn, AuditFilter(action="dead_letter.abandon"), limit=5)).items
    assert (row["actor"], row["target"], row["reason"]) == ("local", str(letter["id"]), "the customer left")


async def test_abandon_wants_a_reason(served: Served):
    """Giving up without saying why is refused."""
    letter = await bury(*served)
    answer = await send(served[1], address_of(letter), f"{address_of(letter)}/abandon", reason="")
    assert answer.status_code == 422


async def test_resolved(served: Served):
    """A letter whose replay succeeded has no buttons."""
    queue, client = served
    letter = await bury(queue, client)
    async with queue.connection() as conn:
        await conn.execute("UPDATE afresh.dead_letter SET task_name = 'sample.accept_anything'")
    await do(client, address_of(letter), f"{address_of(letter)}/replay", reason="x")
    await run_waiting_jobs(queue)
    page = await page_of(client, address_of(letter))
    assert '<span class="state resolved">resolved</span>' in page
    assert 'class="actions"' not in page


async def test_a_task_that_is_gone(served: Served):
    """Of a task that is not registered here no job is made: the page says so in place of the button."""
    queue, client = served
    letter = await bury(queue, client)
    async with queue.connection() as conn:
        await conn.execute("UPDATE afresh.dead_letter SET task_name = 'old.one'")
    page = await page_of(client, address_of(letter))
    assert "No task of this name is registered here" in page
    assert 'id="replay"' not in page
    assert 'id="abandon"' in page


async def test_viewers(database_url: str):
    """A viewer sees the story and no buttons, and is refused where the buttons lead."""
    bearer = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with serving(settings_for(database_url, admin_key=ADMIN_KEY)) as (queue, client):
        await client.post("/tasks/fail", json={"args": {"message": "x"}}, headers=bearer)
        await run_waiting_jobs(queue)
        async with queue.connection() as conn:
            key = await create_key(conn, "reader", Role.VIEWER, actor="test")
        await sign_in(client, key)
        for address in (LIST, f"{LIST}/1", f"{LIST}?task=fail", "/dashboard/failures"):
            assert 'action="/dashboard/dead-letters/' not in await page_of(client, address)
        for action in ("1/replay", "1/abandon", "bulk/preview", "bulk", "bulk/1/stop"):
            assert (await send(client, f"{LIST}/1", f"{LIST}/{action}", reason="x")).status_code == 403
