"""How many workers are wanted."""

from datetime import timedelta

import pytest
from psycopg import AsyncConnection

from app.store.samples import sample_tasks
from app.store.scaling import Wanted, read_scaling, tell_drain

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]


async def add(conn: AsyncConnection, count: int, *, queue: str = "q", status: str = "todo", task: str = "t") -> None:
    """Jobs of a queue."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) SELECT %s, %s, %s FROM generate_series(1, %s)",
        [queue, task, status, count],
    )


async def run(conn: AsyncConnection, count: int, *, seconds: float, queue: str = "q") -> None:
    """Jobs that ran for so long each, within the last five minutes; their events stand in the order of time."""
    await conn.execute(
        "WITH job AS (INSERT INTO procrastinate_jobs (queue_name, task_name, status) "
        "SELECT %s, 't', 'succeeded' FROM generate_series(1, %s) RETURNING id) "
        "INSERT INTO procrastinate_events (job_id, type, at) "
        "SELECT id, e.type::procrastinate_job_event_type, now() - interval '10 s' - e.ago * %s "
        "FROM job CROSS JOIN (VALUES ('started', 1), ('succeeded', 0)) AS e (type, ago) ORDER BY e.ago DESC, id",
        [queue, count, timedelta(seconds=seconds)],
    )


async def in_all(conn: AsyncConnection) -> Wanted:
    """What all queues want."""
    return (await read_scaling(conn))[0]


async def test_nothing_to_do(conn: AsyncConnection):
    """Where nothing waits and nothing runs, no worker is wanted."""
    whole, queues = await read_scaling(conn)
    assert (whole.wanted_workers, whole.ready, whole.running, queues) == (0, 0, 0, [])


@pytest.mark.parametrize(("jobs", "seconds", "workers"), [(1, 1.0, 1), (590, 1.0, 1), (610, 1.0, 2), (590, 2.0, 2)])
async def test_a_backlog(conn: AsyncConnection, jobs: int, seconds: float, workers: int):
    """As many workers as do the backlog in time: here 10 jobs at once each, in 60 s."""
    await run(conn, 1, seconds=seconds)
    await add(conn, jobs)
    whole = await in_all(conn)
    assert whole.seconds_per_job == pytest.approx(seconds)
    assert whole.slots == pytest.approx(jobs * seconds / 60, abs=0.05)
    assert whole.wanted_workers == workers


async def test_a_rate(conn: AsyncConnection):
    """What ends in a second, times how long it takes, runs at once: it needs its room also without a backlog."""
    await run(conn, 600, seconds=30)
    whole = await in_all(conn)
    assert (whole.ended_per_second, round(whole.slots, 6), whole.wanted_workers) == (2.0, 60, 6)


async def test_what_runs_keeps_its_room(conn: AsyncConnection):
    """Long jobs that run want their workers kept, though nothing has ended yet."""
    await add(conn, 25, status="doing")
    assert (await in_all(conn)).wanted_workers == 3


async def test_what_a_worker_says(conn: AsyncConnection):
    """Concurrency is that of the worker that started last, and the time for a backlog what it said."""
    await add(conn, 1_000)
    await conn.execute(
        "INSERT INTO afresh.worker (worker_id, name, host, pid, version, concurrency, running, overloaded, "
        "memory_bytes, host_memory_percent, host_cpu_percent, host_disk_percent, started_at) "
        "SELECT n, 'w', 'h', n, '1', n * 25, 0, false, 0, 0, 0, 0, now() + n * interval '1 s' "
        "FROM generate_series(1, 2) n"
    )
    await tell_drain(conn, timedelta(seconds=5))
    whole = await in_all(conn)
    assert (whole.concurrency, whole.drain_seconds, whole.slots, whole.wanted_workers) == (50, 5, 200, 4)


async def test_what_is_held_back_is_no_backlog(conn: AsyncConnection):
    """Jobs of a paused queue, of a dependency that is down, and of tomorrow want no worker."""
    await add(conn, 1_000, queue="paused")
    await add(conn, 1_000, queue="down", task="calls")
    await add(conn, 1_000, queue="tomorrow")
    await conn.execute(
        "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 day' WHERE queue_name = 'tomorrow'"
    )
    for kind, name in (("queue", "paused"), ("dependency", "api")):
        await conn.execute("INSERT INTO afresh.hold VALUES (%s, %s, 'why', 'me')", [kind, name])
    assert (await in_all(conn)).wanted_workers == 2
    await conn.execute("INSERT INTO afresh.task_dependency (task_name, dependency) VALUES ('calls', 'api')")
    assert (await in_all(conn)).wanted_workers == 0


async def test_a_limit(conn: AsyncConnection):
    """A queue of which only so many may run wants no more room than that."""
    await add(conn, 6_000)
    await conn.execute("INSERT INTO afresh.job_limit (kind, name, max_running) VALUES ('queue', 'q', 15)")
    assert (await in_all(conn)).wanted_workers == 2


async def test_queues(conn: AsyncConnection):
    """Each queue with work has its row; together they want less than each by itself, since workers serve many."""
    for queue in ("a", "b", "c"):
        await add(conn, 6, queue=queue)
    whole, queues = await read_scaling(conn)
    assert [(each.queue_name, each.ready, each.wanted_workers) for each in queues] == [(q, 6, 1) for q in "abc"]
    assert (whole.ready, whole.wanted_workers) == (18, 1)


async def test_a_slow_queue_beside_a_busy_one(conn: AsyncConnection):
    """A queue whose runs are lost among the latest events of a busy one is judged by its own of the last hour."""
    await run(conn, 5, seconds=30, queue="slow")
    minute = await conn.execute(
        "SELECT date_trunc('minute', max(at)) FROM procrastinate_events WHERE type = 'succeeded'"
    )
    ((ended,),) = await minute.fetchall()
    await sample_tasks(conn, ended)
    await add(conn, 100, queue="slow")
    await run(conn, 5_000, seconds=0.01, queue="busy")
    _, queues = await read_scaling(conn)
    found = {each.queue_name: each for each in queues}
    assert found["slow"].seconds_per_job == pytest.approx(30)
    assert found["slow"].ended_per_second == pytest.approx(5 / 300)
    assert found["slow"].slots == pytest.approx(100 * 30 / 60 + 0.5)
    assert found["busy"].seconds_per_job == pytest.approx(0.01)


async def test_many_queues(conn: AsyncConnection):
    """Two thousand queues with a job each are told at the price of two thousand jobs, and not of their square."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q' || n, 't' FROM generate_series(1, 2000) n"
    )
    assert (await in_all(conn)).ready == 2_000
    explained = await conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM afresh.autoscaling")
    (((plan,),),) = await explained.fetchall()
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 2_000 * 60


async def test_the_cost_does_not_grow(conn: AsyncConnection):
    """A hundred thousand jobs of tomorrow and of the past change nothing about what is read."""
    await add(conn, 100)
    await run(conn, 100, seconds=1)

    async def buffers() -> int:
        explained = await conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM afresh.autoscaling")
        (((plan,),),) = await explained.fetchall()
        return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])

    before = await buffers()
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, scheduled_at) SELECT 'q', 't', "
        "CASE g % 2 WHEN 0 THEN 'todo' ELSE 'succeeded' END::procrastinate_job_status, now() + interval '1 day' "
        "FROM generate_series(1, 50000) g",
        prepare=False,
    )
    assert await buffers() < before + 200
