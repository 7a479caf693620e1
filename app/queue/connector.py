"""Procrastinate's connector on our pools: autocommit, no check before each use, a listener that comes back."""

import asyncio
import logging
import random
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from procrastinate import PsycopgConnector, SyncPsycopgConnector, exceptions, utils
from procrastinate.connector import Notify
from procrastinate.sync_psycopg_connector import wrap_exceptions
from psycopg import sql
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from ..postgres.calendar import clamp_times, set_utc
from ..postgres.connect import Database
from .threads import loop_here

RECONNECT_SECONDS = 5.0
"""Upper bound of the random wait before a listener connects again, so that workers do not return in one instant."""

PROBE_SECONDS = 30.0
"""How often a silent listening connection is asked whether it still lives."""

START_SECONDS = 30.0
"""How long a process that starts waits for a database that is away."""

ANSWER_SECONDS = 30.0
"""A statement of the queue that has no answer by then is given up: its connection may lead nowhere."""

LENT_SECONDS = 10.0
"""How long a task or a request waits for a connection of its own; then the answer is an error, rather than none."""

RECONNECT_SECONDS_IN_A_ROW = 3.0
"""Of one series of attempts to connect. psycopg's pool doubles its pauses within a series, so that a long one would
find the database only when it has been back for as long as it was away."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


async def patiently(reach: Callable[[], Awaitable[T]], name: str = "database") -> T:
    """What `reach` returns, tried again for `START_SECONDS` while the database, told as `name`, is away.

    Raises:
        psycopg.OperationalError, procrastinate.exceptions.ConnectorException: It is still away.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return await reach()
        except (psycopg.OperationalError, exceptions.ConnectorException) as error:
            if time.monotonic() > deadline:
                raise
            cause = error.__cause__ or error  # Procrastinate's own says nothing.
            _logger.warning("waiting for the %s: %s", name, " ".join(str(cause).split()))
            await asyncio.sleep(random.uniform(0.5, 1.0))  # noqa: S311  Spreads load; no secret.


class AfreshConnector(PsycopgConnector):
    """Opens the database on the way in, whichever it is, and lets go of it on the way out."""

    def __init__(self, database: Database, *, max_size: int = 10) -> None:
        super().__init__()
        self.database = database
        self._max_size = max_size
        self._lent: AsyncConnectionPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open_async(self, pool: AsyncConnectionPool | None = None) -> None:
        """Start or join the database, see to its schema, and fill the pool; wait a while for one that is away.

        Raises:
            psycopg.OperationalError: It is still away after `START_SECONDS`.
            PostgresError: The embedded server does not start, or the schema is behind.
        """
        if self._async_pool is not None:
            return
        self._loop = asyncio.get_running_loop()
        if self._sync_connector is not None:  # Nobody could close it any more: from now on this one is the app's.
            await asyncio.to_thread(self._sync_connector.close)
            self._sync_connector = None
        if pool is not None:
            await super().open_async(pool)
            return
        await asyncio.to_thread(self.database.open)
        try:
            name = "database" if self.database.embedded else "database of DATABASE_URL"
            await patiently(lambda: asyncio.to_thread(self.database.ensure_schema), name)
            # One to begin with: the pool hands out the connection that has rested longest, and each that it has more
            # than are needed is a server process with cold caches.
            own = self._pool(min_size=1, timeout=RECONNECT_SECONDS_IN_A_ROW, prepare=set_utc)
            await own.open()
        except BaseException:
            await asyncio.to_thread(self.database.close)
            raise
        self._async_pool = own
        self._lent = self._pool(min_size=0, timeout=LENT_SECONDS, prepare=clamp_times)
        await self._lent.open()

    def _pool(self, *, min_size: int, timeout: float, **options: Any) -> AsyncConnectionPool:
        return self.database.pool(
            min_size=min_size,
            max_size=self._max_size,
            timeout=timeout,
            reconnect_timeout=RECONNECT_SECONDS_IN_A_ROW,
            **options,
        )

    async def close_async(self) -> None:
        """Empty the pool; the last user of an embedded server stops it."""
        if self._async_pool is None or self._pool_externally_set:
            return
        if self._lent is not None:
            await self._lent.close()
        await self._async_pool.close()
        self._lent = self._async_pool = self._loop = None
        await asyncio.to_thread(self.database.close)

    def get_sync_connector(self) -> Any:
        """For ``task.defer()`` outside of asyncio."""
        if self._async_pool is not None:
            return self
        if self._sync_connector is None:
            self._sync_connector = AfreshSyncConnector(self.database)
        return self._sync_connector

    # In the thread of a task that is not async, ``defer()`` is done by the loop that the pool lives in. Procrastinate
    # makes another loop in a thread that it did not start, and there the pool's locks do not open.

    def execute_query(self, query: Any, **arguments: Any) -> None:
        """As `execute_query_async`, from a thread."""
        self._from_thread(self.execute_query_async, query, **arguments)

    def execute_query_one(self, query: Any, **arguments: Any) -> Any:
        """As `execute_query_one_async`, from a thread."""
        return self._from_thread(self.execute_query_one_async, query, **arguments)

    def execute_query_all(self, query: Any, **arguments: Any) -> Any:
        """As `execute_query_all_async`, from a thread."""
        return self._from_thread(self.execute_query_all_async, query, **arguments)

    def _from_thread(self, execute: Callable[..., Coroutine[Any, Any, Any]], query: Any, **arguments: Any) -> Any:
        home = self._loop
        if home is None or not home.is_running() or home is loop_here():
            return utils.async_to_sync(execute, query, **arguments)
        return asyncio.run_coroutine_threadsafe(execute(query, **arguments), home).result()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection from the pool, in autocommit, for a moment: claims, settlements and heartbeats wait for it.

        Raises:
            psycopg.OperationalError: There is none.
            TimeoutError: The moment took longer than `ANSWER_SECONDS`.
        """
        async with asyncio.timeout(ANSWER_SECONDS), self._taken() as conn:
            yield conn

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """As ``pool.connection()``, which ends a transaction that nobody began: in autocommit there is none."""
        conn = await self.pool.getconn()
        try:
            yield conn
        finally:
            await self.pool.putconn(conn)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A new connection, past any pooler: those of the pool may all be in use, or lead nowhere.

        Raises:
            psycopg.OperationalError: There is none.
            TimeoutError: The moment took longer than `ANSWER_SECONDS`.
        """
        async with asyncio.timeout(ANSWER_SECONDS), await self.database.connect_async() as conn:
            yield conn

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection for as long as a task or a request needs it, in autocommit.

        From a pool of its own: tasks that keep all connections must not silence the heartbeat of their worker. Those
        that the server has ended while they rested, as a restart does to all of them, are not handed out.
        """
        pool = self._lent or self.pool
        conn = await pool.getconn()
        while _was_ended(conn):
            await conn.close()
            await pool.putconn(conn)  # It makes another in its place.
            conn = await pool.getconn()
        try:
            async with conn:
                yield conn
        finally:
            await pool.putconn(conn)

    async def fetch(self, query: Any, parameters: dict[str, Any], connection: Any | None = None) -> list[Any]:
        """Run one statement, on the caller's connection if there is one, and return its rows as tuples.

        Raises:
            procrastinate.exceptions.ConnectorException: The database refused, or is out of reach.
        """
        with wrap_exceptions():
            if connection is not None:
                cursor = await connection.cursor(row_factory=tuple_row).execute(query, parameters)
                return list(await cursor.fetchall())
            async with self._taken() as conn:
                cursor = await conn.execute(query, parameters)
                return list(await cursor.fetchall())

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Pass notifications on until cancelled, connecting again whenever the connection is lost.

        Whoever listens is called once with an empty payload after each connection, because what was said in between
        went unheard.
        """
        while True:
            try:
                async with await self.database.connect_async(application_name="afresh listener") as conn:
                    for channel in channels:
                        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    await on_notification(channel="", payload="")
                    await _pass_on(conn, on_notification)
            except psycopg.OperationalError:
                await asyncio.sleep(random.uniform(0.1, RECONNECT_SECONDS))  # noqa: S311  Spreads load; no secret.


def _was_ended(conn: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server has closed a connection that rested: then there is something to read. Costs no round trip."""
    if conn.closed:
        return True
    waiting = select.poll()  # Unlike select, it takes descriptors beyond 1024: many clients may be connected.
    waiting.register(conn.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _pass_on(conn: psycopg.AsyncConnection[Any], on_notification: Notify) -> None:
    while True:
        async for notification in conn.notifies(timeout=PROBE_SECONDS):
            await on_notification(channel=notification.channel, payload=notification.payload)
        await conn.execute("SELECT 1")


class AfreshSyncConnector(SyncPsycopgConnector):
    """The same database for code that is not asynchronous; opened by ``App.open``."""

    def __init__(self, database: Database) -> None:
        threshold = database.prepare_threshold
        super().__init__(conninfo=database.conninfo, kwargs={"autocommit": True, "prepare_threshold": threshold})
        self.database = database

    def open(self, pool: Any = None) -> None:
        """Start or join the database and see to its schema; open already, it stays as it is."""
        if self._pool is not None:
            return
        self.database.open()
        try:
            self.database.ensure_schema()
            super().open(pool)
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        """Empty the pool; the last user of an embedded server stops it."""
        if self._pool is not None:
            super().close()
            self._pool = None  # Also one of the caller's, who closes it.
            self.database.close()
