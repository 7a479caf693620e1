"""Finds the database, starts it where it is the embedded one, and makes connections and pools to it.

Never hands out a pool that checks a connection before each use, or that opens a transaction around each statement.
"""

import asyncio
import os
import re
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from ..config import DatabaseSettings
from .embedded import EmbeddedServer, Membership, embedded_server
from .errors import ConnectionSettingError, EmbeddedServerError, PostgresError
from .migrate import migrate, require_current
from .programs import find_programs

# A server that vanished without a word is noticed within a minute, or half of one where it owes an answer; the kernel's
# own times are two hours, and a quarter of one. The last is in milliseconds, and the others in seconds.
_LIVELINESS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# The same the other way round: a server goes on holding the locks of a client that vanished, for as long as it does not
# notice. What its operator or the address says about any of it is left alone.
_LIVELINESS_OF_CLIENTS = """
    SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
           set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '30000', false)
    FROM pg_settings WHERE name LIKE 'tcp\\_%' HAVING bool_and(source = 'default')
"""


class Database:
    """The one database of a process: that of a URL, or the embedded server of a data folder.

    Enter it (``with`` or ``async with``) for as long as it is used; entering again within the process only counts.
    A URL may end in ``?pgbouncer=true``, as other clients spell it; then, and whenever ``listen_url`` is set, no
    statement is prepared on the server.
    """

    def __init__(
        self, *, url: str | None = None, data_dir: Path, listen_url: str | None = None, embedded_version: int = 18
    ) -> None:
        self.url: str | None = None
        pooled = False
        if url:
            self.url, pooled = _read_url(url)
        self.listen_url = _read_url(listen_url)[0] if listen_url and url else None
        self.prepares = not (pooled or self.listen_url)
        self._data_dir = data_dir
        self._embedded_version = embedded_version
        self._lock = threading.Lock()
        self._users = 0
        self._server: EmbeddedServer | None = None
        self._membership: Membership | None = None

    @classmethod
    def from_settings(cls, settings: DatabaseSettings) -> Self:
        """The database that the settings name.

        Raises:
            ConnectionSettingError: The URL cannot be understood.
        """
        return cls(
            url=settings.url,
            data_dir=settings.data_dir,
            listen_url=settings.listen_url,
            embedded_version=settings.embedded_version,
        )

    @property
    def embedded(self) -> bool:
        """Whether the server is ours to start and its schema ours to migrate without being asked."""
        return self.url is None

    @property
    def prepare_threshold(self) -> int | None:
        """After how many executions psycopg prepares a statement on the server; None: never."""
        return 5 if self.prepares else None  # Five is psycopg's own default.

    @property
    def server(self) -> EmbeddedServer:
        """The embedded server.

        Raises:
            EmbeddedServerError: There is no safe place for it, or no program that runs.
        """
        if self._server is None:
            self._server = embedded_server(self._data_dir, version=self._embedded_version)
        return self._server

    def open(self) -> None:
        """Begin to use it: the embedded server is started, or joined. May take minutes after a crash.

        Raises:
            EmbeddedServerError: It cannot be started.
        """
        with self._lock:
            if self.embedded and self._membership is None:
                self._membership = self.server.join()
            self._users += 1

    def close(self) -> None:
        """Undo one `open`. The last user of the machine stops the embedded server."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._membership is not None:
                membership, self._membership = self._membership, None
                membership.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def conninfo(self, *, application_name: str = "afresh", direct: bool = False) -> str:
        """How to connect, for psycopg and libpq. An embedded server that died under its users is started again.

        Args:
            application_name: Shown in pg_stat_activity.
            direct: Past a pooler, for LISTEN or for what outlives a transaction.

        Raises:
            PostgresError: The database is not open.
            psycopg.OperationalError: Its embedded server cannot be started again.
        """
        if self.url is None:
            if self._membership is None:
                raise PostgresError("the database is used before it was opened, or after it was closed")
            try:
                self.server.revive()
            except EmbeddedServerError as error:  # To who connects again and again, a server that is down.
                raise psycopg.OperationalError(str(error)) from error
            return make_conninfo(self.server.conninfo(), application_name=application_name)
        url = self.listen_url if direct and self.listen_url else self.url
        return make_conninfo(url, **_unless_given(url, application_name))

    def connect(self, *, application_name: str = "afresh") -> psycopg.Connection:
        """One direct connection, in autocommit.

        Raises:
            psycopg.OperationalError: The server cannot be reached.
        """
        conninfo = self.conninfo(application_name=application_name, direct=True)
        conn = psycopg.connect(conninfo, autocommit=True, prepare_threshold=self.prepare_threshold)
        if self._is_remote(conn, direct=True):
            conn.execute(_LIVELINESS_OF_CLIENTS)
        return conn

    async def connect_async(self, *, application_name: str = "afresh") -> psycopg.AsyncConnection:
        """As `connect`, for asyncio; what LISTEN stands on.

        Raises:
            psycopg.OperationalError: The server cannot be reached.
        """
        conninfo = await self._conninfo_async(application_name, direct=True)
        conn = await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=self.prepare_threshold
        )
        if self._is_remote(conn, direct=True):
            await conn.execute(_LIVELINESS_OF_CLIENTS)
        return conn

    def pool(
        self,
        *,
        application_name: str = "afresh",
        min_size: int = 1,
        max_size: int = 10,
        prepare: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]] | None = None,
        **options: Any,
    ) -> AsyncConnectionPool:
        """A pool of connections in autocommit, not opened yet.

        It may be made before the database is open; each new connection asks `conninfo` again. What it hands out may
        have died since: the first statement then fails, and the pool replaces it. ``prepare`` is called with each new
        connection, besides `configure`; ``options`` go to psycopg's pool.
        """

        async def configure(conn: psycopg.AsyncConnection[Any]) -> None:
            await self.configure(conn)
            if prepare is not None:
                await prepare(conn)

        async def find() -> str:
            return await self._conninfo_async(application_name, direct=False)

        return AsyncConnectionPool(
            find, min_size=min_size, max_size=max_size, open=False, configure=configure, **options
        )

    async def configure(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Prepare a pool's new connection.

        ``kwargs={"autocommit": True}`` would say the same to the pool, and break Procrastinate's LISTEN, which
        passes them on to a connection that it then sets to autocommit itself.
        """
        await conn.set_autocommit(True)
        conn.prepare_threshold = self.prepare_threshold
        if self._is_remote(conn, direct=False):
            await conn.execute(_LIVELINESS_OF_CLIENTS)

    def ensure_schema(self) -> None:
        """Have a current schema: the embedded server's is migrated, any other must be current already.

        Raises:
            SchemaBehind: The database is not ours, and behind.
            MigrationError: It cannot be migrated.
        """
        with self, self.connect() as conn:
            if self.embedded:
                migrate(conn)
            else:
                require_current(conn)

    def psql(self, arguments: Sequence[str] = ()) -> int:
        """Run the wheel's psql in the terminal, on this database, and return its exit code.

        A password goes by the environment: arguments can be read by every user of the machine.

        Raises:
            EmbeddedServerError: The wheel is not installed.
        """
        program = find_programs(self._embedded_version if self.embedded else 18).bin / "psql"
        with self:
            params = conninfo_to_dict(self.conninfo(application_name="psql", direct=True))
            password = params.pop("password", None)
            env = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
            former = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is psql's, to cancel a statement.
            try:
                command = [str(program), "--dbname", make_conninfo("", **params), *arguments]
                return subprocess.run(command, env=env, check=False).returncode  # noqa: S603 - the wheel's own psql
            finally:
                signal.signal(signal.SIGINT, former)

    def _is_remote(self, conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], *, direct: bool) -> bool:
        """Whether a network is all that lies between: no pooler, whose sessions are not ours, and no socket file."""
        unpooled = self.prepares or (direct and self.listen_url is not None)
        return unpooled and not conn.info.host.startswith(("/", "@"))

    async def _conninfo_async(self, application_name: str, *, direct: bool) -> str:
        """Reviving an embedded server waits, so it is done in a thread."""
        return await asyncio.to_thread(self.conninfo, application_name=application_name, direct=direct)


def _read_url(url: str) -> tuple[str, bool]:
    """The address as libpq takes it, and whether a transaction pooler stands there.

    Raises:
        ConnectionSettingError: libpq does not take it.
    """
    libpq = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url)  # SQLAlchemy's spelling names a driver too.
    plain, pooled = re.subn(r"(?<=[?&])pgbouncer=true(&|$)", "", libpq)
    plain = plain.rstrip("?&") if pooled else plain
    try:
        conninfo_to_dict(plain)
    except psycopg.ProgrammingError:  # Its text can hold the whole address.
        raise ConnectionSettingError("DATABASE_URL is not an address that PostgreSQL's clients understand") from None
    return plain, bool(pooled)


def _unless_given(url: str, application_name: str) -> dict[str, Any]:
    """Defaults of ours, where the address says nothing else."""
    given = conninfo_to_dict(url)
    return {name: value for name, value in _LIVELINESS.items() if name not in given} | (
        {} if "application_name" in given else {"application_name": application_name}
    )
