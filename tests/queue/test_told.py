"""What a process has to say of its dependencies, and what it does until others have heard."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.config import BreakerSettings
from app.queue.app import Afresh
from app.queue.claim import Claims
from app.queue.dependencies import Dependencies
from app.queue.task import ExponentialBackoff, task
from app.retry.budget import CAPACITY
from app.retry.failure import FailureType
from app.retry.policy import Retry

from ..eventually import eventually
from ..retry.samples import a_failure
from .conftest import OpenApp
from .dependencies import NAME, REFUSED, Service, calling, succeeded
from .jobs import add, register, rows, value
from .workers import working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

DOWN = a_failure(REFUSED)
NO_NAME = "x" * 256


def fails(mine: Dependencies, name: str, job_id: int) -> None:
    """Let a job that relies on a dependency fail because of it."""
    mine.judge(mine.call(name, job_id), DOWN)


async def test_nothing_is_claimed_for_the_rest_of_a_second_in_which_all_failed(
    queue_app: Afresh, conn: Connection, monkeypatch: pytest.MonkeyPatch
):
    """A worker whose calls all failed takes no more of that dependency until the next second, told or not."""
    await add(conn, 5, dependency=NAME)
    (other,) = await add(conn, dependency="another")
    mine = queue_app.dependencies
    now: datetime = await value(conn, "SELECT date_trunc('second', clock_timestamp())")
    monkeypatch.setattr(mine, "now", lambda: now)
    for job_id in range(mine.rules_of(NAME).trips[REFUSED].failures):
        fails(mine, NAME, job_id)
    claims = Claims(queue_app, await register(conn), None)
    assert [each.job_id for each in await claims.take(10)] == [other]
    now += timedelta(seconds=1)
    assert len(await claims.take(10)) == 5


async def test_fewer_failures_than_the_threshold_hold_nothing_back(queue_app: Afresh, conn: Connection):
    """One failure fewer than the threshold is no reason to stop."""
    await add(conn, 5, dependency=NAME)
    mine = queue_app.dependencies
    for job_id in range(mine.rules_of(NAME).trips[REFUSED].failures - 1):
        fails(mine, NAME, job_id)
    assert len(await Claims(queue_app, await register(conn), None).take(10)) == 5


async def test_what_cannot_be_told_waits_for_the_database(
    queue_app: Afresh, conn: Connection, monkeypatch: pytest.MonkeyPatch
):
    """What was counted while the database is away is kept, and told once when it is back."""
    mine = queue_app.dependencies
    with monkeypatch.context() as away:
        away.setattr(queue_app.connector, "connection", unreachable)
        for job_id in range(3):
            fails(mine, NAME, job_id)
            with pytest.raises(psycopg.OperationalError):
                await mine.flush()
    for _ in range(2):
        await mine.flush()
    (row,) = await rows(conn, "SELECT name, slots FROM afresh.breaker")
    assert (row["name"], sum(slot[2] for slot in row["slots"])) == (NAME, 3)


async def test_what_is_refused_holds_nothing_up(queue_app: Afresh, conn: Connection, caplog: pytest.LogCaptureFixture):
    """A name that no row can hold, as a job put in by SQL may have, is told of in the log; the others are reported."""
    mine = queue_app.dependencies
    for name in (NO_NAME, NAME):
        fails(mine, name, 1)
    await mine.flush()
    assert await value(conn, "SELECT name FROM afresh.breaker") == NAME
    (line,) = [record.getMessage() for record in caplog.records if record.name == "app.queue.dependencies"]
    assert "cannot be told" in line
    assert "breaker_name_check" in line


async def test_what_worked_is_told_in_one_for_those_who_watch(queue_app: Afresh, conn: Connection):
    """All calls of a suspect dependency that worked are one report, made once; of one that is well there is none."""
    mine = queue_app.dependencies
    fails(mine, NAME, 1)
    await mine.flush()
    for name in [NAME, "another"] * 40:
        mine.worked(mine.call(name, 2))
    assert await told(conn) == 0
    for _ in range(2):
        await mine.flush()
    assert await told(conn) == 40
    assert await rows(conn, "SELECT FROM afresh.breaker WHERE name <> %s", NAME) == []


async def test_no_settlement_waits_for_a_breaker(open_app: OpenApp, conn: Connection):
    """While somebody keeps the row of a suspect breaker, jobs that call it end all the same; it hears of them after."""
    call = calling(Service())
    app = await open_app()
    fails(app.dependencies, NAME, -1)
    await app.dependencies.flush()
    async with working(app):
        async with conn.transaction():
            await conn.execute("SELECT FROM afresh.breaker WHERE name = %s FOR UPDATE", [NAME])
            await call.batch_defer_async(*[{} for _ in range(20)])
            await eventually(lambda: all_succeeded(conn, 20))
            await eventually(lambda: somebody_waits(conn))
            assert await told(conn) == 0
        await eventually(lambda: all_told(conn, 20))


async def told(conn: Connection) -> int:
    """How many calls that worked the breaker has heard of."""
    return sum(slot[1] for slot in await value(conn, "SELECT slots FROM afresh.breaker WHERE name = %s", NAME))


async def all_told(conn: Connection, count: int) -> bool:
    """Whether it has heard of so many."""
    return await told(conn) == count


async def all_succeeded(conn: Connection, count: int) -> bool:
    """Whether so many jobs succeeded."""
    return await succeeded(conn) == count


async def somebody_waits(conn: Connection) -> bool:
    """Whether another session waits for what this one has locked."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(await value(conn, waiting))


def test_a_task_that_relies_on_nothing_that_has_a_name():
    """A dependency that no row can hold is refused where the task is declared."""
    with pytest.raises(ValueError, match="text of 1 to 255 characters"):
        task(name="tests.nameless", depends_on=NO_NAME)


async def test_each_dependency_has_its_budget(queue_app: Afresh):
    """A retry is taken from the budget of what was called, one after a time-out for two; others keep theirs."""
    mine = queue_app.dependencies
    call, other = mine.call(NAME, 1), mine.call("another", 1)
    for each, kind in ((call, REFUSED), (call, FailureType.TRANSIENT_TIMEOUT), (other, REFUSED)):
        mine.judge(each, a_failure(kind))
    retry = Retry(mine.now(), timedelta(0), ())
    mine.charge(call, REFUSED, retry)
    mine.charge(call, FailureType.TRANSIENT_TIMEOUT, retry)
    left = mine.budgets()
    assert left[NAME] == pytest.approx(CAPACITY - 3, abs=0.5)
    assert left["another"] == pytest.approx(CAPACITY, abs=0.5)


@asynccontextmanager
async def unreachable() -> AsyncIterator[Any]:
    """A database that is away."""
    raise psycopg.OperationalError("the connection is lost")
    yield


async def test_a_heartbeat_tells_what_is_left(open_app: OpenApp, conn: Connection):
    """A worker says which budgets are not full, also of names that Postgres could not keep."""
    service = Service(up=False)
    call = calling(service, retry=ExponentialBackoff(max_retries=3, initial_delay=timedelta(minutes=1)))
    app = await open_app(breaker=BreakerSettings(failures=1_000))
    async with working(app, update_heartbeat_interval=0.05):
        await eventually(lambda: is_told(conn, {}))
        await call.batch_defer_async(*[{} for _ in range(10)])
        odd = app.dependencies.call("od\0d\udc80", 1)
        app.dependencies.charge(odd, REFUSED, Retry(datetime.now(UTC), timedelta(0), ()))
        await eventually(lambda: is_told(conn, {NAME, "od\N{REPLACEMENT CHARACTER}d?"}))
    left = (await value(conn, "SELECT budgets FROM afresh.worker"))[NAME]
    assert 50 - 10 <= left < 50


async def is_told(conn: Connection, names: Iterable[str]) -> bool:
    """Whether the worker says that these budgets are not full, and no others."""
    said = await rows(conn, "SELECT budgets FROM afresh.worker")  # None before its first heartbeat.
    return [None if each["budgets"] is None else set(each["budgets"]) for each in said] == [set(names)]
