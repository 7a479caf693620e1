"""`doctor`: look at everything that has to be right, and say what to mend."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from ..redact import redact_text

if TYPE_CHECKING:
    import psycopg

    from ..config import Settings
    from ..monitoring.health import Check
    from ..postgres.connect import Database
    from ..store.workers import Worker

MOST_DRIFT = timedelta(seconds=5)
"""Between this machine's clock and the database's: times of attempts are the worker's, what is due the database's."""


class Verdict(StrEnum):
    """What was found."""

    WELL = "well"
    LOOK = "look"
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        found: What there is.
        mend: What to do about it; empty where it is well.
    """

    about: str
    verdict: Verdict
    found: str
    mend: str = ""


def doctor() -> None:
    """Check settings, database, schema, workers, clock, machine and alerts; say what to mend. Exit 1 if anything."""
    from ..config import load_settings

    settings = load_settings()
    findings = [*_settings(settings), *_database(settings), *_machine(settings), *_alerts(settings), *_mail(settings)]
    _show(findings)
    if any(each.verdict is Verdict.MEND for each in findings):
        raise typer.Exit(1)


def _settings(settings: "Settings") -> Iterator[Finding]:
    from ..config.environment import project_root, read_environment
    from ..queue.app import create

    root = project_root()
    where = f"read from {root / '.env'}" if (root / ".env").is_file() else "no .env; the environment and the defaults"
    yield Finding("settings", Verdict.WELL, where)
    create(settings).perform_import_paths()  # Ends with its own line where a module cannot be imported.
    modules = ", ".join(settings.worker.task_modules)
    yield Finding(
        "tasks", Verdict.WELL, f"TASK_MODULES can be imported: {modules}" if modules else "only our own tasks"
    )
    if "ADMIN_API_KEY" not in read_environment() and settings.api.host not in {"127.0.0.1", "localhost", "::1"}:
        keys = "make one with `afresh keys create`, or set ADMIN_API_KEY"
        yield Finding("api", Verdict.LOOK, f"API_HOST is {settings.api.host}: it serves others only with a key", keys)


def _database(settings: "Settings") -> Iterator[Finding]:
    import psycopg

    from ..postgres.connect import Database
    from ..postgres.errors import PostgresError

    try:
        with Database.from_settings(settings.database) as database:
            yield from _asked_of_the_database(settings, database)
    except (psycopg.OperationalError, PostgresError) as error:
        told = redact_text(" ".join(str(error).split()))
        where = "DATABASE_URL" if settings.database.url else "the log in DATA_DIR"
        yield Finding("database", Verdict.MEND, told, f"see whether it runs, and {where}")


def _asked_of_the_database(settings: "Settings", database: "Database") -> Iterator[Finding]:
    from ..postgres.migrate import plan
    from .show import name_of

    with database.connect() as conn:
        version = conn.info.server_version // 10_000
        found = f"PostgreSQL {version}, {name_of(database)}"
        if version < OLDEST_POSTGRES:
            yield Finding("database", Verdict.MEND, found, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
        else:
            yield Finding("database", Verdict.WELL, found)
        yield _clock(conn)
        if pending := plan(conn):
            told = f"{len(pending)} migrations are missing, the next is {pending[0]}"
            yield Finding("schema", Verdict.MEND, told, "run `afresh migrate`")
            return
        yield Finding("schema", Verdict.WELL, "it is up to date")
    yield from _workers(*_ask(settings, database))


OLDEST_POSTGRES = 15


def _clock(conn: "psycopg.Connection[Any]") -> Finding:
    before = datetime.now(UTC)
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    after = datetime.now(UTC)
    theirs = row[0] if row else before
    drift = theirs - (before + (after - before) / 2)
    seconds = f"{abs(drift.total_seconds()):.1f} s"
    if abs(drift) > MOST_DRIFT:
        told = f"the database's clock is {seconds} {'ahead of' if drift > timedelta() else 'behind'} this machine's"
        return Finding("clock", Verdict.MEND, told, "let both machines keep time by NTP")
    return Finding("clock", Verdict.WELL, f"it is within {seconds} of the database's")


def _ask(settings: "Settings", database: "Database") -> tuple[list["Worker"], "Check"]:
    """Who works, and whether alerts are evaluated."""
    import asyncio

    from ..monitoring.health import judge_monitoring
    from ..store.monitoring import read_monitoring
    from ..store.samples import last_sampled
    from ..store.workers import list_workers

    async def ask() -> tuple[list["Worker"], "Check"]:
        async with await database.connect_async() as conn:
            workers = await list_workers(conn, stalled_after=settings.worker.stalled_after)
            began = [each.started_at for each in workers if each.lives and each.started_at]
            check = judge_monitoring(
                await read_monitoring(conn),
                datetime.now(UTC),
                sampled=await last_sampled(conn),
                working_since=min(began, default=None),
            )
            return workers, check

    return asyncio.run(ask())


def _workers(workers: list["Worker"], check: "Check") -> Iterator[Finding]:
    from ..monitoring.health import Status

    alive = [worker for worker in workers if worker.lives]
    lost = [worker for worker in workers if worker.status == "lost"]
    if not alive:
        yield Finding("workers", Verdict.MEND, "no worker is alive: jobs wait", "start one with `afresh worker`")
    else:
        yield Finding("workers", Verdict.WELL, f"{len(alive)} alive: {', '.join(map(str, alive[:5]))}")
    if lost:
        ended = "see what ended it: memory, a node, a crash"
        yield Finding("workers", Verdict.LOOK, f"{len(lost)} lost within the hour: {lost[-1]}", ended)
    if len(versions := {worker.version for worker in alive if worker.version}) > 1:
        told = f"they run versions {', '.join(sorted(versions))}"
        yield Finding("workers", Verdict.LOOK, told, "end the deploy: restart the older ones")
    if unserved := _unserved(alive):
        told = f"no worker takes jobs of {', '.join(unserved)}"
        yield Finding("queues", Verdict.MEND, told, "add them to WORKER_QUEUES of one worker at least")
    well = check.status is Status.HEALTHY
    yield Finding(
        "monitoring",
        Verdict.WELL if well else Verdict.MEND,
        check.reason,
        "" if well else "let a worker take jobs of the queue monitoring, and look at the failures of its tasks",
    )


OWN_QUEUES = ("maintenance", "monitoring", "analytics", "dead_letters", "cleanup")
"""Queues without which the service does not look after itself."""


def _unserved(alive: list["Worker"]) -> list[str]:
    if not alive or any(worker.queues is None for worker in alive):
        return []
    served = {queue for worker in alive for queue in worker.queues or ()}
    return [queue for queue in OWN_QUEUES if queue not in served]


def _machine(settings: "Settings") -> Iterator[Finding]:
    import psutil

    from ..queue.presence import disks

    memory, most = psutil.virtual_memory().percent, settings.worker.max_memory_percent
    if most and memory > most:
        told = f"{memory:.0f} % in use, MAX_MEMORY_PERCENT is {most:g}: a worker here takes no jobs"
        yield Finding("memory", Verdict.MEND, told, "end what needs it, or raise the limit")
    else:
        yield Finding("memory", Verdict.WELL, f"{memory:.0f} % in use")
    limit = settings.alert.max_disk_percent
    for disk in disks(settings.database.data_dir):
        told = f"{disk.percent:.0f} % of the disk with {disk.path} in use, {disk.free / 1e9:.1f} GB free"
        if limit and disk.percent > limit:
            yield Finding("disk", Verdict.MEND, told, "make room: a database without disk stops")
        else:
            yield Finding("disk", Verdict.WELL, told)


def _alerts(settings: "Settings") -> Iterator[Finding]:
    from ..monitoring.alerts.channels import channel_of, is_understood

    if not settings.alert.urls:
        told = "ALERT_URLS is not set: alerts are stored and shown, and sent to nobody"
        yield Finding("alerts", Verdict.LOOK, told, "name an address, such as mailtos://… or slack://…")
    for url in settings.alert.urls:
        if is_understood(url):
            yield Finding("alerts", Verdict.WELL, f"they are sent to {channel_of(url)}")
        else:
            told = f"Apprise does not understand {channel_of(url)} of ALERT_URLS"
            yield Finding("alerts", Verdict.MEND, told, "compare it with Apprise's list of services")


def _mail(settings: "Settings") -> Iterator[Finding]:
    mail = settings.mail
    if not mail.report_to:
        return
    needed = {"SMTP_URL": mail.server, "MAIL_FROM": mail.sender}
    missing = " and ".join(name for name, value in needed.items() if value is None)
    if missing:
        told = "the report of each day cannot be mailed"
        yield Finding("report", Verdict.MEND, told, f"set {missing}, or unset REPORT_MAIL_TO")
    else:
        to = ", ".join(each.address for each in mail.report_to)
        yield Finding("report", Verdict.WELL, f"that of each day is mailed to {to}")


def _show(findings: list[Finding]) -> None:
    from rich.markup import escape

    from .show import console, table

    colours = {Verdict.WELL: "green", Verdict.LOOK: "yellow", Verdict.MEND: "red"}
    rows = table("", "what", "found", "what to do")
    for each in findings:
        sign = f"[{colours[each.verdict]}]{each.verdict}[/{colours[each.verdict]}]"
        rows.add_row(sign, each.about, escape(each.found), escape(each.mend))
    console().print(rows)
