"""What is read of samples over a long time: exact, and out of few rows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection

from app.store.samples import (
    DAY,
    HOUR,
    MINUTE,
    MOST_TASKS,
    OTHER,
    SQL,
    Span,
    days_until,
    forget_samples,
    read_past_of_tasks,
    read_points,
    read_queues,
    read_service,
    read_tasks,
    sample_service,
    sample_tasks,
    sum_up,
)

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 10, 12, 34, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


async def fill(conn: AsyncConnection, *, minutes: int, tasks: int = 2) -> None:
    """Each minute up to noon, each task does what tells the minute and the task apart; then all is summed up."""
    await conn.execute(
        "INSERT INTO afresh.task_sample SELECT 60, 'task_' || t, %(noon)s::timestamptz - n * interval '1 minute', "
        "n, n %% 7, t, 1, 0, 0, 0, n, n %% 11, array_fill(t::bigint, ARRAY[15]) "
        "FROM generate_series(1, %(minutes)s) n, generate_series(1, %(tasks)s) t",
        {"noon": NOON, "minutes": minutes, "tasks": tasks},
    )
    await conn.execute(
        "INSERT INTO afresh.queue_sample "
        "SELECT 60, 'queue_' || t, %(noon)s::timestamptz - n * interval '1 minute', t, t, n, 1 "
        "FROM generate_series(1, %(minutes)s) n, generate_series(1, 3) t",
        {"noon": NOON, "minutes": minutes},
    )
    whole = [NOON - number * A_MINUTE for number in range(1, minutes + 1)]
    await conn.execute(
        "INSERT INTO afresh.service_sample (seconds, at, repeats, dead_letters, workers) "
        "SELECT 60, at, 1, 5, 2 FROM unnest(%s::timestamptz[]) at",
        [whole],
    )
    await conn.execute("SELECT afresh.sum_service(60, '-infinity', 'infinity')")
    await sum_up(conn, whole)


async def test_it_is_exact(conn: AsyncConnection):
    """What tasks did in a time is the same in whatever steps it is read, from the middle of an hour to the present."""
    await fill(conn, minutes=3 * 24 * 60)
    for minutes in (1, 34, 35, 300, 26 * 60 + 7, 50 * 60):
        since = NOON - minutes * A_MINUTE
        counted: Any = (
            "SELECT task_name, sum(submitted), sum(succeeded), sum(failed), sum(spent), max(longest), "
            "sum(durations[3]) "
            "FROM afresh.task_sample WHERE seconds = 60 AND at >= %s AND at < %s GROUP BY 1 ORDER BY 1"
        )
        expected = await (await conn.execute(counted, [since, NOON])).fetchall()
        found = sorted(await read_tasks(conn, Span(since, NOON)), key=lambda task: task.task_name)
        assert expected == [
            (each.task_name, each.submitted, each.succeeded, each.failed, each.spent, each.longest, each.durations[2])
            for each in found
        ]


async def test_all_tasks_together(conn: AsyncConnection):
    """All tasks together are the sum of each, by the minute, by the hour and by the day."""
    await fill(conn, minutes=2 * 24 * 60)
    for seconds, steps in ((MINUTE, 2880), (HOUR, 49), (DAY, 3)):
        span = Span(NOON - timedelta(days=9), NOON, seconds)
        points = await read_points(conn, span)
        assert len(points) == steps
        assert sum(each.submitted for each in points) == 2 * sum(range(1, 2881))
        assert sum(each.failed for each in points) == (1 + 2) * 2880
        assert sum(each.durations[0] for each in points) == (1 + 2) * 2880
        assert sum(each.repeats for each in await read_service(conn, span)) == 2880
        one = await read_points(conn, span, task_name="task_2")
        assert (len(one), sum(each.failed for each in one)) == (steps, 2 * 2880)


async def test_days_are_kept(conn: AsyncConnection):
    """Days are kept as hours are, and go as they do."""
    await fill(conn, minutes=24 * 60)
    since_then = datetime.now(UTC) - NOON
    await forget_samples(conn, hours=since_then + timedelta(days=3), minutes=since_then - timedelta(days=1))
    assert await read_points(conn, Span(NOON - timedelta(days=3), NOON)) == []
    assert len(await read_points(conn, days_until(NOON, 3))) == 2
    await forget_samples(conn, hours=since_then - timedelta(days=1))
    assert await read_points(conn, days_until(NOON, 3)) == []


async def test_many_tasks(conn: AsyncConnection):
    """A minute tells so many tasks by name, the busiest, and the others together; counted twice, it is the same."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 'task_' || n %% %s "
        "FROM generate_series(1, %s) n",
        [MOST_TASKS + 30, 2 * MOST_TASKS],
    )
    row = await (await conn.execute("SELECT date_trunc('minute', min(at)) FROM procrastinate_events")).fetchone()
    assert row is not None
    for _ in range(2):
        await sample_tasks(conn, row[0])
        await sample_service(conn, row[0], dead_letters=0, workers=1)
        found = {each.task_name: each.submitted for each in await read_tasks(conn, Span(row[0], row[0] + A_MINUTE))}
        assert len(found) == MOST_TASKS + 1
        assert found[OTHER] == 30
        (point,) = await read_points(conn, Span(row[0], row[0] + A_MINUTE))
        assert point.submitted == 2 * MOST_TASKS


async def test_the_fullest_queues(conn: AsyncConnection):
    """Where there are more points than are told, they are those of the fullest queues, each from beginning to end."""
    await fill(conn, minutes=300)
    span = Span(NOON - 300 * A_MINUTE, NOON)
    found = await read_queues(conn, span, most=600)
    assert {each.queue_name for each in found} == {"queue_2", "queue_3"}
    assert len(found) == 600
    assert {each.queue_name for each in await read_queues(conn, span, queue="queue_1", most=600)} == {"queue_1"}


async def test_the_past_of_a_task(conn: AsyncConnection):
    """The hours of a time are added up by task, only of those asked for, and hours without attempts are none."""
    hour = NOON.replace(minute=0)
    await conn.execute(
        "INSERT INTO afresh.task_sample "
        "SELECT 3600, 'task_' || t, %(hour)s::timestamptz - n * interval '1 hour', 0, 8 * (n %% 2), 2 * (n %% 2), "
        "0, 0, 0, 0, 0, 0, '{}' FROM generate_series(1, 10) n, generate_series(1, 3) t",
        {"hour": hour},
    )
    past = await read_past_of_tasks(conn, ["task_1", "task_3", "none"], hour - timedelta(hours=8), hour)
    assert past.keys() == {"task_1", "task_3"}
    assert past["task_1"][1:] == (4, 40, 8, 4 * 2**2 / 10)


FEW = 1_500
"""Pages, of more than ten times as many."""


async def test_ninety_days(conn: AsyncConnection):
    """What is read of ninety days is a few pages, however much was done in each of their hours."""
    await conn.execute("ALTER TABLE afresh.task_sample SET (autovacuum_enabled = off)")
    await conn.execute(
        "INSERT INTO afresh.task_sample SELECT 3600, 'task_' || t, %(hour)s::timestamptz - n * interval '1 hour', "
        "9, 8, 1, 1, 0, 0, 0, 1, 1, array_fill(1::bigint, ARRAY[15]) "
        "FROM generate_series(0, 2159) n, generate_series(1, 20) t",
        {"hour": NOON.replace(minute=0)},
    )
    await sum_up(conn, [NOON - timedelta(days=number) for number in range(90)])
    parts = list(Span(NOON.replace(minute=0) - timedelta(hours=2159), NOON, HOUR).parts())
    given = {
        "seconds": [part.seconds for part in parts],
        "since": [part.since for part in parts],
        "until": [part.until for part in parts],
        "task_name": None,
        "most": 500,
    }
    explain: Any = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {SQL['read_tasks']}"
    ((found,),) = await (await conn.execute(explain, given, prepare=False)).fetchall()
    touched = found[0]["Plan"]["Shared Hit Blocks"] + found[0]["Plan"]["Shared Read Blocks"]
    assert touched < FEW, touched


@given(
    since=st.integers(0, 4 * DAY // MINUTE),
    length=st.integers(0, 4 * DAY // MINUTE),
)
def test_parts(since: int, length: int):
    """Parts of a time follow each other without a gap, and narrow steps are only at its ends."""
    span = Span(NOON + since * A_MINUTE, NOON + (since + length) * A_MINUTE)
    parts = list(span.parts())
    assert (parts[0].since, parts[-1].until) == (span.since, span.until)
    assert all(before.until == after.since for before, after in pairwise(parts))
    assert all(time.timestamp() % part.seconds == 0 for part in parts for time in (part.since, part.until))
    assert sum(len(part.steps()) for part in parts if part.seconds == MINUTE) < 2 * 60
    assert sum(len(part.steps()) for part in parts if part.seconds == HOUR) < 2 * 24
