"""What a breaker costs a job: to be let in, and to say that it worked. SPEC asks for 5 µs at most for a look."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from time import perf_counter_ns

from app.config import load_settings
from app.queue.app import create
from app.queue.dependencies import Dependencies
from app.retry.breaker.local import Snapshot
from app.retry.breaker.states import Breaker, State

from .bench import Bench
from .row import Row

ROUNDS = 20_000
REQUIRED_US = 5.0
SICK = 100
"""Breakers that are not healthy beside the one that is looked at."""

PAST = 1000
"""Breakers that were not, and are again."""


def rows(_: Bench) -> Iterator[Row]:
    """The median of each in µs, with a hundred sick dependencies in memory."""
    app = create(load_settings())
    sick = Breaker(name="", state=State.OPEN, generation=1, changed_at=datetime.now(UTC))
    snapshot = Snapshot(
        (replace(sick, name=f"sick-{n}") for n in range(SICK)), past={f"past-{n}": n for n in range(PAST)}
    )
    mine = app.dependencies = Dependencies(app, snapshot)
    call = mine.call("healthy", 1)
    yield _row("reading the breaker of a healthy dependency", lambda: mine.call("healthy", 1))
    yield _row("reading the breaker of one that is well again", lambda: mine.call("past-7", 1))
    yield _row("reading the breaker of a sick dependency", lambda: mine.call("sick-7", 1))
    yield _row("counting a success", lambda: mine.worked(call))


def _row(name: str, look: Callable[[], object]) -> Row:
    taken = []
    gc.disable()
    for _ in range(ROUNDS):
        begun = perf_counter_ns()
        look()
        taken.append(perf_counter_ns() - begun)
    gc.enable()
    return Row(name=name, value=median(taken) / 1_000, unit="µs", required=REQUIRED_US, smaller_is_better=True)
