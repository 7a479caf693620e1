import pytest

from ..application import Served
from .parts import live_worker, text_of

pytestmark = pytest.mark.anyio


RUN = """
UPDATE procrastinate_jobs SET status = 'doing', worker_id = %(worker)s WHERE id = %(job)s
"""


async def test_nobody(served: Served):
    """Without a worker the page says so, and what starts one."""
    assert "No worker is alive: jobs wait. afresh worker starts one." in await text_of(served[1], "/dashboard/workers")


async def test_what_it_says_of_itself(served: Served):
    """A worker is shown with its host, process, version, queues, slots, memory and machine."""
    await live_worker(served[0], queues=["sums", "letters"])
    text = await text_of(served[1], "/dashboard/workers")
    assert "worker-1 alive node-1, process 4711 · version 0.1.0" in text
    assert "Runs 0 of 10 Queues sums, letters Memory 94 MB" in text
    assert "CPU 35 %, memory 62 %, disk 50 %" in text


async def test_what_it_runs(served: Served):
    """Jobs that a worker runs now are named and linked; of many, the first three, and how many more there are."""
    queue, client = served
    worker = await live_worker(queue)
    for number in range(5):
        job = (await client.post("/tasks/add", json={"args": {"a": number}})).json()["job_id"]
        async with queue.connection() as conn:
            await conn.execute(RUN, {"worker": worker, "job": job})
    assert '<a href="/dashboard/jobs/1">#1</a> sample.add' in (await client.get("/dashboard/workers")).text
    text = await text_of(client, "/dashboard/workers")
    assert "#3 sample.add from sums , began" in text
    assert "#4" not in text
    assert "and 2 more" in text


async def test_lost(served: Served):
    """A worker that fell silent is told as lost, before those that live, with what follows from it."""
    queue, client = served
    await live_worker(queue, name="steady")
    lost = await live_worker(queue, name="silent")
    async with queue.connection() as conn:
        await conn.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '5 min' WHERE id = %s", [lost]
        )
    text = await text_of(client, "/dashboard/workers")
    assert text.index("silent lost") < text.index("steady alive")
    assert "its jobs are taken over" in text


async def test_overloaded(served: Served):
    """A worker that takes no jobs because its machine is full says so."""
    await live_worker(served[0], overloaded=True)
    assert "Takes no jobs until its machine has room again" in await text_of(served[1], "/dashboard/workers")


async def test_versions(served: Served):
    """Workers of two versions are a deploy that has not ended, and it is told."""
    await live_worker(served[0])
    await live_worker(served[0], version="0.2.0")
    assert "versions 0.1.0, 0.2.0" in await text_of(served[1], "/dashboard/workers")


async def test_a_plain_worker(served: Served):
    """A worker of plain Procrastinate is shown as far as it tells of itself."""
    async with served[0].connection() as conn:
        await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    assert "worker-1 alive a plain Procrastinate worker" in await text_of(served[1], "/dashboard/workers")
