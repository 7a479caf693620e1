"""What the tables take and what was forgotten last, as a part of a page of the API."""

from typing import Any, Self

from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from ..store.retention import LastPurge, read_purge
from ..store.tables import TableSize, read_tables
from ..web.fields import Time


class TableReport(BaseModel):
    """One table."""

    name: str = Field(examples=["procrastinate_jobs"])
    total_bytes: int = Field(description="With its indexes, and values too large for a row.")
    heap_bytes: int
    index_bytes: int
    live_rows: int = Field(description="By the server's statistics, not counted.")
    dead_rows: int
    bloat_share: float | None = Field(
        description="Of the rows' file, what is dead or free, reckoned; null: never analysed.", examples=[0.12]
    )
    vacuumed_at: int = Field(description="Dead rows at which autovacuum comes.")
    vacuumed: Time | None
    analysed: Time | None

    @classmethod
    def of(cls, table: TableSize) -> Self:
        """As it is shown."""
        shown = {name: getattr(table, name) for name in cls.model_fields}
        share = table.bloat_share
        return cls(**shown | {"bloat_share": None if share is None else round(share, 3)})


class PurgeReport(BaseModel):
    """What the last purge did."""

    began_at: Time | None
    ended_at: Time | None = Field(description="Null: it is at work, or its process died.")
    at_work: bool
    removed: dict[str, int] = Field(description="Rows by kind.", examples=[{"jobs": 1200}])

    @classmethod
    def of(cls, last: LastPurge) -> Self:
        """As it is shown."""
        return cls(began_at=last.began_at, ended_at=last.ended_at, at_work=last.at_work, removed=last.removed)


class StorageReport(BaseModel):
    """What the database takes: the largest tables first, and the last purge; null: there was none."""

    tables: list[TableReport]
    last_purge: PurgeReport | None


async def report_storage(conn: AsyncConnection[Any]) -> StorageReport:
    """Make the report; it costs a few ms, however large the tables are."""
    last = await read_purge(conn)
    return StorageReport(
        tables=[TableReport.of(each) for each in await read_tables(conn)],
        last_purge=PurgeReport.of(last) if last else None,
    )
