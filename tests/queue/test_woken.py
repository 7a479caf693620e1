"""Jobs that a breaker caught in flight do not sit out a wait whose reason is gone."""

from datetime import timedelta
from random import Random

import pytest
from psycopg import AsyncConnection as Connection

from app.queue.guarded import guarded
from app.queue.task import ExponentialBackoff
from app.retry.breaker.relevance import Relevance
from app.retry.failure import FailureType
from app.retry.markers import RetryLater
from app.store import breakers

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import NAME, RULES, calling, registered, rests, state
from .jobs import add, attempts, job, rows, value
from .workers import working

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("by", ["operator", "operator, after an isolation", "probe"])
async def test_what_a_hold_caught_is_woken_with_it(open_app: OpenApp, conn: Connection, by: str):
    """Jobs that were caught in flight by a hold do not sit out its quarter of an hour once it lets jobs out again."""

    async def refused() -> None:
        raise PermissionError("401 Unauthorized: invalid API key")

    call = calling(refused)
    app = await open_app()
    await call.batch_defer_async(*[{} for _ in range(10)])
    async with working(app, concurrency=10):
        await eventually(lambda: rests(conn, "held"))
    caught = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at > now()"
    count = await value(conn, caught)
    await add(conn, due_in=3600)  # Of another dependency, for another reason.
    assert count >= 1
    if by == "probe":
        await conn.execute("UPDATE afresh.breaker SET probe_at = now()")
        admission = await breakers.admitted(conn, NAME, 1, rules=RULES, job_timeout=timedelta(1), rng=Random(1))
        (permit,) = admission.permits
        await breakers.probed(conn, NAME, permit, Relevance.WORKED, rules=RULES, rng=Random(1))
    else:
        if "isolation" in by:
            await breakers.isolate(conn, NAME, actor="me", reason="the key is being changed")
        await breakers.reset(conn, NAME, actor="me", reason="the key is changed")
    assert await state(conn) == "ramping"
    assert await value(conn, caught) == 1
    told = "SELECT count(*) FROM afresh.attempt WHERE outcome = 'snoozed' AND next_run_at <= now() AND delay < '1 min'"
    assert await value(conn, told) == count


async def test_a_probe_goes_as_a_job_that_was_caught(open_app: OpenApp, conn: Connection):
    """Where all jobs that are left were caught in flight, a probe by an operator's word has one to go as, at once."""
    mended = False

    async def refused() -> None:
        if not mended:
            raise PermissionError("401 Unauthorized: invalid API key")

    call = calling(refused)
    app = await open_app()
    await call.batch_defer_async(*[{} for _ in range(10)])
    caught = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at > now()"
    async with working(app, concurrency=10):
        await eventually(lambda: rests(conn, "held"))
        count = await value(conn, caught)
        await breakers.probe_now(conn, NAME, actor="me", reason="is the key known?")
        await eventually(lambda: probes(conn, 1))
        await eventually(lambda: waits_again(conn, caught, count))  # What a probe found is told before its job ends.
        mended = True
        await breakers.probe_now(conn, NAME, actor="me", reason="the key is changed")
        await eventually(lambda: ramps(conn))
    assert count >= 2


async def probes(conn: Connection, count: int) -> bool:
    """Whether so many probes have come back."""
    row = await rows(conn, "SELECT last_permit, permits FROM afresh.breaker")
    return row == [{"last_permit": count, "permits": []}]


async def waits_again(conn: Connection, query: str, count: int) -> bool:
    """Whether all that were caught wait, the job that was a probe among them."""
    return bool(await value(conn, query) == count)


async def ramps(conn: Connection) -> bool:
    """Whether jobs are let out."""
    return await state(conn) == "ramping"


async def test_retries_from_before_a_trip(open_app: OpenApp, conn: Connection):
    """Whoever met an outage first does not wait a quarter of an hour when the others are let out again."""

    async def down() -> None:
        raise RetryLater("all is down", type=FailureType.EXTERNAL_API_DOWN)

    call = calling(down)
    own = calling(down, retry=ExponentialBackoff(initial_delay=timedelta(hours=1), max_delay=timedelta(hours=1)))
    app = await open_app()
    await own.defer_async()
    await call.batch_defer_async(*[{} for _ in range(40)])
    async with working(app, concurrency=2):
        await eventually(lambda: is_open(conn))
    other = await add(conn, due_in=3600)
    failed = await rows(
        conn,
        "SELECT j.id, j.task_name FROM procrastinate_jobs j JOIN afresh.attempt a ON a.job_id = j.id "
        "WHERE a.outcome = 'failed' AND j.scheduled_at > now() + interval '10 min'",
    )
    first = [each["id"] for each in failed if each["task_name"] == call.name]
    assert len(first) >= 3
    await breakers.reset(conn, NAME, actor="me", reason="it is up")
    soonest = (
        "SELECT count(*) FROM procrastinate_jobs j JOIN afresh.attempt a ON a.job_id = j.id WHERE j.id = ANY (%s) "
        "AND j.scheduled_at = a.ended_at + interval '1 min' AND a.next_run_at = j.scheduled_at AND a.delay = '1 min'"
    )
    assert await value(conn, soonest, first) == len(first)
    left = [each["id"] for each in failed if each["id"] not in first] + other
    late = "SELECT count(*) FROM procrastinate_jobs WHERE id = ANY (%s) AND scheduled_at > now() + interval '30 min'"
    assert await value(conn, late, left) == len(left) == 2


async def is_open(conn: Connection) -> bool:
    """Whether the breaker is open, and nothing runs."""
    return await rests(conn, "open")


async def test_what_a_guarded_hold_caught_is_woken_too(open_app: OpenApp, conn: Connection):
    """So is a job whose task found the hold by `guarded`: nothing in its row names the dependency."""
    app = await open_app()

    async def call() -> None:
        async with guarded(NAME):
            pass

    job_id = await registered(call).defer_async()
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, generation, changed_at, cause, break_seconds, probe_at) "
        "VALUES (%s, 'held', 1, now(), 'why', 900, now() + interval '15 min')",
        (NAME,),
    )
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
    assert (await job(conn, job_id))["scheduled_at"] > await value(conn, "SELECT now() + interval '10 min'")
    await breakers.reset(conn, NAME, actor="me", reason="the key is changed")
    assert (await job(conn, job_id))["scheduled_at"] <= await value(conn, "SELECT now()")
