"""What a person writes who only needs a row in a table: FastAPI, a pool of psycopg, one INSERT.

Into Procrastinate's table with its triggers, because that is what every job costs the database, ours too.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

INSERT = "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', %s, %s) RETURNING id"


class Body(BaseModel):
    """What to run."""

    args: dict[str, Any] = {}


class Submitted(BaseModel):
    """The job that now waits."""

    job_id: int
    status: str


async def _configure(conn: AsyncConnection[Any]) -> None:
    await conn.set_autocommit(True)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    conninfo = os.environ["DATABASE_URL"]
    async with AsyncConnectionPool(conninfo, min_size=2, max_size=10, configure=_configure) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/tasks/{task}", status_code=202)
async def defer(task: str, body: Body, request: Request) -> Submitted:
    """Insert a job."""
    async with request.app.state.pool.connection() as conn:
        cursor = await conn.execute(INSERT, [task, Jsonb(body.args)])
        (job_id,) = await cursor.fetchone()
    return Submitted(job_id=job_id, status="todo")
