from datetime import timedelta

import pytest
from psycopg import AsyncConnection

from app.store import limits
from app.store.limits import Rate

from ..application import Served, run_waiting_jobs
from .parts import hand_in, live_worker, text_of

pytestmark = pytest.mark.anyio


async def test_every_queue(served: Served):
    """The page lists every queue that a task or a job names, with a link to its own page."""
    await served[1].post("/tasks/add", json={"args": {"a": 1}, "queue": "north and south/2"})
    page = (await served[1].get("/dashboard/queues")).text
    assert 'href="/dashboard/queues/sums"' in page
    assert 'href="/dashboard/queues/north%20and%20south/2"' in page
    assert (await served[1].get("/dashboard/queues/north%20and%20south/2")).status_code == 200


async def test_depth(served: Served, conn: AsyncConnection):
    """Both pages have the jobs of each state; on the queue's own, each number leads to them."""
    queue, client = served
    await hand_in(client, 3)
    await hand_in(client, 6, run_in="1h")
    await conn.execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id > 7")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id)"
        " VALUES ('sums', 'sample.add', 'doing', %s)",
        [await live_worker(queue)],
    )
    page = (await client.get("/dashboard/queues/sums")).text
    for state, count in {"ready": 3, "running": 1, "retrying": 2, "scheduled": 4}.items():
        assert f'<a href="/dashboard/jobs?state={state}&amp;queue=sums&amp;own=yes">{count}</a>' in page
    assert "sums 3 1 2 4 " in await text_of(client, "/dashboard/queues")
    await run_waiting_jobs(queue)
    assert (
        '<a href="/dashboard/jobs?state=ready&amp;queue=sums&amp;own=yes">0</a>'
        in (await client.get("/dashboard/queues/sums")).text
    )


async def test_how_it_goes(served: Served, conn: AsyncConnection):
    """Both pages tell since when the oldest job is ready, how fast jobs come and go, and what that comes to."""
    queue, client = served
    await live_worker(queue)

    async def told(ready: int, oldest: str, rates: str, empty: str) -> None:
        page = await text_of(client, "/dashboard/queues/sums")
        assert f"Oldest ready {oldest} In /s {rates[:4]} Out /s {rates[5:]} Until empty {empty} " in page
        assert f"sums {ready} 0 0 0 {oldest} {rates} {empty} 1" in await text_of(client, "/dashboard/queues")

    earlier = "UPDATE procrastinate_events SET at = at - interval '170 s' WHERE type = 'deferred'"
    await hand_in(client, 15)
    await run_waiting_jobs(queue)
    await told(0, "-", "0.05 0.05", "-")
    await hand_in(client, 30)
    await conn.execute(earlier)
    await told(30, "3 min ago", "0.15 0.05", "grows")
    await conn.execute(earlier)
    await hand_in(client, 6)
    await told(36, "6 min ago", "0.02 0.05", "in 20 min")
    await hand_in(client, 9)
    await told(45, "6 min ago", "0.05 0.05", "stands still")


async def test_unknown_queue(served: Served):
    """A queue that nothing names has no page."""
    assert (await served[1].get("/dashboard/queues/nowhere")).status_code == 404


async def test_nobody_takes(served: Served):
    """Jobs that no worker takes are told, on both pages; once one takes them, that is over."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await live_worker(queue, queues=["elsewhere"])
    assert "no worker" in (await client.get("/dashboard/queues")).text
    assert "no worker that lives takes jobs of this queue" in (await client.get("/dashboard/queues/sums")).text
    await live_worker(queue, name="adder", queues=["sums"])
    page = (await client.get("/dashboard/queues/sums")).text
    assert "no worker" not in page
    assert "adder" in page


async def test_paused(served: Served):
    """A paused queue says who paused it and why, and promises no end."""
    await served[1].post("/queues/sums/pause", json={"reason": "deploy <at> noon"})
    assert '<span class="state paused">paused</span>' in (await served[1].get("/dashboard/queues")).text
    assert "by local: deploy <at> noon" in await text_of(served[1], "/dashboard/queues/sums")


async def test_limits_that_concern_it(served: Served):
    """A queue's page shows its own limit and those of its tasks, and no others."""
    queue, client = served
    async with queue.connection() as conn:
        for kind, name, most in (("queue", "sums", 5), ("task", "sample.add", 2), ("task", "sample.fail", 3)):
            await limits.put(conn, kind, name, max_running=most, rate=None, actor="a", reason="r")  # type: ignore[arg-type]  # They are kinds.
        await limits.put(conn, "queue", "idle", max_running=7, rate=None, actor="a", reason="r")
    text = await text_of(client, "/dashboard/queues/sums")
    assert "this queue 5 at once" in text
    assert "task sample.add 2 at once" in text
    assert "sample.fail" not in text
    assert "7 at once" not in text


async def test_limit_of_a_rate(served: Served):
    """A limit in a period is told with its period."""
    queue, client = served
    async with queue.connection() as conn:
        rate = Rate(1_000, timedelta(minutes=10), 50)
        await limits.put(conn, "queue", "sums", max_running=None, rate=rate, actor="a", reason="r")
    assert "1,000 per 10 min" in await text_of(client, "/dashboard/queues")
