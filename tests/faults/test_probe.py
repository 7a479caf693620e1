"""A probe whose worker dies."""

import asyncio

import psycopg

from ..eventually import eventually_sync
from ..queue.dependencies import let_probes_go, open_breaker
from .conftest import Queue, Start
from .processes import Effects, Gate

NAME = "far-away"


async def half_open(url: str) -> None:
    """A dependency whose break has just ended."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await open_breaker(conn, NAME)
        await let_probes_go(conn, NAME)


def test_worker_killed_while_it_probes(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A killed worker's permit goes back with its job, long before its lease of five minutes: the next probe runs."""
    asyncio.run(half_open(queue.url))
    job = queue.submit("wait", gate=gate)
    queue.query("UPDATE procrastinate_jobs SET afresh_dependency = %s", NAME)
    victim = start(queue.url)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    (breaker,) = queue.query("SELECT state, last_permit, jsonb_array_length(permits) AS permits FROM afresh.breaker")
    assert breaker == {"state": "half_open", "last_permit": 1, "permits": 1}
    start(queue.url)
    victim.kill()
    eventually_sync(lambda: effects.count(job, "began") == 2)
    (breaker,) = queue.query("SELECT state, last_permit, jsonb_array_length(permits) AS permits FROM afresh.breaker")
    assert breaker == {"state": "half_open", "last_permit": 2, "permits": 1}
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["lost", "succeeded"]
    eventually_sync(lambda: queue.query("SELECT probe_successes FROM afresh.breaker") == [{"probe_successes": 1}])
