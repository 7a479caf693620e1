"""What waits beyond its time is buried where it waits, and no claim has to meet it for that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection as Connection

from app.config import RetrySettings
from app.queue.app import Afresh
from app.queue.overdue import Overdue, bury_overdue
from app.queue.submit import Submission, submit
from app.retry.failure import FailureType
from app.store import breakers
from app.store.holds import hold
from app.telemetry import Event, JobBuried

from .conftest import OpenApp
from .dependencies import NAME, Service, calling, hold_breaker, open_breaker
from .jobs import Row, add, attempts, job, rows, value

pytestmark = pytest.mark.anyio

DAY = timedelta(hours=24)


async def isolate(conn: Connection, *, hours: float = 0) -> None:
    """Hold the dependency, since so many hours ago."""
    await breakers.isolate(conn, NAME, actor="me", reason="maintenance")
    await conn.execute("UPDATE afresh.hold SET held_at = now() - make_interval(secs => %s)", (hours * 3600,))


async def made(conn: Connection, *, hours: float) -> None:
    """Let all jobs have been made so many hours ago."""
    await conn.execute("UPDATE procrastinate_events SET at = now() - make_interval(secs => %s)", (hours * 3600,))


async def letters(conn: Connection) -> list[Row]:
    """The dead letters, by job."""
    query = "SELECT job_id, cause::text, failure_type, reason, attempts FROM afresh.dead_letter ORDER BY job_id"
    return await rows(conn, query)


async def late(conn: Connection, task: str = "t", **given: Any) -> int:
    """A waiting job whose deadline passed a second ago."""
    deadline = datetime.now(UTC) - timedelta(seconds=1)
    return await submit(conn, replace(Submission(task_name=task, deadline=deadline), **given))


async def test_a_deadline_behind_a_breaker(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A job whose deadline passes while its dependency is held is buried there: its letter names the deadline."""
    await isolate(conn)
    job_id = await late(conn, dependency=NAME)
    assert await bury_overdue(queue_app) == Overdue(past_deadline=1)
    (letter,) = await letters(conn)
    assert (letter["job_id"], letter["cause"], letter["attempts"]) == (job_id, "waited_too_long", 0)
    assert letter["reason"].startswith("its deadline 20")
    assert [each.cause for each in events if isinstance(each, JobBuried)] == ["waited_too_long"]


async def test_a_deadline_anywhere(queue_app: Afresh, conn: Connection):
    """So is one in a paused queue, between attempts, before its time, and behind others; one in time stays."""
    await hold(conn, "queue", "paused", reason="deploy", actor="me")
    buried = [
        await late(conn, queue="paused"),
        await late(conn),
        await late(conn, run_at=datetime.now(UTC) + timedelta(hours=1)),
    ]
    between = await late(conn)
    await conn.execute(
        "UPDATE procrastinate_jobs SET attempts = 1, scheduled_at = now() + interval '1 min' WHERE id = %s", (between,)
    )
    in_time = await submit(conn, Submission(task_name="t", deadline=datetime.now(UTC) + timedelta(minutes=5)))
    assert await bury_overdue(queue_app) == Overdue(past_deadline=4)
    assert [(each["job_id"], each["attempts"]) for each in await letters(conn)] == [
        *((each, 0) for each in buried),
        (between, 1),
    ]
    assert (await job(conn, in_time))["status"] == "todo"


async def test_a_deadline_is_looked_at_once(queue_app: Afresh, conn: Connection):
    """What ended before its deadline is looked at when that passes, and not again; what runs is left alone."""
    ended, gone, runs = [await late(conn) for _ in range(3)]
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = ANY (%s)", ([ended, runs],))
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", (ended,))
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = %s", (gone,))
    assert await bury_overdue(queue_app) == Overdue()
    watched = await rows(conn, "SELECT job_id FROM afresh.job_option WHERE deadline_watched")
    assert watched == [{"job_id": runs}]
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE id = %s", (runs,))
    assert await bury_overdue(queue_app) == Overdue(past_deadline=1)


async def test_jobs_with_one_lock(queue_app: Afresh, conn: Connection):
    """Jobs that share a lock are buried one by one, and not while another runs under it."""
    waiting = [await late(conn, lock="one") for _ in range(3)]
    (running,) = await add(conn, lock="one")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (running,))
    assert await bury_overdue(queue_app) == Overdue()
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", (running,))
    assert await bury_overdue(queue_app) == Overdue(past_deadline=3)
    assert [each["job_id"] for each in await letters(conn)] == waiting


async def test_many(queue_app: Afresh, conn: Connection):
    """More than one transaction takes are buried in several."""
    now = datetime.now(UTC)
    for _ in range(250):
        await submit(conn, Submission(task_name="t", deadline=now))
    assert await bury_overdue(queue_app) == Overdue(past_deadline=250)


@pytest.mark.parametrize("known", ["job", "task"])
async def test_held_for_too_long(queue_app: Afresh, conn: Connection, known: str):
    """A job that its dependency, or its task's, has held for MAX_WAIT is buried: never started, it costs no attempt."""
    call = calling(Service())
    task, own = (call.name, None) if known == "task" else ("t", NAME)
    (job_id,) = await add(conn, task=task, dependency=own)
    await isolate(conn, hours=25)
    await made(conn, hours=26)
    assert await bury_overdue(queue_app) == Overdue(held_too_long=1)
    (letter,) = await letters(conn)
    assert (letter["job_id"], letter["cause"], letter["failure_type"]) == (
        job_id,
        "waited_too_long",
        "EXTERNAL_API_DOWN",
    )
    assert letter["reason"].startswith(
        "waited 1 d 1 h for dependency_open, more than 1 d: joke-api lets nobody in, me: "
    )
    assert letter["attempts"] == 0
    (attempt,) = await attempts(conn, job_id)
    assert (attempt["outcome"], attempt["counted"]) == ("failed", False)


@pytest.mark.parametrize(
    ("held", "made_ago"), [(23, 26), (25, 23)], ids=["the breaker held it for less", "it has not been there so long"]
)
async def test_not_held_for_too_long(queue_app: Afresh, conn: Connection, held: float, made_ago: float):
    """It waits on where the dependency has been down, or the job has been there, for less than MAX_WAIT."""
    await add(conn, dependency=NAME)
    await isolate(conn, hours=held)
    await made(conn, hours=made_ago)
    assert await bury_overdue(queue_app) == Overdue()


async def test_a_job_of_a_time_waits_from_then(queue_app: Afresh, conn: Connection):
    """A job made long ago for a time that has just come has not waited yet; one whose time came long ago has."""
    await add(conn, dependency=NAME, due_in=-3600)
    (long_ago,) = await add(conn, dependency=NAME, due_in=-25 * 3600)
    await isolate(conn, hours=30)
    await made(conn, hours=100)
    assert await bury_overdue(queue_app) == Overdue(held_too_long=1)
    assert [each["job_id"] for each in await letters(conn)] == [long_ago]


async def test_a_caught_job_waits_since_it_was_caught(queue_app: Afresh, conn: Connection):
    """A probe that fails every hour does not begin to wait anew each time."""
    (job_id,) = await add(conn, dependency=NAME, due_in=-60)
    await isolate(conn, hours=30)
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at) "
        "SELECT %s, 1, 'snoozed', false, 't', 'q', at, at FROM (SELECT now() - make_interval(hours => ago) AS at "
        "FROM unnest(ARRAY[26, 3, 1]) AS ago) AS snoozes",
        (job_id,),
    )
    assert await bury_overdue(queue_app) == Overdue(held_too_long=1)


async def test_a_ramp_is_no_waiting_for_a_breaker(queue_app: Afresh, conn: Connection):
    """Once a dependency answers, its backlog waits for its turn, however long that takes; a new outage counts anew."""
    await open_breaker(conn)
    await add(conn, dependency=NAME)
    await conn.execute("UPDATE afresh.hold SET held_at = now() - interval '30 hours'")
    await breakers.reset(conn, NAME, actor="me", reason="it is back")
    await made(conn, hours=30)
    assert await bury_overdue(queue_app) == Overdue()
    await breakers.isolate(conn, NAME, actor="me", reason="again")
    assert await bury_overdue(queue_app) == Overdue()


async def test_an_outage_in_several_breaks_is_one(conn: Connection):
    """A hold lasts since the dependency first let nobody in, whatever states it has been in since."""
    await open_breaker(conn)
    await conn.execute("UPDATE afresh.hold SET held_at = now() - interval '30 hours'")
    await breakers.isolate(conn, NAME, actor="me", reason="maintenance")
    assert await value(conn, "SELECT now() - held_at FROM afresh.hold") >= timedelta(hours=30)


@pytest.mark.parametrize("kind", [FailureType.PERMANENT_AUTH, FailureType.CONFIG_MISSING_SETTING])
async def test_what_a_person_has_to_mend(queue_app: Afresh, conn: Connection, kind: FailureType):
    """Nobody is buried for a key that was revoked days ago, or a setting that is missing since."""
    await add(conn, dependency=NAME)
    await hold_breaker(conn, kind)
    await conn.execute("UPDATE afresh.hold SET held_at = now() - interval '70 hours'")
    await made(conn, hours=70)
    assert await bury_overdue(queue_app) == Overdue()
    assert await letters(conn) == []


async def test_after_a_revoked_key(queue_app: Afresh, conn: Connection):
    """Who waited for days for a key has not waited yet for what holds the dependency after it."""
    await add(conn, dependency=NAME)
    await hold_breaker(conn, FailureType.PERMANENT_AUTH)
    await conn.execute("UPDATE afresh.hold SET held_at = now() - interval '70 hours'")
    await made(conn, hours=70)
    await breakers.isolate(conn, NAME, actor="me", reason="maintenance")
    assert await bury_overdue(queue_app) == Overdue()


async def test_max_wait_is_a_setting(open_app: OpenApp, conn: Connection):
    """MAX_WAIT says how long is too long."""
    app = await open_app(retry=RetrySettings(max_wait=timedelta(minutes=10)))
    await add(conn, dependency=NAME)
    await isolate(conn, hours=0.2)
    await made(conn, hours=0.5)
    assert await bury_overdue(app) == Overdue(held_too_long=1)
    assert "more than 10 min" in (await letters(conn))[0]["reason"]


async def test_a_hold_by_hand(queue_app: Afresh, conn: Connection):
    """What somebody holds without a breaker holds jobs no longer than that."""
    await add(conn, dependency=NAME)
    await hold(conn, "dependency", NAME, reason="why", actor="me")
    await conn.execute("UPDATE afresh.hold SET held_at = now() - interval '25 hours'")
    await made(conn, hours=25)
    assert await bury_overdue(queue_app) == Overdue(held_too_long=1)


@pytest.mark.parametrize("held", [True, False])
async def test_its_line_tells_whose_it_is(queue_app: Afresh, conn: Connection, events: list[Event], held: bool):  # noqa: FBT001 - both are the same.
    """Whoever looks for the lines of a job by its correlation id finds that it was buried where it waited."""
    await isolate(conn, hours=25)
    given: dict[str, Any] = {"correlation_id": "order-5", "task_type": "email", "max_retries": 3, "dependency": NAME}
    if held:
        await submit(conn, Submission(task_name="t", **given))
        await made(conn, hours=26)
    else:
        await late(conn, **given)
    await bury_overdue(queue_app)
    (told,) = [each.attempt for each in events if isinstance(each, JobBuried)]
    assert (told.correlation_id, told.operation_type, told.attempt, told.max_attempts) == ("order-5", "email", 1, 4)
