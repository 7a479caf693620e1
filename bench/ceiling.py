"""What the server alone can do: claiming and finishing by plain SQL on Procrastinate's schema with all its triggers.

No worker can be faster with so many jobs in one statement, unless it lets go of something: history, order or triggers.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median

import psycopg

from . import load
from .bench import Bench
from .row import Row, from_rounds

SIZES = (50, 100, 200)

_CLAIM = """
UPDATE procrastinate_jobs SET status = 'doing'
WHERE id = ANY (ARRAY(
    SELECT id FROM procrastinate_jobs WHERE status = 'todo'
    ORDER BY priority DESC, id LIMIT %s FOR UPDATE SKIP LOCKED))
RETURNING id
"""
_FINISH = "UPDATE procrastinate_jobs SET status = 'succeeded', attempts = attempts + 1 WHERE id = ANY (%s)"


def rows(bench: Bench) -> Iterator[Row]:
    """Jobs per second by batch size."""
    speed: dict[int, list[float]] = defaultdict(list)
    bench.server.template("plain", ours=False)
    for _ in bench.rounds("ceiling of plain SQL"):
        for size in SIZES:
            speed[size].append(_per_second(bench, size))
    for size in SIZES:
        yield from_rounds(
            f"plain SQL, claim and finish {size} at a time", speed[size], "jobs/s", note=_cost(median(speed[size]))
        )


def _cost(per_second: float) -> str:
    return f"{1000 / per_second:.3f} ms a job"


def _per_second(bench: Bench, size: int) -> float:
    count = int(10_000 * bench.scale.seconds / 2)
    with bench.server.database("plain") as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        load.ready(conn, count)
        begun = time.perf_counter()
        while ids := [row[0] for row in conn.execute(_CLAIM, [size])]:
            conn.execute(_FINISH, [ids])
        return count / (time.perf_counter() - begun)
