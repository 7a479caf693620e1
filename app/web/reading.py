"""A connection that can only read, and not for long."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from psycopg import AsyncConnection

from ..queue.app import Afresh

READ_SECONDS = 2
"""No page or list may keep the database busy for longer."""

_LIMITS = "SELECT set_config('statement_timeout', %s, true), set_config('transaction_read_only', 'on', true)"


async def queue_of(request: Request) -> Afresh:
    """Return the queue that this server stands in front of.

    Async, though it waits for nothing: FastAPI runs a plain function in a thread, at each request.
    """
    queue: Afresh = request.app.state.queue
    return queue


async def _reading(request: Request) -> AsyncIterator[AsyncConnection[Any]]:
    queue = await queue_of(request)
    async with queue.connection() as conn, conn.transaction():
        await conn.execute(_LIMITS, [f"{READ_SECONDS}s"])
        yield conn


Queue = Annotated[Afresh, Depends(queue_of)]
ReadingConnection = Annotated[AsyncConnection[Any], Depends(_reading, scope="function")]
"""Given back before the answer is sent."""
