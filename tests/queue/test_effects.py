"""What a task writes and the end of its job, in one transaction."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from procrastinate.jobs import DeleteJobCondition

from app.queue.app import Afresh
from app.queue.checkpoint import step
from app.queue.effects import effects, effects_in_thread
from app.queue.task import current_job, task
from app.telemetry import AttemptSucceeded, Event

from ..eventually import eventually
from .jobs import attempts, status, value
from .workers import Gate, work_off, working

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_declarations")]

Connection = psycopg.AsyncConnection


@pytest.fixture
async def ledger(conn: Connection) -> AsyncIterator[Connection]:
    """A table of the task's own, beside the queue."""
    await conn.execute("CREATE TABLE ledger (amount integer)")
    yield conn
    await conn.execute("DROP TABLE ledger")


async def amounts(conn: Connection) -> list[int]:
    """What the ledger holds."""
    return [row[0] for row in await (await conn.execute("SELECT amount FROM ledger ORDER BY 1")).fetchall()]


async def test_both_at_once(queue_app: Afresh, ledger: Connection, announced: list[Event]):
    """Once the block is left the job has succeeded, with its result, and that is told once."""
    seen: list[str] = []

    async def charge() -> str:
        async with effects() as work:
            await work.conn.execute("INSERT INTO ledger VALUES (5)")
            work.result = {"charged": 5}
            seen.append(await status(ledger, current_job().job_id))
        seen.append(await status(ledger, current_job().job_id))
        return "not stored"

    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert seen == ["doing", "succeeded"]
    assert await amounts(ledger) == [5]
    assert await value(ledger, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == {"charged": 5}
    assert await value(ledger, "SELECT attempts FROM procrastinate_jobs WHERE id = %s", job_id) == 1
    assert len([each for each in announced if isinstance(each, AttemptSucceeded)]) == 1


async def test_neither_where_the_block_fails(queue_app: Afresh, ledger: Connection):
    """An exception out of the block undoes what was written, and the attempt has failed as any other."""

    async def charge() -> None:
        async with effects() as work:
            await work.conn.execute("INSERT INTO ledger VALUES (5)")
            raise ConnectionError

    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert await amounts(ledger) == []
    assert [row["outcome"] for row in await attempts(ledger, job_id)] == ["failed"]
    assert await status(ledger, job_id) == "todo"


async def test_on_a_connection_of_its_own(queue_app: Afresh, ledger: Connection, database_url: str):
    """A task may bring its own connection, unless that is in a transaction already."""
    said: list[str] = []

    async def charge() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as own:
            await own.execute("SELECT 1")
            try:
                async with effects(own):
                    raise AssertionError
            except ValueError as refusal:
                said.append(str(refusal))
            await own.rollback()
            async with effects(own) as work:
                await work.conn.execute("INSERT INTO ledger VALUES (7)")

    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert said == ["conn is in a transaction already: the job must end where that is committed"]
    assert (await amounts(ledger), await status(ledger, job_id)) == ([7], "succeeded")


async def test_in_a_thread(queue_app: Afresh, ledger: Connection):
    """A task that is not asynchronous has the same."""

    def charge() -> None:
        with effects_in_thread() as work:
            work.conn.execute("INSERT INTO ledger VALUES (9)")
            work.result = 9

    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert (await amounts(ledger), await status(ledger, job_id)) == ([9], "succeeded")
    assert await value(ledger, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == 9


async def test_nothing_for_a_job_that_was_taken_over(queue_app: Afresh, ledger: Connection):
    """A worker that was taken for lost can commit nothing more in the name of its job."""
    gate = Gate()

    async def charge() -> None:
        async with effects() as work:
            await work.conn.execute("INSERT INTO ledger VALUES (5)")
            await gate()

    job_id = await task(name="charge")(charge).defer_async()
    async with working(queue_app) as worker:
        await eventually(lambda: gate.running == 1)
        await ledger.execute("UPDATE procrastinate_jobs SET afresh_claim = afresh_claim + 1 WHERE id = %s", [job_id])
        gate.open.set()
        await eventually(lambda: not worker._running_jobs)
    assert await amounts(ledger) == []
    assert await status(ledger, job_id) == "doing"


async def test_what_fails_after_it_changes_nothing(queue_app: Afresh, ledger: Connection, caplog: Any):
    """A task that goes on after its job has ended, and fails at that, leaves a line of the log."""

    async def charge() -> None:
        async with effects() as work:
            await work.conn.execute("INSERT INTO ledger VALUES (5)")
        raise ConnectionError

    caplog.set_level(logging.WARNING)  # Whatever level another test's worker has left.
    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert (await status(ledger, job_id), await attempts(ledger, job_id)) == ("succeeded", [])
    assert f"job {job_id} had succeeded with its effects before ConnectionError" in caplog.text


async def test_a_job_ends_once(queue_app: Afresh, ledger: Connection):
    """A second block in the same run is refused before anything is written in it."""
    said: list[str] = []

    async def charge() -> None:
        async with effects():
            pass
        try:
            async with effects() as work:
                await work.conn.execute("INSERT INTO ledger VALUES (5)")
        except ValueError as refusal:
            said.append(str(refusal))

    job_id = await task(name="charge")(charge).defer_async()
    await work_off(queue_app)
    assert said == [f"job {job_id} has ended with its effects already"]
    assert await amounts(ledger) == []


async def test_with_checkpoints_and_deletion(queue_app: Afresh, ledger: Connection):
    """The job's checkpoints go with it, and the job itself where its worker deletes those that succeed."""

    async def charge() -> None:
        amount = await step("amount", lambda: 5)
        async with effects() as work:
            await work.conn.execute("INSERT INTO ledger VALUES (%s)", [amount])

    await task(name="charge")(charge).defer_async()
    await work_off(queue_app, delete_jobs=DeleteJobCondition.SUCCESSFUL)
    assert await amounts(ledger) == [5]
    assert await value(ledger, "SELECT count(*) FROM procrastinate_jobs") == 0
    assert await value(ledger, "SELECT count(*) FROM afresh.checkpoint") == 0


async def test_outside_of_a_job():
    """Without a job there is nothing to end."""
    with pytest.raises(LookupError, match="no job is running here"):
        async with effects():
            raise AssertionError
