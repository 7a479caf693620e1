"""A pipeline with checkpoints: its third step fails once, and only the third is done again.

    python -m examples.pipeline

It uses DATABASE_URL, or an embedded Postgres that is started for it. You will see each step begin, the last of them
twice; what the first two made was kept, and the retry took it from there.
"""

import asyncio
import os
from datetime import timedelta

from app.config import read_settings
from app.queue.app import Afresh, create
from app.queue.checkpoint import step
from app.queue.progress import progress
from app.queue.task import ExponentialBackoff, current_job, task

READ = "SELECT state, attempts, result FROM afresh.jobs WHERE id = %s"
AT_ONCE = ExponentialBackoff(name="at-once", max_retries=3, initial_delay=timedelta(seconds=0.1), jitter="none")


@task(name="press.make_book", queue="press", retry=AT_ONCE)
async def make_book(title: str) -> str:
    """Write, set and bind a book. Each step is kept as soon as it is done."""
    text = await step("write", lambda: write(title))
    await progress(1 / 3, "Written", current_step="set")
    pages = await step("set", lambda: set_pages(text))
    await progress(2 / 3, "Set", current_step="bind")
    return await step("bind", lambda: bind(pages))


async def write(title: str) -> str:
    """Write the text: that takes months, and is not to be done twice."""
    print("writing")
    return f"{title}. Once upon a time."


async def set_pages(text: str) -> list[str]:
    """Set each sentence on a page of its own."""
    print("setting")
    return [sentence.strip() for sentence in text.split(".") if sentence.strip()]


async def bind(pages: list[str]) -> str:
    """Bind the pages. At the first attempt the glue does not hold."""
    print(f"binding, attempt {current_job().attempt}")
    if current_job().attempt == 1:
        raise ConnectionError("the glue does not hold")
    return f"a book of {len(pages)} pages"


async def publish(queue: Afresh) -> None:
    """Hand the job in, work until it has ended, and tell how it went."""
    async with queue.open_async(), queue.connection() as conn:
        job_id = await make_book.defer_async(title="Checkpoints")
        state, attempts, result = "ready", 0, None
        while state not in {"succeeded", "failed"}:
            await queue.run_worker_async(queues=["press"], wait=False, install_signal_handlers=False)
            cursor = await conn.execute(READ, [job_id])
            ((state, attempts, result),) = await cursor.fetchall()
        print(f"{state} after {attempts} attempts: {result}")


if __name__ == "__main__":
    os.environ["LOG_LEVEL"] = "CRITICAL"  # What the worker logs would stand between the lines.
    asyncio.run(publish(create(read_settings())))
