"""What forgetting costs: jobs that workers end in a second while a purge removes old ones, against without.

The database has finished jobs whose time is over, with their events. A worker runs jobs that keep coming, for as long
as the purge works beside it; and for a while without it, from the same beginning.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import psycopg

from app.queue.purge import purge
from app.store.retention import Terms

from . import load
from .bench import Bench
from .contenders import started
from .row import Row, from_rounds, plain, ratio

WAITING = 40_000
"""Jobs that wait at least for the worker, so that it never rests."""

WARM_UP = 10_000
"""Jobs of a worker that do not count: by then it is in its stride."""

_ENDED = "SELECT count(*), clock_timestamp() FROM procrastinate_jobs WHERE status = 'succeeded' AND id > %s"


def rows(bench: Bench) -> Iterator[Row]:
    """The share of the speed that is kept, and how fast the old jobs went."""
    old = bench.scale.purged
    bench.server.template("purge", ours=True, fill=partial(load.finished, count=old, days_ago=9))
    beside: list[float] = []
    alone: list[float] = []
    pace: list[float] = []
    for _ in bench.rounds("purging"):
        with _working(bench) as (conninfo, first):
            begun = time.monotonic()
            beside.append(_rate(conninfo, first, _purge_all))
            took = time.monotonic() - begun
            pace.append(old / took)
            _check(conninfo)
        with _working(bench) as (conninfo, first):  # For as long: a database slows down as it fills.
            alone.append(_rate(conninfo, first, partial(_wait, seconds=took)))
    bench.server.drop_template("purge")
    name = f"speed kept while {plain(old)} finished jobs are removed"
    yield ratio(name, beside, alone, required=0.9, goal=0.95, of="jobs/s")
    yield from_rounds("jobs removed per second beside a busy worker", pace, "/s")


@contextmanager
def _working(bench: Bench) -> Iterator[tuple[str, int]]:
    """A database with a worker in its stride and jobs that keep coming; and the first id of those jobs."""
    over = threading.Event()
    with bench.server.database("purge") as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            (first,) = conn.execute("SELECT max(id) FROM procrastinate_jobs").fetchone() or (0,)
            load.ready(conn, WAITING)
        feeder = threading.Thread(target=_feed, args=(conninfo, over))
        feeder.start()
        try:
            with started("ours", "work", conninfo, concurrency=50, seconds=3_600):
                _warm_up(conninfo, first)
                yield conninfo, first
        finally:
            over.set()
            feeder.join()


def _warm_up(conninfo: str, first: int) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while (conn.execute(_ENDED, [first]).fetchone() or (0,))[0] < WARM_UP:
            time.sleep(0.2)


def _feed(conninfo: str, over: threading.Event) -> None:
    counted = "SELECT count(*) FROM (SELECT FROM procrastinate_jobs WHERE status = 'todo' LIMIT %s) AS waiting"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while not over.wait(0.2):
            (waiting,) = conn.execute(counted, [WAITING]).fetchone() or (0,)
            if waiting < WAITING:
                load.ready(conn, WAITING // 4)


def _rate(conninfo: str, first: int, meanwhile: Callable[[str], None]) -> float:
    """Jobs ended per second while something else is done."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        before, begun = conn.execute(_ENDED, [first]).fetchone() or (0, None)
        meanwhile(conninfo)
        after, ended = conn.execute(_ENDED, [first]).fetchone() or (0, None)
    return float((after - before) / (ended - begun).total_seconds())


def _wait(conninfo: str, *, seconds: float) -> None:
    del conninfo  # As the purge is called.
    time.sleep(seconds)


def _purge_all(conninfo: str) -> None:
    asyncio.run(_purge(conninfo))


async def _purge(conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:

        @asynccontextmanager
        async def lend() -> AsyncIterator[psycopg.AsyncConnection]:
            yield conn

        after = None
        while after != {}:
            after = (await purge(lend, Terms(), after=after)).after


def _check(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        query = "SELECT count(*) FROM procrastinate_events WHERE at < now() - interval '7 days'"
        if (left := conn.execute(query).fetchone()) != (0,):
            raise RuntimeError(f"{left} events of old jobs were left")
