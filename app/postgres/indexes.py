"""Indexes on tables that others write to all the time: made and dropped without anybody waiting for it.

CONCURRENTLY takes no lock that a writer minds, but stands in no transaction: broken off, it leaves an index that is
not valid. Nothing here trusts one that is there by its name.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from .errors import MigrationError

_POLL_SECONDS = 0.5
_TRIES = 5

_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_BUILD = re.compile(r"CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+) ON (\w+)\s*\(.*\Z", re.DOTALL)

_VALIDITY: LiteralString = """
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE relname = %s AND pg_table_is_visible(indexrelid)
"""
# The server goes on with a build whose client is gone; who waits for the table's lock meanwhile ends it in a deadlock.
_AT_WORK: LiteralString = """
SELECT FROM pg_stat_progress_create_index JOIN pg_class ON pg_class.oid = relid
 WHERE datname = current_database() AND relname = %s AND pg_table_is_visible(relid)
"""


@dataclass(frozen=True, slots=True)
class Build:
    """One index to be built: its name, its table, and the statement."""

    index: str
    table: str
    statement: str


def read_builds(text: str) -> tuple[Build, ...]:
    """The statements of a text, in order.

    Raises:
        MigrationError: One is something else than CREATE INDEX CONCURRENTLY IF NOT EXISTS.
    """
    builds = []
    for statement in filter(None, map(str.strip, _COMMENT.sub("", text).split(";"))):
        match = _BUILD.fullmatch(statement)
        if match is None:
            raise MigrationError(f"outside a transaction only indexes are built, not: {statement.splitlines()[0]}")
        builds.append(Build(match[1], match[2], statement))
    return tuple(builds)


def build(conn: psycopg.Connection, builds: Iterable[Build]) -> None:
    """Build what is missing or not valid. The connection must be in autocommit.

    Raises:
        psycopg.Error: One could not be built; done again, it goes on where it was.
        MigrationError: Others get in the way again and again.
    """
    for each in builds:
        _build_one(conn, each)


def drop(conn: psycopg.Connection, indexes: Iterable[str]) -> None:
    """Drop the indexes that are there. The connection must be in autocommit.

    Raises:
        psycopg.Error: One could not be dropped; done again, it goes on where it was.
    """
    for index in indexes:
        conn.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index)))


def _build_one(conn: psycopg.Connection, each: Build) -> None:
    for _ in range(_TRIES):
        _wait_for_others(conn, each.table)
        validity = _validity(conn, each.index)
        if validity is True:
            return
        try:
            if validity is False:
                drop(conn, [each.index])
            conn.execute(each.statement.encode())
        except psycopg.errors.DeadlockDetected:  # With another CONCURRENTLY that nothing told of.
            time.sleep(_POLL_SECONDS)
    if _validity(conn, each.index) is not True:
        raise MigrationError(
            f"index {each.index} was tried {_TRIES} times: something else builds indexes of {each.table}"
        )


def _validity(conn: psycopg.Connection, index: str) -> bool | None:
    """None: there is none."""
    row = conn.cursor(row_factory=tuple_row).execute(_VALIDITY, [index]).fetchone()
    return None if row is None else bool(row[0])


def _wait_for_others(conn: psycopg.Connection, table: str) -> None:
    while conn.execute(_AT_WORK, [table]).fetchone() is not None:
        time.sleep(_POLL_SECONDS)
