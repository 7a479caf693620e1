"""One question to the database of these settings, asked by a command and answered on a connection of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .refusals import told_in_one_line

Answer = TypeVar("Answer")

ACTOR = "cli"
"""Who the audit says it was."""


def in_database(work: Callable[[Any], Awaitable[Answer]]) -> Answer:
    """Await `work` with a connection in autocommit, on a current schema; what goes wrong is told in one line."""
    from ..config import load_settings
    from ..postgres.connect import Database

    async def connected() -> Answer:
        async with Database.from_settings(load_settings().database) as database:
            await asyncio.to_thread(database.ensure_schema)
            async with await database.connect_async(application_name="afresh cli") as conn:
                return await work(conn)

    with told_in_one_line():
        return asyncio.run(connected())
