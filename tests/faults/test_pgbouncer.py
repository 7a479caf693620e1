"""Behind a real pgbouncer in transaction mode: each transaction may meet another session of the server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from app.postgres.account import SYSTEM_ACCOUNT
from app.postgres.connect import Database
from app.postgres.migrate import Step, migrate, read_steps
from app.postgres.undo import undo
from app.queue.connector import AfreshSyncConnector

from ..eventually import eventually_sync
from ..ports import free_port
from ..servers import temporary_folder
from .conftest import Queue, Start
from .processes import Effects, Gate
from .test_outage import Serve, listeners, submit_over_http

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

SETTINGS = """
[databases]
queue = {target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
ignore_startup_parameters = extra_float_digits,options
"""


@pytest.fixture
def pooled(queue: Queue) -> Iterator[str]:
    """The address of this test's database through a pooler with four sessions."""
    assert PROGRAM
    listen = free_port()
    given = conninfo_to_dict(queue.url)
    target = " ".join(
        f"{name}={given[name]}" for name in ("host", "port", "dbname", "user", "password") if name in given
    )
    with temporary_folder(0o755) as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(SETTINGS.format(target=target, listen=listen), encoding="utf-8")
        settings.chmod(0o644)
        # It refuses to run as root, and the embedded server lets in its own account.
        who = {"user": SYSTEM_ACCOUNT, "group": SYSTEM_ACCOUNT, "extra_groups": ()} if os.geteuid() == 0 else {}
        command: list[str | Path] = [PROGRAM, "-q", settings]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, **who) as pooler:  # type: ignore[call-overload]  # Its overloads know no dict.
            url = f"postgresql://anybody@127.0.0.1:{listen}/queue"
            eventually_sync(lambda: answers(url))
            yield f"{url}?pgbouncer=true"
            pooler.terminate()


def answers(url: str) -> bool:
    """Whether somebody serves there."""
    try:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_everything_works_through_a_pooler(  # noqa: PLR0913, PLR0917 - a worker, an API and a pooler between them
    queue: Queue, pooled: str, start: Start, serve: Serve, effects: Effects, gate: Gate
):
    """A worker with more connections than the pooler has sessions wakes at once, runs, retries, and finishes once."""
    worker = start(pooled, "--fetch-job-polling-interval=60", LISTEN_DATABASE_URL=queue.url)
    _, address = serve(pooled, LISTEN_DATABASE_URL=queue.url)
    eventually_sync(lambda: worker.says("Worker started") and listeners(queue))
    eventually_sync(lambda: submit_over_http(address) == 202)
    queue.query("CREATE TABLE charged (job_id bigint)")
    turn = queue.submit("slow_down", gate=gate)
    eventually_sync(lambda: queue.outcomes(turn) == ["snoozed"])
    gate.open()
    jobs = queue.submit_many("touch", 200)
    charge = queue.submit("charge", gate=gate, wait_at="nowhere")
    eventually_sync(queue.ended(*jobs, charge, turn))
    eventually_sync(queue.all_ended)
    assert {effects.count(job) for job in jobs} == {1}
    assert queue.query("SELECT count(*) AS charges FROM charged") == [{"charges": 1}]
    assert queue.outcomes(turn) == ["snoozed", "succeeded"]
    assert worker.stop() == 0


def test_a_program_without_a_loop_works_through_a_pooler(pooled: str):
    """What Procrastinate's sync functions send again and again finds no session that has to know it already."""
    connector = AfreshSyncConnector(Database(url=pooled, data_dir=Path()))
    connector.open()
    try:
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(lambda n: connector.execute_query_one("SELECT %(n)s AS n", n=n)["n"], range(200))
            assert list(answers) == list(range(200))
    finally:
        connector.close()


def test_many_migrate_at_once_through_a_pooler(pooled: str):
    """What was undone is made again: each step runs once, also one that builds indexes outside a transaction."""

    @contextmanager
    def connected() -> Iterator[psycopg.Connection]:
        with Database(url=pooled, data_dir=Path()) as database, database.connect() as conn:
            yield conn

    def run(_: int) -> list[Step]:
        with connected() as conn:
            return migrate(conn)

    with connected() as conn:
        undo(conn, stalled_after=timedelta(seconds=30))
    with ThreadPoolExecutor(3) as pool:
        applied = sorted(step.number for steps in pool.map(run, range(3)) for step in steps)
    assert applied == [step.number for step in read_steps()]
