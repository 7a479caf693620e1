"""What Prometheus reads of the whole installation, from a few statements, remembered for a moment.

However many servers ask, and however often, the database is asked no more than every few seconds.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import AsyncConnection

from ..retry.breaker.states import State
from ..store.dead_letters import STATUSES
from ..store.gauges import MOST, Gauge, count_restless_groups, read_gauges
from ..store.monitoring import read_monitoring
from .alerts.losses import lost, read_workers
from .alerts.observe import read_handed_in, window_of
from .alerts.rules import GROUP_NEW, GROUP_QUIET
from .metrics import Metrics

if TYPE_CHECKING:
    from ..queue.app import Afresh

FRESH_SECONDS = 10.0
"""How long the answer is believed."""

ANSWER_SECONDS = 2.0
"""A database that takes longer is taken for silent; then its gauges are missing, and `afresh_database_up` is 0."""

_OF_QUEUES = {
    "ready": ("afresh_queue_ready_jobs", "Jobs that could run now. Counted up to a limit, as are the next two."),
    "held": ("afresh_queue_held_jobs", "Jobs that could run, but for a pause or a breaker."),
    "later": ("afresh_queue_later_jobs", "Jobs that wait for their time: scheduled or retrying."),
    "running": ("afresh_queue_running_jobs", "Jobs that run."),
    "oldest_ready": ("afresh_queue_oldest_ready_seconds", "Since when the oldest ready job could have run."),
    "paused": ("afresh_queue_paused", "Whether an operator holds the queue back."),
}

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


class ClusterGauges(Collector):
    """Queues, dead letters, breakers and workers, as any process may tell them."""

    def __init__(self, app: "Afresh", metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._found: list[Gauge] | None = None
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        metrics.registry.register(self)

    async def refresh(self, connect: Connect) -> None:
        """Ask the database, unless that was a moment ago. Many at once ask once. Never raises for its silence."""
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            try:
                async with asyncio.timeout(ANSWER_SECONDS), connect() as conn:
                    self._found = await self._read(conn)
            except (psycopg.Error, TimeoutError):
                self._found = None
            self._read_at = time.monotonic()
            self._metrics.rare.database_up.set(self._found is not None)

    async def _read(self, conn: AsyncConnection[Any]) -> list[Gauge]:
        names, now, settings = self._metrics.names, datetime.now(UTC), self._app.settings
        monitoring, queues = await read_monitoring(conn), names.queues()
        handed_in = await read_handed_in(
            conn, await window_of(self._app, conn, now=now, resumed=monitoring.resumed_at(now))
        )
        resumed = monitoring.resumed_at(now) or datetime.min.replace(tzinfo=UTC)  # As alerts: nothing from before it.
        groups = await count_restless_groups(
            conn, new_since=now - GROUP_NEW, quiet_since=max(now - GROUP_QUIET, resumed)
        )
        stalled_after = settings.worker.stalled_after
        workers = await read_workers(conn, stalled_after=stalled_after, now=now)
        told = sum(worker.was_lost(since=resumed) for worker in lost(workers, now))
        # Each queue is counted up to an equal share, in which what is alerted about must be in reach.
        least = 1 + max(settings.submission.max_queue_size, settings.alert.queue_size)
        found = await read_gauges(
            conn,
            queues=queues,
            dependencies=names.dependencies(),
            stalled_after=stalled_after,
            most=max(MOST, least * (len(queues) + 1)),
        )
        return [
            *found,
            *(Gauge("failure_groups", "", status, count) for status, count in groups.items()),
            Gauge("workers", "", "overloaded", sum(bool(worker.lives and worker.overloaded) for worker in workers)),
            Gauge("workers", "", "lost", told),
            Gauge("stopped", "", "", monitoring.is_stopped(now)),
            *(Gauge(name, "", "", count) for name, count in handed_in._asdict().items()),
        ]

    def _is_fresh(self) -> bool:
        return self._read_at is not None and time.monotonic() - self._read_at < FRESH_SECONDS

    def collect(self) -> Iterable[Metric]:
        """Yield what was read last; nothing while the database does not answer."""
        if self._found is None:
            return
        names = self._metrics.names
        for gauge, (metric, text) in _OF_QUEUES.items():
            yield _family(metric, text, ["queue"], self._values(gauge, [(name, "") for name in names.queues()]))
        yield _family(
            "afresh_dead_letters",
            "Dead letters. Those that wait for a decision are pending.",
            ["status"],
            self._values("dead_letters", [("", status) for status in STATUSES]),
        )
        yield _family(
            "afresh_breakers",
            "1 for the state of a dependency's breaker; of all that no task relies on, how many are in it.",
            ["dependency", "state"],
            self._values("breakers", [(name, state.value) for name in names.dependencies() for state in State]),
        )
        yield _family(
            "afresh_workers",
            "Workers that gave a sign of life, the overloaded among them, those silent with jobs, and those "
            "lost lately or as the last.",
            ["state"],
            self._values("workers", [("", "alive"), ("", "overloaded"), ("", "silent"), ("", "lost")]),
        )
        yield _family(
            "afresh_monitoring_stopped",
            "Whether there is a maintenance window.",
            [],
            self._values("stopped", [("", "")]),
        )
        yield _family(
            "afresh_recent_submissions",
            "Jobs handed in within ALERT_WINDOW, and those that an Idempotency-Key kept from being made again.",
            [],
            self._values("submissions", [("", "")]),
        )
        yield _family(
            "afresh_recent_repeats",
            "Those that an Idempotency-Key kept from being made again.",
            [],
            self._values("repeats", [("", "")]),
        )
        yield _family(
            "afresh_failure_groups",
            "Failure groups met within the hour that are new, or have come back after they were resolved.",
            ["status"],
            self._values("failure_groups", [("", "new"), ("", "regression")]),
        )

    def _values(self, gauge: str, expected: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        found = {(each.name, each.state): each.value for each in self._found or () if each.gauge == gauge}
        told = {name for name, _ in found}
        closed = {key: 1.0 for key in expected if gauge == "breakers" and key[0] not in told and key[1] == State.CLOSED}
        return dict.fromkeys(expected, 0.0) | closed | found


def _family(name: str, text: str, labels: Sequence[str], values: dict[tuple[str, str], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key) if len(labels) == len(key) else [each for each in key if each], value)
    return family
