"""Rows that Postgres holds and Python cannot read, as only plain SQL makes them."""

from typing import Any

import pytest
from psycopg import AsyncConnection as Connection
from psycopg import sql

from app.queue.app import Afresh
from app.queue.claim import Claims, UnreadableJobs

from ..eventually import eventually
from .dependencies import Service, calling, open_to_probes
from .jobs import register, rows, value
from .workers import is_, working

pytestmark = pytest.mark.anyio

DEEP = '{"value": ' + "[" * 12_000 + "]" * 12_000 + "}"  # Python 3.13 reads nearly ten thousand.


async def insert(conn: Connection, **columns: Any) -> int:
    """A job as plain SQL makes it."""
    given = {"queue_name": "default", "task_name": "takes.anything", **columns}
    statement = sql.SQL("INSERT INTO procrastinate_jobs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
    )
    row = await (await conn.execute(statement, given)).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize(
    "columns",
    [{"scheduled_at": "-infinity"}, {"scheduled_at": "0044-03-15 12:00+00 BC"}, {"args": DEEP}],
    ids=["-infinity", "44 BC", "deep"],
)
async def test_a_row_that_cannot_be_read(queue_app: Afresh, conn: Connection, columns: dict[str, str]):
    """A job that cannot be read is buried without an attempt, and says why; those that were claimed with it run."""

    @queue_app.task(name="takes.anything")
    async def anything(value: Any = None) -> Any:
        return value

    before, bad, after = await insert(conn), await insert(conn, **columns), await insert(conn)
    async with working(queue_app):
        await eventually(lambda: is_(conn, before, "succeeded"))
        await eventually(lambda: is_(conn, after, "succeeded"))
        await eventually(lambda: is_(conn, bad, "failed"))
    (letter,) = await rows(conn, "SELECT job_id, cause::text, failure_type, attempts, reason FROM afresh.dead_letter")
    assert (letter["job_id"], letter["cause"], letter["failure_type"]) == (bad, "permanent", "PERMANENT_VALIDATION")
    assert letter["attempts"] == 0
    assert "its row cannot be read" in letter["reason"]


async def test_a_probe_that_cannot_be_read(queue_app: Afresh, conn: Connection):
    """A probe whose job cannot be read gives its permit back at once: the breaker does not wait for its lease."""
    call = calling(Service())
    await open_to_probes(conn)
    await insert(conn, task_name=call.name, scheduled_at="-infinity")
    await queue_app.dependencies.refresh()
    with pytest.raises(UnreadableJobs):
        await Claims(queue_app, await register(conn), None).take(1)
    assert len(await value(conn, "SELECT permits FROM afresh.breaker")) == 1
    await queue_app.dependencies.flush()
    assert await value(conn, "SELECT permits FROM afresh.breaker") == []
