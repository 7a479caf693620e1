"""Trends over HTTP, from jobs that really failed, recovered and died."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.task import RetryStrategy
from app.store.failures import fold_failures

from ..application import run_waiting_jobs
from ..store.history import fail, recover

pytestmark = pytest.mark.anyio


def flaky(failures: int) -> Callable[[], Awaitable[None]]:
    """A task that fails so often before it succeeds."""
    left = failures

    async def run() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise TimeoutError("no answer")

    return run


@pytest.mark.parametrize("folded", [False, True])
async def test_what_retries_achieve(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, *, folded: bool):
    """One job that succeeds with its second retry, one that dies after one: the retries that ended well are told."""
    for name, failures, retries in (("heals", 2, 3), ("dies", 5, 1)):
        task = queue.task(name=name, retry=RetryStrategy(max_attempts=retries))(flaky(failures))
        await task.defer_async()
    await run_waiting_jobs(queue)
    if folded:
        assert await fold_failures(conn) == 5
    trends = (await client.get("/failures/trends")).json()
    (kind,) = trends["types"]
    assert (kind["type"], kind["failures"], kind["jobs"], kind["remediations"][0]) == (
        "TRANSIENT_TIMEOUT", 4, 2, "AUTO_RETRY",
    )  # fmt: skip
    assert (len(kind["by_hour"]), sum(kind["by_hour"][-2:])) == (24, 4)
    assert trends["retries"] == kind["retries"] == {
        "decided": 3, "succeeded": 1, "failed": 2, "share_ended_well": pytest.approx(1 / 3), "mean_until_end": 1.5,
    }  # fmt: skip
    economics = trends["economics"]
    assert (economics["dead_jobs"], economics["calls_for_dead_jobs"]) == (1, 2)
    assert 0 < economics["failed_worker_seconds"] < 10
    tasks = {each["task_name"]: each for each in trends["tasks"]}
    assert (tasks["heals"]["retries"]["share_ended_well"], tasks["dies"]["retries"]["share_ended_well"]) == (0.5, 0)


async def test_ten_tasks(client: httpx.AsyncClient, conn: AsyncConnection):
    """The ten tasks that fail most often are named, the worst first."""
    for number in range(12):
        for job_id in range(number + 1):
            await fail(conn, task=f"t{number}", job_id=job_id)
    await recover(conn, failures=0)
    tasks = (await client.get("/failures/trends")).json()["tasks"]
    assert [each["task_name"] for each in tasks] == [f"t{number}" for number in range(11, 1, -1)]
    assert tasks[0]["economics"]["failed_worker_seconds"] == 24


async def test_hours(client: httpx.AsyncClient, conn: AsyncConnection):
    """Failures stand in their hour, the present one last; what is older is not counted."""
    for hours_ago in (0, 2, 2, 3):
        await fail(conn, hours_ago=hours_ago)
    trends = (await client.get("/failures/trends", params={"hours": 3})).json()
    assert trends["types"][0]["by_hour"] == [2, 0, 1]
    assert trends["failures"] == 3
    assert trends["since"].endswith(":00:00Z")
    types = (await client.get("/failures/types", params={"hours": 3})).json()["items"]
    assert {each["type"]: each["failures"] for each in types if each["failures"]} == {"UNKNOWN": 3}


async def test_nothing_failed(client: httpx.AsyncClient):
    """Where nothing failed there are no shares and no means."""
    trends = (await client.get("/failures/trends")).json()
    assert (trends["failures"], trends["types"], trends["tasks"]) == (0, [], [])
    assert (trends["retries"]["share_ended_well"], trends["retries"]["mean_until_end"]) == (None, None)


@pytest.mark.parametrize("hours", ["0", "745", "x"])
async def test_odd_hours(client: httpx.AsyncClient, hours: str):
    """Trends are of an hour to a month."""
    assert (await client.get("/failures/trends", params={"hours": hours})).status_code == 422
