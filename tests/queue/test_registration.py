"""What is known of a worker: while it lives, when it has stopped, and when nobody asks for it any more."""

import random
from itertools import accumulate, islice

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.claim import Claims
from app.queue.loops import pauses
from app.queue.rescue import RescueReport, delay_before, purge_workers, rescue_stalled
from app.queue.submit import Submission, submit
from app.telemetry import AttemptAborted, Event, JobCoalesced, JobRescued

from .jobs import add, job, register, rows, value
from .workers import nothing, work_off

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection

FIND = "SELECT id FROM procrastinate_workers ORDER BY id"


async def silent(conn: Connection, count: int, *, since: str = "2 days") -> list[int]:
    """Register workers whose last heartbeat is so old."""
    insertion = """
        INSERT INTO procrastinate_workers (last_heartbeat)
        SELECT now() - %s::interval FROM generate_series(1, %s) RETURNING id
    """
    return [row["id"] for row in await rows(conn, insertion, since, count)]


async def test_a_worker_that_stopped_is_remembered(queue_app: Afresh, conn: Connection):
    """Stopping touches none of the jobs that a worker ran, and its attempts go on to say who made them."""
    queue_app.task(name="t")(nothing)
    (job_id,) = await add(conn)
    await work_off(queue_app)
    row = await job(conn, job_id)
    assert [each["id"] for each in await rows(conn, FIND)] == [row["worker_id"]]
    assert await value(conn, "SELECT worker_id FROM afresh.attempts WHERE job_id = %s", job_id) == row["worker_id"]


async def test_procrastinate_takes_a_stopped_worker_for_gone(queue_app: Afresh, conn: Connection):
    """Procrastinate's own prune knows at once that a worker has stopped, however patient it is."""
    await work_off(queue_app)
    (stopped,) = await rows(conn, FIND)
    pruned = await rows(conn, "SELECT worker_id FROM procrastinate_prune_stalled_workers_v1(86400)")
    assert [each["worker_id"] for each in pruned] == [stopped["id"]]


async def test_what_a_stopped_worker_left_is_rescued_at_once(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A job that a worker could not settle before it stopped waits for nobody's silence; the log tells whose it is."""
    await work_off(queue_app)
    (stopped,) = await rows(conn, FIND)
    job_id = await submit(conn, Submission(task_name="t", correlation_id="order-5", task_type="email", max_retries=3))
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", (stopped["id"],))
    assert (await rescue_stalled(queue_app)).rescued == (job_id,)
    (told,) = [event.attempt for event in events if isinstance(event, JobRescued)]
    assert (told.correlation_id, told.operation_type, told.attempt, told.max_attempts) == ("order-5", "email", 1, 4)


@pytest.mark.parametrize(
    ("meanwhile", "ended"),
    [
        ("UPDATE procrastinate_jobs SET abort_requested = true", AttemptAborted),
        (
            "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock) VALUES ('q', 't', 'only')",
            JobCoalesced,
        ),
    ],
    ids=["asked to end", "its twin waits"],
)
async def test_a_lost_job_that_ends_is_not_told_as_rescued(
    queue_app: Afresh, conn: Connection, events: list[Event], meanwhile: str, ended: type[Event]
):
    """Where the job of a lost worker does not run again, what is reported and told of it is how it ended."""
    job_id = await submit(conn, Submission(task_name="t", queueing_lock="only"))
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    await conn.execute(meanwhile)
    assert await rescue_stalled(queue_app) == RescueReport()
    assert [type(event) for event in events] == [ended]
    assert await value(conn, "SELECT rescues FROM afresh.rescue WHERE job_id = %s", job_id) == 1


async def test_workers_that_no_job_names_are_forgotten(conn: Connection):
    """Rows of stopped and of killed workers go once no job names them; those of living workers, and history, stay."""
    living, (missed, _killed) = await register(conn), await silent(conn, 2)
    (lately,) = await silent(conn, 1, since="1 hour")
    await add(conn)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded', worker_id = %s", (missed,))
    assert await purge_workers(conn) == 1
    assert [each["id"] for each in await rows(conn, FIND)] == [living, missed, lately]


async def test_a_few_are_forgotten_at_a_time(conn: Connection):
    """However many have gathered, a statement forgets no more than ten, and none is begun when the time is over."""
    await silent(conn, 25)
    assert await purge_workers(conn, seconds=0) == 10
    assert await purge_workers(conn) == 15


async def test_the_next_due_time_is_told_in_seconds(queue_app: Afresh, conn: Connection):
    """A worker learns how long it may sleep, not until when: its own clock may be wrong."""
    claims = Claims(queue_app, await register(conn), None)
    assert await claims.next_due() is None
    await add(conn, due_in=60)
    assert 55 < (await claims.next_due() or 0) <= 60


async def test_a_job_for_the_end_of_time_is_far_away(queue_app: Afresh, conn: Connection):
    """A job that is parked at ``infinity`` lets an idle worker sleep, and fails nothing."""
    await add(conn)
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = 'infinity'")
    assert await Claims(queue_app, 0, None).next_due() == float("inf")


def test_workers_that_start_together_look_apart():
    """Of a hundred workers that start in one instant never more than a few look for lost jobs in one tenth of a
    second: they share the interval from the first look on, and none waits longer than it.
    """  # noqa: D205 - one sentence
    rng = random.Random(4)
    workers = [list(islice(pauses(5.0, rng), 12)) for _ in range(100)]
    assert max(pause for worker in workers for pause in worker) <= 5.0
    looks = [round(moment, 1) for worker in workers for moment in accumulate(worker) if moment < 30]
    assert max(looks.count(moment) for moment in set(looks)) <= 10


def test_a_job_that_loses_worker_after_worker_comes_back_later_each_time():
    """The first rescue is immediate; then the waits double from half a minute to a quarter of an hour."""
    waits = [delay_before(rescue).total_seconds() for rescue in range(1, 9)]
    assert waits == [0, 30, 60, 120, 240, 480, 900, 900]
    assert delay_before(10**6).total_seconds() == 900
