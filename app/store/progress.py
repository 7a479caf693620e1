"""How far jobs have come, as people and programs read it."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..postgres.sqlfiles import load

SQL = load("progress")

Row = dict[str, Any]


async def list_progress(conn: AsyncConnection[Any], job_id: int) -> list[Row]:
    """Return what the job has reported, oldest first; of a long history the newest part."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SQL["list_progress"], {"job_id": job_id})
        return await cursor.fetchall()
