"""What migrating does to the tables of a Procrastinate that is there already, in words for who answers for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg.rows import tuple_row

from .migrate import Step
from .turn import LOCK_TIMEOUT

_ESTIMATE: LiteralString = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('procrastinate_jobs')"
_TABLE = r"procrastinate_\w+"
_COLUMN = re.compile(rf"ALTER TABLE {_TABLE} ADD COLUMN (\w+)")
_TRIGGER = re.compile(rf"CREATE TRIGGER (\w+)\s+(?:AFTER|BEFORE) [^;]*? ON {_TABLE}")
_TUNED = re.compile(rf"^\('({_TABLE})', '", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What happens to Procrastinate's tables.

    Attributes:
        jobs: How many there are, as Postgres reckons; None: it never looked.
        columns, triggers, indexes: What is added, all of it to procrastinate_jobs.
        tuned: Tables whose autovacuum is set.
    """

    jobs: int | None
    columns: tuple[str, ...]
    triggers: tuple[str, ...]
    indexes: tuple[str, ...]
    tuned: tuple[str, ...]

    @property
    def number(self) -> str:
        """How many jobs there are, as people say it."""
        return "a number of jobs that was never analysed" if self.jobs is None else f"about {self.jobs:,} jobs"

    def lines(self) -> list[str]:
        """What to know before it is done."""
        added = {
            "columns": (self.columns, "empty: no row is rewritten"),
            "triggers": (self.triggers, "keep what Afresh has of a job in step with it"),
            "indexes": (self.indexes, "built while others write"),
            "autovacuum": (self.tuned, "comes earlier; what you have set comes back with --undo"),
        }
        return [
            f"On procrastinate_jobs, with {self.number}:",
            *(f"  {kind}: {', '.join(names)} ({how})" for kind, (names, how) in added.items() if names),
            f"  No step waits for a table for longer than {LOCK_TIMEOUT[:-1]} s at a time, as others wait behind it.",
            "`afresh migrate --undo` takes all of it back; Procrastinate's schema and its jobs stay.",
        ]


def foresee(conn: psycopg.Connection, pending: Sequence[Step]) -> Adoption | None:
    """What these steps will do to a Procrastinate that is there; None: nothing, or there is none."""
    row = conn.cursor(row_factory=tuple_row).execute(_ESTIMATE).fetchone()
    text = "\n".join(step.text for step in pending)
    adoption = Adoption(
        jobs=None if row is None or row[0] < 0 else row[0],
        columns=_found(_COLUMN, text),
        triggers=_found(_TRIGGER, text),
        indexes=tuple(build.index for step in pending for build in step.builds),
        tuned=_found(_TUNED, text),
    )
    touches = adoption.columns or adoption.triggers or adoption.indexes or adoption.tuned
    return adoption if row is not None and touches else None


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pattern.findall(text)))
