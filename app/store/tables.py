"""What the tables take, and how much of that is dead or free. Reads the catalogue and the statistics, never a table."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("tables")


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table of ours or of Procrastinate's.

    Attributes:
        name: Such as ``afresh.attempt``.
        total_bytes: Of the three that follow.
        heap_bytes, index_bytes, toast_bytes: The rows, their indexes, and values too large for a row.
        live_rows, dead_rows: By the server's statistics, not counted.
        bloat_bytes: Of the heap, what is dead or free: reckoned, good to a few percent; None: never analysed.
        vacuumed_at: Dead rows at which autovacuum comes.
        vacuumed, analysed: When that was last done, by whomever; None: never.
    """

    name: str
    total_bytes: int
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    live_rows: int
    dead_rows: int
    bloat_bytes: int | None
    vacuumed_at: int
    vacuumed: datetime | None
    analysed: datetime | None

    @property
    def bloat_share(self) -> float | None:
        """Of the heap, from 0 to 1."""
        if self.bloat_bytes is None:
            return None
        return self.bloat_bytes / self.heap_bytes if self.heap_bytes else 0.0


async def read_tables(conn: AsyncConnection[Any]) -> list[TableSize]:
    """Every table, the largest first."""
    async with conn.cursor(row_factory=class_row(TableSize)) as cursor:
        return await (await cursor.execute(SQL["list_tables"])).fetchall()
