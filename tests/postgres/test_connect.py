"""One way to the database, whether it is a URL's or our own, whatever happens to its server meanwhile."""

from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from app.postgres.connect import Database
from app.postgres.embedded import EmbeddedServer
from app.postgres.errors import ConnectionSettingError, PostgresError, SchemaBehind

from ..eventually import eventually
from .conftest import Serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def own(folder: Path, serve: Serve) -> Database:
    """A database that is the embedded server of a folder, not opened yet."""
    serve()
    return Database(data_dir=folder / "data")


def server_of(url: str, tmp_path: Path, *, listen_url: str | None = None) -> Database:
    """A database by its URL; DATA_DIR is there and means nothing."""
    return Database(url=url, data_dir=tmp_path, listen_url=listen_url)


def kill(server: EmbeddedServer) -> None:
    """SIGKILL to the postmaster; what it leaves behind ends by itself."""
    psutil.Process(int((server.home.data / "postmaster.pid").read_text().split("\n")[0])).kill()


def test_a_url_starts_nothing(database_url: str, tmp_path: Path):
    """With DATABASE_URL, nothing is made in DATA_DIR."""
    with server_of(database_url, tmp_path) as database, database.connect() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert list(tmp_path.iterdir()) == []


async def test_users_within_a_process_are_counted(own: Database):
    """API and worker in one process open one database; it closes with the last."""
    with own:
        async with own, await own.connect_async() as conn:
            await conn.execute("SELECT 1")
        assert own.server.is_running()
    assert not own.server.is_running()


async def test_use_outside_of_open_and_close_is_refused(own: Database):
    """A pool that outlives its database does not start the server again."""
    with pytest.raises(PostgresError, match="before it was opened"):
        own.connect()


async def test_the_embedded_schema_is_migrated_by_anybody(own: Database):
    """Our own server needs no command of the operator's."""
    with own:
        own.ensure_schema()
        with own.connect() as conn:
            conn.execute("SELECT * FROM afresh.migration")


async def test_a_url_is_never_migrated_unasked(empty_database_url: str, tmp_path: Path):
    """Somebody else's server is left alone, and one line says what to do."""
    with server_of(empty_database_url, tmp_path) as database:
        with pytest.raises(SchemaBehind, match="run `afresh migrate`"):
            database.ensure_schema()
        with database.connect() as conn:
            assert conn.execute("SELECT to_regclass('procrastinate_jobs')").fetchone() == (None,)


async def test_a_pool_hands_out_autocommit(db: Database):
    """A statement is a transaction, without two more round trips around it."""
    async with db.pool() as pool, pool.connection() as conn:
        await conn.execute("SELECT 1")
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_a_pool_names_its_connections(db: Database):
    """pg_stat_activity tells who is who."""
    async with db.pool(application_name="afresh worker") as pool, pool.connection() as conn:
        cursor = await conn.execute("SELECT current_setting('application_name')")
        assert await cursor.fetchone() == ("afresh worker",)


async def test_a_name_in_the_url_stays(database_url: str, tmp_path: Path):
    """What the URL says itself is not overruled."""
    with server_of(f"{database_url} application_name=mine connect_timeout=3", tmp_path) as database:
        with database.connect() as conn:
            assert conn.execute("SELECT current_setting('application_name')").fetchone() == ("mine",)
        assert "connect_timeout=3" in database.conninfo()


async def test_a_pool_recovers_when_its_connections_are_killed(db: Database):
    """The first statement on a dead connection fails; the pool replaces it."""
    async with db.pool(min_size=2, max_size=2) as pool:
        await pool.wait()
        with db.connect() as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        await eventually(lambda: _answers(pool))


async def test_a_killed_embedded_server_comes_back(own: Database):
    """When its postmaster dies under its users, the pool's next connection starts it again."""
    async with own, own.pool(min_size=1, max_size=2) as pool:
        await pool.wait()
        kill(own.server)
        await eventually(lambda: _answers(pool), within=60)


async def _answers(pool: AsyncConnectionPool) -> bool:
    try:
        async with pool.connection(timeout=5) as conn:
            await conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    ("suffix", "listen_url", "threshold"),
    [("", None, 5), ("?", None, 5), ("?pgbouncer=true", None, None), ("", "postgresql://direct/app", None)],
)
async def test_nothing_is_prepared_behind_a_pooler(
    tmp_path: Path, conn: psycopg.AsyncConnection, suffix: str, listen_url: str | None, threshold: int | None
):
    """A transaction pooler hands each transaction to another session, which knows no prepared statements."""
    database = server_of(f"postgresql://user:secret@pooler:6432/app{suffix}", tmp_path, listen_url=listen_url)
    await database.configure(conn)
    assert conn.prepare_threshold == threshold
    assert "pgbouncer" not in database.conninfo()


async def test_listening_goes_past_the_pooler(tmp_path: Path):
    """LISTEN_DATABASE_URL is for what needs a session; the rest goes by DATABASE_URL."""
    database = server_of("postgresql://pooler/app", tmp_path, listen_url="postgresql://direct/app")
    assert "host=pooler" in database.conninfo()
    assert "host=direct" in database.conninfo(direct=True)


async def test_the_spelling_of_other_libraries_is_understood(tmp_path: Path):
    """SQLAlchemy's postgresql+psycopg:// names the same server."""
    assert "host=h" in server_of("postgresql+psycopg://u@h/d", tmp_path).conninfo()


async def test_a_url_that_cannot_be_read_is_not_repeated(tmp_path: Path):
    """The complaint keeps the password to itself."""
    with pytest.raises(ConnectionSettingError) as caught:
        server_of("postgresql://user:secret@h/d?nonsense=1", tmp_path)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_psql_opens_the_right_database(db: Database, database_url: str, capfd: pytest.CaptureFixture[str]):
    """The wheel's psql answers on this test's database, and its exit code comes back."""
    assert db.psql(["-XAtc", "SELECT current_database()"]) == 0
    assert capfd.readouterr().out.strip() == psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    assert db.psql(["-XAtc", "nonsense"]) == 1


async def test_psql_keeps_a_password_out_of_its_arguments(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Every user of the machine can read the arguments of every process."""
    with server_of(f"{database_url} password=hunter2", tmp_path) as database:
        assert database.psql(["-XAtc", r"\! tr '\0' ' ' < /proc/$PPID/cmdline; echo; echo $PGPASSWORD"]) == 0
    arguments, environment = capfd.readouterr().out.strip().splitlines()
    assert "hunter2" not in arguments
    assert environment == "hunter2"
