"""The early warning out of samples in the database: weeks of tasks whose true failure rates are known."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection

from app.monitoring.alerts.observe import observe
from app.monitoring.alerts.rules import FAILURE_GROWTH
from app.queue.app import create

from ..application import settings_for
from .test_growth import STEADY, Task, poisson

pytestmark = pytest.mark.anyio

END = datetime(2030, 1, 29, tzinfo=UTC)
HOURS = 4 * 7 * 24
LOOKED_AT = 3 * 7 * 24
"""The last weeks of them: each has one before it."""

A_DAY = 24
GROWN = Task(1_500, 0.04, burst=0.1)
"""Of which the rate is a bit over double on the last day."""

NEW = Task(300, 0.0)
"""Which never failed, and on the last day fails one time in ten."""


def draw(task: Task, rng: random.Random, times: float = 1.0) -> tuple[int, int]:
    """Attempts and failures of one hour, by day about twice as many as by night."""
    rate = task.rate_of_an_hour(rng, times)
    attempts = sum(poisson(rng, task.per_hour / 60) for _ in range(60))
    return attempts, sum(rng.random() < rate for _ in range(attempts))


def weeks(rng: random.Random) -> list[tuple[str, int, int, int]]:
    """Task, hour, attempts and failures."""
    rows = []
    for hour in range(HOURS):
        is_last_day = hour >= HOURS - A_DAY
        for number, task in enumerate(STEADY):
            rows.append((f"steady-{number}", hour, *draw(task, rng)))
        rows.append(("grown", hour, *draw(GROWN, rng, 2.2 if is_last_day else 1.0)))
        rows.append(("new", hour, *draw(Task(NEW.per_hour, 0.1) if is_last_day else NEW, rng)))
    return rows


async def test_weeks_of_noise_and_a_real_doubling(database_url: str, conn: AsyncConnection):
    """In weeks of noise tasks that are as ever raise no alarm; one that doubles is told on its day, and not before."""
    async with conn.cursor() as cursor, cursor.copy("COPY afresh.task_sample FROM STDIN") as copy:
        for name, hour, attempts, failed in weeks(random.Random(20300105)):
            at = END - timedelta(hours=HOURS - hour)
            await copy.write_row((3600, name, at, attempts, attempts - failed, failed, failed, 0, 0, 0, 1.0, 1.0, "{}"))
    app = create(settings_for(database_url))
    told: dict[str, list[int]] = {}
    for look in range(HOURS - LOOKED_AT, HOURS):
        now = END - timedelta(hours=HOURS - look - 1)
        for reading in await observe(app, conn, now=now):
            if reading.rule == FAILURE_GROWTH and reading.value >= 2:
                told.setdefault(reading.subject, []).append(look)
    first = HOURS - A_DAY
    assert {name for name in told if name.startswith("steady")} == set()
    assert first <= min(told["grown"]) < first + 6
    assert min(told["new"]) == first
