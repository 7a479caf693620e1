"""A failure rule and a policy of your own: a printer whose errors nobody but you can read.

    .venv/bin/python -m examples.failure_rule

It uses DATABASE_URL, or an embedded Postgres that is started for it. You will see the first job wait 0.1, then 0.3
seconds while the printer warms up, and succeed; and the second die at once, because paper of that size does not exist.
"""

import asyncio
import os
from datetime import timedelta

from app.config import read_settings
from app.queue.app import Afresh, create
from app.queue.task import ExponentialBackoff, current_job, failure_rule, task
from app.retry.failure import FailureType

ATTEMPTS = "SELECT attempt, outcome, reason FROM afresh.attempts WHERE job_id = %s ORDER BY attempt"
PATIENCE = ExponentialBackoff(
    name="printer", max_retries=5, initial_delay=timedelta(seconds=0.1), multiplier=3, jitter="none"
)


class PrinterError(Exception):
    """What the printer's driver raises, whatever is wrong: only the number in it says."""


@failure_rule(PrinterError)
def judge_printer(error: BaseException) -> FailureType | None:
    """Number 7 passes by itself, number 9 never does; of the others we have no opinion."""
    return {7: FailureType.TRANSIENT_RESOURCE, 9: FailureType.PERMANENT_VALIDATION}.get(error.args[0])


@task(name="office.print_page", queue="printer", retry=PATIENCE)
async def print_page(size: str) -> str:
    """Print a page. The printer is warm at the third attempt."""
    if size != "A4":
        raise PrinterError(9, f"no tray takes {size}")
    if current_job().attempt <= 2:  # noqa: PLR2004  Twice.
        raise PrinterError(7, "warming up")
    return "printed"


async def print_all(queue: Afresh) -> None:
    """Hand both pages in, work until both have ended, and tell what was decided each time, and why."""
    async with queue.open_async(), queue.connection() as conn:
        jobs = [await print_page.defer_async(size=size) for size in ("A4", "A0")]
        ended = "SELECT count(*) = 2 FROM afresh.jobs WHERE id = ANY (%s) AND state IN ('succeeded', 'failed')"
        while (await (await conn.execute(ended, [jobs])).fetchone()) != (True,):
            await queue.run_worker_async(queues=["printer"], wait=False, install_signal_handlers=False)
        for job_id in jobs:
            async for attempt, outcome, reason in await conn.execute(ATTEMPTS, [job_id]):
                print(f"page {jobs.index(job_id) + 1}, attempt {attempt} {outcome}{f': {reason}' if reason else ''}")


if __name__ == "__main__":
    os.environ["LOG_LEVEL"] = "CRITICAL"  # What the worker logs would stand between the lines.
    asyncio.run(print_all(create(read_settings())))
