"""What the queue learns from its own history. Deferred by the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ..queue.task import connection, current_job, task
from ..store.adaptation import refresh_samples
from ..store.retry_report import report_day
from ..telemetry import RetriesReported, emit
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
    periodic="10 0 * * *",
)
async def report_retries(timestamp: int) -> dict[str, Any]:
    """Say what became of the retries of yesterday, in the log and as its result.

    Args:
        timestamp: Of the tick: the report is that of the day before, in UTC.

    Returns:
        A `RetryReport`, as its ``from_json`` takes it; with it the same as `html` and as `csv`.
    """
    day = datetime.fromtimestamp(timestamp, UTC).date() - timedelta(days=1)
    cost = current_job().app.settings.off_peak.cost_per_hour
    async with connection() as conn:
        report = await report_day(conn, day, peak_cost_per_hour=cost)
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
    page = render_page(report, made_at=datetime.now(UTC))
    return report.as_json() | {"html": page, "csv": write_table(report)}
