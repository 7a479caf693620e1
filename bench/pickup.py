"""How long an idle worker takes to pick a job up: from just before the INSERT is sent until the task runs.

Both contenders wait for jobs inserted by the same statement on a connection of ours, at uneven intervals.
"""

import random
import signal
import time
from collections.abc import Iterator
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
    plain, ours = [], []
    bench.server.template("plain", ours=False)
    bench.server.template("ours", ours=True)
    for _ in bench.rounds("pick-up"):
        plain.append(_median_ms(bench, "plain"))
        ours.append(_median_ms(bench, "ours"))
    yield ratio(
        "pick-up latency of an idle worker, p50, against plain",
        ours,
        plain,
        required=1.0,
        goal=0.8,
        smaller_is_better=True,
        of="ms",
    )


def _median_ms(bench: Bench, contender: Contender) -> float:
    rng = random.Random(16)  # noqa: S311  The same intervals for both.
    with (
        bench.server.database(contender) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as conn,
        started(contender, "wait", conninfo) as process,
    ):
        _await_listener(conn)
        for _ in range(WARM_UP + bench.scale.pick_ups):
            conn.execute(_INSERT, [f'{{"sent": {time.time()!r}}}'])
            time.sleep(rng.uniform(0.01, 0.03))
        process.send_signal(signal.SIGTERM)
        waits: list[float] = result(process)["waits"][WARM_UP:]
    if len(waits) != bench.scale.pick_ups:
        raise RuntimeError(f"{contender} picked up {len(waits)} of {bench.scale.pick_ups} jobs")
    return 1000 * median(waits)


def _await_listener(conn: psycopg.Connection) -> None:
    """Return when the worker listens, and has looked for jobs for the last time before."""
    listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    deadline = time.monotonic() + 30
    while conn.execute(listening).fetchone() == (0,):
        if time.monotonic() > deadline:
            raise TimeoutError("no worker listens")
        time.sleep(0.05)
    time.sleep(0.5)
