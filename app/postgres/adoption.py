"""What migrating does to the tables of a Procrastinate that is there already, in words for who answers for them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg.rows import tuple_row

from .migrate import Step
from .turn import LOCK_TIMEOUT

# What procrastinate_fetch_job_v2 returns has the type of the table's rows, which changes under a fetch that waits.
_STOP = "  Stop plain workers first: one that fetches while a column is added ends with an error. Its job stays."
# What we may do there is asked of the owner's role, as ALTER TABLE does.
_LOOK: LiteralString = """
SELECT reltuples::bigint, pg_has_role(relowner, 'USAGE'), pg_get_userbyid(relowner),
       has_database_privilege(current_database(), 'CREATE'), current_setting('statement_timeout'), current_user::text
  FROM pg_class WHERE oid = to_regclass('procrastinate_jobs')
"""
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
        obstacles: What is in the way.
    """

    jobs: int | None
    columns: tuple[str, ...]
    triggers: tuple[str, ...]
    indexes: tuple[str, ...]
    tuned: tuple[str, ...]
    obstacles: tuple[str, ...]

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
            *([_STOP] if self.columns else []),
            *(f"  In the way: {each}." for each in self.obstacles),
            "`afresh migrate --undo` takes all of it back; Procrastinate's schema and its jobs stay.",
        ]


def foresee(conn: psycopg.Connection, pending: Sequence[Step]) -> Adoption | None:
    """What these steps will do to a Procrastinate that is there; None: nothing, or there is none."""
    row = conn.cursor(row_factory=tuple_row).execute(_LOOK).fetchone()
    if row is None:
        return None
    jobs, *rights = row
    text = "\n".join(step.text for step in pending)
    adoption = Adoption(
        jobs=None if jobs < 0 else jobs,
        columns=_found(_COLUMN, text),
        triggers=_found(_TRIGGER, text),
        indexes=tuple(build.index for step in pending for build in step.builds),
        tuned=_found(_TUNED, text),
        obstacles=tuple(_obstacles(*rights)),
    )
    return adoption if adoption.columns or adoption.triggers or adoption.indexes or adoption.tuned else None


def _obstacles(owns: bool, owner: str, creates: bool, timeout: str, role: str) -> Iterator[str]:  # noqa: FBT001 - columns
    if not owns:
        yield f"the role {role} does not own procrastinate_jobs, {owner} does"
    if not creates:
        yield f"the role {role} may not create a schema in this database"
    if timeout != "0":
        yield f"statement_timeout is {timeout}, and to build an index may take longer"


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pattern.findall(text)))
