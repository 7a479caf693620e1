from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.monitoring.alerts.clocked import is_clocked
from app.monitoring.alerts.evaluate import SEND_TASK
from app.monitoring.labels import Names
from app.monitoring.samples import CAUGHT_UP, minutes_to_sample, sample
from app.queue.app import Afresh
from app.queue.task import declarations
from app.store.retry_report import QUEUES_OF_CLOCK
from app.store.samples import (
    BOUNDS,
    HOUR,
    MINUTE,
    OTHER,
    OTHER_QUEUES,
    Point,
    Span,
    added,
    forget_samples,
    read_points,
    read_queues,
    read_service,
    read_tasks,
    sample_tasks,
)

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio

A_MINUTE = timedelta(minutes=1)

OWN = "app.tasks.monitoring.forget_samples"
"""A task of ours that the clock defers."""


async def minute_of(conn: AsyncConnection) -> datetime:
    """The minute that it is for the database."""
    row = await (await conn.execute("SELECT date_trunc('minute', now())")).fetchone()
    assert row is not None
    minute: datetime = row[0]
    return minute.astimezone(UTC)


def around(minute: datetime) -> Span:
    """A few minutes around one, in case it ended meanwhile."""
    return Span(minute - 2 * A_MINUTE, minute + 3 * A_MINUTE)


async def test_what_became_of_jobs(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A sample says of each task what was submitted, succeeded, failed and was buried, and how long it took."""
    begun = await minute_of(conn)
    for _ in range(3):
        await client.post("/tasks/add", json={"args": {"a": 1}})
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=await minute_of(conn) + A_MINUTE)
    tasks = {each.task_name.rpartition(".")[2]: each for each in await read_tasks(conn, around(begun))}
    added, failed = tasks["add"], tasks["fail"]
    assert (added.submitted, added.succeeded, added.failed, added.buried) == (3, 3, 0, 0)
    assert (failed.submitted, failed.succeeded, failed.failed, failed.retried, failed.buried) == (1, 0, 1, 0, 1)
    assert sum(added.durations) == 3
    assert 0 < added.spent < 60
    assert 0 < (added.quantile(0.5) or 0) <= added.longest


async def test_taken_twice(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A minute that is sampled twice is counted once."""
    begun = await minute_of(conn)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    now = await minute_of(conn) + A_MINUTE
    for _ in range(2):
        await sample(queue, conn, now=now)
    assert sum(each.succeeded for each in await read_points(conn, around(begun))) == 1


async def test_what_the_clock_runs(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """What the clock runs for the service itself is sampled by its name, and left out of what all did together."""
    begun = await minute_of(conn)
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await queue.tasks[OWN].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=await minute_of(conn) + A_MINUTE)
    assert {OWN, "sample.fail"} <= {each.task_name for each in await read_tasks(conn, around(begun))}
    whole = added(await read_points(conn, around(begun)))
    assert (whole.submitted, whole.succeeded, whole.failed, sum(whole.durations)) == (1, 0, 1, 1)


async def test_which_tasks_are_the_clock_s(queue: Afresh, conn: AsyncConnection):
    """All that the clock defers for the service itself, and nothing else; the database says the same."""
    ours = {name for name in declarations.schedules if name.startswith("app.tasks.") and "joke" not in name}
    others = ["app.tasks.maintenance.tidy", "shop.app.tasks.maintenance.fold_failures", "app.tasks.maintenance"]
    names = [*queue.tasks, *others]
    rows = await (await conn.execute("SELECT n, afresh.is_clocked(n) FROM unnest(%s::text[]) n", [names])).fetchall()
    assert dict(rows) == {name: is_clocked(name) for name in names}
    assert {name for name in names if is_clocked(name)} == {*ours, SEND_TASK}
    assert {queue.tasks[name].queue for name in ours} == set(QUEUES_OF_CLOCK)
    assert all(
        queue.tasks[name].queueing_lock == name.rpartition(".")[2] for name in ours
    )  # By which they are hurried.


async def test_what_waits(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A sample says how many jobs of a queue could run and how long the oldest waited; a paused one has none."""
    for name in ("busy", "paused"):
        for _ in range(2):
            await client.post("/tasks/add", json={"args": {"a": 1}, "queue": name})
    await client.post("/queues/paused/pause", json={"reason": "a test"})
    now = await minute_of(conn) + 2 * A_MINUTE
    await sample(queue, conn, now=now)
    found = {each.queue_name: each for each in await read_queues(conn, around(now))}
    assert (found["busy"].ready, found["paused"].ready) == (2, 0)
    assert 0 < found["busy"].oldest_seconds <= 180
    assert found["paused"].oldest_seconds == 0


async def test_many_queues(queue: Afresh, conn: AsyncConnection):
    """Of queues that clients make up, the fullest are told by name and the rest together: none is left out."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) "
        "SELECT 'made-up-' || n, 't' FROM generate_series(1, 500) n"
    )
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'fullest', 't' FROM generate_series(1, 9)"
    )
    await conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 't')")
    now = await minute_of(conn) + A_MINUTE
    await sample(queue, conn, now=now)
    found = {each.queue_name: each.ready for each in await read_queues(conn, around(now))}
    told = [name for name in found if name.startswith("made-up-")]
    assert len(told) == OTHER_QUEUES - 1
    assert (found["fullest"], found[OTHER]) == (9, 500 - len(told))
    assert (found["default"], "default" in Names(queue).queues()) == (1, True)


async def test_repeats(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Each repeat with an Idempotency-Key is counted in the minute in which it came; another body is none."""
    begun = await minute_of(conn)
    for body in ({"args": {"a": 1}}, {"args": {"a": 1}}, {"args": {"a": 1}}, {"args": {"a": 2}}):
        await client.post("/tasks/add", json=body, headers={"Idempotency-Key": "one"})
    await sample(queue, conn, now=await minute_of(conn) + A_MINUTE)
    assert sum(each.repeats for each in await read_service(conn, around(begun))) == 2


async def test_hours(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """An hour is the sum of its minutes, and stays when they are forgotten."""
    begun = await minute_of(conn)
    hour = begun.replace(minute=0)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=await minute_of(conn) + A_MINUTE)
    assert await forget_samples(conn, hours=timedelta(days=90), minutes=timedelta(minutes=-10)) > 0
    assert await read_points(conn, around(begun)) == []
    hours = await read_points(conn, Span(hour, hour + timedelta(hours=2), HOUR))
    assert [(each.succeeded, sum(each.durations)) for each in hours if each.succeeded] == [(1, 1)]


async def test_hours_beyond_their_time(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Hours are kept for RETENTION_SAMPLES."""
    begun = await minute_of(conn)
    hour = Span(begun.replace(minute=0), begun.replace(minute=0) + timedelta(hours=2), HOUR)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=await minute_of(conn) + A_MINUTE)
    await forget_samples(conn, hours=timedelta(days=90))
    assert added(await read_points(conn, hour)).succeeded == 1
    await forget_samples(conn, hours=timedelta(hours=-2))
    assert await read_points(conn, hour) == []


async def fill(conn: AsyncConnection, minute: datetime) -> None:
    """Twenty thousand jobs of two tasks that succeeded in that minute, after two seconds each; a tenth are of one."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (id, queue_name, task_name, status) OVERRIDING SYSTEM VALUE "
        "SELECT n, 'q', CASE WHEN n % 10 = 0 THEN 'rare' ELSE 'often' END, 'succeeded' FROM generate_series(1, 20000) n"
    )
    await conn.execute("TRUNCATE procrastinate_events")
    for kind, second in (("started", 1), ("succeeded", 3)):
        await conn.execute(
            "INSERT INTO procrastinate_events (job_id, type, at) "
            "SELECT n, %s, %s::timestamptz FROM generate_series(1, 20000) n",
            [kind, minute + timedelta(seconds=second)],
        )


@pytest.mark.parametrize("most", [4_000, 15_000, 39_000])
async def test_a_share_of_very_many(conn: AsyncConnection, most: int):
    """Of more events than are looked at a share of the jobs stands for all; all tasks together are told as they are."""
    minute = datetime(2030, 1, 1, tzinfo=UTC)
    await fill(conn, minute)
    await sample_tasks(conn, minute, most=most)
    found = {each.task_name: each for each in await read_tasks(conn, Span(minute, minute + A_MINUTE, MINUTE))}
    assert found["often"].succeeded + found["rare"].succeeded == pytest.approx(20_000, abs=1)
    assert found["rare"].succeeded == pytest.approx(2_000, rel=0.15)
    for each in found.values():
        assert each.spent == pytest.approx(2 * each.succeeded, rel=0.001)
        assert each.quantile(0.5) == pytest.approx(2, abs=0.7)
        assert sum(each.durations) == pytest.approx(each.succeeded, abs=1)


async def test_failures_among_very_many(conn: AsyncConnection):
    """Each attempt that failed is counted, also where of successes only a share is looked at."""
    minute = datetime(2030, 1, 1, tzinfo=UTC)
    await fill(conn, minute)
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, "
        "exception_type, message, failure_type, confidence, remediation, fingerprint, decision, delay, next_run_at, "
        "reason) SELECT n, 1, 'failed', true, 'rare', 'q', %(at)s, %(at)s, 'E', 'no', 'UNKNOWN', 0.5, 'INVESTIGATE', "
        "'f', 'retry', interval '1 s', now(), 'why' FROM generate_series(1, 7) n",
        {"at": minute + timedelta(seconds=5)},
    )
    await sample_tasks(conn, minute, most=4_000)
    found = {each.task_name: each for each in await read_tasks(conn, Span(minute, minute + A_MINUTE, MINUTE))}
    assert (found["rare"].failed, found["often"].failed) == (7, 0)


def test_missed_minutes():
    """Minutes that nobody sampled are caught up with, an hour at most; the last one that was is counted once more."""
    now = datetime(2030, 1, 1, 12, 30, 20, tzinfo=UTC)
    newest = datetime(2030, 1, 1, 12, 29, tzinfo=UTC)
    assert list(minutes_to_sample(None, now)) == [newest - A_MINUTE, newest]
    assert list(minutes_to_sample(newest - A_MINUTE, now)) == [newest - A_MINUTE, newest]
    assert list(minutes_to_sample(newest, now)) == [newest]
    long_ago = list(minutes_to_sample(newest - timedelta(days=3), now))
    assert (long_ago[0], long_ago[-1]) == (newest - CAUGHT_UP, newest)


async def test_bounds(conn: AsyncConnection):
    """The classes of durations are the same in the database and here."""
    row = await (await conn.execute("SELECT afresh.duration_bounds()")).fetchone()
    assert row is not None
    assert tuple(row[0]) == BOUNDS


def test_quantiles():
    """A quantile is found within its class, and never beyond the longest."""
    durations = [0] * (len(BOUNDS) + 1)
    durations[4], durations[-1] = 90, 10
    point = Point(at=datetime(2030, 1, 1, tzinfo=UTC), succeeded=100, spent=10.0, longest=400.0, durations=durations)
    assert 0.05 < (point.quantile(0.5) or 0) <= 0.1
    assert 300 < (point.quantile(0.95) or 0) <= 400
    assert Point(at=point.at).quantile(0.5) is None
