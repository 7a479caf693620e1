"""What the queue learns from its own history. Deferred by the clock."""

from ..queue.task import connection, task
from ..store.adaptation import refresh_samples


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
