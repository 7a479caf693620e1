"""What the tables take."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import AsyncConnection

from app.api.tables import report_storage
from app.store.retention import end_purge, hold_purge
from app.store.tables import TableSize, read_tables

from ..eventually import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]


async def audit(conn: AsyncConnection) -> TableSize:
    """The audit's row, once the server's statistics are up to date."""
    await conn.execute("SELECT pg_stat_force_next_flush()")
    return next(each for each in await read_tables(conn) if each.name == "afresh.audit")


async def test_every_table(conn: AsyncConnection):
    """All tables of ours and of Procrastinate's are there, the largest first, and parts make a whole."""
    tables = await read_tables(conn)
    names = {each.name for each in tables}
    assert {"procrastinate_jobs", "procrastinate_events", "afresh.attempt", "afresh.purge", "afresh.scaling"} <= names
    assert [each.total_bytes for each in tables] == sorted((each.total_bytes for each in tables), reverse=True)
    assert all(each.heap_bytes + each.index_bytes + each.toast_bytes == each.total_bytes for each in tables)


async def test_bloat(conn: AsyncConnection):
    """What died and what is free in a table's file is told apart from what its rows need."""
    await conn.execute("ALTER TABLE afresh.audit SET (autovacuum_enabled = off)")
    await conn.execute(
        "INSERT INTO afresh.audit (actor, action, target) "
        "SELECT 'somebody', 'job.submit', g::text FROM generate_series(1, 20000) g"
    )
    await audit(conn)
    await conn.execute("ANALYZE afresh.audit")
    full = await audit(conn)
    assert full.live_rows == 20_000
    assert full.analysed is not None
    assert full.bloat_share == pytest.approx(0, abs=0.08)
    await conn.execute("DELETE FROM afresh.audit WHERE id % 2 = 0")

    async def told() -> TableSize | None:
        found = await audit(conn)
        return found if found.dead_rows == 10_000 else None

    half = await eventually(told)
    assert half is not None
    assert half.bloat_share == pytest.approx(0.5, abs=0.06)
    await conn.execute("VACUUM afresh.audit")
    assert (await audit(conn)).bloat_share == pytest.approx(0.5, abs=0.06)
    await conn.execute("VACUUM FULL afresh.audit")
    assert (await audit(conn)).heap_bytes < full.heap_bytes * 0.55


async def test_lost_statistics(conn: AsyncConnection):
    """Where the server has lost its counts, as after a crash, its last look tells of rows, and nothing is all bloat."""
    async with conn.transaction():  # Counts are told when it ends.
        await conn.execute(
            "INSERT INTO afresh.audit (actor, action, target) "
            "SELECT 'somebody', 'job.submit', g::text FROM generate_series(1, 20000) g"
        )
        found = {each.name: each for each in await read_tables(conn)}["afresh.audit"]
        assert (found.live_rows, found.bloat_share) == (0, None)
        await conn.execute("CREATE INDEX ON afresh.audit (id)")
        found = {each.name: each for each in await read_tables(conn)}["afresh.audit"]
        assert found.live_rows == 20_000


async def test_when_autovacuum_comes(conn: AsyncConnection):
    """Hot tables are vacuumed when a hundredth has died, and the page says at how many rows that is."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, 10000)"
    )
    await conn.execute("ANALYZE procrastinate_jobs")
    found = {each.name: each.vacuumed_at for each in await read_tables(conn)}
    assert found["procrastinate_jobs"] == 5_000 + 100
    assert found["afresh.api_key"] == 50


async def test_the_part_of_a_page(conn: AsyncConnection):
    """What a page shows has every table with its bloat, and the last purge once there was one."""
    assert (await report_storage(conn)).last_purge is None
    holder = uuid4()
    await hold_purge(conn, holder, lease=timedelta(seconds=9), removed={})
    await end_purge(conn, holder, removed={"jobs": 3})
    report = await report_storage(conn)
    assert report.last_purge is not None
    assert (report.last_purge.removed, report.last_purge.at_work) == ({"jobs": 3}, False)
    assert len(report.tables) == len(await read_tables(conn))
    assert {type(each.bloat_share) for each in report.tables} <= {float, type(None)}


GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "retention.md"


@pytest.mark.parametrize(
    "query", re.findall(r"^```sql\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
async def test_the_sql_of_the_guide(conn: AsyncConnection, query: Any):
    """What the guide shows as SQL runs."""
    await conn.execute(query)
