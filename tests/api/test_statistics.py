"""What retries have taught and what was saved, over HTTP, from jobs that really ran."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import OffPeakSettings
from app.queue.app import Afresh
from app.retry.failure import FailureType

from ..application import run_waiting_jobs, serving, settings_for
from ..store.history import fail

pytestmark = pytest.mark.anyio


async def refresh(queue: Afresh) -> None:
    """Let the clock's task run."""
    await queue.tasks["app.tasks.analytics.refresh_retry_statistics"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)


async def test_nothing_is_known_yet(client: httpx.AsyncClient):
    """Without a history there is nothing to heed."""
    statistics = (await client.get("/retry/statistics")).json()
    assert statistics == {"enabled": True, "least_samples": 10, "since": None, "refreshed_at": None, "items": []}


async def test_learning_is_off(database_url: str, conn: AsyncConnection):
    """With ADAPTIVE_RETRY=false it says so, and goes on telling how retries went."""
    for attempt, decision in ((1, "retry"), (2, "dead_letter")):
        await fail(conn, job_id=10**6, attempt=attempt, decision=decision, failure_type="EXTERNAL_API_DOWN")
    settings = settings_for(database_url)
    off = replace(settings, retry=settings.retry.model_copy(update={"adaptive": False}))
    async with serving(off) as (queue, client):
        await refresh(queue)
        statistics = (await client.get("/retry/statistics")).json()
        assert (statistics["enabled"], [each["retries"] for each in statistics["items"]]) == (False, [1])
        assert queue.adaptation.samples("t", FailureType.EXTERNAL_API_DOWN) is None


async def test_what_is_learned(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Each pair of task and failure type is told with its samples and what follows; the task on the clock counts."""
    for number in range(12):
        for attempt, decision in ((1, "retry"), (2, "dead_letter")):
            await fail(
                conn, job_id=10**6 + number, attempt=attempt, decision=decision, failure_type="EXTERNAL_API_DOWN"
            )
    await refresh(queue)
    statistics = (await client.get("/retry/statistics")).json()
    assert statistics["items"] == [
        {
            "task_name": "t", "failure_type": "EXTERNAL_API_DOWN", "retries": 12, "successes": 0, "success_ratio": 0.0,
            "delay_factor": 1.5, "one_retry_fewer": True,
        }
    ]  # fmt: skip
    assert datetime.now(UTC) - datetime.fromisoformat(statistics["refreshed_at"]) < timedelta(minutes=1)
    assert (await client.get("/jobs/1")).json()["result"] == {"samples": 1}


async def test_the_clock(queue: Afresh):
    """The task is in the queue of analytics, and not to be had over HTTP."""
    info = queue.catalog.resolve("refresh-retry-statistics")
    assert (info.queue, info.task_type, info.http) == ("analytics", "analytics", False)


async def test_savings(database_url: str, conn: AsyncConnection):
    """Work that was put off by a real worker, and ran when the peak was over, is summed at its cost."""
    always = OffPeakSettings(hours="0-24", cost_per_hour="3600")
    async with serving(settings_for(database_url, off_peak=always)) as (queue, client):
        body: dict[str, Any] = {"args": {"a": 1}, "cost": "deferrable", "priority": "low"}
        job = (await client.post("/tasks/add", json=body)).headers["location"]
        await run_waiting_jobs(queue)
        assert (await client.get(job)).json()["attempts"] == 0
        (attempt,) = (await client.get(f"{job}/attempts")).json()["items"]
        assert (attempt["decision"], attempt["reason"][:10]) == ("snooze", "peak hours")
        savings = (await client.get("/retry/savings")).json()["off_peak"]
        assert (savings["put_off"], savings["runs"], savings["saved"]) == (1, 0, 0)
        await conn.execute("UPDATE afresh.attempt SET next_run_at = now()")  # As if the peak were over.
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
        await conn.execute("UPDATE afresh.job_option SET waited = '{\"off_peak\": 86400}'")  # It is put off no more.
        await run_waiting_jobs(queue)
        assert (await client.get(job)).json()["state"] == "succeeded"
        savings = (await client.get("/retry/savings")).json()["off_peak"]
    assert (savings["put_off"], savings["runs"], savings["cost_per_hour"]) == (1, 1, 3600)
    assert savings["saved"] == pytest.approx(savings["run_seconds"])
    assert savings["saved"] > 0


async def test_a_batch_can_wait_too(client: httpx.AsyncClient, conn: AsyncConnection):
    """What a batch says of the cost of its jobs is kept with each; another word than the two is refused."""
    jobs = [{"args": {"a": 1}, "cost": "deferrable"}, {"args": {"a": 2}}]
    assert (await client.post("/tasks/add/batch", json={"jobs": jobs})).status_code == 202
    cursor = await conn.execute("SELECT cost FROM afresh.job_option ORDER BY job_id")
    assert await cursor.fetchall() == [("deferrable",), (None,)]
    assert (await client.post("/tasks/add", json={"args": {"a": 1}, "cost": "dear"})).status_code == 422


async def test_retries_that_ended_well(queue: Afresh, client: httpx.AsyncClient):
    """A job that failed and then succeeded is one retry that ended well."""
    left = [1]

    async def flaky() -> None:
        if left:
            left.pop()
            raise TimeoutError("no answer")

    await queue.task(name="heals", retry=1)(flaky).defer_async()
    await run_waiting_jobs(queue)
    assert (await client.get("/retry/savings?hours=1")).json()["retries_ended_well"] == 1
