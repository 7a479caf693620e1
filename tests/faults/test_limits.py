"""Servers that have no room left: what cannot be written now is kept, said clearly, and written when there is room."""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ..eventually import eventually_sync
from ..servers import Server, temporary_folder
from .conftest import Queue, Start
from .processes import Effects, Gate, Process


def alter(queue: Queue, change: str) -> None:
    """Change a setting of the test's database for its next sessions."""
    (row,) = queue.query("SELECT current_database() AS name")
    with psycopg.connect(queue.url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} " + change).format(sql.Identifier(row["name"])))


def begun(queue: Queue, start: Start, effects: Effects, gate: Gate, value: object = 7) -> tuple[Process, int]:
    """A worker that runs a job which ends when the gate opens."""
    worker = start(queue.url)
    job = queue.submit("wait", gate=gate, value=value)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    return worker, job


def assert_kept(queue: Queue, job: int, effects: Effects, value: object = 7) -> None:
    """The job ends as it ended, once, with its result."""
    eventually_sync(queue.ended(job))
    assert queue.job(job)["result"] == value
    assert queue.outcomes(job) == ["succeeded"]
    assert effects.count(job) == 1


def test_statement_timeout(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A settlement that is cancelled for taking too long is tried again until it passes."""
    alter(queue, "SET statement_timeout = '2s'")
    worker, job = begun(queue, start, effects, gate)
    with psycopg.connect(queue.url) as conn:
        conn.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [job])
        gate.open()
        eventually_sync(lambda: "statement timeout" in worker.text())
        assert queue.status(job) == "doing"
    assert_kept(queue, job, effects)


def test_connection_limit(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A worker whose connections are refused comes back when there are some."""
    worker, job = begun(queue, start, effects, gate)
    with psycopg.connect(queue.url, autocommit=True) as conn:
        alter(queue, "CONNECTION LIMIT 1")
        queue_of_one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        conn.execute(queue_of_one + " AND pid <> pg_backend_pid()")
        gate.open()
        eventually_sync(lambda: worker.says("Database lost") and "too many connections" in worker.text())
        assert conn.execute("SELECT status::text FROM procrastinate_jobs WHERE id = %s", [job]).fetchone() == ("doing",)
        name = conn.execute("SELECT current_database()").fetchone()
        assert name
        conn.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(sql.Identifier(name[0])))
    assert_kept(queue, job, effects)


def test_read_only_server(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A result is not given up because the server takes no writes for a while, as after a failover."""
    worker, job = begun(queue, start, effects, gate)
    alter(queue, "SET default_transaction_read_only = on")
    queue.terminate_backends()
    gate.open()
    eventually_sync(lambda: "read-only transaction" in worker.text())
    with psycopg.connect(queue.url, autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        name = conn.execute("SELECT current_database()").fetchone()
        assert name
        conn.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(sql.Identifier(name[0])))
    queue.terminate_backends()
    assert_kept(queue, job, effects)


def test_result_that_no_row_can_hold(queue: Queue, start: Start, effects: Effects):
    """A result that the database refuses is dropped; the job has succeeded, and the others are not held up."""
    queue.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF NEW.result = '13' THEN RAISE program_limit_exceeded; END IF; RETURN NEW; END$$"
    )
    queue.query("CREATE TRIGGER refuse BEFORE INSERT ON afresh.result FOR EACH ROW EXECUTE FUNCTION refuse()")
    start(queue.url)
    jobs = {value: queue.submit("touch", value=value) for value in range(10, 17)}
    eventually_sync(queue.ended(*jobs.values()))
    assert {value: queue.job(job)["result"] for value, job in jobs.items()} == {v: v for v in jobs if v != 13} | {
        13: None
    }
    assert set(effects.counts().values()) == {1}


@pytest.fixture
def small_disk(frail_server: Server) -> Iterator[tuple[Queue, Path]]:
    """A database on a disk of 32 MB, and the folder where that is mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    assert frail_server.embedded
    cluster = frail_server.embedded.cluster
    owner = cluster.home.account
    with temporary_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size=32m,uid={owner.uid},gid={owner.gid},mode=700", "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody mount a disk")
        try:
            space = disk / "space"
            space.mkdir(mode=0o700)
            os.chown(space, owner.uid, owner.gid)
            with psycopg.connect(cluster.conninfo(user="postgres", dbname="postgres"), autocommit=True) as conn:
                conn.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(space))))
                try:
                    conn.execute(
                        "CREATE DATABASE afresh_small TEMPLATE afresh_frail_template TABLESPACE small OWNER afresh"
                    )
                    yield Queue(frail_server.database("afresh_small")), disk
                finally:
                    (disk / "filler").unlink(missing_ok=True)
                    conn.execute("DROP DATABASE IF EXISTS afresh_small WITH (FORCE)")
                    conn.execute("DROP TABLESPACE small")
        finally:
            subprocess.run([shutil.which("umount") or "umount", "-l", str(disk)], check=True)


def fill(filler: Path) -> None:
    """Write until the disk takes no more."""
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - it ends the loop.
                return


def test_full_disk(small_disk: tuple[Queue, Path], start: Start, effects: Effects, gate: Gate):
    """A worker keeps what a full disk cannot take, says so, and writes it when there is room again."""
    queue, disk = small_disk
    value = random.Random(7).randbytes(100_000).hex()
    worker, job = begun(queue, start, effects, gate, value)
    filler = disk / "filler"
    fill(filler)
    gate.open()
    eventually_sync(lambda: "No space left on device" in worker.text())
    assert queue.status(job) == "doing"
    filler.unlink()
    assert_kept(queue, job, effects, value)
