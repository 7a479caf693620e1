"""What follows when a dependency has recovered: the dead letters of its outage are replayed, where tasks want that.

The breaker's transition submits one job for it. What that replays waits behind the ramp like every other job.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ..retry.failure import FailureType
from ..store.breakers import list_recovering_tasks
from ..store.dead_letters import LetterFilter
from . import bulk

TYPES = tuple(
    kind.value for kind in FailureType if kind is FailureType.EXTERNAL_API_DOWN or kind.startswith("TRANSIENT_")
)
"""What an outage kills with."""

MOST_REPLAYS = 3
"""A letter that was brought back so often, by whomever, is left to a person."""

RATE_PER_SECOND = 50.0
"""Of letters that become jobs; how fast these run is the ramp's business."""

STOP_SHARE = 0.5
"""With more of the replayed jobs failing again, it was not the outage that killed them."""


async def replay(
    conn: AsyncConnection[Any], dependency: str, job_id: int, *, wanted_by: Iterable[str] = (), longest_wait: timedelta
) -> int | None:
    """Begin to replay what died of an outage; return the bulk action, None where nothing did.

    Asked again for the same job it returns the same action.

    Args:
        conn: In autocommit.
        dependency: What has recovered.
        job_id: The job that the recovery submitted, and that may run twice.
        wanted_by: Tasks that want their letters back whatever their jobs named as their own dependency. Those that
            rely on this one are known to the database.
        longest_wait: Letters that died before that are not brought back: no job would have waited for so long either.
    """
    actor, token = f"recovery of {dependency}", f"recovery by job {job_id}"
    async with conn.transaction():
        kept = await bulk.find_kept(conn, token)
        if kept is not None:
            return None if kept["job_id"] is None else int(kept["id"])
        relying = tuple(await list_recovering_tasks(conn, dependency))
        tasks = tuple(sorted({*relying, *wanted_by}))
        if not tasks:
            return None
        chosen = LetterFilter(
            dependency=dependency,
            tasks_of_dependency=relying,
            any_task=tasks,
            any_type=TYPES,
            replays_below=MOST_REPLAYS,
            died_from=datetime.now(UTC) - longest_wait,
        )
        seen = await bulk.preview(conn, "replay", chosen, actor=actor, token=token)
        if seen.count == 0:
            return None
        return await bulk.confirm(
            conn,
            token,
            reason=f"{dependency} has recovered",
            rate_per_second=RATE_PER_SECOND,
            stop_share=STOP_SHARE,
            actor=actor,
        )
