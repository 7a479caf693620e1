"""What the queue does for itself from time to time. None of it can be asked for over HTTP."""

import contextlib
from dataclasses import asdict
from typing import Any

from ..queue import overdue, purge
from ..queue.bulk import drop_previews
from ..queue.letters import AHEAD
from ..queue.rescue import purge_workers, rescue_stalled
from ..queue.submit import AlreadyQueued, Submission, submit
from ..queue.task import connection, current_job, task
from ..store import breakers, failures
from ..store.dead_letters import fold_counts, settle_strays
from ..store.idempotency import expire_claims
from ..telemetry import BreakerMoved, emit

CLEANUP = "cleanup"
"""The queue of what may take long; the others are quick and urgent."""


@task(
    name="app.tasks.maintenance.retry_stalled_jobs",
    queue="maintenance",
    priority=10,
    http=False,
    # One round at a time, and one waiting: a worker that was away for an hour has not missed six of them.
    lock="retry_stalled_jobs",
    queueing_lock="retry_stalled_jobs",
    periodic="*/10 * * * *",
)
async def retry_stalled_jobs(timestamp: int) -> dict[str, Any]:
    """Take over the jobs of lost workers; a safety net under the workers' own rescue loops.

    Returns:
        Ids of the jobs put back and of those buried, and the errors of those whose rescue failed. One that fails
        stops none of the others, and its turn comes again in the next round.
    """
    del timestamp  # Procrastinate passes the tick.
    return asdict(await rescue_stalled(current_job().app))


@task(
    name="app.tasks.maintenance.expire_idempotency_keys",
    queue="maintenance",
    http=False,
    lock="expire_idempotency_keys",
    queueing_lock="expire_idempotency_keys",
    periodic="7 * * * *",
)
async def expire_idempotency_keys(timestamp: int) -> dict[str, int]:
    """Forget the Idempotency-Keys whose time has passed. A key that has expired is free also before that."""
    del timestamp  # As above.
    async with connection() as conn:
        return {"expired": await expire_claims(conn)}


@task(
    name="app.tasks.maintenance.fold_failures",
    queue="maintenance",
    # Ahead of all others: a backlog comes with failures, and those that are not folded are what reading costs.
    priority=AHEAD,
    http=False,
    lock="fold_failures",
    queueing_lock="fold_failures",
    periodic="* * * * *",
)
async def fold_failures(timestamp: int) -> dict[str, int]:
    """Add the failures that have come in to the counts by hour and group, and forget hours that are long past.

    What is read is exact without it, and gets slower. Where two of them meet, one does nothing.
    """
    del timestamp  # As above.
    async with connection() as conn:
        kept = current_job().app.settings.retention.samples
        return {
            "folded": await failures.fold_failures(conn),
            "forgotten": await failures.forget_hours(conn, kept=kept),
        }


@task(
    name="app.tasks.maintenance.tend_dead_letters",
    queue="maintenance",
    http=False,
    lock="tend_dead_letters",
    queueing_lock="tend_dead_letters",
    periodic="* * * * *",
)
async def tend_dead_letters(timestamp: int) -> dict[str, list[int]]:
    """Add up the counts of dead letters, settle those whose job ended where no trigger saw it, drop old previews.

    Returns:
        Ids of the letters that were settled.
    """
    del timestamp  # As above.
    async with connection() as conn:
        await fold_counts(conn)
        await drop_previews(conn)
        return {"settled": await settle_strays(conn)}


@task(
    name="app.tasks.maintenance.bury_overdue",
    queue="maintenance",
    priority=10,
    http=False,
    lock="bury_overdue",
    queueing_lock="bury_overdue",
    periodic="* * * * *",
)
async def bury_overdue(timestamp: int) -> dict[str, int]:
    """Bury waiting jobs whose deadline has passed, or that their dependency has held for longer than MAX_WAIT.

    Returns:
        How many of both. A dead letter comes up to a minute late; nothing runs after its deadline all the same.
    """
    del timestamp  # As above.
    return asdict(await overdue.bury_overdue(current_job().app))


@task(
    name="app.tasks.maintenance.tend_breakers",
    queue="maintenance",
    http=False,
    lock="tend_breakers",
    queueing_lock="tend_breakers",
    periodic="5-59/10 * * * *",
)
async def tend_breakers(timestamp: int) -> dict[str, list[str]]:
    """Let go of breakers without a call for an hour, and forget those of which nothing is left to be known.

    Returns:
        Names of those that were open.
    """
    del timestamp  # As above.
    async with connection() as conn:
        moved = await breakers.let_idle_go(conn, own=current_job().app.own_dependencies())
    for each in moved:
        emit(BreakerMoved(each))
    return {"let_go": [each.name for each in moved]}


@task(
    name="app.tasks.maintenance.purge_gone_workers",
    queue="maintenance",
    http=False,
    lock="purge_gone_workers",
    queueing_lock="purge_gone_workers",
    periodic="23 * * * *",
)
async def purge_gone_workers(timestamp: int) -> dict[str, int]:
    """Forget workers that have stopped or died and that no job names any more."""
    del timestamp  # As above.
    async with connection() as conn:
        return {"purged": await purge_workers(conn)}


@task(
    name="app.tasks.maintenance.purge_old_jobs",
    queue=CLEANUP,
    priority=1,
    task_type="cleanup",
    http=False,
    lock="purge_old_jobs",
    queueing_lock="purge_old_jobs",
    periodic="3-59/10 * * * *",
)
async def purge_old_jobs(timestamp: int, after: dict[str, int] | None = None) -> dict[str, Any]:
    """Forget what is older than RETENTION_… says, for a third of a minute; where more is left, another job goes on.

    Args:
        timestamp: Of the tick.
        after: Where the job before has come to, by kind; null: begin.

    Returns:
        Rows removed by kind, where the next job goes on, and whether another purge was at work: then this did nothing.
    """
    app = current_job().app
    done = await purge.purge(app.connection, purge.terms_from(app.settings.retention), after=after)
    if done.after:
        next_job = Submission(
            task_name=purge_old_jobs.name,
            args={"timestamp": timestamp, "after": done.after},
            queue=CLEANUP,
            priority=1,
            lock="purge_old_jobs",
            queueing_lock="purge_old_jobs",
        )
        with contextlib.suppress(AlreadyQueued):  # By the clock: then everything is looked at from its beginning.
            async with connection() as conn:
                await submit(conn, next_job)
    return {"removed": dict(done.removed), "after": done.after, "busy": done.busy}
