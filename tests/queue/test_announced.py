"""A single job that an idle worker hears of is taken by its number, wherever that is the same as claiming it."""

import tracemalloc
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.claim import SQL, Claimed, Claims
from app.store import limits

from .jobs import add, hold, job, register, rows

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection


@pytest.fixture
async def claims(queue_app: Afresh, conn: Connection) -> Claims:
    """Those of a registered worker."""
    return Claims(queue_app, await register(conn), None)


async def take(claims: Claims, *heard: int, limit: int = 10, idle: bool = True) -> list[Claimed]:
    """Claim after so many jobs were announced."""
    for job_id in heard:
        claims.hear({"type": "job_inserted", "job_id": job_id})
    return await claims.take(limit, idle=idle)


def ids(claimed: list[Claimed]) -> list[int]:
    """Of the jobs claimed."""
    return [each.job_id for each in claimed]


async def test_it_is_taken_alone(claims: Claims, conn: Connection):
    """The job that was announced is taken, as a claim would, and the next claim takes the others."""
    first, second, third = await add(conn, 3)
    (claimed,) = await take(claims, second)
    assert ids([claimed]) == [second]
    row = await job(conn, second)
    assert (row["status"], row["worker_id"], row["afresh_claim"]) == ("doing", claims.worker_id, claimed.claim)
    assert ids(await take(claims)) == [first, third]


async def test_it_brings_what_was_asked_for(claims: Claims, conn: Connection):
    """Options, arguments and the dependency of such a job are those of any claimed job."""
    (job_id,) = await add(conn, dependency="elsewhere", queueing_lock="only")
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, max_retries, timeout, correlation_id) VALUES (%s, 7, '9 s', 'c')",
        [job_id],
    )
    (claimed,) = await take(claims, job_id)
    assert (claimed.max_retries, claimed.timeout, claimed.correlation_id) == (7, timedelta(seconds=9), "c")
    assert (claimed.dependency, claimed.job.queueing_lock, claimed.fingerprints) == ("elsewhere", "only", ())
    assert claimed.call is not None
    assert claimed.call.name == "elsewhere"


@pytest.mark.parametrize(
    ("heard", "how"),
    [([], {}), ([0], {}), ([1, 2], {}), ([2], {"idle": False}), ([2], {"limit": 1})],
    ids=["nothing", "a wake-up", "several", "busy", "room for one"],
)
async def test_otherwise_the_claim_chooses(claims: Claims, conn: Connection, heard: list[int], how: dict[str, Any]):
    """Where more was announced, the worker is busy, or there is room for one, the order of all that waits decides."""
    low = await add(conn, 2)
    (urgent,) = await add(conn, priority=9)
    named = [low[number - 1] if number else 0 for number in heard]
    assert ids(await take(claims, *named, **how))[0] == urgent


@pytest.mark.parametrize("other", [{"lock": "l"}, {"due_in": 60}, {"due_in": -1}], ids=["lock", "later", "due"])
async def test_not_every_job_is_taken_so(claims: Claims, conn: Connection, other: dict[str, Any]):
    """A job with a lock or a time of its own is the claim's to judge."""
    (job_id,) = await add(conn, **other)
    given = {"job_id": job_id, "worker": claims.worker_id, "claim": 1, "queues": None}
    taken = await conn.execute(SQL["claim_announced"], given)
    assert await taken.fetchall() == []


async def test_a_job_that_was_moved_is_left_to_its_queue(queue_app: Afresh, conn: Connection):
    """A worker that hears of a job takes it only as long as that is in one of its own queues."""
    mine, moved = await add(conn, 2)
    await conn.execute("UPDATE procrastinate_jobs SET queue_name = 'elsewhere' WHERE id = %s", [moved])
    claims = Claims(queue_app, await register(conn), ["q"])
    assert ids(await take(claims, moved)) == [mine]
    assert ids(await take(Claims(queue_app, claims.worker_id, ["elsewhere"]), moved)) == [moved]


async def test_a_worker_that_has_no_room_forgets_what_it_hears(claims: Claims):
    """However many jobs are announced while a worker claims nothing, it keeps no list of them."""
    tracemalloc.start()
    try:
        for job_id in range(10_000):
            claims.hear({"type": "job_inserted", "job_id": job_id})
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


async def test_a_pause_is_kept(claims: Claims, conn: Connection):
    """A job of a paused queue stays where it is, and the claim takes others instead."""
    (paused,) = await add(conn, queue="paused")
    others = await add(conn, 2)
    await hold(conn, "queue", "paused")
    assert ids(await take(claims, paused)) == others
    assert (await job(conn, paused))["status"] == "todo"


async def test_a_limit_is_kept(claims: Claims, conn: Connection):
    """Where a queue may run nothing more, the announced job waits."""
    running, waiting = await add(conn, 2)
    assert ids(await take(claims, running)) == [running]
    await limits.put(conn, "queue", "q", max_running=1, rate=None, actor="me", reason="why")
    assert await take(claims, waiting) == []
    assert [row["status"] for row in await rows(conn, "SELECT status FROM procrastinate_jobs ORDER BY id")] == [
        "doing",
        "todo",
    ]
