"""Servers that may be stopped, proxies that may be cut, and processes that may be killed."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.rows import dict_row

from app.postgres.embedded import embedded_server

from ..ports import free_port
from ..servers import Server, temporary_folder
from . import processes
from .processes import Effects, Gate, Process
from .proxy import Proxy

_numbers = itertools.count(1)

Start = Callable[..., Process]


class Queue:
    """A test's database as an onlooker sees it, past every proxy."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run a statement on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as conn:
            cursor = conn.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def submit(
        self,
        task: str,
        *,
        queue: str = "default",
        lock: str | None = None,
        queueing_lock: str | None = None,
        **args: Any,
    ) -> int:
        """Put a job into its queue, as anybody with SQL can."""
        (row,) = self.query(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, lock, queueing_lock) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING id",
            queue,
            f"faults.{task}",
            orjson.dumps(args, default=str).decode(),
            lock,
            queueing_lock,
        )
        return int(row["id"])

    def submit_many(self, task: str, count: int, **args: Any) -> list[int]:
        """Put many like jobs into their queue at once."""
        rows = self.query(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
            "SELECT 'default', %s, %s FROM generate_series(1, %s) RETURNING id",
            f"faults.{task}",
            orjson.dumps(args, default=str).decode(),
            count,
        )
        return [int(row["id"]) for row in rows]

    def all_ended(self) -> bool:
        """Whether no job of a test waits or runs. Workers defer the queue's own, which wait for others."""
        unended = (
            "SELECT id FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND queue_name = 'default' LIMIT 1"
        )
        return not self.query(unended)

    def terminate_backends(self) -> None:
        """End every connection to this database but the one that says so."""
        self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    def job(self, job_id: int) -> dict[str, Any]:
        """The job as people read it."""
        (row,) = self.query("SELECT * FROM afresh.jobs WHERE id = %s", job_id)
        return row

    def status(self, job_id: int) -> str:
        """The job's status."""
        return str(self.query("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job_id)[0]["status"])

    def outcomes(self, job_id: int) -> list[str]:
        """How the job's runs ended, in order."""
        rows = self.query("SELECT outcome FROM afresh.attempts WHERE job_id = %s ORDER BY ended_at", job_id)
        return [str(row["outcome"]) for row in rows]

    def ended(self, *jobs: int) -> Callable[[], bool]:
        """A predicate: whether all of them have succeeded."""
        return lambda: all(self.status(job) == "succeeded" for job in jobs)


@pytest.fixture(scope="session")
def frail_server() -> Iterator[Server]:
    """A server that tests may stop. It is durable: what is committed must survive."""
    with temporary_folder() as folder:
        server = embedded_server(folder)
        with server.join():
            own = Server(server.conninfo(), server)
            own.make_template("afresh_frail_template")
            yield own


@pytest.fixture
def frail(frail_server: Server) -> Iterator[Queue]:
    """A database on the server that may be stopped."""
    assert frail_server.embedded
    frail_server.embedded.revive()
    name = f"afresh_frail_{next(_numbers)}"
    yield Queue(frail_server.create(name, template="afresh_frail_template"))
    frail_server.embedded.revive()
    frail_server.drop(name)


@pytest.fixture
def queue(database_url: str) -> Queue:
    """This test's own database."""
    return Queue(database_url)


@pytest.fixture
def proxy(queue: Queue) -> Iterator[Proxy]:
    """A proxy before this test's own database."""
    with temporary_folder() as folder, Proxy(queue.url, folder) as proxy:
        yield proxy


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    """What the tasks of this test do."""
    return Effects(tmp_path / "effects")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate for this test's tasks."""
    return Gate(tmp_path / "gate")


@pytest.fixture
def start(tmp_path: Path, effects: Effects) -> Iterator[Start]:
    """Start workers on a database, and end them with the test."""
    started: list[Process] = []

    def start(
        url: str, *flags: str, command: str = "procrastinate", within: Sequence[str] = (), **settings: str
    ) -> Process:
        log = tmp_path / f"worker-{len(started)}.log"
        begin = processes.worker if command == "procrastinate" else processes.afresh_worker
        started.append(begin(log, *flags, within=within, DATABASE_URL=url, EFFECTS=str(effects.file), **settings))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Process, str]]]:
    """Start the API on a database, and end it with the test."""
    started: list[Process] = []

    def serve(url: str, **settings: str) -> tuple[Process, str]:
        port = free_port()
        started.append(processes.api(tmp_path / f"api-{len(started)}.log", port, DATABASE_URL=url, **settings))
        return started[-1], f"http://127.0.0.1:{port}"

    yield serve
    for process in started:
        process.kill()
