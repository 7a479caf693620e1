"""One writer of dead letters, for whatever kills a job: each cause with a real job.

The job that kills its worker takes a process that dies: it is among the faults (test_lost_worker).
"""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import psycopg
import pytest
from procrastinate.retry import BaseRetryStrategy

from app.config import RetrySettings, WorkerSettings
from app.queue.app import Afresh

from .conftest import OpenApp
from .jobs import add, rows, status
from .letters import only_letter
from .test_execute import runs
from .workers import work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


class Broken(BaseRetryStrategy):
    """A strategy that cannot decide."""

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> Any:
        """Fail."""
        del exception, job
        raise KeyError("x")


async def _spent(app: Afresh, conn: Connection) -> int:
    @app.task(name="kills")
    async def kills() -> None:
        raise ConnectionRefusedError

    job_id = await kills.defer_async()
    await runs(conn, app, job_id)
    return job_id


async def _permanent(app: Afresh, conn: Connection) -> int:
    @app.task(name="kills")
    async def kills() -> None:
        raise TypeError("a bug")

    job_id = await kills.defer_async()
    await runs(conn, app, job_id)
    return job_id


async def _unknown(app: Afresh, conn: Connection) -> int:
    (job_id,) = await add(conn, task="kills")
    await runs(conn, app, job_id)
    return job_id


async def _strategy(app: Afresh, conn: Connection) -> int:
    @app.task(name="kills", retry=Broken())
    async def kills() -> None:
        raise ValueError

    job_id = await kills.defer_async()
    await runs(conn, app, job_id)
    return job_id


async def _waited(app: Afresh, conn: Connection) -> int:
    """It is told to come back later than it may wait."""

    @app.task(name="kills")
    async def kills() -> None:
        request = httpx.Request("GET", "http://127.0.0.1/")
        busy = httpx.Response(429, headers={"Retry-After": "60"}, request=request)
        raise httpx.HTTPStatusError("too many requests", request=request, response=busy)

    job_id = await kills.defer_async()
    await runs(conn, app, job_id)
    return job_id


CAUSES = [
    (_spent, "retries_spent", "TRANSIENT_NETWORK"),
    (_permanent, "permanent", "PERMANENT_CODE_BUG"),
    (_unknown, "unknown_task", "PERMANENT_CODE_BUG"),
    (_strategy, "broken_strategy", "PERMANENT_VALIDATION"),
    (_waited, "waited_too_long", "TRANSIENT_RATE_LIMIT"),
]


@pytest.mark.parametrize(("kill", "cause", "kind"), CAUSES, ids=[cause for _, cause, _ in CAUSES])
async def test_every_cause_leaves_one_letter(
    open_app: OpenApp,
    conn: Connection,
    kill: Callable[[Afresh, Connection], Awaitable[int]],
    cause: str,
    kind: str,
):
    """Whatever kills a job leaves one letter, written with the failure, that says what it was."""
    app = await open_app(worker=WorkerSettings(unknown_task_grace="1s"), retry=RetrySettings(max_wait="1s"))
    job_id = await kill(app, conn)
    letter = await only_letter(conn)
    assert (letter["job_id"], letter["cause"], letter["failure_type"]) == (job_id, cause, kind)
    assert (letter["status"], letter["died_as"], letter["replays"]) == ("pending", job_id, 0)
    assert await status(conn, job_id) == "failed"


async def test_a_coalesced_job_is_not_dead(queue_app: Afresh, conn: Connection):
    """A job that ends because its twin waits leaves no letter: the twin does its work."""

    @queue_app.task(name="flaky", queueing_lock="one")
    async def flaky() -> None:
        await add(conn, task="flaky", queueing_lock="one", due_in=3600)
        raise ConnectionRefusedError

    job_id = await flaky.defer_async()
    await work_off(queue_app)
    assert await status(conn, job_id) == "cancelled"
    assert await rows(conn, "SELECT * FROM afresh.dead_letter") == []
