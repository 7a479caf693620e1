"""The daily retry report, as the task that makes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from app import telemetry
from app.config import MailSettings, OffPeakSettings
from app.store.retry_report import RetryReport
from app.telemetry import Event, RetriesReported

from ..application import Served, run_waiting_jobs, serving, settings_for
from ..store.history import fail, put_off, recover
from .mail_host import MailHost, mail_host

pytestmark = pytest.mark.anyio

REPORT = "app.tasks.analytics.report_retries"


async def test_the_report_of_yesterday(served: Served, conn: AsyncConnection):
    """It is that of the day before the tick, stored as the job's result, and told in one event."""
    queue, client = served
    await recover(conn)
    now = datetime.now(UTC)
    tomorrow = int(now.timestamp()) + 86_400
    job_id = await queue.tasks[REPORT].defer_async(timestamp=tomorrow)
    heard: list[Event] = []
    unsubscribe = telemetry.subscribe(heard.append)
    await run_waiting_jobs(queue)
    unsubscribe()
    result = (await client.get(f"/jobs/{job_id}")).json()["result"]
    report = RetryReport.from_json(result)
    assert result["html"].startswith("<!doctype html>")
    assert result["csv"].startswith("first_day,last_day,")
    assert result["mailed_by"] is None
    assert report.day == now.date()
    assert (report.whole.retries, report.share_ended_well) == (1, 1.0)
    (told,) = [each for each in heard if isinstance(each, RetriesReported)]
    assert (told.day, told.retries, told.share_ended_well, told.dead_letters) == (report.day, 1, 1.0, 0)


def mailing(host: MailHost) -> MailSettings:
    """Settings by which the report goes to two people."""
    given: dict[str, Any] = {
        "server": f"smtp://127.0.0.1:{host.port}",
        "sender": "shop@example.com",
        "report_to": "boss@example.com, The Ops <ops@example.com>",
    }
    return MailSettings(**given)


async def test_what_was_saved(database_url: str, conn: AsyncConnection):
    """What waiting for the quiet hours has saved is in the result, in the mail's text, and on both its sheets."""
    await put_off(conn, 1)
    await conn.execute(
        "UPDATE afresh.attempt SET started_at = now(), ended_at = now(), next_run_at = now() - interval '1 m'"
    )
    await fail(conn, job_id=1)  # It took two seconds.
    off_peak = OffPeakSettings(cost_per_hour="5400")
    async with mail_host() as host:
        settings = settings_for(database_url, mail=mailing(host), off_peak=off_peak)
        async with serving(settings) as (queue, client):
            job_id = await queue.tasks[REPORT].defer_async(timestamp=int(datetime.now(UTC).timestamp()) + 86_400)
            await run_waiting_jobs(queue)
            result = (await client.get(f"/jobs/{job_id}")).json()["result"]
    savings = RetryReport.from_json(result).savings
    assert (savings.put_off_runs, savings.put_off_seconds, savings.saved) == (1, 2, 3)
    ((_, message),) = host.taken
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert text
    assert page
    assert "3.00 by runs put off to quiet hours" in text.get_content()
    assert '>Saved by that, in units of PEAK_COST_PER_HOUR</td><td class="n">3.00</td>' in page.get_content()
    (table,) = [part.get_content() for part in message.iter_attachments() if part.get_content_type() == "text/csv"]
    assert "savings,,saved,3" in table


async def test_it_is_mailed(database_url: str):
    """Who is named in REPORT_MAIL_TO gets the report of each day, once however often it is made."""
    noon = int(datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp())
    day = int(timedelta(days=1).total_seconds())
    async with mail_host() as host, serving(settings_for(database_url, mail=mailing(host))) as (queue, client):
        jobs = []
        for moment in (noon, noon, noon + day):
            jobs.append(await queue.tasks[REPORT].defer_async(timestamp=moment))
            await run_waiting_jobs(queue)
        results = [(await client.get(f"/jobs/{job_id}")).json()["result"] for job_id in jobs]
    first, again, next_day = (each["mailed_by"] for each in results)
    assert first == again != next_day
    assert [recipients for recipients, _ in host.taken] == [["boss@example.com", "ops@example.com"]] * 2
    assert [message["Subject"] for _, message in host.taken] == [
        "Jobs and retries, 2 March 2026",
        "Jobs and retries, 3 March 2026",
    ]
    message = host.taken[0][1]
    assert message["To"] == "boss@example.com, The Ops <ops@example.com>"
    files = {part.get_filename() for part in message.iter_attachments()}
    assert files == {"report-2026-03-02.html", "report-2026-03-02.csv"}
    page = message.get_body(("html",))
    assert page
    assert page.get_content().replace("\r\n", "\n").strip() == results[0]["html"].strip()
