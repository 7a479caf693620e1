"""The tasks of the soak: work of every kind in small, each leaving one line when its job comes to its end."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Any

from app.queue.checkpoint import step
from app.queue.progress import progress
from app.queue.task import ExponentialBackoff, current_job, task

from .jobs_under_test import note

SOON_AGAIN = ExponentialBackoff(max_retries=20, initial_delay=timedelta(milliseconds=300), multiplier=1.0)

OUTAGE_SECONDS = 2.0
"""Of each minute, for as long as which the provider of `call` is down."""


@task(name="soak.work", retry=SOON_AGAIN)
async def work(failures: int = 0, fatal: bool = False, size: int = 10) -> dict[str, Any]:  # noqa: FBT001, FBT002 - arguments of a job have names.
    """Fail so many times, each with words of its own, and then return a result of some size; or fail for good."""
    job = current_job()
    await progress(0.5, "half of it")
    if fatal:
        note("died")
        raise PermissionError(f"job {job.job_id} is not allowed")
    if job.attempt <= failures:
        raise ConnectionError(f"job {job.job_id} was refused")
    note("ran")
    return {"job": job.job_id, "text": "x" * size}


@task(name="soak.long", retry=SOON_AGAIN)
async def long(seconds: float, failures: int) -> list[int]:
    """Go through four steps whose results are kept, failing after the second, and report each."""
    made = []
    for number in range(4):
        made.append(await step(f"step {number}", partial(pow, number, 2)))
        await progress((number + 1) / 4, f"step {number + 1} of 4", current_step=f"step {number}", number=number)
        await asyncio.sleep(seconds / 4)
        if number == 1 and current_job().attempt <= failures:
            raise TimeoutError("the third step took too long")
    note("ran")
    return made


@task(name="soak.thread", retry=SOON_AGAIN)
def thread(seconds: float) -> str:
    """Work in a thread."""
    time.sleep(seconds)
    note("ran")
    return "done"


@task(name="soak.call", retry=SOON_AGAIN, depends_on="soak-provider")
async def call() -> None:
    """Call a provider that is down for some seconds of each minute, so that its breaker opens and closes."""
    await asyncio.sleep(0.01)
    if time.time() % 60 < OUTAGE_SECONDS:
        raise ConnectionRefusedError("the provider is down")
    note("ran")
