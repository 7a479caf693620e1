"""A first task: hand in two orders, let a worker add them up, and read what became of them.

    .venv/bin/python -m examples.first_task

It uses DATABASE_URL, or an embedded Postgres that is started for it. You will see each job's state, its attempts and
its result; the second order is nonsense, and the job says so in words.
"""

import asyncio
import os

from app.config import read_settings
from app.queue.app import Afresh, create
from app.queue.task import task

READ = "SELECT state, attempts, result, last_failure_type, last_message FROM afresh.jobs WHERE id = %s"


@task(name="shop.add_up", queue="orders")
async def add_up(prices: dict[str, float]) -> dict[str, float]:
    """Add up an order. Whatever a task returns is kept as its job's result."""
    return {"items": len(prices), "total": round(sum(prices.values()), 2)}


async def sell(queue: Afresh) -> None:
    """Hand in the orders, work until nothing is left, and tell how it went."""
    async with queue.open_async(), queue.connection() as conn:
        jobs = [
            await add_up.defer_async(prices={"tea": 3.2, "cake": 4.5}),
            await add_up.defer_async(prices={"tea": "three"}),
        ]
        await queue.run_worker_async(queues=["orders"], wait=False, install_signal_handlers=False)
        for job_id in jobs:
            cursor = await conn.execute(READ, [job_id])
            ((state, attempts, result, failure_type, failure),) = await cursor.fetchall()
            told = result if state == "succeeded" else f"{failure_type}: {failure}"
            print(f"{state} after {attempts} attempt: {told}")


def main() -> None:
    """Take settings from the environment, as every process does."""
    os.environ["LOG_LEVEL"] = "CRITICAL"  # What the worker logs would stand between the lines.
    asyncio.run(sell(create(read_settings())))


if __name__ == "__main__":
    main()
