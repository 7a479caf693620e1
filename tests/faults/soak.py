"""A soak: a worker and an API at a steady load under a short retention, and whether anything grows.

    python -m tests.faults.soak --minutes 20

What the clock would do every ten minutes or every hour, forgetting above all, is asked for several times in each
retention, so that minutes tell what would take weeks.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psutil
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from app.postgres.embedded import embedded_server
from app.store.tables import SQL

from ..eventually import eventually_sync
from ..ports import free_port
from ..servers import Server, temporary_folder
from . import processes
from .processes import Effects, Process
from .soak_load import Load
from .soak_report import Account, Report, Sample

MINUTES = 20.0
JOBS_PER_SECOND = 10.0
READS_PER_SECOND = 2.0

RETENTIONS = 20
"""How many times over everything is forgotten in a run."""

SHORTEST_RETENTION = 2.0
LONGEST_RETENTION = 120.0
"""Seconds."""

CLEANINGS = 4
"""In each retention."""

SAMPLES = 240
SHORTEST_STEP, LONGEST_STEP = 0.5, 10.0
"""Seconds between two samples."""

SETTLED_WITHIN = 60.0
"""Seconds after the last submission, for what waits then."""

CLEANING = (
    ("cleanup", "app.tasks.maintenance.purge_old_jobs"),
    ("maintenance", "app.tasks.maintenance.expire_idempotency_keys"),
    ("maintenance", "app.tasks.maintenance.purge_gone_workers"),
    ("maintenance", "app.tasks.monitoring.forget_samples"),
)

_CLEAN: LiteralString = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, priority, lock, queueing_lock)
    SELECT %(queue)s, %(task)s, jsonb_build_object('timestamp', extract(epoch FROM now())::bigint), 10,
           %(lock)s, %(lock)s
    WHERE NOT EXISTS (SELECT FROM procrastinate_jobs WHERE queueing_lock = %(lock)s AND status = 'todo')
"""


class Soak:
    """One run on a database of its own."""

    def __init__(self, url: str, folder: Path, *, minutes: float, seed: int) -> None:
        self._url = url
        self._seconds = minutes * 60
        self._minutes = minutes
        self._retention = min(max(self._seconds / RETENTIONS, SHORTEST_RETENTION), LONGEST_RETENTION)
        self._step = min(max(self._seconds / SAMPLES, SHORTEST_STEP), LONGEST_STEP)
        self._effects = Effects(folder / "effects")
        self._samples: list[Sample] = []
        port = free_port()
        self._processes = {
            "worker": processes.afresh_worker(folder / "worker.log", **self._settings()),
            "API": processes.api(folder / "api.log", port, **self._settings()),
        }
        self._address = f"http://127.0.0.1:{port}"
        self._load = Load(self._address, per_second=JOBS_PER_SECOND, reads_per_second=READS_PER_SECOND, seed=seed)

    def _settings(self) -> dict[str, str]:
        kept = f"{self._retention:g}s"
        return {
            "DATABASE_URL": self._url,
            "EFFECTS": str(self._effects.file),
            "TASK_MODULES": "tests.faults.soak_jobs",
            "WORKER_QUEUES": "",  # Also what the queue does for itself.
            "WORKER_CONCURRENCY": "20",
            "STALLED_AFTER": "30s",
            "SHUTDOWN_GRACE": "10s",
            "LOG_LEVEL": "INFO",
            "MAX_MEMORY_PERCENT": "0",  # Others may fill this machine.
            "BREAKER_SECONDS": "1s",
            "IDEMPOTENCY_TTL": kept,
            **{f"RETENTION_{what}": kept for what in ("SUCCEEDED", "FAILED", "ATTEMPTS", "SAMPLES", "AUDIT")},
        }

    def run(self) -> Report:
        """Keep it under load for so long, let what waits come to its end, and compare.

        Raises:
            RuntimeError: One of the processes ended.
        """
        eventually_sync(self._answers, within=60)
        self._load.start()
        begun = time.monotonic()
        clean_at = begun
        with psycopg.connect(self._url, autocommit=True, row_factory=dict_row) as conn:
            while (now := time.monotonic()) < begun + self._seconds:
                self._look_after()
                if now >= clean_at:
                    self._clean(conn)
                    clean_at += self._retention / CLEANINGS
                self._samples.append(self._sample(conn, now - begun))
                time.sleep(max(0.0, now + self._step - time.monotonic()))
            self._load.stop()
            eventually_sync(lambda: not self._unended(conn), within=SETTLED_WITHIN)
            return Report(self._samples, self._account(conn), minutes=self._minutes, requests=self._load.requests)

    def close(self) -> None:
        """End the clients and the processes."""
        self._load.stop()
        for process in self._processes.values():
            process.kill()

    def _answers(self) -> bool:
        self._look_after()
        try:
            return httpx.get(f"{self._address}/monitoring/live", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _look_after(self) -> None:
        for name, process in self._processes.items():
            if not process.lives:
                raise RuntimeError(f"the {name} ended: {process.text()[-2000:]}")

    def _clean(self, conn: psycopg.Connection[dict[str, Any]]) -> None:
        for queue, task in CLEANING:
            conn.execute(_CLEAN, {"queue": queue, "task": task, "lock": task.rpartition(".")[2]})

    def _sample(self, conn: psycopg.Connection[dict[str, Any]], at: float) -> Sample:
        sizes = {row["name"]: int(row["total_bytes"]) for row in conn.execute(SQL["list_tables"])}
        others = conn.execute(
            "SELECT count(*) AS count FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        return Sample(
            at=at,
            jobs=len(self._load.accepted),
            memory={name: _memory(process) for name, process in self._processes.items()},
            descriptors={name: psutil.Process(process.pid).num_fds() for name, process in self._processes.items()},
            backends=int(others["count"]) if others else 0,
            bytes=sizes,
            rows=dict(_counted(conn, sizes)),
        )

    def _unended(self, conn: psycopg.Connection[dict[str, Any]]) -> list[int]:
        rows = conn.execute(
            "SELECT id FROM procrastinate_jobs WHERE queue_name = 'default' AND status IN ('todo', 'doing')"
        )
        return [int(row["id"]) for row in rows]

    def _account(self, conn: psycopg.Connection[dict[str, Any]]) -> Account:
        pending = conn.execute("SELECT count(*) AS count FROM afresh.dead_letter WHERE status = 'pending'").fetchone()
        return Account(
            accepted=self._load.accepted,
            fatal=self._load.fatal,
            ends=self._effects.counts("ran") + self._effects.counts("died"),
            settled=len(self._load.settled),
            unsettled=int(pending["count"]) if pending else 0,
            unended=self._unended(conn),
            trouble=self._load.trouble,
        )


def _memory(process: Process) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)


def _counted(conn: psycopg.Connection[dict[str, Any]], names: dict[str, int]) -> Iterator[tuple[str, int]]:
    """The rows of each table; under the retention of a soak, counting them is cheap."""
    one = sql.SQL("SELECT {} AS name, count(*) AS count FROM {}")
    each = (one.format(sql.Literal(name), sql.Identifier(*name.split("."))) for name in names)
    for row in conn.execute(sql.SQL(" UNION ALL ").join(each)):
        yield row["name"], int(row["count"])


def run(minutes: float, *, seed: int = 7) -> Report:
    """Soak a server of its own for so long."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        server = embedded_server(folder / "data")
        stack.enter_context(server.join())
        own = Server(server.conninfo(), server)
        soak = Soak(own.database(own.make_template("afresh_soak")), folder, minutes=minutes, seed=seed)
        stack.callback(soak.close)
        return soak.run()


def main() -> int:
    """Run it from the command line; the exit code is 1 if something grew or was lost."""
    parser = argparse.ArgumentParser(description="A steady load under a short retention, and whether anything grows.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long the load lasts")
    parser.add_argument("--seed", type=int, default=7, help="draws the jobs")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that what was started ends, too.
    report = run(given.minutes, seed=given.seed)
    sys.stdout.write(f"{report}\n")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
