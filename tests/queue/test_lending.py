"""Connections that are lent to requests and tasks."""

import asyncio
from contextlib import AsyncExitStack

import psycopg
import pytest

from app.queue.app import Afresh

pytestmark = pytest.mark.anyio

AT_ONCE = 5


async def test_no_dead_connection_is_lent(queue_app: Afresh, conn: psycopg.AsyncConnection):
    """Connections that a restart has ended while they rested are replaced before anybody gets one."""
    async with AsyncExitStack() as stack:
        lent = [await stack.enter_async_context(queue_app.connection()) for _ in range(AT_ONCE)]
        old = {each.info.backend_pid for each in lent}
    await conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", [list(old)])

    async def ask() -> int:
        async with queue_app.connection() as each:
            row = await (await each.execute("SELECT pg_backend_pid()")).fetchone()
            assert row
            return int(row[0])

    assert old.isdisjoint(await asyncio.gather(*(ask() for _ in range(2 * AT_ONCE))))


async def test_a_failed_use_is_rolled_back(queue_app: Afresh, conn: psycopg.AsyncConnection):
    """Whoever fails in the midst of a transaction leaves nothing behind, and the connection is lent again."""
    await conn.execute("CREATE TABLE kept (number integer)")
    with pytest.raises(ZeroDivisionError):
        await _insert_and_fail(queue_app)
    async with queue_app.connection() as each:
        assert each.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert await (await each.execute("SELECT count(*) FROM kept")).fetchone() == (0,)


async def _insert_and_fail(queue_app: Afresh) -> None:
    async with queue_app.connection() as each:
        await each.execute("BEGIN")
        await each.execute("INSERT INTO kept VALUES (1)")
        raise ZeroDivisionError
