"""A bulk action on dead letters as a job: in small steps, at its rate, until it is done, stopped or cancelled."""

import asyncio
from datetime import timedelta
from typing import Any

from ..queue import bulk, recovery
from ..queue.pace import Turn
from ..queue.progress import progress
from ..queue.task import connection, current_job, options_of, task
from ..store.breakers import RECOVERY_QUEUE, RECOVERY_TASK

LOOK_SECONDS = 1.0
"""Between two looks at how the replayed jobs end, and whether somebody wants it to stop."""

PAUSE_SECONDS = 0.25
"""Between two transactions: one for each letter would cost more than the letter."""

SHORTEST_PAUSE = 0.02
"""Seconds between two that are full: others get their turn."""


@task(
    name=bulk.TASK,
    slug="run-bulk",
    queue=bulk.QUEUE,
    priority=10,
    http=False,
    timeout=timedelta(days=365),  # As long as it takes: 100 000 letters at one a second are a day.
)
async def run_bulk(bulk_id: int) -> dict[str, Any]:
    """Act on the letters of a bulk action from where it stands: another worker may have begun.

    Returns:
        The outcome, how many letters were acted on and skipped; and where it stopped, how many of the last of its jobs
        had failed again.
    """
    job = current_job()
    async with connection() as conn:
        terms = await bulk.terms(conn, bulk_id, job.job_id)
    before, turn = terms["acted"] + sum(terms["skips"].values()), Turn(terms["rate_per_second"])
    clock = asyncio.get_running_loop().time
    looked = clock()
    while True:
        now = clock()
        limit, look = min(bulk.AT_ONCE, turn.due(now)), now - looked >= LOOK_SECONDS
        if limit or look:
            looked = now if look else looked
            async with connection() as conn:
                step = await bulk.step(conn, bulk_id, limit=limit, tasks=tuple(job.app.tasks), judge=look)
            turn.note(step.acted + step.skipped - before, step.seen.waiting if step.seen else None)
            await _tell(step, "; they wait for a worker" if turn.is_crowded else "")
            if step.outcome is not None:
                return _result(step)
        rest = min(LOOK_SECONDS, max(PAUSE_SECONDS, 1 / terms["rate_per_second"]))
        await asyncio.sleep(SHORTEST_PAUSE if limit == bulk.AT_ONCE else rest)


@task(
    name=RECOVERY_TASK,
    slug="replay-recovered",
    queue=RECOVERY_QUEUE,
    priority=10,
    http=False,
)
async def replay_recovered(dependency: str) -> dict[str, Any]:
    """Replay what an outage of a dependency killed, as far as the tasks want it; submitted by the recovery itself.

    Returns:
        The bulk action, None where there are no such letters.
    """
    job = current_job()
    wanted_by = [each.name for each in job.app.tasks.values() if options_of(each).replay_on_recovery]
    longest_wait = job.app.settings.retry.max_wait
    async with connection() as conn:
        bulk_id = await recovery.replay(conn, dependency, job.job_id, wanted_by=wanted_by, longest_wait=longest_wait)
    return {"bulk_id": bulk_id}


async def _tell(step: bulk.Step, besides: str) -> None:
    looked_at = step.acted + step.skipped
    fraction = 1.0 if step.outcome == "done" else min(1.0, looked_at / max(step.total, 1))
    said = f"{looked_at:,} of {step.total:,} letters{besides}"
    await progress(fraction, said, acted=step.acted, skipped=step.skipped)


def _result(step: bulk.Step) -> dict[str, Any]:
    failed = step.seen.failed if step.seen and step.outcome == "stopped" else None
    return {"outcome": step.outcome, "acted": step.acted, "skipped": step.skipped, "failed_again": failed}
