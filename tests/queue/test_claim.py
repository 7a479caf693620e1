"""What `afresh.claim` promises, proved on a real database."""

import asyncio
import itertools

import psycopg
import pytest

from app.postgres.connect import Database

from .jobs import add, claim, claimed_ids, hold, job, register, rows, settle_endings, settle_successes, value

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection


async def test_higher_priority_first_then_age(conn: Connection):
    """Jobs run by priority, and within one priority in the order in which they came."""
    low, first = await add(conn), await add(conn, 2, priority=5)
    (high,) = await add(conn, priority=10)
    assert await claimed_ids(conn) == [high, *first, *low]


async def test_claimed_jobs_are_running_under_their_worker(conn: Connection):
    """A claimed job is marked as running, by the worker that claimed it."""
    (job_id,) = await add(conn)
    worker = await register(conn)
    await claim(conn, worker=worker)
    row = await job(conn, job_id)
    assert (row["status"], row["worker_id"], row["attempts"]) == ("doing", worker, 0)


async def test_the_limit_holds(conn: Connection):
    """No more jobs are taken than asked for, and the rest stays."""
    ids = await add(conn, 5)
    assert await claimed_ids(conn, 3) == ids[:3]
    assert await claimed_ids(conn, 3) == ids[3:]


async def test_an_empty_queue_gives_nothing(conn: Connection):
    """Where nothing waits, nothing is taken."""
    assert await claim(conn) == []


async def test_due_jobs_and_new_ones_take_turns(conn: Connection):
    """Within one priority a due job and one without a time take turns, so that neither kind waits for the other."""
    new, due = await add(conn, 3), await add(conn, 3, due_in=-60)
    assert await claimed_ids(conn, 6) == list(itertools.chain.from_iterable(zip(new, due, strict=True)))


async def test_due_jobs_go_by_their_time(conn: Connection):
    """Of due jobs with one priority, the one that was due first is first."""
    (later,), (earlier,) = await add(conn, due_in=-10), await add(conn, due_in=-60)
    assert await claimed_ids(conn) == [earlier, later]


async def test_priority_rules_over_being_due(conn: Connection):
    """A due job of lower priority does not overtake a new one of higher priority."""
    (due,), (new,) = await add(conn, due_in=-60), await add(conn, priority=1)
    assert await claimed_ids(conn, 1, due_first=True) == [new]
    assert await claimed_ids(conn, 1) == [due]


@pytest.mark.parametrize("stream", [None, -3600.0], ids=["new jobs", "due jobs"])
async def test_neither_kind_starves_the_other_one_by_one(conn: Connection, stream: float | None):
    """A worker that claims single jobs reaches a job of either kind at once, however many of the other kind wait."""
    await add(conn, 200, due_in=stream)
    (lonely,) = await add(conn, due_in=-60 if stream is None else None)
    taken = [await claimed_ids(conn, 1, due_first=due_first) for due_first in (False, True)]
    assert [lonely] in taken


async def test_a_stream_of_new_jobs_does_not_starve_due_retries(conn: Connection):
    """While more new jobs come in than are taken, due ones still get their half."""
    due = set(await add(conn, 20, due_in=-60))
    taken: list[int] = []
    for _ in range(10):
        await add(conn, 20)
        taken += await claimed_ids(conn, 4)
    assert due <= set(taken)


async def test_future_jobs_wait(conn: Connection):
    """A job is never taken before its time."""
    await add(conn, 3, due_in=3600)
    await add(conn, priority=10, due_in=60)
    assert await claim(conn) == []


async def test_queues_filter(conn: Connection):
    """A worker of some queues takes jobs of these alone."""
    await add(conn, queue="other")
    mine = await add(conn, queue="a") + await add(conn, queue="b", due_in=-1)
    assert sorted(await claimed_ids(conn, queues=["a", "b"])) == mine


async def test_a_paused_queue_waits(conn: Connection):
    """Jobs of a paused queue are not taken, those of others are."""
    await add(conn, queue="paused", priority=10)
    await add(conn, queue="paused", due_in=-1)
    other = await add(conn)
    await hold(conn, "queue", "paused")
    assert await claimed_ids(conn) == other


async def test_a_held_dependency_of_a_job_waits(conn: Connection):
    """Jobs whose own dependency is held are not taken."""
    await add(conn, dependency="down")
    await add(conn, dependency="down", due_in=-1)
    other = await add(conn, dependency="up")
    await hold(conn, "dependency", "down")
    assert await claimed_ids(conn) == other


async def test_a_held_dependency_of_a_task_waits(conn: Connection):
    """Jobs that name no dependency rely on what their task relies on."""
    await add(conn, task="needs")
    other = await add(conn)
    await hold(conn, "dependency", "down")
    assert await claimed_ids(conn, own={"needs": "down"}) == other


async def test_a_jobs_own_dependency_wins_over_its_tasks(conn: Connection):
    """A job that names another dependency than its task is not held back with the task."""
    (free,) = await add(conn, task="needs", dependency="up")
    await add(conn, task="needs")
    await hold(conn, "dependency", "down")
    assert await claimed_ids(conn, own={"needs": "down"}) == [free]


async def test_a_queue_hold_is_no_dependency_hold(conn: Connection):
    """A hold on a queue does not touch the dependency of the same name."""
    ids = await add(conn, dependency="same")
    await hold(conn, "queue", "same")
    assert await claimed_ids(conn) == ids


async def test_a_share_of_a_held_dependency(conn: Connection):
    """Of a dependency that is held back a claim takes the share it was given, over all its lanes, and all of others."""
    for task in ("a", "b"):
        await add(conn, 5, task=task, dependency="down")
    await add(conn, 5, task="needs")
    other = await add(conn, 5)
    await hold(conn, "dependency", "down")
    await conn.execute("UPDATE afresh.hold SET generation = 7")
    share = {"name": "down", "generation": 7, "jobs": 4, "retries": 0}
    taken = await claimed_ids(conn, 50, own={"needs": "down"}, shares=[share])
    assert len(taken) == 4 + 5
    assert set(other) <= set(taken)
    stale = share | {"generation": 6}
    assert await claimed_ids(conn, 50, own={"needs": "down"}, shares=[stale]) == []


@pytest.mark.parametrize(("new", "due", "expected"), [(9, 9, (4, 1)), (9, 0, (5, 0)), (0, 9, (0, 5)), (3, 9, (3, 2))])
async def test_new_jobs_and_retries_share_a_share(conn: Connection, new: int, due: int, expected: tuple[int, int]):
    """Of five tokens one is for a retry, whatever the priorities; what one kind leaves the other takes."""
    await add(conn, new, dependency="down")
    retries = set(await add(conn, due, dependency="down", due_in=-1, priority=5))
    await hold(conn, "dependency", "down")
    await conn.execute("UPDATE afresh.hold SET generation = 1")
    share = {"name": "down", "generation": 1, "jobs": 5, "retries": 1}
    taken = set(await claimed_ids(conn, 50, shares=[share]))
    assert (len(taken - retries), len(taken & retries)) == expected


async def test_a_share_of_nothing_holds_back(conn: Connection):
    """A worker that brakes for a dependency takes none of its jobs, though nothing else holds them back."""
    await add(conn, dependency="shaky")
    other = await add(conn)
    share = {"name": "shaky", "generation": None, "jobs": 0, "retries": 0}
    assert await claimed_ids(conn, shares=[share]) == other


async def test_released_jobs_are_runnable_at_once(conn: Connection):
    """When a hold is lifted the next claim takes the jobs."""
    ids = await add(conn, 2)
    await hold(conn, "queue", "q")
    assert await claim(conn) == []
    await conn.execute("DELETE FROM afresh.hold")
    assert await claimed_ids(conn) == ids


async def test_options_come_with_the_claim(conn: Connection):
    """What a job was given at its submission comes with it."""
    (job_id,) = await add(conn, dependency="joke-api", lock="l", queueing_lock="ql", priority=3)
    await conn.execute(
        """
        INSERT INTO afresh.job_option (job_id, max_retries, timeout, task_type, correlation_id, metadata, waited)
        VALUES (%s, 7, interval '5 seconds', 'email', 'c-1', '{"a": 1}', '{"budget": 3}')
        """,
        (job_id,),
    )
    (row,) = await claim(conn)
    given = {name: row[name] for name in ("max_retries", "task_type", "correlation_id", "metadata", "waited")}
    assert given == {
        "max_retries": 7,
        "task_type": "email",
        "correlation_id": "c-1",
        "metadata": {"a": 1},
        "waited": {"budget": 3},
    }
    assert row["timeout"].total_seconds() == 5
    assert (row["dependency"], row["lock"], row["queueing_lock"], row["priority"]) == ("joke-api", "l", "ql", 3)


async def test_a_job_without_options_has_none(conn: Connection):
    """A job put in by plain SQL has no options, and is taken like any other."""
    await add(conn)
    (row,) = await claim(conn)
    assert row["max_retries"] is row["timeout"] is row["metadata"] is row["waited"] is row["fingerprints"] is None


async def test_fingerprints_of_earlier_failures_come_with_the_claim(conn: Connection):
    """The fingerprints of failures so far come along, oldest first; waits have none."""
    (job_id,) = await add(conn)
    worker = await register(conn)
    for attempt, print_ in enumerate(["f1", "f2"]):
        await claim(conn, worker=worker)
        await settle_endings(conn, worker, _failed(job_id, attempt, print_))
    (row,) = await claim(conn, worker=worker)
    assert (row["attempts"], row["fingerprints"]) == (2, ["f1", "f2"])


def _failed(job_id: int, attempts: int, fingerprint: str) -> dict[str, object]:
    past = "2020-01-01T00:00:00Z"
    return {
        "job_id": job_id,
        "attempts": attempts,
        "claim": 1,
        "outcome": "failed",
        "counted": True,
        "status": "todo",
        "started_at": past,
        "ended_at": past,
        "failure_type": "UNKNOWN",
        "fingerprint": fingerprint,
        "decision": "retry",
        "delay": 0,
        "next_run_at": past,
    }


async def test_eight_workers_share_the_jobs(conn: Connection, db: Database):
    """Eight connections that claim at once get each of 2 000 jobs exactly once, and all of them."""
    await add(conn, 1000)
    await add(conn, 500, due_in=-1)
    for lock in range(100):
        await add(conn, 5, lock=f"l{lock}")
    taken: list[int] = []

    async def work() -> None:
        async with await db.connect_async() as own:
            worker = await register(own)
            empty = 0
            while empty < 20:
                got = await claim(own, 20, worker=worker)
                taken.extend(row["id"] for row in got)
                empty = 0 if got else empty + 1
                await settle_successes(own, worker, {row["id"]: row["attempts"] for row in got})

    await asyncio.gather(*(work() for _ in range(8)))
    assert len(taken) == len(set(taken)) == 2000
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'") == 0


async def test_rows_that_others_hold_do_not_hide_the_rest(conn: Connection, db: Database):
    """However many jobs in front are being claimed or changed by others, those behind them are taken at once."""
    ids = await add(conn, 2000)
    async with await db.connect_async() as other, other.transaction():
        await other.execute("SELECT FROM procrastinate_jobs WHERE id = ANY (%s) FOR UPDATE", (ids[:1990],))
        assert await claimed_ids(conn, 10) == ids[1990:]


async def test_next_due_is_the_earliest_time_to_come(conn: Connection):
    """The next due time is the earliest in the future, of any lane; what is due already does not count."""
    await add(conn, due_in=-60)
    await add(conn, due_in=7200, priority=9)
    (sooner,) = await add(conn, due_in=3600, task="other", lock="l")
    assert await value(conn, "SELECT afresh.next_due()") == (await job(conn, sooner))["scheduled_at"]


async def test_next_due_asks_for_the_workers_queues(conn: Connection):
    """A worker of some queues does not wake up for others."""
    await add(conn, queue="other", due_in=60)
    (mine,) = await add(conn, due_in=3600)
    found = await value(conn, "SELECT afresh.next_due(%s)", ["q"])
    assert found == (await job(conn, mine))["scheduled_at"]
    assert await value(conn, "SELECT afresh.next_due(%s)", ["empty"]) is None


async def test_a_claim_writes_the_events_that_procrastinate_would(conn: Connection):
    """A claimed job has begun in Procrastinate's own history."""
    (job_id,) = await add(conn)
    await claim(conn)
    events = await rows(conn, "SELECT type::text FROM procrastinate_events WHERE job_id = %s ORDER BY id", job_id)
    assert [event["type"] for event in events] == ["deferred", "started"]
