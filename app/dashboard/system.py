"""The page of the system: what is not in order, how full machines and tables are, and what is kept how long."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from psycopg import AsyncConnection

from .. import __version__
from ..config import DatabaseSettings, RetentionSettings, Settings
from ..config.environment import Group
from ..monitoring import doctor
from ..monitoring.doctor import Finding, Verdict
from ..monitoring.resources import Here, look_around
from ..store.health import schema_version
from ..store.retention import read_purge
from ..store.tables import read_tables
from ..store.workers import Worker, hosts_of, list_workers
from ..web.reading import Queue, ReadingConnection
from .frame import render

SMALL = 1_000_000
"""Bytes below which a table is not worth a line at first sight."""

router = APIRouter(prefix="/dashboard")


@dataclass(frozen=True, slots=True)
class Term:
    """A setting that says how long, or how many of something, is kept.

    Attributes:
        kept: A time, or a number of rows, of which 0 means any.
        before: What is older goes; None: age does not matter.
    """

    setting: str
    meaning: str
    kept: timedelta | int
    before: datetime | None


@router.get("/system")
async def show_system(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Findings first, as `afresh doctor` has them."""
    settings, here = queue.settings, look_around(queue)
    workers = await list_workers(conn, stalled_after=settings.worker.stalled_after)
    tables = await read_tables(conn)
    migration = await schema_version(conn)
    findings = await _examine(conn, settings, here, workers, migration)
    order = list(Verdict)
    return render(
        request,
        "system.html",
        "System",
        findings=sorted(findings, key=lambda each: order.index(each.verdict), reverse=True),
        machine=here,
        hosts=hosts_of(workers),
        limits={
            "cpu": settings.worker.max_cpu_percent,
            "memory": settings.worker.max_memory_percent,
            "disk": settings.alert.max_disk_percent,
        },
        terms=list(_terms(settings, datetime.now(UTC))),
        purge=await read_purge(conn),
        large=[each for each in tables if each.total_bytes >= SMALL],
        small=[each for each in tables if each.total_bytes < SMALL],
        small_bytes=SMALL,
        total_bytes=sum(each.total_bytes for each in tables),
        migration=migration,
        postgres=conn.info.parameter_status("server_version") or "",
        version=__version__,
    )


async def _examine(
    conn: AsyncConnection[Any], settings: Settings, here: Here, workers: list[Worker], migration: int
) -> list[Finding]:
    before = datetime.now(UTC)
    row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
    after = datetime.now(UTC)
    return [
        doctor.judge_settings(),
        doctor.judge_server(conn.info.server_version, _name_of(conn, settings.database)),
        doctor.judge_clock(row[0] if row else before, before, after),
        doctor.judge_migration(migration),
        *doctor.judge_workers(workers),
        await doctor.ask_evaluation(conn, workers),
        *doctor.judge_machine(settings, here.memory_percent, here.disks),
        *await asyncio.to_thread(lambda: list(doctor.judge_channels(settings.alert))),
        *doctor.judge_mail(settings.mail),
    ]


def _name_of(conn: AsyncConnection[Any], database: DatabaseSettings) -> str:
    """Which database it is, without a secret."""
    return f"{conn.info.dbname} on {conn.info.host}" if database.url else f"embedded, data in {database.data_dir}"


def _terms(settings: Settings, now: datetime) -> Iterator[Term]:
    groups: tuple[tuple[Group, tuple[str, ...]], ...] = (
        (settings.retention, tuple(RetentionSettings.model_fields)),
        (settings.submission, ("idempotency_ttl",)),
    )
    for group, names in groups:
        for name in names:
            field, kept = type(group).model_fields[name], getattr(group, name)
            before = now - kept if isinstance(kept, timedelta) else None
            yield Term(field.title or name, field.description or "", kept, before)
