"""Running again what ran before, over HTTP: a fresh job of a task that reaches out counts like one handed in."""

from typing import Any

from psycopg import AsyncConnection

from ..queue import control, letters
from ..queue.app import Afresh
from ..queue.catalog import TaskInfo
from ..queue.letters import Changes, Replayed
from ..queue.submit import repeated
from ..store.dead_letters import find_letter
from ..store.idempotency import Claim
from ..store.jobs import find_job
from ..store.paging import Row
from ..telemetry import JobsSubmitted, SubmissionRepeated, emit
from .errors import TooManyJobs
from .outbound import OutboundLimit


async def retry_job(  # noqa: PLR0913  As `control.retry`.
    conn: AsyncConnection[Any], queue: Afresh, outbound: OutboundLimit, job_id: int, *, actor: str, reason: str | None
) -> int:
    """As `control.retry`. A job that runs sooner was counted when it was handed in.

    Raises:
        TooManyJobs: The caller has to wait first.
    """
    job = await find_job(conn, job_id)
    anew = job is not None and job["state"] in control.ENDED_BADLY
    with outbound.spending(actor, *_fresh(queue, job if anew else None)):
        runs = await control.retry(conn, job_id, catalog=queue.catalog, actor=actor, reason=reason)
    if runs != job_id:
        emit(JobsSubmitted(1))
    return runs


async def replay_letter(  # noqa: PLR0913  As `letters.replay_letter`.
    conn: AsyncConnection[Any],
    queue: Afresh,
    outbound: OutboundLimit,
    letter_id: int,
    changes: Changes,
    *,
    actor: str,
    reason: str | None,
    claim: Claim | None = None,
) -> Replayed:
    """As `letters.replay_letter`; a repeat is answered all the same.

    Raises:
        TooManyJobs: The caller has to wait first.
    """
    letter = await find_letter(conn, letter_id)
    try:
        with outbound.spending(actor, *_fresh(queue, letter, changes.args)) as spent:
            made = await letters.replay_letter(
                conn, letter_id, changes, catalog=queue.catalog, actor=actor, reason=reason, claim=claim
            )
            spent.made = not made.repeated
    except TooManyJobs:
        if claim and (first := await repeated(conn, claim)):
            emit(SubmissionRepeated(1))
            return Replayed(letter_id, first.job_id or 0, repeated=True)
        raise
    emit(SubmissionRepeated(1) if made.repeated else JobsSubmitted(1))
    return made


def _fresh(
    queue: Afresh, row: Row | None, args: dict[str, Any] | None = None
) -> tuple[TaskInfo | None, list[dict[str, Any]]]:
    """The task and the arguments of a fresh job in the place of one, or of a letter. None is refused by others."""
    if row is None:
        return None, []
    return queue.catalog.find(row["task_name"]), [row["args"] if args is None else args]
