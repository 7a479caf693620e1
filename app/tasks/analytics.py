"""What the queue learns from its own history. Deferred by the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ..queue.task import Periodic, connection, current_job, task
from ..store.adaptation import refresh_samples
from ..store.retry_report import report_day
from ..telemetry import RetriesReported, emit
from .report.mailing import mail_report
from .report.page import render_page
from .report.table import write_table


@task(
    name="app.tasks.analytics.refresh_retry_statistics",
    queue="analytics",
    priority=2,
    task_type="analytics",
    http=False,
    lock="refresh_retry_statistics",
    queueing_lock="refresh_retry_statistics",
    periodic="*/10 * * * *",
)
async def refresh_retry_statistics(timestamp: int) -> dict[str, int]:
    """Count anew how retries of the last seven days went, by task and failure type; workers learn from that.

    Returns:
        How many such pairs there are.
    """
    del timestamp  # Procrastinate passes the tick.
    async with connection() as conn:
        return {"samples": await refresh_samples(conn)}


@task(
    name="app.tasks.analytics.report_retries",
    queue="analytics",
    priority=2,
    task_type="analytics",
    http=False,
    lock="report_retries",
    queueing_lock="report_retries",
    periodic=Periodic("10 0 * * *", catches_up=True),
)
async def report_retries(timestamp: int) -> dict[str, Any]:
    """Say what became of the retries of yesterday, in the log and as its result; mail it to REPORT_MAIL_TO.

    However often the report of a day is made, one mail is sent of it.

    Args:
        timestamp: Of the tick: the report is that of the day before, in UTC.

    Returns:
        A `RetryReport`, as its ``from_json`` takes it; with it the same as `html` and as `csv`, and the job that mails
        it.
    """
    day = datetime.fromtimestamp(timestamp, UTC).date() - timedelta(days=1)
    settings = current_job().app.settings
    async with connection() as conn:
        report = await report_day(conn, day, peak_cost_per_hour=settings.off_peak.cost_per_hour)
    emit(
        RetriesReported(
            day=day,
            jobs=report.jobs.ended,
            succeeded=report.jobs.succeeded,
            retries=report.whole.retries,
            share_ended_well=report.share_ended_well,
            dead_letters=report.letters.died,
        )
    )
    page, table = render_page(report, made_at=datetime.now(UTC)), write_table(report)
    mailed_by = None
    if to := [str(each.header) for each in settings.mail.report_to]:
        mailed_by = await mail_report(to, report, page=page, table=table, sent_by="report_retries", key=f"{day}")
    return report.as_json() | {"html": page, "csv": table, "mailed_by": mailed_by}
