"""How the service watches itself: samples, alerts, and the messages about them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ..monitoring.alerts.channels import deliver, find_url
from ..monitoring.alerts.evaluate import QUEUE, SEND_TASK, evaluate
from ..monitoring.alerts.rule import Severity
from ..monitoring.samples import sample
from ..queue.letters import AHEAD
from ..queue.task import ExponentialBackoff, connection, current_job, task
from ..store import samples
from ..store.alerts import find_message, forget_alerts
from ..store.monitoring import read_monitoring
from ..store.workers import forget_workers


@task(
    name="app.tasks.monitoring.sample_performance",
    queue=QUEUE,
    priority=AHEAD,
    http=False,
    lock="sample_performance",
    queueing_lock="sample_performance",
    periodic="* * * * *",
)
async def sample_performance(timestamp: int) -> dict[str, Any]:
    """Count what became of jobs in the minutes that are over, and look at what waits. Nothing while it is stopped.

    Returns:
        How many minutes were counted, or why none was.
    """
    del timestamp  # Procrastinate passes the tick.
    now = datetime.now(UTC)
    async with connection() as conn:
        monitoring = await read_monitoring(conn)
        if monitoring.is_stopped(now):
            return {"skipped": f"monitoring is stopped until {monitoring.stopped_until}"}
        resumed = monitoring.resumed_at(now)
        return {"minutes": await sample(current_job().app, conn, now=now, resumed=resumed)}


@task(
    name="app.tasks.monitoring.evaluate_alerts",
    queue=QUEUE,
    priority=AHEAD,
    http=False,
    lock="evaluate_alerts",
    queueing_lock="evaluate_alerts",
    periodic="* * * * *",
)
async def evaluate_alerts(timestamp: int) -> dict[str, Any]:
    """Open, change and resolve alerts by what there is now. Where two of them meet, one does nothing.

    Returns:
        How many of each, or why nothing was done.
    """
    del timestamp  # As above.
    async with connection() as conn:
        return await evaluate(current_job().app, conn, now=datetime.now(UTC))


@task(
    name=SEND_TASK,
    queue=QUEUE,
    priority=AHEAD,
    http=False,
    timeout=timedelta(seconds=60),
    retry=ExponentialBackoff(
        name="alerts", max_retries=None, initial_delay=timedelta(seconds=5), max_delay=timedelta(minutes=30)
    ),
)
async def send_alert(message_id: int, channel: str) -> dict[str, Any]:
    """Send one message to one address, which is named as `channels.channel_of` has it; its secrets are no arguments.

    Returns:
        What was sent, or that the message is not kept any more.

    Raises:
        UnknownChannel: There is no such address any more.
        NotDelivered: It did not take it; it is tried again.
    """
    async with connection() as conn:
        message = await find_message(conn, message_id)
    if message is None:
        return {"skipped": "the message is not kept any more"}
    url = find_url(current_job().app.settings.alert.urls, channel)
    await deliver(url, title=message.title, body=message.body, severity=Severity(message.severity))
    return {"sent": message.title}


@task(
    name="app.tasks.monitoring.forget_samples",
    queue=QUEUE,
    http=False,
    lock="forget_samples",
    queueing_lock="forget_samples",
    periodic="17 * * * *",
)
async def forget_samples(timestamp: int) -> dict[str, int]:
    """Delete samples beyond their time, alerts that were over long ago, and workers that are long gone."""
    del timestamp  # As above.
    kept = current_job().app.settings.retention.samples
    async with connection() as conn:
        return {
            "samples": await samples.forget_samples(conn, hours=kept),
            "alerts": await forget_alerts(conn, kept=kept),
            "workers": await forget_workers(conn),
        }
