from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg import AsyncConnection

from app.config import AlertSettings, RetentionSettings
from app.dashboard.frame import size

from ..application import Served, serving, settings_for
from .parts import live_worker, text_of

pytestmark = pytest.mark.anyio


async def test_findings(served: Served):
    """What `afresh doctor` finds comes first, the worst of it at the top, each with what to do."""
    text = await text_of(served[1], "/dashboard/system")
    worst = text.index("mend workers no worker is alive: jobs wait start one with afresh worker")
    assert worst < text.index("look alerts ALERT_URLS is not set") < text.index("well clock it is within")


async def test_well(served: Served):
    """With a worker nothing has to be mended for its sake, and its machine is shown."""
    await live_worker(served[0])
    text = await text_of(served[1], "/dashboard/system")
    assert "well workers 1 alive: worker-1 on node-1 (process 4711)" in text
    assert "node-1 1 35 % 62 % 50 %" in text


async def test_schema(served: Served):
    """The migration that is applied is told."""
    async with served[0].connection() as conn:
        row = await (await conn.execute("SELECT max(number) FROM afresh.migration")).fetchone()
    assert row is not None
    assert f"migration {row[0]}" in await text_of(served[1], "/dashboard/system")


async def test_retention(database_url: str):
    """Each term of retention is told by its setting, with how long and from when on."""
    settings = replace(
        settings_for(database_url), retention=RetentionSettings(failed=timedelta(days=3), most_succeeded=1000)
    )
    async with serving(settings) as (_, client):
        text = await text_of(client, "/dashboard/system")
    assert "RETENTION_FAILED 3 d since 20" in text
    assert "RETENTION_SUCCEEDED_COUNT 1,000 at most" in text
    assert "RETENTION_FAILED_COUNT any number" in text
    assert "Nothing was purged yet" in text


async def test_tables(served: Served, conn: AsyncConnection):
    """Tables are told with their sizes as Postgres has them, in all, of the rows and of the rest; small ones folded."""
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, 6000)"
    )
    await conn.execute("ANALYZE procrastinate_jobs")
    cursor = await conn.execute(
        "SELECT pg_total_relation_size(oid), pg_relation_size(oid), pg_total_relation_size(reltoastrelid)"
        " FROM pg_class WHERE relname = 'procrastinate_jobs'"
    )
    ((whole, rows, toast),) = await cursor.fetchall()
    larger, smaller = (await text_of(served[1], "/dashboard/system")).split(" tables below 1.0 MB ")
    assert whole > 1_000_000
    assert f" procrastinate_jobs {size(whole)} {size(rows)} {size(whole - rows - toast)} 6,000 0 " in larger
    assert " afresh.attempt " in smaller


async def test_no_secret(database_url: str):
    """Addresses of alerts hold secrets, and are named without them."""
    settings = replace(settings_for(database_url), alert=AlertSettings(urls=("json://someone:hunter22@127.0.0.1:9/",)))
    async with serving(settings) as (_, client):
        text = await text_of(client, "/dashboard/system")
    assert "they are sent to json-" in text
    assert "hunter22" not in text
