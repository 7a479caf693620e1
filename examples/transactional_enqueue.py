"""Transactional enqueue in a FastAPI app: an order and the job that confirms it are there together, or not at all.

    python -m examples.transactional_enqueue

It uses DATABASE_URL, or an embedded Postgres that is started for it. You will see an order that is taken and confirmed,
and one whose transaction fails after its job was submitted: neither it nor the job is there.
"""

import asyncio
import os
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, HTTPException

from app.config import read_settings
from app.queue.app import Afresh, create
from app.queue.submit import Submission, submit
from app.queue.task import task

CREATE = "CREATE TEMPORARY TABLE shop_orders (id integer PRIMARY KEY, item text NOT NULL)"
COUNT = """
SELECT (SELECT count(*) FROM shop_orders),
       (SELECT count(*) FROM afresh.jobs WHERE task_name = 'shop.confirm' AND state = 'ready')
"""
READ = "SELECT state, result FROM afresh.jobs WHERE task_name = 'shop.confirm' ORDER BY id DESC LIMIT 1"


@task(name="shop.confirm", queue="confirmations")
async def confirm(order: int) -> str:
    """Confirm an order. It is there: without it, this job would not be."""
    return f"order {order} is confirmed"


def shop(conn: Any) -> FastAPI:
    """The app, on a connection of its own to the queue's database."""
    app = FastAPI()

    @app.post("/orders/{order}", status_code=201)
    async def place(order: int, item: Annotated[str, Body(embed=True)]) -> dict[str, int]:
        async with conn.transaction():
            await conn.execute("INSERT INTO shop_orders VALUES (%s, %s)", [order, item])
            wanted = Submission(task_name=confirm.name, queue="confirmations", args={"order": order})
            job_id = await submit(conn, wanted)
            if item == "unicorn":  # Undoes the order, and the job with it.
                raise HTTPException(409, "sold out")
        return {"job": job_id}

    return app


async def sell(queue: Afresh) -> None:
    """Order twice, count what is there, and let a worker confirm it."""
    async with queue.open_async(), queue.connection() as conn:
        await conn.execute(CREATE)
        transport = httpx.ASGITransport(shop(conn))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            for order, item in enumerate(("tea", "unicorn"), start=1):
                answer = await client.post(f"/orders/{order}", json={"item": item})
                ((orders, jobs),) = await (await conn.execute(COUNT)).fetchall()
                print(f"{item}: {answer.status_code}; {orders} order, {jobs} job")
        await queue.run_worker_async(queues=["confirmations"], wait=False, install_signal_handlers=False)
        ((state, result),) = await (await conn.execute(READ)).fetchall()
        print(f"{state}: {result}")


if __name__ == "__main__":
    os.environ["LOG_LEVEL"] = "CRITICAL"  # What the worker logs would stand between the lines.
    asyncio.run(sell(create(read_settings())))
