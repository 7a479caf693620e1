"""Takes Afresh out of a database again: what is left is Procrastinate's schema with all its jobs, as it was before.

All of it goes in one transaction, or nothing. No row of Procrastinate's is read or written. The table of jobs is locked
while the catalogue changes, which takes no longer for a million of them; whoever holds it for long is not waited for,
but asked again (`turn`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from .errors import MigrationError
from .migrate import read_steps
from .sqlfiles import load
from .turn import take_turn

SQL = load("undo")

COUNTED = {
    "attempt": "attempts",
    "dead_letter": "dead letters",
    "audit": "rows of the audit",
    "job_option": "jobs' options",
    "result": "results",
    "checkpoint": "steps of jobs",
    "api_key": "API keys",
}
"""Tables of which it is told how many rows go, and what these are."""

_MADE = re.compile(r"^CREATE (?:OR REPLACE )?(?:TABLE|VIEW) afresh\.(\w+)", re.MULTILINE)
# With the jobs' table in hand, nobody is waited for any more.
_IMPATIENT = "200ms"


@dataclass(frozen=True, slots=True)
class Removal:
    """What would go.

    Attributes:
        rows: Of the tables in `COUNTED`, those that have some.
        added: What goes from Procrastinate's tables: pairs of what it is and its name.
        tuned: Tables whose autovacuum is set back.
        paused: Queues that are paused, and will not be any more.
    """

    rows: dict[str, int]
    added: tuple[tuple[str, str], ...]
    tuned: tuple[str, ...]
    paused: tuple[str, ...]

    def lines(self) -> list[str]:
        """What to know before it is done."""
        lost = ", ".join(f"{count:,} {COUNTED[name]}" for name, count in self.rows.items())
        added = {kind: [name for each, name in self.added if each == kind] for kind in ("column", "trigger", "index")}
        taken = "; ".join(f"{kind} {', '.join(names)}" for kind, names in added.items() if names)
        paused = f", also those of {_named(self.paused)}, which are paused" if self.paused else ""
        return [
            f"would drop the schema afresh, with {lost or 'nothing that anybody would miss'}",
            *([f"would take from procrastinate_jobs: {taken}"] if taken else []),
            *([f"would set back the autovacuum of {', '.join(self.tuned)}"] if self.tuned else []),
            "Procrastinate's schema and all its jobs stay. Those that wait for a retry keep their time; what was held",
            f"back may run at once{paused}. Jobs that failed stay failed, without their letters.",
        ]


def foresee_undo(conn: psycopg.Connection) -> Removal | None:
    """What `undo` would remove; None: Afresh is not there. To count many rows takes a while."""
    if not _rows(conn, SQL["find_schema"]):
        return None
    tables = {name for (name,) in _rows(conn, SQL["list_tables"])}
    counted = {
        name: _rows(conn, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("afresh", name)))[0][0]
        for name in COUNTED
        if name in tables
    }
    return Removal(
        rows={name: count for name, count in counted.items() if count},
        added=tuple((kind, name) for kind, _, name in _rows(conn, SQL["list_added"])),
        tuned=tuple(dict.fromkeys(table for table, _, _ in _tuned(conn, tables))),
        paused=tuple(name for (name,) in _rows(conn, SQL["list_paused"])) if "hold" in tables else (),
    )


def refuse_undo(conn: psycopg.Connection, *, stalled_after: timedelta) -> None:
    """Let it pass only if nobody needs what would go.

    Args:
        conn: Where to look.
        stalled_after: The silence after which a worker does not count as alive.

    Raises:
        MigrationError: A worker of ours is alive, or something that is not ours stands on what is.
    """
    tables = {name for (name,) in _rows(conn, SQL["list_tables"])}
    if "worker" in tables and (alive := _rows(conn, SQL["list_alive"], {"stalled_after": stalled_after})):
        raise MigrationError(f"stop the workers of Afresh first, and its API: {_named(name for (name,) in alive)}")
    ours = [name for step in read_steps() for name in _MADE.findall(step.text)]
    if strangers := _rows(conn, SQL["list_strangers"], {"ours": ours}):
        named = _named(name for (name,) in strangers)
        raise MigrationError(f"drop or move this first, which Afresh did not make and which would go with it: {named}")


def undo(conn: psycopg.Connection, *, stalled_after: timedelta) -> None:
    """Remove Afresh from the database. The connection must be in autocommit.

    Args:
        conn: Where.
        stalled_after: As for `refuse_undo`.

    Raises:
        MigrationError: As for `refuse_undo`, or a table was held by a long transaction; nothing has changed.
    """
    while _rows(conn, SQL["find_schema"]):
        take_turn(conn, "undoing", lambda: _remove(conn, stalled_after))


def _remove(conn: psycopg.Connection, stalled_after: timedelta) -> None:
    """Lock order: jobs, events, then what is ours, as whoever submits has it."""
    if not _rows(conn, SQL["find_schema"]):
        return
    conn.execute("LOCK TABLE procrastinate_jobs, procrastinate_events IN ACCESS EXCLUSIVE MODE")
    conn.execute("SELECT set_config('lock_timeout', %s, true)", [_IMPATIENT])
    refuse_undo(conn, stalled_after=stalled_after)
    tables = {name for (name,) in _rows(conn, SQL["list_tables"])}
    tuned, added = _tuned(conn, tables), _rows(conn, SQL["list_added"])
    conn.execute("SET LOCAL client_min_messages = warning")  # CASCADE names hundreds of things.
    for table, name, former in tuned:
        conn.execute(_set_back(table, name, former))
    for kind, table, name in added:
        if kind == "trigger":
            conn.execute(sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.SQL(table)))
        elif kind == "index":
            conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    conn.execute("DROP SCHEMA afresh CASCADE")
    for kind, table, name in added:
        if kind == "column":
            conn.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(sql.SQL(table), sql.Identifier(name)))


def _set_back(table: str, name: str, former: str | None) -> sql.Composed:
    parameter = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
    if former is None:
        return sql.SQL("ALTER TABLE {} RESET ({})").format(sql.Identifier(table), parameter)
    return sql.SQL("ALTER TABLE {} SET ({} = {})").format(sql.Identifier(table), parameter, sql.Literal(former))


def _tuned(conn: psycopg.Connection, tables: set[str]) -> list[tuple[Any, ...]]:
    return _rows(conn, SQL["list_tuned"]) if "storage_parameter" in tables else []


def _rows(
    conn: psycopg.Connection, query: LiteralString | sql.Composed, values: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    return conn.cursor(row_factory=tuple_row).execute(query, values).fetchall()


def _named(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    first, *others = [*names]
    shown = [first, *others[:4]]
    more = len(others) - 4
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
