"""An outage for real, beside the simulation of the same: a dependency over HTTP, worker processes, one database.

The dependency counts who calls it; when jobs succeeded is read from Procrastinate's events.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import psycopg

from app.retry.breaker.rules import Overrides, rules_from
from app.retry.failure import FailureType
from app.retry.presets import default_policies
from app.retry.simulate.clients import Guarded
from app.retry.simulate.scenario import Arrivals, Phase, Scenario
from app.retry.simulate.world import World

from . import load
from .bench import Bench
from .contenders import ROOT, started
from .dependency import CALL_SECONDS, REFUSAL_SECONDS
from .row import Row, plain
from .scale import Outage

PROCESSES = 2
SLOTS = 10
USUAL_SHARE = 0.8
"""Of the capacity, before the outage."""

DOWN = FailureType.EXTERNAL_API_DOWN
RETRIES = 5
FIRST_RETRY = timedelta(seconds=2)
BREAK = timedelta(seconds=5)
"""Shorter than the defaults, both here and in the simulation: otherwise the first retry would be 15 minutes away."""

SETTINGS = {
    f"POLICY__{DOWN}__MAX_RETRIES": str(RETRIES),
    f"POLICY__{DOWN}__INITIAL_DELAY": f"{FIRST_RETRY.total_seconds():g}s",
    "BREAKER_SECONDS": f"{BREAK.total_seconds():g}s",
}

LONGEST = 600.0
LOOK_SECONDS = 0.25

CALLS_WITHIN = 1.25
PEAK_WITHIN = 2.0
DRAIN_WITHIN = 2.0
"""The factors by which what was measured may differ from what was simulated, either way."""

_LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
_DONE = "SELECT count(*), extract(epoch FROM max(at)) FROM procrastinate_events WHERE type = 'succeeded'"


@dataclass(frozen=True, slots=True)
class Figures:
    """What an outage came to, real or simulated."""

    calls_per_job: float
    peak: float
    drain_seconds: float
    dead: int


def rows(bench: Bench) -> Iterator[Row]:
    """How far what was measured is from what was simulated, and what both are."""
    bench.console.print("[dim]outage: one round[/dim]")
    story = bench.scale.outage
    real, simulated = _real(bench, story), _simulated(story)
    name = f"outage of {story.down:g} s with {plain(story.jobs)} jobs"
    yield _row(f"{name}: calls per job", real.calls_per_job, simulated.calls_per_job, CALLS_WITHIN)
    yield _row(f"{name}: peak calls/s after it, of the capacity", real.peak, simulated.peak, PEAK_WITHIN)
    yield _row(f"{name}: seconds until all is done", real.drain_seconds, simulated.drain_seconds, DRAIN_WITHIN)
    note = f"simulated {simulated.dead}"
    yield Row(name=f"{name}: dead letters", value=real.dead, unit="", required=0, smaller_is_better=True, note=note)


def _row(name: str, real: float, simulated: float, within: float) -> Row:
    apart = max(real / simulated, simulated / real)
    note = f"measured {plain(real)}, simulated {plain(simulated)}"
    return Row(name=f"{name}, apart", value=apart, unit="×", required=within, smaller_is_better=True, note=note)


def _simulated(story: Outage) -> Figures:
    known = default_policies()
    policies = {**known, DOWN: replace(known[DOWN], max_retries=RETRIES, initial_delay=FIRST_RETRY)}
    client = Guarded(policies=policies, rules=rules_from(policies, Overrides(break_duration=BREAK)))
    usual = USUAL_SHARE * story.capacity
    scenario = Scenario(
        name="outage",
        story=f"everything fails for {story.down:g} s",
        capacity=story.capacity,
        phases=(
            Phase(),
            Phase(start=story.quiet, failing=DOWN, kills=True, fail_seconds=REFUSAL_SECONDS),
            Phase(start=story.quiet + story.down),
        ),
        arrivals=(
            Arrivals(jobs=round(usual * story.quiet), per_second=usual),
            Arrivals(start=story.quiet, jobs=story.jobs),
        ),
        call_seconds=CALL_SECONDS,
        processes=PROCESSES,
        slots=SLOTS,
        well_at=story.quiet + story.down,
    )
    came = World(scenario, client, 1).play()
    return Figures(came.calls_per_job, came.peak, came.drain_seconds, came.dead)


def _real(bench: Bench, story: Outage) -> Figures:
    bench.server.template("ours", ours=True)
    with ExitStack() as stack:
        conninfo = stack.enter_context(bench.server.database("ours"))
        url = stack.enter_context(_dependency(story.capacity))
        dependency = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
        conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        conn.execute("DELETE FROM procrastinate_events")  # Only what succeeds now is the usual throughput.
        own = SETTINGS | {"BENCH_DEPENDENCY": url}
        for _ in range(PROCESSES):
            stack.enter_context(started("ours", "wait", conninfo, own, concurrency=SLOTS))
        _play(conn, dependency, story)
        return _figures(conn, dependency.get("/counts").json(), story)


@contextmanager
def _dependency(capacity: float) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.dependency", str(capacity)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("its output was asked for")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def _play(conn: psycopg.Connection, dependency: httpx.Client, story: Outage) -> None:
    _warm_up(conn)
    usual = USUAL_SHARE * story.capacity
    for _ in range(round(story.quiet / LOOK_SECONDS)):
        load.ready(conn, round(usual * LOOK_SECONDS), task="call")
        time.sleep(LOOK_SECONDS)
    dependency.post("/down").raise_for_status()
    load.ready(conn, story.jobs, task="call")
    time.sleep(story.down)
    dependency.post("/up").raise_for_status()
    _wait_until_done(conn)


def _warm_up(conn: psycopg.Connection) -> None:
    """Wait until the workers work; starting them is no part of the story."""
    load.ready(conn, PROCESSES * SLOTS, task="noop")
    _wait_until_done(conn)


def _wait_until_done(conn: psycopg.Connection) -> None:
    deadline = time.monotonic() + LONGEST
    while conn.execute(_LEFT).fetchone() != (0,):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all jobs had ended after {LONGEST:.0f} s")
        time.sleep(LOOK_SECONDS)


def _figures(conn: psycopg.Connection, counts: dict[str, Any], story: Outage) -> Figures:
    done, last = conn.execute(_DONE).fetchone() or (0, 0)
    dead = conn.execute("SELECT count(*) FROM afresh.dead_letter").fetchone() or (0,)
    well_at = counts["told"]["/up"]
    return Figures(
        calls_per_job=sum(count for _, count in counts["calls"]) / (done - PROCESSES * SLOTS),
        peak=max(count for second, count in counts["calls"] if second > int(well_at)) / story.capacity,
        drain_seconds=float(last) - well_at,
        dead=dead[0],
    )
