"""Whoever looks at the service minute by minute, for tests of alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from psycopg import AsyncConnection

from app.monitoring.alerts.evaluate import evaluate
from app.monitoring.samples import sample
from app.queue.app import Afresh
from app.store.monitoring import read_monitoring

from ..application import run_waiting_jobs

A_MINUTE = timedelta(minutes=1)


def half_past_now() -> datetime:
    """The middle of the present minute."""
    return datetime.now(UTC).replace(second=30, microsecond=0)


class Watchman:
    """Evaluates minute by minute."""

    def __init__(self, queue: Afresh, conn: AsyncConnection) -> None:
        self.queue = queue
        self.conn = conn
        self.now = half_past_now() + A_MINUTE

    async def look(self, *, minutes: int = 1) -> dict[str, Any]:
        """Sample and evaluate so many minutes later, and later than the minute in which something happened before."""
        self.now += minutes * A_MINUTE
        if minutes:
            self.now = max(self.now, half_past_now() + A_MINUTE)
        resumed = (await read_monitoring(self.conn)).resumed_at(self.now)
        await sample(self.queue, self.conn, now=self.now, resumed=resumed)
        return await evaluate(self.queue, self.conn, now=self.now)

    async def deliver(self) -> None:
        """Let the queue send what is to be sent."""
        await run_waiting_jobs(self.queue)


async def posted(queue: Afresh, conn: AsyncConnection) -> Watchman:
    """One that has looked before, and whose present minute is the real one."""
    made = Watchman(queue, conn)
    made.now -= 2 * A_MINUTE
    await made.look()
    return made


async def fail_often(queue: Afresh, client: httpx.AsyncClient, *, times: int = 10) -> None:
    """Jobs that fail."""
    for _ in range(times):
        await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)


async def alerts(client: httpx.AsyncClient, **filters: str) -> dict[str, dict[str, Any]]:
    """Alerts by rule."""
    response = await client.get("/monitoring/alerts", params=filters)
    assert response.status_code == 200, response.text
    return {each["rule"]: each for each in response.json()["items"]}
