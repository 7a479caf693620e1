"""What a sample costs is what is in its minute, however much there is before and after it.

Counted in buffers, as in test_failure_cost.py.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.store.samples import SQL

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OTHERS = 40_000
"""Jobs before the minute, with three events each: 1 000 pages of events alone."""

IN_IT = 100
FEW = 3_000
"""Pages. A job in the minute is looked up by its id, and its beginning among its events: about ten pages each, and two
searches by halves."""


async def fill(conn: AsyncConnection, *, first: int, jobs: int, ended: datetime, apart: timedelta) -> None:
    """Jobs that succeeded one after the other, the last at `ended`."""
    given = {"first": first, "last": first + jobs - 1, "ended": ended, "apart": apart}
    await conn.execute(
        "INSERT INTO procrastinate_jobs (id, queue_name, task_name, status) OVERRIDING SYSTEM VALUE "
        "SELECT n, 'q', 'task', 'succeeded' FROM generate_series(%(first)s::bigint, %(last)s::bigint) n",
        given,
    )
    await conn.execute("DELETE FROM procrastinate_events WHERE at < '2028-01-01'")  # Those that a trigger wrote.
    await conn.execute(
        "INSERT INTO procrastinate_events (job_id, type, at) "
        "SELECT n, kind::procrastinate_job_event_type, %(ended)s::timestamptz - (%(last)s - n) * %(apart)s::interval "
        "FROM generate_series(%(first)s::bigint, %(last)s::bigint) n, "
        "unnest(ARRAY['deferred', 'started', 'succeeded']) kind",
        given,
    )


async def test_a_minute_among_many(conn: AsyncConnection):
    """A minute with few jobs costs little, however many there were in the days before."""
    await conn.execute("ALTER TABLE procrastinate_events SET (autovacuum_enabled = off)")
    await fill(conn, first=1, jobs=OTHERS, ended=NOON - timedelta(minutes=5), apart=timedelta(seconds=3))
    await fill(conn, first=OTHERS + 1, jobs=IN_IT, ended=NOON + timedelta(seconds=55), apart=timedelta(seconds=0.5))
    explain: Any = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {SQL['sample_tasks']}"
    ((found,),) = await (await conn.execute(explain, {"minute": NOON, "most": 60_000}, prepare=False)).fetchall()
    touched = found[0]["Plan"]["Shared Hit Blocks"] + found[0]["Plan"]["Shared Read Blocks"]
    row = await (await conn.execute("SELECT succeeded FROM afresh.task_sample WHERE at = %s", [NOON])).fetchone()
    assert row == (IN_IT,)
    assert touched < FEW, touched
