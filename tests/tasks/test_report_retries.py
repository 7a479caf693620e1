"""The daily retry report, as the task that makes it."""

from datetime import UTC, datetime

import httpx
import pytest
from psycopg import AsyncConnection

from app import telemetry
from app.queue.app import Afresh
from app.store.retry_report import RetryReport
from app.telemetry import Event, RetriesReported

from ..application import run_waiting_jobs
from ..store.history import recover

pytestmark = pytest.mark.anyio


async def test_the_report_of_yesterday(served: tuple[Afresh, httpx.AsyncClient], conn: AsyncConnection):
    """It is that of the day before the tick, stored as the job's result, and told in one event."""
    queue, client = served
    await recover(conn)
    now = datetime.now(UTC)
    tomorrow = int(now.timestamp()) + 86_400
    job_id = await queue.tasks["app.tasks.analytics.report_retries"].defer_async(timestamp=tomorrow)
    heard: list[Event] = []
    unsubscribe = telemetry.subscribe(heard.append)
    await run_waiting_jobs(queue)
    unsubscribe()
    result = (await client.get(f"/jobs/{job_id}")).json()["result"]
    report = RetryReport.from_json(result)
    assert result["html"].startswith("<!doctype html>")
    assert result["csv"].startswith("first_day,last_day,")
    assert report.day == now.date()
    assert (report.whole.retries, report.share_ended_well) == (1, 1.0)
    (told,) = [each for each in heard if isinstance(each, RetriesReported)]
    assert (told.day, told.retries, told.share_ended_well, told.dead_letters) == (report.day, 1, 1.0, 0)
