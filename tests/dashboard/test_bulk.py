"""Bulk actions on dead letters from the pages: previewed, confirmed, followed, stopped."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue import bulk
from app.queue.pace import FIRST_SHARE, RAMP_SECONDS
from app.store.audit import AuditFilter, list_audit

from ..api.test_dead_letters import insert
from ..application import Served, run_waiting_jobs
from .forms import PERSON, do, hidden_of, send
from .test_letters import LIST, page_of

pytestmark = pytest.mark.anyio

BULK = f"{LIST}/bulk"


async def preview(client: httpx.AsyncClient, action: str = "replay", **filters: str) -> str:
    """The page that says what an action would be about."""
    answer = await send(client, LIST, f"{BULK}/preview", action=action, **filters)
    assert answer.status_code == 200, answer.text
    return answer.text


async def confirm(client: httpx.AsyncClient, page: str, **fields: str) -> str:
    """The page of the action, once what a preview showed is confirmed."""
    (token,) = re.findall(r'name="token" value="([^"]+)"', page)
    return await do(client, LIST, BULK, token=token, **{"reason": "they are back"} | fields)


async def test_from_the_list(served: Served, conn: AsyncConnection):
    """A list that is narrowed offers to act on all that fit; one that is not says what to do first."""
    await insert(conn)
    assert "Narrow them by a filter" in await page_of(served[1])
    page = await page_of(served[1], task="add", text="no", status="pending")
    form = page[page.index(f'action="{BULK}/preview"') :]
    for field in ('name="task" value="add"', 'name="text" value="no"', 'name="action" value="replay"'):
        assert field in form[: form.index("</form>")]
    assert 'name="status"' not in form[: form.index("</form>")]
    assert f'action="{BULK}/preview"' not in await page_of(served[1], task="add", status="resolved")


async def test_preview(served: Served, conn: AsyncConnection):
    """A preview counts exactly, past the page, and names tasks and failures; nothing is done."""
    await insert(conn, 60, queue_name="orders", exception_type="shop.Refused")
    await insert(conn, 2, queue_name="orders", task_name="old.one")
    await insert(conn, 5, queue_name="other")
    page = await preview(served[1], queue="orders")
    assert "Replay 62 dead letters?" in page
    for words in ("sample.add", "old.one", "not registered here, will be left out", "shop.Refused", "queue: orders"):
        assert words in page
    assert (await served[1].get("/dead-letters/bulk")).json()["total"] == 0


async def test_preview_of_what_died_lately(served: Served, conn: AsyncConnection):
    """That they died within some hours means those of the preview, also when it is confirmed later."""
    _, client = served
    await insert(conn, 3)
    await insert(conn, 2, died_at="2020-01-01T00:00:00Z")
    before = datetime.now(UTC)
    page = await preview(client, within="24h")
    after = datetime.now(UTC)
    assert "Replay 3 dead letters?" in page
    await confirm(client, page)
    (each,) = (await client.get("/dead-letters/bulk")).json()["items"]
    assert before <= datetime.fromisoformat(each["filter"]["died_from"]) + timedelta(hours=24) <= after


async def test_nothing_fits(served: Served):
    """Where nothing fits there is nothing to confirm."""
    page = await preview(served[1], queue="nowhere")
    assert "No pending letter fits." in page
    assert 'name="token"' not in page


@pytest.mark.parametrize("filters", [{}, {"status": "pending"}, {"text": ""}])
async def test_an_empty_filter(served: Served, filters: dict[str, str]):
    """All letters at once are never meant."""
    answer = await send(served[1], LIST, f"{BULK}/preview", action="replay", **filters)
    assert answer.status_code == 422
    assert "an empty filter would take every letter" in answer.text


@pytest.mark.parametrize(
    "fields", [{"action": "burn", "queue": "q"}, {"action": "replay", "failure_type": "ODD"}, {"queue": "q"}]
)
async def test_odd_previews(served: Served, fields: dict[str, str]):
    """An action or filter that does not exist is refused."""
    assert (await send(served[1], LIST, f"{BULK}/preview", **fields)).status_code == 422


async def test_replay_to_its_end(served: Served, conn: AsyncConnection):
    """A confirmed replay is audited and run by a job; its page tells how far it is, and what became of the letters."""
    queue, client = served
    await insert(conn, 12, task_name="sample.accept_anything")
    page = await confirm(client, await preview(client, task="accept-anything"), rate_per_second="1000")
    assert '<span class="state waiting">waiting</span>' in page
    assert 'action="/dashboard/dead-letters/bulk/1/stop"' in page
    (row,) = (await list_audit(conn, AuditFilter(action="dead_letter.replay_many"), limit=5)).items
    assert (row["actor"], row["target"], row["reason"]) == ("local", "bulk 1", "they are back")
    await run_waiting_jobs(queue)
    page = await page_of(client, f"{BULK}/1")
    assert '<span class="state done">done</span>' in page
    assert '<progress max="100" value="100.0"' in page
    assert "12 replayed" in page
    assert "they are back" in page
    assert "/stop" not in page
    letters = await page_of(client, LIST, bulk="1", status="resolved")
    assert letters.count('<li class="row">') == 12


async def test_abandon_all(served: Served, conn: AsyncConnection):
    """Letters that are abandoned together keep the reason as their note."""
    queue, client = served
    await insert(conn, 3, queue_name="old")
    await confirm(client, await preview(client, "abandon", queue="old"), reason="the shop is closed")
    await run_waiting_jobs(queue)
    assert "3 abandoned" in await page_of(client, f"{BULK}/1")
    assert (await page_of(client, LIST, status="abandoned")).count("the shop is closed") == 3


async def test_terms(served: Served, conn: AsyncConnection):
    """A preview asks for the reason and the rate, and says how it begins and ends; the page of the action has the same.

    Left empty, they are the usual ones.
    """
    await insert(conn, 2)
    seen = await preview(served[1], task="add")
    assert re.search('name="reason" [^>]*required>', seen)
    assert f"It begins with a tenth of that rate and rises for {RAMP_SECONDS:g} s, waits while its jobs wait" in seen
    assert f"stops by itself if too many of the last {bulk.JUDGED} failed again." in seen
    assert FIRST_SHARE == 0.1  # As it says.
    page = await confirm(served[1], seen, rate_per_second="2.5", stop_percent="10")
    assert f"<dt>Rate</dt><dd>2.5 per second, after {RAMP_SECONDS:g} s</dd>" in page
    assert f"when more than 10% of the last {bulk.JUDGED} jobs failed again</dd>" in page
    page = await confirm(served[1], await preview(served[1], task="add"), rate_per_second="", stop_percent="")
    assert "<dd>50 per second, after" in page
    assert "when more than 50% of the last" in page
    bulks = (await served[1].get("/dead-letters/bulk")).json()["items"]
    assert [(each["rate_per_second"], each["stop_share"]) for each in bulks] == [(50, 0.5), (2.5, 0.1)]


async def test_half_way(served: Served, conn: AsyncConnection):
    """Its page tells why it is done, how far it is and how long the rest takes, and offers to stop it."""
    _, client = served
    await insert(conn, 12, task_name="sample.accept_anything")
    await confirm(client, await preview(client, task="accept-anything"), rate_per_second="0.05")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = (SELECT job_id FROM afresh.bulk)")
    await bulk.step(conn, 1, limit=3, tasks=["sample.accept_anything"], judge=False)
    page = await page_of(client, f"{BULK}/1")
    assert '<p class="reason">they are back</p>' in page
    assert '<progress max="100" value="25.0" aria-label="Progress"></progress> <strong>25 %</strong>' in page
    assert "3 replayed, the rest takes about 3 min at the full rate" in page
    assert f'action="{BULK}/1/stop"' in page
    await do(client, f"{BULK}/1", f"{BULK}/1/stop", reason="the wrong ones")
    assert (await bulk.step(conn, 1, limit=3, tasks=["sample.accept_anything"], judge=False)).outcome == "cancelled"
    assert "3 replayed</span>" in await page_of(client, f"{BULK}/1")


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": ""},
        {"rate_per_second": "0"},
        {"rate_per_second": "nan"},
        {"rate_per_second": "fast"},
        {"stop_percent": "101"},
    ],
)
async def test_odd_terms(served: Served, conn: AsyncConnection, fields: dict[str, str]):
    """Without a reason, or with a rate that is none, nothing begins."""
    await insert(conn)
    page = await preview(served[1], task="add")
    (token,) = re.findall(r'name="token" value="([^"]+)"', page)
    answer = await send(served[1], LIST, BULK, token=token, **{"reason": "x"} | fields)
    assert answer.status_code == 422
    assert (await served[1].get("/dead-letters/bulk")).json()["total"] == 0


async def test_confirmed_twice(served: Served, conn: AsyncConnection):
    """A button pressed twice begins one action."""
    await insert(conn)
    page = await preview(served[1], task="add")
    assert await confirm(served[1], page) != ""
    assert "Bulk action</a> 1 of local" in await confirm(served[1], page)


async def test_many_more_since(served: Served, conn: AsyncConnection):
    """Where many more fit than were previewed, another preview is asked for."""
    await insert(conn)
    (token,) = re.findall(r'name="token" value="([^"]+)"', await preview(served[1], task="add"))
    await insert(conn, 10)
    answer = await send(served[1], LIST, BULK, token=token, reason="x")
    assert answer.status_code == 409
    assert "preview again" in answer.text


async def test_stop(served: Served, conn: AsyncConnection):
    """An action can be stopped with a reason, which the audit keeps; its letters stay pending."""
    queue, client = served
    await insert(conn, 3)
    await confirm(client, await preview(client, task="add"))
    page = await do(client, f"{BULK}/1", f"{BULK}/1/stop", reason="the wrong ones")
    assert '<span class="state cancelled">cancelled</span>' in page
    assert "local stopped it." in page
    (row,) = (await list_audit(conn, AuditFilter(action="dead_letter.cancel_many"), limit=5)).items
    assert (row["target"], row["reason"]) == ("bulk 1", "the wrong ones")
    await run_waiting_jobs(queue)
    assert (await client.get("/dead-letters", params={"status": "pending"})).json()["total"] == 3
    assert (await send(client, LIST, f"{BULK}/1/stop", reason="x")).status_code == 409


async def test_what_is_left_out(served: Served, conn: AsyncConnection):
    """Letters that were left out are counted by why."""
    queue, client = served
    await insert(conn, 2, queue_name="q", task_name="old.one")
    await confirm(client, await preview(client, queue="q"))
    await run_waiting_jobs(queue)
    page = await page_of(client, f"{BULK}/1")
    assert "Left out, and still pending" in page
    assert "task not registered" in page


async def test_list_of_actions(served: Served, conn: AsyncConnection):
    """Actions are listed, newest first, and the list of letters leads there."""
    assert "None yet." in await page_of(served[1], BULK)
    await insert(conn, 2)
    for reason in ("first", "second"):
        await confirm(served[1], await preview(served[1], task="add"), reason=reason)
    page = await page_of(served[1], BULK)
    assert page.index("second") < page.index("first")
    assert f'<a class="open" href="{BULK}/2">' in page
    assert f'href="{BULK}"' in await page_of(served[1])


async def test_unknown_action(served: Served):
    """An action that does not exist has no page, nor one that was only previewed."""
    assert (await served[1].get(f"{BULK}/7")).status_code == 404


async def test_a_preview_opened_again(served: Served):
    """The address of a preview, opened by itself, leads to the letters."""
    answer = await served[1].get(f"{BULK}/preview", headers=PERSON)
    assert (answer.status_code, answer.headers["location"]) == (307, LIST)


async def test_from_a_group(served: Served):
    """The page of a group offers to replay its pending letters."""
    await served[1].post("/tasks/fail", json={"args": {"message": "x"}})
    await run_waiting_jobs(served[0])
    (group,) = (await served[1].get("/failures/groups")).json()["items"]
    address = f"/dashboard/failures/groups/{group['fingerprint']}"
    assert (await hidden_of(served[1], address))["group"] == group["fingerprint"]
    assert "Replay 1 dead letter?" in await preview(served[1], group=group["fingerprint"])
