"""The pages of failures as HTML."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection

from app.store.audit import AuditFilter, list_audit
from app.store.groups import mute_group, resolve_group

from ..api.test_dead_letters import insert
from ..api.test_failure_groups import refuse
from ..application import Served
from ..store.history import fail, recover
from .forms import do, send
from .test_letters import page_of
from .test_pages import escape

pytestmark = pytest.mark.anyio

LIST = "/dashboard/failures"
WHO = {"actor": "ada", "reason": "mended in 1.2"}


def groups_of(page: str) -> list[str]:
    """The groups that the page lists, in its order."""
    opened = page.split(f'<a class="open" href="{LIST}/groups/')[1:]
    return [each[: each.index('"')] for each in opened]


async def test_nothing_failed(served: Served):
    """Where nothing failed the page is calm, and explains all types."""
    page = await page_of(served[1], LIST)
    assert "Nothing has failed yet." in page
    assert "16 types that were not met" in page
    assert "the other service is down or failing" in page


async def test_groups(served: Served):
    """A group is told with its type, message, tasks, counts and hours, and leads to its page."""
    await refuse(*served, "order 17 is odd", "order 18 is odd")
    page = await page_of(served[1], LIST)
    (fingerprint,) = groups_of(page)
    group = (await served[1].get(f"/failures/groups/{fingerprint}")).json()
    for words in (group["failure_type"], group["message"], "sample.fail", "2 failures", "2 dead"):
        assert escape(words) in page
    assert '<span class="state open">open</span>' in page
    assert "<title>Failures by the hour, of the last day: from 0 to 2" in page


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["new", "back", "old"]),
        ({"order": "count"}, ["back", "new", "old"]),
        ({"status": "regression"}, ["back"]),
        ({"status": "muted"}, ["old"]),
        ({"task": "add"}, ["old"]),
        ({"type": "TRANSIENT_TIMEOUT"}, ["old"]),
        ({"text": "100%"}, ["back"]),
        ({"dependency": "joke-api"}, ["back"]),
        ({"type": "", "text": "", "status": "open"}, ["new"]),
    ],
)
async def test_filters(served: Served, conn: AsyncConnection, filters: dict[str, str], found: list[str]):
    """The list can be narrowed and sorted by its address."""
    await fail(conn, fingerprint="old", hours_ago=50, task="sample.add", failure_type="TRANSIENT_TIMEOUT")
    await fail(conn, fingerprint="back", hours_ago=50, message="100% lost", task="app.tasks.jokes.fetch_and_cache_joke")
    await resolve_group(conn, "back", **WHO)
    await mute_group(conn, "old", until=datetime.now(UTC) + timedelta(hours=1), **WHO)
    await fail(conn, fingerprint="back", message="100% lost", task="app.tasks.jokes.fetch_and_cache_joke")
    await fail(conn, fingerprint="new")
    assert groups_of(await page_of(served[1], LIST, **filters)) == found


async def test_chips(served: Served, conn: AsyncConnection):
    """A filter is a chip that takes itself away, and leaves the others."""
    await fail(conn, task="sample.add")
    page = await page_of(served[1], LIST, task="add", status="open")
    assert f'<a class="chip taken" href="{LIST}?status=open" aria-label="Take away task add">' in page


async def test_odd_filters(served: Served):
    """A status, order or cursor that does not exist is refused."""
    for address in ("?status=closed", "?order=name", "?cursor=x", "?type=ODD"):
        assert (await served[1].get(LIST + address)).status_code == 422


@pytest.mark.parametrize("order", ["last_seen", "count"])
async def test_more_groups(served: Served, conn: AsyncConnection, order: str):
    """What does not fit on a page is on the next, in either order, without a gap or a repeat."""
    for number in range(27):
        await fail(conn, fingerprint=f"g{number}")
    first = await page_of(served[1], LIST, order=order)
    cursor = first[first.index('rel="next" href="') :].split("cursor=")[1].split('"')[0]
    second = await page_of(served[1], LIST, order=order, cursor=cursor)
    assert groups_of(first) + groups_of(second) == [f"g{number}" for number in range(26, -1, -1)]


async def test_types(served: Served, conn: AsyncConnection):
    """The types met within a day are counted, with what retries achieved and what helps; older failures are not."""
    await recover(conn, failures=2, failure_type="TRANSIENT_TIMEOUT")
    await fail(conn, failure_type="PERMANENT_AUTH", hours_ago=30, job_id=9)
    page = await page_of(served[1], LIST)
    table = page[page.index('id="by-type"') : page.index('id="unmet"')]
    cells = table[table.index(">TRANSIENT_TIMEOUT</a>") :].replace("</td>", "").split("<td")
    assert [cell.split(">", 1)[1].strip() for cell in cells[2:7]] == ["2", "1", "50%", "2.0", "0"]
    assert "it is tried again by itself, look into it" in table
    assert "PERMANENT_AUTH" not in table


async def test_tasks(served: Served, conn: AsyncConnection):
    """The ten tasks that failed most are named, the worst first."""
    for number in range(12):
        for job_id in range(number + 1):
            await fail(conn, task=f"t{number}x", job_id=job_id)
    page = await page_of(served[1], LIST)
    table = page[page.index('id="by-task"') :]
    places = [table.index(f">t{number}x</a>") for number in range(11, 1, -1)]
    assert places == sorted(places)
    assert "t1x" not in table


async def test_one_group(served: Served):
    """A group's page has what it means, what helps, its traceback, tasks, letters and newest failures."""
    queue, client = served
    await refuse(queue, client, "token=hunter2hunter2 refused", "token=hunter3hunter3 refused")
    (fingerprint,) = groups_of(await page_of(client, LIST))
    group = (await client.get(f"/failures/groups/{fingerprint}")).json()
    page = await page_of(client, f"{LIST}/groups/{fingerprint}")
    for words in (group["advice"][1:], group["message"], "What helps: ", "raise RefusedError(message)", "sample.fail"):
        assert escape(words) in page
    assert f'<a href="/dashboard/dead-letters?group={fingerprint}&amp;status=pending">2 pending</a>' in page
    assert page.count('href="/dashboard/dead-letters/') == 2
    assert '<a href="/dashboard/jobs/2">#2</a>' in page
    assert "hunter" not in page


async def test_marks(served: Served, conn: AsyncConnection):
    """Who took a group for resolved or muted it, and why, is on its page; and that it came back."""
    await fail(conn)
    await resolve_group(conn, "f", **WHO)
    page = await page_of(served[1], f"{LIST}/groups/f")
    assert "<strong>Resolved</strong> by ada" in page
    assert "mended in 1.2" in page
    await fail(conn)
    assert "<strong>It is back.</strong> ada took it for resolved" in await page_of(served[1], f"{LIST}/groups/f")
    await mute_group(conn, "f", until=datetime.now(UTC) + timedelta(hours=1), **WHO)
    assert "<strong>Muted</strong> by ada, until" in await page_of(served[1], f"{LIST}/groups/f")


async def test_a_fingerprint_like_a_path(served: Served, conn: AsyncConnection):
    """Users' own fingerprints may have any characters."""
    await fail(conn, fingerprint="shop/pay?x=1&y")
    await insert(conn, fingerprint="shop/pay?x=1&y")
    (address,) = groups_of(await page_of(served[1], LIST))
    page = await page_of(served[1], f"{LIST}/groups/{address}")
    assert "group shop/pay?x=1&amp;y" in page
    assert "1 pending" in page


async def test_no_such_group(served: Served):
    """A group that does not exist has no page."""
    assert (await served[1].get(f"{LIST}/groups/nothing")).status_code == 404


async def test_the_ways_to_a_group(served: Served):
    """The front page and a dead letter lead to the group of their failure."""
    await refuse(*served, "no such luck")
    (fingerprint,) = groups_of(await page_of(served[1], LIST))
    for address in ("/dashboard", "/dashboard/dead-letters/1"):
        assert f'href="{LIST}/groups/{fingerprint}"' in await page_of(served[1], address)


async def test_what_failures_say_is_text(served: Served):
    """Markup in a failure is shown, not obeyed."""
    await refuse(*served, "<script>alert(1)</script>")
    (fingerprint,) = groups_of(await page_of(served[1], LIST))
    for address in (LIST, f"{LIST}/groups/{fingerprint}"):
        page = await page_of(served[1], address)
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


async def test_resolve_and_reopen(served: Served, conn: AsyncConnection):
    """A group can be taken for resolved, and that be taken back, each with a reason."""
    await fail(conn)
    page = await do(served[1], f"{LIST}/groups/f", f"{LIST}/groups/f/resolve", reason="deployed 1.2")
    assert "<strong>Resolved</strong> by local" in page
    assert "deployed 1.2" in page
    page = await do(served[1], f"{LIST}/groups/f", f"{LIST}/groups/f/reopen", reason="too early")
    assert '<span class="state open">open</span>' in page
    actions = [row["action"] for row in (await list_audit(conn, AuditFilter(target="f"), limit=5)).items]
    assert actions == ["failure_group.reopen", "failure_group.resolve"]


@pytest.mark.parametrize("end", [{"duration": "4h"}, {"until": "2030-01-31T18:00"}])
async def test_mute_and_unmute(served: Served, conn: AsyncConnection, end: dict[str, str]):
    """A group can be muted for a while or until a time, and be heard again before."""
    await fail(conn)
    page = await do(served[1], f"{LIST}/groups/f", f"{LIST}/groups/f/mute", reason="the provider knows", **end)
    assert "<strong>Muted</strong> by local, until" in page
    page = await do(served[1], f"{LIST}/groups/f", f"{LIST}/groups/f/unmute", reason="mended")
    assert '<span class="state open">open</span>' in page
    rows = (await list_audit(conn, AuditFilter(target="f"), limit=5)).items
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("failure_group.unmute", "mended"),
        ("failure_group.mute", "the provider knows"),
    ]


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("resolve", {"reason": ""}, 422),
        ("mute", {"reason": "x"}, 422),
        ("mute", {"reason": "x", "duration": "1h", "until": "2030-01-01T00:00"}, 422),
        ("mute", {"reason": "x", "until": "2020-01-01T00:00"}, 422),
        ("reopen", {"reason": "x"}, 409),
        ("unmute", {"reason": "x"}, 409),
    ],
)
async def test_odd_marks(served: Served, conn: AsyncConnection, verb: str, fields: dict[str, str], status: int):
    """Without a reason, without an end that is to come, or where there is nothing to take back, nothing is marked."""
    await fail(conn)
    assert (await send(served[1], f"{LIST}/groups/f", f"{LIST}/groups/f/{verb}", **fields)).status_code == status
    assert (await served[1].get("/failures/groups/f")).json()["status"] == "open"


@pytest.mark.parametrize("verb", ["resolve", "mute"])
async def test_marks_of_no_group(served: Served, verb: str):
    """A group that does not exist cannot be marked."""
    answer = await send(served[1], LIST, f"{LIST}/groups/nothing/{verb}", reason="x", duration="1h")
    assert answer.status_code == 404
