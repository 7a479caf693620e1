"""Whose turn it is to change the schema: one process at a time, which holds up those who use it for a moment only."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from .errors import MigrationError

T = TypeVar("T")

LOCK_TIMEOUT = "2s"
"""All who write stand behind who waits for a table. Longer than deadlock_timeout, after which autovacuum gives way."""

LOCK_PATIENCE = 60.0
"""Seconds for which a table is tried to be locked, again and again."""

LOCK_PAUSE = 2.0
"""Seconds in between, for those who stood behind."""

POLL_SECONDS = 0.1

# "afresh" in ASCII, as a number: any constant does that no other program is likely to lock.
_TRY: LiteralString = f"SELECT pg_try_advisory_xact_lock({0x616672657368})"
_WITH_TRANSACTION_TIMEOUT = 170000


def take_turn(conn: psycopg.Connection, what: str, work: Callable[[], T]) -> T | None:
    """Do the work in one transaction, while no other process changes the schema. None: another one was at it.

    The connection must be in autocommit. What cannot lock a table in time is taken back, and tried again.

    Args:
        conn: Where the work is done.
        what: What it is, for the error.
        work: It may be called several times.

    Raises:
        MigrationError: The tables it needs were held all the time.
    """
    patience = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            with conn.transaction():
                # No snapshot is kept from one statement to the next: an index built beside would wait for it for ever.
                conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                if conn.cursor(row_factory=tuple_row).execute(_TRY).fetchone() == (True,):
                    conn.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                    return work()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() > patience:
                raise MigrationError(
                    f"{what} got no lock on its tables in {LOCK_PATIENCE:.0f} s: run it again when the long "
                    "transaction that holds them is over"
                ) from error
            time.sleep(LOCK_PAUSE)
        else:
            time.sleep(POLL_SECONDS)
            return None


@contextmanager
def beside(conn: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A second connection to the same database, in autocommit, for what the transaction of the first cannot hold.

    Raises:
        psycopg.OperationalError: The server has no room for it.
    """
    # The first is idle for as long as that takes. These also end the portal, and the snapshot, that the last prepared
    # statement has left open.
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0", prepare=False)
    if conn.info.server_version >= _WITH_TRANSACTION_TIMEOUT:
        conn.execute("SET LOCAL transaction_timeout = 0", prepare=False)
    again = make_conninfo(conn.info.dsn, **({"password": conn.info.password} if conn.info.password else {}))
    with psycopg.connect(again, autocommit=True, prepare_threshold=conn.prepare_threshold) as other:
        yield other
