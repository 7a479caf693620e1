"""The server that both contenders run on: an embedded Postgres of the benchmark's own, durable, with fresh databases.

Durable as in production: a benchmark with fsync off measures another program.
"""

import itertools
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.postgres.cluster import ROLE
from app.postgres.embedded import embedded_server
from app.postgres.migrate import migrate

from . import load

Fill = Callable[[psycopg.Connection], None]


class BenchServer:
    """A running server and the databases made on it."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._numbers = itertools.count(1)
        self._templates: dict[str, str] = {}

    @contextmanager
    def database(self, template: str) -> Iterator[str]:
        """A database of this round's own, copied from a template; gone afterwards."""
        name = f"round_{next(self._numbers)}"
        self._execute(
            "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy", name, ROLE, self._templates[template]
        )
        self.checkpoint()
        try:
            yield make_conninfo(self._conninfo, dbname=name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def template(self, name: str, *, ours: bool, fill: Fill | None = None) -> str:
        """Make a template: Procrastinate's schema alone, or with ours, some history, and what `fill` puts into it."""
        if name in self._templates:
            return name
        database = f"template_{name}"
        self._execute("CREATE DATABASE {} OWNER {}", database, ROLE)
        with psycopg.connect(make_conninfo(self._conninfo, dbname=database), autocommit=True) as conn:
            migrate(conn) if ours else migrate(conn, steps=())
            load.history(conn)
            if fill:
                fill(conn)
            conn.execute("VACUUM (ANALYZE)")
        self._templates[name] = database
        return name

    def drop_template(self, name: str) -> None:
        """Make room on the disk."""
        self._execute("DROP DATABASE {} WITH (FORCE)", self._templates.pop(name))

    def checkpoint(self) -> None:
        """Write out what the last round left, so that the next one does not pay for it."""
        with psycopg.connect(self._conninfo, autocommit=True, user="postgres") as conn:
            conn.execute("CHECKPOINT")

    def settings(self) -> dict[str, str]:
        """What the numbers depend on."""
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "wal_level")
        with psycopg.connect(self._conninfo) as conn:
            rows = conn.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(names)])
            return dict(rows.fetchall())

    def _execute(self, statement: LiteralString, *names: str) -> None:
        # As superuser: autovacuum may be at work in a database that is dropped, and only its like may stop it.
        with psycopg.connect(self._conninfo, autocommit=True, user="postgres", dbname="postgres") as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def running_server() -> Iterator[BenchServer]:
    """The server for one run of the benchmark; its data are thrown away at the end, also where SIGTERM is the end.

    To be used in the main thread.
    """
    before = signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="afresh-bench-"))
    folder.chmod(0o711)  # The account that serves root's Postgres has to reach its own folder below.
    try:
        server = embedded_server(folder)
        with server.join():
            yield BenchServer(server.conninfo())
    finally:
        shutil.rmtree(folder)
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # Sent twice, by `timeout` for one, it must not break off the cleaning up.
    sys.exit(128 + number)
