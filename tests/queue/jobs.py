"""Jobs as rows: put in, claimed, settled and looked at by SQL. What the SQL promises needs no worker to be proved."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import dict_row

Row = dict[str, Any]


async def rows(conn: AsyncConnection[Any], query: str, *parameters: Any) -> list[Row]:
    """Every row of a query, by column name."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        return await (await cursor.execute(query, parameters or None)).fetchall()


async def value(conn: AsyncConnection[Any], query: str, *parameters: Any) -> Any:
    """The first column of the first row."""
    row = await (await conn.execute(query, parameters or None)).fetchone()
    assert row is not None
    return row[0]


async def add(  # noqa: PLR0913 - each is a column
    conn: AsyncConnection[Any],
    count: int = 1,
    *,
    task: str = "t",
    queue: str = "q",
    priority: int = 0,
    lock: str | None = None,
    queueing_lock: str | None = None,
    due_in: float | None = None,
    dependency: str | None = None,
) -> list[int]:
    """Put jobs in as anybody's INSERT would, and return their ids.

    `due_in` is in seconds from now; below zero is due already, None is no time at all.
    """
    inserted = await rows(
        conn,
        """
        INSERT INTO procrastinate_jobs (
            task_name, queue_name, priority, lock, queueing_lock, scheduled_at, afresh_dependency
        )
        SELECT %s, %s, %s, %s, %s, now() + make_interval(secs => %s), %s FROM generate_series(1, %s)
        RETURNING id
        """,
        task,
        queue,
        priority,
        lock,
        queueing_lock,
        due_in,
        dependency,
        count,
    )
    return [row["id"] for row in inserted]


async def register(conn: AsyncConnection[Any]) -> int:
    """Register a worker and return its id."""
    return int(await value(conn, "SELECT worker_id FROM procrastinate_register_worker_v1()"))


async def claim(  # noqa: PLR0913 - each is an argument of the function
    conn: AsyncConnection[Any],
    limit: int = 10,
    *,
    worker: int | None = None,
    queues: Sequence[str] | None = None,
    own: Mapping[str, str] | None = None,
    due_first: bool = False,
    number: int = 1,
    shares: Sequence[Row] = (),
) -> list[Row]:
    """Claim jobs; `own` says what each task relies on by itself, `number` which claim of its worker this is.

    `shares` are as `afresh.open_lanes` has them.
    """
    own = own or {}
    claimant = worker or await register(conn)
    return await rows(
        conn,
        "SELECT * FROM afresh.claim(%s, %s, %s, %s, %s, %s, %s, %s::jsonb)",
        claimant,
        limit,
        None if queues is None else list(queues),
        list(own),
        list(own.values()),
        due_first,
        number,
        orjson.dumps(shares).decode(),
    )


async def claimed_ids(conn: AsyncConnection[Any], limit: int = 10, **options: Any) -> list[int]:
    """The ids of the jobs that a claim takes, in its order."""
    return [row["id"] for row in await claim(conn, limit, **options)]


async def hold(conn: AsyncConnection[Any], kind: str, name: str) -> None:
    """Hold a queue or a dependency back."""
    insertion = "INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES (%s, %s, 'why', 'me')"
    await conn.execute(insertion, (kind, name))


async def job(conn: AsyncConnection[Any], job_id: int) -> Row:
    """The job's row."""
    (row,) = await rows(conn, "SELECT * FROM procrastinate_jobs WHERE id = %s", job_id)
    return row


async def status(conn: AsyncConnection[Any], job_id: int) -> str:
    """The job's status."""
    return str(await value(conn, "SELECT status FROM procrastinate_jobs WHERE id = %s", job_id))


async def attempts(conn: AsyncConnection[Any], job_id: int) -> list[Row]:
    """The job's ended runs that were no success, oldest first."""
    return await rows(conn, "SELECT * FROM afresh.attempt WHERE job_id = %s ORDER BY id", job_id)


async def dead_letters(conn: AsyncConnection[Any], job_id: int) -> list[Row]:
    """The job's dead letters."""
    return await rows(conn, "SELECT * FROM afresh.dead_letter WHERE job_id = %s", job_id)


async def settle_successes(  # noqa: PLR0913 - as above
    conn: AsyncConnection[Any],
    worker: int,
    runs: Mapping[int, int],
    results: Mapping[int, Any] | None = None,
    *,
    delete: bool = False,
    number: int = 1,
) -> dict[int, str]:
    """Settle runs of one claim that succeeded, given as job id and attempts as claimed; return the verdicts."""
    given = None if results is None else orjson.dumps(results, option=orjson.OPT_NON_STR_KEYS).decode()
    found = await rows(
        conn,
        "SELECT * FROM afresh.settle_successes(%s, %s, %s, %s, %s, p_claims => %s)",
        worker,
        list(runs),
        list(runs.values()),
        given,
        delete,
        [number] * len(runs),
    )
    return {row["job_id"]: row["verdict"] for row in found}


async def settle_endings(
    conn: AsyncConnection[Any],
    worker: int | None,
    *runs: Row,
    delete: bool = False,
    stalled_after: str | None = None,
    failures: Sequence[Row] | None = None,
) -> dict[int, tuple[str, str | None]]:
    """Settle runs that did not succeed; return verdict and outcome of each. A run may name one of the `failures`."""
    found = await rows(
        conn,
        "SELECT * FROM afresh.settle_endings(%s, %s::jsonb, %s, %s::interval, %s::jsonb)",
        worker,
        orjson.dumps(runs).decode(),
        delete,
        stalled_after,
        None if failures is None else orjson.dumps(failures).decode(),
    )
    return {row["job_id"]: (row["verdict"], row["outcome"]) for row in found}
