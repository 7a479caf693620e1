"""What commands ask: the database of these settings, on a connection of its own, and which tasks there are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .refusals import told_in_one_line

if TYPE_CHECKING:
    from ..queue.catalog import Catalog

Answer = TypeVar("Answer")

ACTOR = "cli"
"""Who the audit says it was."""


def in_database(work: Callable[[Any], Awaitable[Answer]]) -> Answer:
    """Await `work` with a connection in autocommit, on a current schema; what goes wrong is told in one line."""
    from ..config import load_settings
    from ..postgres.calendar import clamp_times
    from ..postgres.connect import Database

    async def connected() -> Answer:
        async with Database.from_settings(load_settings().database) as database:
            await asyncio.to_thread(database.ensure_schema)
            async with await database.connect_async(application_name="afresh cli") as conn:
                await clamp_times(conn)
                return await work(conn)

    with told_in_one_line():
        return asyncio.run(connected())


def catalog() -> "Catalog":
    """The tasks of every task module."""
    from ..queue.app import app

    app.perform_import_paths()
    found: Catalog = app.catalog
    return found
