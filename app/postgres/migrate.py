"""Brings a database from whatever it is to what this code needs, step by numbered step.

Each step runs in a transaction of its own, under one advisory lock, and looks again at what is applied once it has
the lock. So any number of processes may migrate at once, also through a transaction pooler, and each step runs once.

What a transaction cannot hold, an index that is built while others write, is made by a second connection while the
first holds the lock. Whoever waits for the lock asks for it again and again, for such a build waits in turn for every
statement that is older than it.
"""

import hashlib
import importlib.resources
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row

from . import indexes
from .account import one_line
from .errors import MigrationError, SchemaBehind
from .sqlfiles import sql_dir
from .turn import beside, take_turn

# The first line of a step that runs outside a transaction; only indexes are built there.
_OUTSIDE = "-- outside a transaction"
# What a step was before it was edited, which a released step never is. Those that were had blocked writers while they
# ran, and no later step can mend that.
_FORMERLY = re.compile(r"^-- formerly ([0-9a-f]{64})\b", re.MULTILINE)
_FILE_NAME = re.compile(r"(\d{4})_([a-z]+(?:_[a-z0-9]+)+)\.sql")

# Not to_regclass(), which answers from the session's cache: after a wait for the lock it still says what was true
# before.
_PROCRASTINATE: LiteralString = """
SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'procrastinate_jobs' AND pg_table_is_visible(oid)),
       EXISTS (SELECT FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2' AND pg_function_is_visible(oid))
"""
_MIGRATION: LiteralString = """
SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE relname = 'migration' AND nspname = 'afresh')
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to apply.

    Attributes:
        number: Its place; 0 is Procrastinate's own schema, which is not recorded.
        name: Verb and noun.
        checksum: SHA-256 of the text, as 64 hex digits.
        text: The SQL.
    """

    number: int
    name: str
    checksum: str
    text: str

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"

    @property
    def checksums(self) -> set[str]:
        """The texts that count as this step: its own, and what its head says that it was."""
        return {self.checksum, *_FORMERLY.findall(self.text)}

    @property
    def builds(self) -> tuple[indexes.Build, ...]:
        """The indexes of a step that runs outside a transaction; none of any other.

        Raises:
            MigrationError: It holds something else.
        """
        return indexes.read_builds(self.text) if self.text.startswith(_OUTSIDE) else ()


def read_steps(folder: Path | None = None) -> tuple[Step, ...]:
    """The migration files, in order.

    Raises:
        MigrationError: A file is misnamed, or the numbers are not 1, 2, 3 ...
    """
    steps = []
    for number, path in enumerate(sorted((folder or sql_dir() / "migrations").glob("*.sql")), start=1):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise MigrationError(f"migration {path.name}: expected {number:04d}_verb_noun.sql")
        steps.append(_step(number, match[2], path.read_text(encoding="utf-8")))
    return tuple(steps)


def plan(conn: psycopg.Connection, steps: Sequence[Step] | None = None) -> list[Step]:
    """What would be applied, in order; empty when the schema is current. Changes nothing.

    Raises:
        MigrationError: An applied file was edited, one was put before those applied, or Procrastinate is too old.
    """
    first = [] if _has_procrastinate(conn) else [_procrastinate_schema()]
    return first + _pending(_applied(conn), read_steps() if steps is None else steps)


def migrate(
    conn: psycopg.Connection, steps: Sequence[Step] | None = None, *, tell: Callable[[Step], None] | None = None
) -> list[Step]:
    """Apply what is pending and return it. The connection must be in autocommit.

    Args:
        conn: Where.
        steps: What there is to apply; by default the migration files.
        tell: Called with each step once it is applied: one on a large table takes its time.

    Raises:
        MigrationError: As for `plan`, or a step failed; those before it stay applied, it left nothing.
    """
    steps = read_steps() if steps is None else steps
    done: list[Step] = []
    while pending := plan(conn, steps):
        applied = take_turn(conn, f"migration {pending[0]}", lambda: _apply_next(conn, steps))
        if applied:
            done.append(applied)
            if tell:
                tell(applied)
    return done


def require_current(conn: psycopg.Connection, steps: Sequence[Step] | None = None) -> None:
    """Let only a current schema pass. One that is ahead passes: during a deploy the older code still runs.

    Raises:
        SchemaBehind: Steps are pending.
        MigrationError: As for `plan`.
    """
    if pending := plan(conn, steps):
        count = f"{len(pending)} migration" + ("s" if len(pending) > 1 else "")
        raise SchemaBehind(f"the database schema is behind by {count} (next: {pending[0]}): run `afresh migrate`")


def _step(number: int, name: str, text: str) -> Step:
    return Step(number, name, hashlib.sha256(text.encode()).hexdigest(), text)


def _procrastinate_schema() -> Step:
    text = importlib.resources.files("procrastinate").joinpath("sql/schema.sql").read_text(encoding="utf-8")
    return _step(0, "create_procrastinate", text)


def _has_procrastinate(conn: psycopg.Connection) -> bool:
    """Whether its schema is there; it keeps no record of its version, but 3.4 brought a function to know it by."""
    there, recent = _row(conn, _PROCRASTINATE)
    if there and not recent:
        raise MigrationError(
            "the Procrastinate schema of this database is older than 3.4: apply Procrastinate's own migrations first "
            "(https://procrastinate.readthedocs.io/en/stable/howto/production/migrations.html)"
        )
    return bool(there)


def _applied(conn: psycopg.Connection) -> dict[int, str]:
    if not _row(conn, _MIGRATION)[0]:
        return {}
    rows = conn.cursor(row_factory=tuple_row).execute("SELECT number, checksum FROM afresh.migration").fetchall()
    return dict(rows)


def _pending(applied: dict[int, str], steps: Sequence[Step]) -> list[Step]:
    newest = max(applied, default=0)
    pending = [step for step in steps if step.number not in applied]
    for step in steps:
        if applied.get(step.number, step.checksum) not in step.checksums:
            raise MigrationError(f"migration {step} was edited after it was applied: restore it, and add a new one")
    if pending and pending[0].number < newest:
        raise MigrationError(f"migration {pending[0]} comes before {newest:04d}, which is applied: renumber it")
    return pending


def _apply_next(conn: psycopg.Connection, steps: Sequence[Step]) -> Step | None:
    """Apply one step; None where nothing is left to do."""
    pending = plan(conn, steps)
    if not pending:
        return None
    step = pending[0]
    try:
        if builds := step.builds:
            with beside(conn) as other:
                indexes.build(other, builds)
        else:
            conn.execute(step.text.encode())
        if step.number:
            conn.execute(
                "INSERT INTO afresh.migration (number, name, checksum) VALUES (%s, %s, %s)",
                [step.number, step.name, step.checksum],
            )
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise  # To be tried again.
    except psycopg.Error as error:
        raise MigrationError(f"migration {step} failed: {_first_line(error)}") from error
    return step


def _first_line(error: psycopg.Error) -> str:
    return error.diag.message_primary or one_line(str(error))


def _row(conn: psycopg.Connection, query: LiteralString) -> tuple[Any, ...]:
    return tuple(conn.cursor(row_factory=tuple_row).execute(query).fetchone() or ())
