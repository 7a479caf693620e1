"""How many jobs a worker ends in a second: against plain Procrastinate, with crowds in front, and when they fail.

Jobs per second are read from Procrastinate's own events, which both contenders leave behind: all jobs, over the time
from the first that was started to the last that ended. A worker's start and end are not in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg

from . import load
from .bench import Bench
from .contenders import Contender, run
from .row import Row, from_rounds, plain, ratio

ENDS = """
WITH mine AS (
    SELECT job_id, type, at FROM procrastinate_events
    WHERE job_id > %(before)s AND type IN ('started', 'succeeded', 'deferred_for_retry')
),
ends AS (SELECT job_id, at FROM mine WHERE type <> 'started')
SELECT count(DISTINCT job_id), count(*), extract(epoch FROM
    (SELECT max(at) FROM (SELECT at FROM ends ORDER BY at LIMIT %(count)s)) - (SELECT min(at) FROM mine))
FROM ends
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is run in every round.

    Attributes:
        per_second: What it does roughly; its number of jobs is chosen by this.
        template: The database that it starts from.
    """

    name: str
    contender: Contender
    concurrency: int
    per_second: int
    template: str
    task: str = "noop"


PLAIN_50 = Case("plain c50", "plain", 50, 900, "plain")
OURS_50 = Case("ours c50", "ours", 50, 12_000, "ours")
PLAIN_10 = Case("plain c10", "plain", 10, 800, "plain")
OURS_10 = Case("ours c10", "ours", 10, 9_000, "ours")
PLAIN_1 = Case("plain c1", "plain", 1, 600, "plain")
OURS_1 = Case("ours c1", "ours", 1, 5_000, "ours")
FAILING = Case("failing", "ours", 50, 4_000, "ours", "fail")
RELYING = Case("relying", "ours", 50, 12_000, "ours", "relying")
DEPENDENCY = Case("dependency", "ours", 50, 12_000, "dependency")
PAUSED = Case("paused", "ours", 50, 12_000, "paused")


def rows(bench: Bench) -> Iterator[Row]:
    """Speed at three concurrencies, what crowds leave of it, failures, and CPU."""
    ahead = [Case(f"ahead {count}", "ours", 50, 12_000, f"ahead_{count}") for count in bench.scale.ahead]
    cases = [PLAIN_50, OURS_50, RELYING, FAILING, DEPENDENCY, PAUSED, *ahead, PLAIN_10, OURS_10, PLAIN_1, OURS_1]
    _make_templates(bench)
    speed: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for _ in bench.rounds("speed"):
        for case in cases:
            per_second, cpu_ms = _measure(bench, case)
            speed[case.name].append(per_second)
            cpu[case.name].append(cpu_ms)

    def against(ours: Case, plain: Case, required: float, goal: float) -> Row:
        name = f"no-op jobs/s at concurrency {ours.concurrency}, against plain"
        return ratio(name, speed[ours.name], speed[plain.name], required=required, goal=goal, of="jobs/s")

    def kept(name: str, case: Case, required: float = 0.9, goal: float = 0.95) -> Row:
        return ratio(name, speed[case.name], speed[OURS_50.name], required=required, goal=goal, of="jobs/s")

    yield against(OURS_50, PLAIN_50, 10, 18)
    yield against(OURS_10, PLAIN_10, 4.5, 9)
    yield against(OURS_1, PLAIN_1, 1.2, 1.6)
    for count, case in zip(bench.scale.ahead, ahead, strict=True):
        yield kept(f"speed kept with {plain(count)} jobs scheduled ahead", case)
    yield kept("speed kept with a breaker and a budget to every job", RELYING, 0.95, 1.0)
    yield kept(f"speed kept behind {plain(bench.scale.held)} jobs of an open dependency", DEPENDENCY)
    yield kept(f"speed kept behind {plain(bench.scale.held)} jobs of a paused queue", PAUSED)
    yield kept("failing jobs/s, against successful ones", FAILING, 0.5, 0.7)
    yield from_rounds(
        "CPU of the worker per no-op job",
        cpu[OURS_50.name],
        "ms",
        required=0.10,
        goal=0.06,
        smaller_is_better=True,
        note=f"plain {plain(sorted(cpu[PLAIN_50.name])[len(cpu[PLAIN_50.name]) // 2])} ms",
    )


def _make_templates(bench: Bench) -> None:
    fills: dict[str, Callable[[psycopg.Connection], None]] = {
        "dependency": partial(load.of_open_dependency, count=bench.scale.held),
        "paused": partial(load.of_paused_queue, count=bench.scale.held),
    }
    fills |= {f"ahead_{count}": partial(load.scheduled, count=count) for count in bench.scale.ahead}
    bench.server.template("plain", ours=False)
    bench.server.template("ours", ours=True)
    for name, fill in fills.items():
        bench.server.template(name, ours=True, fill=fill)


def _measure(bench: Bench, case: Case) -> tuple[float, float]:
    """Jobs per second, and CPU milliseconds per job."""
    count = int(case.per_second * bench.scale.seconds)
    with bench.server.database(case.template) as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        before = newest(conn)
        load.ready(conn, count, task=case.task)
        measured = run(case.contender, "work", conninfo, concurrency=case.concurrency)
        per_second, ends = ended(conn, before, count)
    return per_second, measured["cpu"] * 1000 / ends


def newest(conn: psycopg.Connection) -> int:
    """The id of the newest job."""
    row = conn.execute("SELECT coalesce(max(id), 0) FROM procrastinate_jobs").fetchone()
    return int(row[0]) if row else 0


def ended(conn: psycopg.Connection, before: int, count: int) -> tuple[float, int]:
    """How many runs of the jobs after `before` ended in a second, and how many ended at all.

    The speed is that of the first `count` ends: a run long enough meets what failed in it once more, when its retry is
    due, and would wait for the last of them.

    Raises:
        RuntimeError: Not each of the `count` jobs has ended.
    """
    row = conn.execute(ENDS, {"before": before, "count": count}).fetchone()
    jobs, ends, seconds = row or (0, 0, 0)
    if jobs != count:
        raise RuntimeError(f"{count} jobs were put in and {jobs} ended")
    return count / float(seconds), int(ends)
