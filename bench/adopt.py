"""Adopting a database that has run Procrastinate, and leaving it: how long somebody who defers has to wait meanwhile.

Half of its jobs are finished, half wait. One connection defers job after job, so that it is in line whenever there is
one. The longest wait without any migration is that of a disk that is busy; what a migration without CONCURRENTLY would
cost is measured beside it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import psycopg

from app.postgres.migrate import migrate, read_steps
from app.postgres.undo import undo

from . import load
from .bench import Bench
from .row import Row, from_rounds, plain, ratio

_DEFER = """
SELECT procrastinate_defer_jobs_v1(
    ARRAY[ROW('default', 'noop', 0, NULL, NULL, '{}', NULL)]::procrastinate_job_to_defer_v1[]
)
"""
_INDEXES = [build.index for step in read_steps() for build in step.builds]


def rows(bench: Bench) -> Iterator[Row]:
    """The longest wait of all, against that without; and the seconds it takes."""
    jobs = bench.scale.adopted
    bench.server.template("adoptable", ours=False, fill=partial(load.lived_with, count=jobs))
    alone: list[float] = []
    coming: list[float] = []
    going: list[float] = []
    blocked: list[float] = []
    took: list[float] = []
    left: list[float] = []
    for _ in bench.rounds("adopting"):
        with bench.server.database("adoptable") as conninfo:
            coming.append(_longest(conninfo, migrate, took))
            alone.append(_longest(conninfo, partial(_wait, seconds=took[-1]), []))
            blocked.append(_longest(conninfo, _build_in_one_transaction, []))
            going.append(_longest(conninfo, partial(undo, stalled_after=timedelta(seconds=30)), left))
    bench.server.drop_template("adoptable")
    name = f"longest wait to defer while {plain(jobs)} jobs are"
    smaller = {"smaller_is_better": True, "of": "ms"}
    yield ratio(f"{name} adopted, against none", coming, alone, required=10.0, goal=2.0, **smaller)
    yield ratio(f"{name} left, against none", going, alone, required=30.0, goal=10.0, **smaller)
    name = f"{name} adopted, against indexes built in a transaction"
    yield ratio(name, coming, blocked, required=0.5, goal=0.1, **smaller)
    yield from_rounds(f"to adopt {plain(jobs)} jobs", took, "s")
    yield from_rounds(f"to leave {plain(jobs)} jobs", left, "s")


def _longest(conninfo: str, work: Callable[[psycopg.Connection], object], seconds: list[float]) -> float:
    """Milliseconds of the longest wait while something is done; the seconds that takes are appended."""
    with _deferring(conninfo) as waits, psycopg.connect(conninfo, autocommit=True) as conn:
        begun = time.perf_counter()
        work(conn)
        seconds.append(time.perf_counter() - begun)
    return max(waits)


@contextmanager
def _deferring(conninfo: str) -> Iterator[list[float]]:
    """Somebody who defers job after job; the milliseconds that each of them took."""
    over, running = threading.Event(), threading.Event()
    waits: list[float] = []

    def defer() -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(_DEFER)
            while not over.is_set():
                begun = time.perf_counter()
                conn.execute(_DEFER)
                waits.append((time.perf_counter() - begun) * 1000)
                running.set()

    somebody = threading.Thread(target=defer)
    somebody.start()
    try:
        running.wait()
        yield waits
    finally:
        over.set()
        somebody.join()


def _wait(conn: psycopg.Connection, *, seconds: float) -> None:
    del conn  # As a migration is called.
    time.sleep(seconds)


def _build_in_one_transaction(conn: psycopg.Connection) -> None:
    """What these indexes would cost if they were built as a step usually is."""
    statements = [build.statement for step in read_steps() for build in step.builds]
    with conn.transaction():
        for index, statement in zip(_INDEXES, statements, strict=True):
            conn.execute(f"DROP INDEX {index}".encode())
            conn.execute(statement.replace("CONCURRENTLY IF NOT EXISTS", "").encode())
