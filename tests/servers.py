"""The Postgres server that tests run on: an embedded one of their own, a container's, or the one they are given."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.postgres.cluster import SUPERUSER, Cluster
from app.postgres.embedded import EmbeddedServer, embedded_server
from app.postgres.home import find_home
from app.postgres.migrate import migrate
from app.postgres.programs import Programs

from .eventually import eventually_sync

WHEELS = (16, 18)
"""What the wheel carries."""

EMBEDDED_VERSION = int(os.environ.get("TEST_POSTGRES_VERSION", "18"))

MEMORY = Path("/dev/shm")  # noqa: S108 - what lies there gets a folder of its own with a name nobody can guess
ROOMY = 4 * 2**30
"""Bytes that must be free in it: a few servers take some hundred megabytes each. Docker gives containers 64 MB."""


@dataclass(frozen=True)
class Server:
    """A running server, on which each test gets a database of its own.

    Attributes:
        url: Connects as the role that the application would use, to a database that tests leave alone.
        embedded: The embedded server behind it, where it is one: for tests that stop and start it.
    """

    url: str
    embedded: EmbeddedServer | None = None

    @property
    def version(self) -> int:
        """Its major version."""
        with psycopg.connect(self.url) as conn:
            return conn.info.server_version // 10_000

    def database(self, name: str) -> str:
        """How to connect to another database of this server."""
        return make_conninfo(self.url, dbname=name)

    def filler(self, name: str) -> str:
        """How to connect to another database of this server as who may leave triggers out, to fill it quickly."""
        superuser = {"user": SUPERUSER} if self.embedded else {}
        return make_conninfo(self.url, dbname=name, options="-c session_replication_role=replica", **superuser)

    def create(self, name: str, *, template: str = "template1") -> str:
        """Make a database and return how to connect to it."""
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        return self.database(name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        eventually_sync(lambda: self._dropped(name))

    def _dropped(self, name: str) -> bool:
        try:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        except psycopg.errors.InsufficientPrivilege:  # Autovacuum is at work in it, and is not ours to end.
            return False
        return True

    def make_template(self, name: str) -> str:
        """Make a database with the present schema, for others to be copied from, and return its name."""
        with psycopg.connect(self.create(name), autocommit=True) as conn:
            migrate(conn)
        return name

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def running_server() -> Iterator[Server]:
    """The server of TEST_DATABASE_URL, or a container's (TEST_POSTGRES=container), or an embedded one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield Server(url)
    elif os.environ.get("TEST_POSTGRES") == "container":
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer(f"postgres:{EMBEDDED_VERSION}", driver=None) as container:
            url = make_conninfo(container.get_connection_url())
            _leave_alone(url)
            yield Server(url)
    else:
        with temporary_folder(within=roomy_memory()) as folder:
            server = _temporary_server(folder)
            with server.join():
                _leave_alone(make_conninfo(server.conninfo(), user=SUPERUSER))
                yield Server(server.conninfo(), server)


def _leave_alone(url: str) -> None:
    """Keep autovacuum away, which comes when it likes.

    It would change plans and what they touch in the midst of a count, hold back what waits for all transactions before
    it, on the whole server, and be a session that nobody but a superuser may end. It is not switched off: then an index
    that is built would leave no count of the table's rows.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET autovacuum_naptime = '20 d'")
        conn.execute("SELECT pg_reload_conf()")


class _DebianPrograms(Programs):
    """Those of Debian's package, which anybody can run."""

    @property
    def bin(self) -> Path:
        """The folder with initdb, pg_ctl and postgres."""
        return self.root / str(self.version) / "bin"


def _temporary_server(folder: Path) -> EmbeddedServer:
    """A server of TEST_POSTGRES_VERSION: by the wheel's programs, or by Debian's where its package is installed."""
    debians = _DebianPrograms(EMBEDDED_VERSION, Path("/usr/lib/postgresql"))
    if EMBEDDED_VERSION in WHEELS or not debians.bin.exists():
        return embedded_server(folder, version=EMBEDDED_VERSION, durable=False)
    home = find_home(folder)
    initdb = [
        str(debians.bin / "initdb"),
        "--pgdata=data",
        f"--username={SUPERUSER}",
        "--auth=reject",
        "--encoding=UTF8",
    ]
    made = home.account.run([*initdb, "--no-locale", "--no-sync"], timeout=60, cwd=home.path)
    assert made.returncode == 0, made.stderr
    with (home.data / "postgresql.conf").open("a") as settings:  # Before 16 initdb takes none.
        settings.write("max_connections = 200\njit = off\ntimezone = 'UTC'\n")
    return EmbeddedServer(Cluster(home, debians, durable=False))


def roomy_memory() -> Path | None:
    """Where files never touch a disk: a test's database is hundreds of them. None where there is too little room."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOMY else None


@contextmanager
def temporary_folder(mode: int = 0o711, *, within: Path | None = None) -> Iterator[Path]:
    """A folder that the system account of root's servers can enter, as pytest's tmp_path cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="afresh-test-", dir=within))
    folder.chmod(mode)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
