"""Alerts where no worker evaluates them, as when the last one is lost: then an API process does, and tells of them.

Keeps still while a worker does it. What is to be told is a job all the same, and whoever comes first ends that: this,
or a worker that is back.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...queue.loops import pauses, supervise
from ...queue.overload import Machine
from ...store import alerts
from ...store.monitoring import read_monitoring
from ..resources import tell_of_host
from .channels import deliver, find_url
from .evaluate import SENDING, evaluate
from .rule import Severity

if TYPE_CHECKING:
    from ...queue.app import Afresh

LATE = timedelta(minutes=3)
"""How long alerts may go without being evaluated. A worker does so each minute, and may be late where it is busy."""

LOOK_SECONDS = 60.0

SENDING_SECONDS = 60.0
"""For one message to one address."""

_logger = logging.getLogger("afresh.alerts")


@dataclass(slots=True)
class Standby:
    """One process that stands by.

    Attributes:
        since: When it began. Nobody was late before.
        evaluated_at: When it evaluated last itself; while nobody else has since, it goes on.
    """

    app: "Afresh"
    since: datetime
    evaluated_at: datetime | None = None

    async def look(self, now: datetime) -> dict[str, Any] | None:
        """Evaluate alerts if nobody else does, and send what is to be sent; None: somebody else does.

        Returns:
            As `evaluate`, with how many messages were `sent`.

        Raises:
            psycopg.Error: The database is out of reach.
        """
        async with self.app.connection() as conn:
            monitoring = await read_monitoring(conn)
            known = (self.since, monitoring.evaluated_at, monitoring.resumed_at(now))
            on_duty = self.evaluated_at is not None and monitoring.evaluated_at == self.evaluated_at
            if monitoring.is_stopped(now) or (not on_duty and now - max(filter(None, known)) < LATE):
                self.evaluated_at = None
                return None
            told = await evaluate(self.app, conn, now=now)
            self.evaluated_at = (await read_monitoring(conn)).evaluated_at
        return {**told, "sent": await self._send()}

    async def _send(self) -> int:
        """Send what waits, each once; what is not taken waits for the next look, or for a worker."""
        sent, tried = 0, list[int]()
        while True:
            # A connection for each: between two of them a worker may have come back and taken the others.
            async with self.app.connection() as conn, conn.transaction():
                found = await alerts.take_delivery(conn, tried, sending=SENDING)
                if found is None:
                    return sent
                tried.append(found.job_id)
                if await self._deliver(found):
                    await alerts.end_delivery(conn, found.job_id)
                    sent += 1

    async def _deliver(self, found: alerts.Waiting) -> bool:
        try:
            async with asyncio.timeout(SENDING_SECONDS):
                url, severity = find_url(self.app.settings.alert.urls, found.channel), Severity(found.severity)
                await deliver(url, title=found.title, body=found.body, severity=severity)
        except Exception as error:  # noqa: BLE001  Whatever one address is to blame for, the others are told.
            _logger.warning("No worker sends alerts, and %s could not be told: %s", found.channel, error)
            return False
        return True


async def stand_by(app: "Afresh") -> None:
    """Look each minute until cancelled, out of step with other processes, and say how full this host is."""
    standby, machine = Standby(app, datetime.now(UTC)), Machine()

    async def look() -> None:
        for pause in pauses(LOOK_SECONDS, random.Random()):  # noqa: S311  Spreads load; no secret.
            await asyncio.sleep(pause)
            await tell_of_host(app, machine)
            await standby.look(datetime.now(UTC))

    await supervise("standby for alerts", look)
