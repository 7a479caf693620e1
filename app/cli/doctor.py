"""`doctor`: look at everything that has to be right, and say what to mend."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from ..redact import redact_text

if TYPE_CHECKING:
    import psycopg

    from ..config import Settings
    from ..monitoring.doctor import Finding
    from ..postgres.connect import Database


def doctor() -> None:
    """Check settings, database, schema, workers, clock, machine and alerts; say what to mend. Exit 1 if anything."""
    from ..config import load_settings
    from ..monitoring.doctor import Verdict, judge_channels, judge_mail

    settings = load_settings()
    told = [*judge_channels(settings.alert), *judge_mail(settings.mail)]
    findings = [*_settings(settings), *_database(settings), *_machine(settings), *told]
    _show(findings)
    if any(each.verdict is Verdict.MEND for each in findings):
        raise typer.Exit(1)


def _settings(settings: "Settings") -> Iterator["Finding"]:
    from ..monitoring.doctor import Finding, Verdict, judge_address, judge_settings
    from ..queue.app import create

    yield judge_settings()
    create(settings).perform_import_paths()  # Ends with its own line where a module cannot be imported.
    modules = ", ".join(settings.worker.task_modules)
    yield Finding(
        "tasks", Verdict.WELL, f"TASK_MODULES can be imported: {modules}" if modules else "only our own tasks"
    )
    yield from judge_address(settings.api)


def _database(settings: "Settings") -> Iterator["Finding"]:
    import psycopg

    from ..monitoring.doctor import Finding, Verdict
    from ..postgres.connect import Database
    from ..postgres.errors import PostgresError

    try:
        with Database.from_settings(settings.database) as database:
            yield from _asked_of_the_database(settings, database)
    except (psycopg.OperationalError, PostgresError) as error:
        told = redact_text(" ".join(str(error).split()))
        where = "DATABASE_URL" if settings.database.url else "the log in DATA_DIR"
        yield Finding("database", Verdict.MEND, told, f"see whether it runs, and {where}")


def _asked_of_the_database(settings: "Settings", database: "Database") -> Iterator["Finding"]:
    from ..monitoring.doctor import Finding, Verdict, judge_server
    from ..postgres.migrate import plan
    from .show import name_of

    with database.connect() as conn:
        yield judge_server(conn.info.server_version, name_of(database))
        yield _clock(conn)
        if pending := plan(conn):
            told = f"{len(pending)} migrations are missing, the next is {pending[0]}"
            yield Finding("schema", Verdict.MEND, told, "run `afresh migrate`")
            return
        yield Finding("schema", Verdict.WELL, "it is up to date")
    yield from _ask(settings, database)


def _clock(conn: "psycopg.Connection[Any]") -> "Finding":
    from ..monitoring.doctor import judge_clock

    before = datetime.now(UTC)
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    return judge_clock(row[0] if row else before, before, datetime.now(UTC))


def _ask(settings: "Settings", database: "Database") -> list["Finding"]:
    """Who works, and whether alerts are evaluated."""
    import asyncio

    from ..monitoring.doctor import ask_evaluation, judge_workers
    from ..store.workers import list_workers

    async def ask() -> list["Finding"]:
        async with await database.connect_async() as conn:
            workers = await list_workers(conn, stalled_after=settings.worker.stalled_after)
            return [*judge_workers(workers), await ask_evaluation(conn, workers)]

    return asyncio.run(ask())


def _machine(settings: "Settings") -> Iterator["Finding"]:
    import psutil

    from ..monitoring.doctor import judge_machine
    from ..queue.presence import disks

    yield from judge_machine(settings, psutil.virtual_memory().percent, disks(settings.database.data_dir))


def _show(findings: list["Finding"]) -> None:
    from rich.markup import escape

    from ..monitoring.doctor import Verdict
    from .show import console, table

    colours = {Verdict.WELL: "green", Verdict.LOOK: "yellow", Verdict.MEND: "red"}
    rows = table("", "what", "found", "what to do")
    for each in findings:
        sign = f"[{colours[each.verdict]}]{each.verdict}[/{colours[each.verdict]}]"
        rows.add_row(sign, each.about, escape(each.found), escape(each.mend))
    console().print(rows)
