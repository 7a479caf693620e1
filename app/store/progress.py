"""How far jobs have come, as people and programs read it."""

from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from .paging import Row, fetch

SQL = load("progress")


async def list_progress(conn: AsyncConnection[Any], job_id: int) -> list[Row]:
    """Return what the job has reported, oldest first; of a long history the newest part."""
    return await fetch(conn, SQL["list_progress"], {"job_id": job_id})
