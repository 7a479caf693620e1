"""How long an idle worker takes to pick a job up: from just before the INSERT is sent until the task runs.

Both workers wait at the same time, each in its database, and get their jobs in turn by the same statement at uneven
intervals: half of the wait is the disk's, whose moods change from second to second.
"""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psycopg

from .bench import Bench
from .contenders import Contender, result, started
from .row import Row, ratio

_INSERT = "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', 'pick_up', %s::jsonb)"

WARM_UP = 20
"""Jobs that are not counted: statements are prepared after some executions."""


def rows(bench: Bench) -> Iterator[Row]:
    """The median wait, against plain."""
    bench.server.template("plain", ours=False)
    bench.server.template("ours", ours=True)
    medians = [_medians_ms(bench) for _ in bench.rounds("pick-up")]
    yield ratio(
        "pick-up latency of an idle worker, p50, against plain",
        [ours for ours, _ in medians],
        [plain for _, plain in medians],
        required=1.0,
        goal=0.8,
        smaller_is_better=True,
        of="ms",
    )


def _medians_ms(bench: Bench) -> tuple[float, float]:
    """Of ours and of plain."""
    rng = random.Random(16)  # noqa: S311  The same intervals in every round.
    count = WARM_UP + bench.scale.pick_ups
    with _idle_worker(bench, "ours") as ours, _idle_worker(bench, "plain") as plain:
        for _ in range(count):
            for conn, _process in (ours, plain):
                conn.execute(_INSERT, [f'{{"sent": {time.time()!r}}}'])
                time.sleep(rng.uniform(0.01, 0.03))
        return _median_ms(ours[1], count), _median_ms(plain[1], count)


@contextmanager
def _idle_worker(bench: Bench, contender: Contender) -> Iterator[tuple[psycopg.Connection, subprocess.Popen[str]]]:
    with (
        bench.server.database(contender) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as conn,
        started(contender, "wait", conninfo) as process,
    ):
        _await_listener(conn)
        yield conn, process


def _median_ms(process: subprocess.Popen[str], count: int) -> float:
    process.send_signal(signal.SIGTERM)
    waits: list[float] = result(process)["waits"]
    if len(waits) != count:
        raise RuntimeError(f"{len(waits)} of {count} jobs were picked up")
    return 1000 * median(waits[WARM_UP:])


def _await_listener(conn: psycopg.Connection) -> None:
    """Return when the worker listens, and has looked for jobs for the last time before."""
    listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    deadline = time.monotonic() + 30
    while conn.execute(listening).fetchone() == (0,):
        if time.monotonic() > deadline:
            raise TimeoutError("no worker listens")
        time.sleep(0.05)
    time.sleep(0.5)
