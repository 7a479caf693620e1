"""Limits at the claim: never exceeded, whoever claims, and never in the way of other jobs."""

import asyncio
from bisect import bisect_left
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest

from app.postgres.connect import Database
from app.queue.claim import Claimed
from app.store import limits
from app.store.limits import Kind, Rate

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import registered, several
from .jobs import add, claim, claimed_ids, hold, job, register, rows, settle_successes, value
from .workers import Gate, all_succeeded, working

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection


async def limit(conn: Connection, kind: Kind, name: str, max_running: int | None = None, **rate: Any) -> None:
    """Set a limit."""
    chosen = Rate(**rate) if rate else None
    await limits.put(conn, kind, name, max_running=max_running, rate=chosen, actor="me", reason="why")


async def limit_rate(conn: Connection, kind: Kind, name: str, burst: int) -> None:
    """Let so many start now, and hardly any later."""
    await conn.execute(
        "INSERT INTO afresh.job_limit (kind, name, rate_jobs, rate_seconds, burst) VALUES (%s, %s, 1, 1e6, %s)",
        (kind, name, burst),
    )


async def tokens(conn: Connection) -> int:
    """Starts that are left of the only rate."""
    return int(await value(conn, "SELECT floor(afresh.refilled(l)) FROM afresh.job_limit l"))


@pytest.mark.parametrize(("kind", "name"), [("queue", "q"), ("task", "t")])
async def test_no_more_run_than_may(conn: Connection, kind: Kind, name: str):
    """Jobs beyond the limit wait until one that runs has ended; those of others do not."""
    ids = await add(conn, 5)
    other = await add(conn, task="other", queue="other")
    await limit(conn, kind, name, 2)
    worker = await register(conn)
    assert sorted(await claimed_ids(conn, worker=worker)) == sorted([*ids[:2], *other])
    assert await claim(conn) == []
    await settle_successes(conn, worker, {ids[0]: 0})
    assert await claimed_ids(conn) == [ids[2]]


@pytest.mark.parametrize(("kind", "name"), [("queue", "q"), ("task", "t"), ("dependency", "d")])
async def test_no_more_start_than_may(conn: Connection, kind: Kind, name: str):
    """Jobs beyond the rate wait although those before have ended; those of others do not."""
    ids = await add(conn, 5, dependency="d")
    other = await add(conn, task="other", queue="other")
    await limit_rate(conn, kind, name, 3)
    worker = await register(conn)
    assert sorted(await claimed_ids(conn, worker=worker)) == sorted([*ids[:3], *other])
    await settle_successes(conn, worker, dict.fromkeys(ids[:3], 0))
    assert await claim(conn) == []


async def test_the_dependency_of_a_task_counts(conn: Connection):
    """A rate of a dependency counts the jobs of tasks that rely on it, unless they name another one."""
    await add(conn, 3, task="needs")
    (free,) = await add(conn, task="needs", dependency="up")
    await limit_rate(conn, "dependency", "down", 1)
    taken = await claimed_ids(conn, own={"needs": "down"})
    assert len(taken) == 2
    assert free in taken


async def test_unclaimed_starts_are_kept(conn: Connection):
    """A claim spends as many starts as it takes jobs, not as many as it could have."""
    await add(conn, 2)
    await limit_rate(conn, "queue", "q", 10)
    assert len(await claimed_ids(conn)) == 2
    assert await tokens(conn) == 8


async def test_starts_come_back_with_time(conn: Connection):
    """What a period allows comes back evenly, and never more than the burst."""
    await add(conn, 100)
    await limit(conn, "queue", "q", jobs=60, per=timedelta(minutes=1000), burst=10)  # The test itself takes no time.
    assert len(await claim(conn, 50)) == 10
    await conn.execute("UPDATE afresh.job_limit SET tokens = 0, tokens_at = now() - interval '4500 s'")
    assert len(await claim(conn, 50)) == 4
    await conn.execute("UPDATE afresh.job_limit SET tokens_at = now() - interval '1 day'")
    assert len(await claim(conn, 50)) == 10


@pytest.mark.parametrize(("burst", "most"), [(None, 54), (1, 50)], ids=["by default", "strict"])
async def test_in_any_period(conn: Connection, burst: int | None, most: int):
    """However claims come, no period sees more than `jobs` + `burst` - 1 starts: a tenth more than `jobs` after a rest
    by default, none with a burst of 1. What is allowed is kept up where claims come often enough.
    """  # noqa: D205 - one sentence after the other
    jobs, period, periods, rng = 50, 1e6, 3, Random(1)  # So long that the time of the test itself is none.
    step = (burst or jobs / 10) * 0.5 * period / jobs
    await add(conn, jobs * (periods + 1))
    await limit(conn, "queue", "q", jobs=jobs, per=timedelta(seconds=period), burst=burst)
    worker, now, starts = await register(conn), 0.0, list[float]()
    while now < periods * period:
        starts += [now] * len(await claim(conn, 50, worker=worker))
        seconds = rng.uniform(0, step)
        await conn.execute("UPDATE afresh.job_limit SET tokens_at = tokens_at - make_interval(secs => %s)", (seconds,))
        now += seconds
    within = [bisect_left(starts, at + period * 0.999_99) - number for number, at in enumerate(starts)]
    assert max(within) <= most
    assert len(starts) >= 0.8 * jobs * periods
    assert burst or (max(within) > jobs and len(starts) >= jobs * periods)  # The burst is there, and nothing is lost.


async def test_a_job_needs_room_in_each_of_its_limits(conn: Connection):
    """The tightest limit holds a job back, and what it leaves of another one goes to others."""
    held = await add(conn, 5, task="a", priority=9)
    others = await add(conn, 5, task="b")
    await limit(conn, "queue", "q", 4)
    await limit(conn, "task", "a", 1)
    assert await claimed_ids(conn) == [held[0], *others[:3]]
    assert await claim(conn) == []


async def test_one_limit_over_many_lanes(conn: Connection):
    """A limit counts the jobs of all its lanes together, in the order in which they should run."""
    for number in range(5):
        await add(conn, 5, task=f"t{number}", priority=number)
    due = await add(conn, 2, task="due", due_in=-5, priority=9)
    await limit(conn, "queue", "q", 4)
    taken = await claim(conn, 3)
    assert [each["id"] for each in taken[:2]] == due
    assert taken[2]["task_name"] == "t4"
    assert len(await claim(conn)) == 1


async def test_locks_are_kept(conn: Connection):
    """Of jobs that share a lock one runs, also where a crowd behind a busy one fills the limited lane."""
    await add(conn, 400, lock="crowd")
    free = [(await add(conn, lock=f"l{number}"))[0] for number in range(5)]
    await limit(conn, "queue", "q", 3)
    taken = await claimed_ids(conn, 10)
    assert len(taken) == 3
    assert len(set(free) & set(taken)) == 2


async def test_a_share_and_a_limit(conn: Connection):
    """Of a dependency that ramps up no more is taken than its share, nor than its limit."""
    await add(conn, 5, dependency="d")
    await add(conn, 5, dependency="d", due_in=-5)
    share = {"name": "d", "generation": 1, "jobs": 4, "retries": 1}
    await limit_rate(conn, "dependency", "d", 6)
    assert len(await claim(conn, shares=[share])) == 4
    assert len(await claim(conn, shares=[share])) == 2
    assert await claim(conn, shares=[share]) == []


async def test_a_paused_queue_stays_paused(conn: Connection):
    """Room in a limit does not let jobs out that a pause holds back, and they spend none of it."""
    await add(conn, 3)
    await limit_rate(conn, "queue", "q", 3)
    await hold(conn, "queue", "q")
    assert await claim(conn) == []
    assert await tokens(conn) == 3


async def test_claims_at_the_same_moment(conn: Connection, db: Database):
    """However many claim at once, no more run than may, and no more start."""
    await add(conn, 200, task="runs", queue="a")
    await add(conn, 200, task="starts", queue="b")
    await limit(conn, "task", "runs", 7)
    await limit_rate(conn, "queue", "b", 9)

    async def claim_often() -> int:
        async with await db.connect_async() as own:
            return sum([len(await claim(own, 3)) for _ in range(5)])

    taken = await asyncio.gather(*[claim_often() for _ in range(8)])
    assert sum(taken) == 7 + 9
    found = await rows(conn, "SELECT task_name, count(*) FROM procrastinate_jobs WHERE status = 'doing' GROUP BY 1")
    assert {row["task_name"]: row["count"] for row in found} == {"runs": 7, "starts": 9}


async def test_claims_wait_for_a_limit_they_touch_alone(conn: Connection, db: Database):
    """While a claim holds a limit, jobs that it does not count are taken by others, who serve other queues."""
    await add(conn, 5)
    (other,) = await add(conn, queue="other")
    await limit(conn, "queue", "q", 3)
    async with await db.connect_async() as first, first.transaction():
        assert len(await claim(first, 1, queues=["q"])) == 1
        assert await asyncio.wait_for(claimed_ids(conn, queues=["other"]), 10) == [other]


async def test_waiting_for_says_limit(conn: Connection):
    """A job that could run but for a limit says so; one that waits for its time does not."""
    await add(conn, 2)
    (later,) = await add(conn, due_in=3600)
    (free,) = await add(conn, queue="other")
    await limit(conn, "queue", "q", 1)
    await claim(conn, queues=["q"])
    found = await rows(conn, "SELECT id, waiting_for FROM afresh.jobs WHERE status = 'todo' ORDER BY id")
    assert [row["waiting_for"] for row in found] == ["limit", None, None]
    assert [row["id"] for row in found][1:] == [later, free]


async def test_workers_never_exceed_what_may_run(open_app: OpenApp, conn: Connection):
    """Two workers with room for twenty run three at a time, and every job has its turn without waiting for a poll."""
    most = running = 0

    async def work() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    task = registered(work)
    await limit(conn, "task", task.name, 3)
    apps = [await open_app() for _ in range(2)]
    async with several(*apps, concurrency=10, fetch_job_polling_interval=600):
        await task.batch_defer_async(*[{} for _ in range(60)])
        await eventually(lambda: all_succeeded(conn), 30)
    assert most <= 3


async def test_a_free_place_wakes_another_worker(open_app: OpenApp, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """When a job ends in one worker, the next one starts in another that found nothing to do and went to sleep."""
    gate, asleep = Gate(), asyncio.Event()
    task = registered(gate)
    await limit(conn, "task", task.name, 1)
    apps = [await open_app() for _ in range(2)]
    async with (
        working(apps[0], queues=["one"], fetch_job_polling_interval=600),
        working(apps[1], queues=["two"], fetch_job_polling_interval=600) as other,
    ):
        await task.configure(queue="one").defer_async()
        await eventually(lambda: gate.running == 1)
        look_ahead, take = other.claims.next_due, other.claims.take
        waits = missed = False

        async def take_noting(room: int, *, idle: bool) -> list[Claimed]:
            nonlocal missed
            waited, taken = waits, await take(room, idle=idle)
            missed = missed or waited
            return taken

        async def next_due() -> float | None:
            seconds = await look_ahead()
            if missed:
                asleep.set()
            return seconds

        monkeypatch.setattr(other.claims, "take", take_noting)
        monkeypatch.setattr(other.claims, "next_due", next_due)
        await task.configure(queue="two").defer_async()
        waits = True
        await conn.execute("SELECT pg_notify('afresh_wake', '')")
        await asyncio.wait_for(asleep.wait(), 20)
        gate.open.set()
        await eventually(lambda: all_succeeded(conn), 20)
    assert gate.most == 1


@pytest.mark.parametrize(("limited", "expected"), [("q", 1), ("other", 0), (None, 0)])
async def test_only_a_place_that_was_short_is_announced(conn: Connection, limited: str | None, expected: int):
    """The success of a job wakes idle workers where a limit counts it, and nobody where none does."""
    ids = await add(conn, 2)
    if limited:
        await limit(conn, "queue", limited, 1)
    worker = await register(conn)
    await claim(conn, 1, worker=worker)
    await conn.execute("LISTEN afresh_wake")
    await settle_successes(conn, worker, {ids[0]: 0})
    assert len([each async for each in conn.notifies(timeout=0.2)]) == expected


async def test_a_new_token_wakes_a_worker(open_app: OpenApp, conn: Connection):
    """A worker that waits for a rate starts the next job when its token is there, and not with the next poll."""

    async def work() -> None:
        return

    task = registered(work)
    await limit(conn, "task", task.name, jobs=10, per=timedelta(seconds=1), burst=1)
    app = await open_app()
    await task.batch_defer_async(*[{} for _ in range(10)])
    async with working(app, fetch_job_polling_interval=600):
        await eventually(lambda: all_succeeded(conn), 30)
    query = "SELECT extract(epoch FROM max(at) - min(at)) FROM procrastinate_events WHERE type = 'started'"
    assert float(await value(conn, query)) > 0.45  # Of 0.9 s, by the times at which claims began.


async def test_a_limit_that_is_lifted_wakes_workers(open_app: OpenApp, conn: Connection):
    """What waited for a limit starts when that is lifted."""

    async def work() -> None:
        return

    task = registered(work)
    await limit_rate(conn, "task", task.name, 1)
    app = await open_app()
    await task.batch_defer_async({}, {})
    async with working(app, fetch_job_polling_interval=600):
        await eventually(lambda: succeeded_once(conn))
        assert await limits.lift(conn, "task", task.name, actor="me", reason="why")
        await eventually(lambda: all_succeeded(conn), 20)


async def succeeded_once(conn: Connection) -> bool:
    """Whether one job has succeeded, and the other waits."""
    return bool(await value(conn, "SELECT count(*) = 1 FROM procrastinate_jobs WHERE status = 'succeeded'"))


async def test_a_job_given_back_keeps_its_start_spent(conn: Connection):
    """A rate is rather missed than broken: what was claimed and never started has used its start, not its place."""
    ids = await add(conn, 2)
    await limit(conn, "queue", "q", 1, jobs=1, per=timedelta(days=10), burst=2)
    assert await claimed_ids(conn) == [ids[0]]
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE id = %s", (ids[0],))
    assert await claimed_ids(conn) == [ids[0]]
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE id = %s", (ids[0],))
    assert await claim(conn) == []
    assert (await job(conn, ids[0]))["status"] == "todo"
