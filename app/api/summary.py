"""All at a glance, over HTTP."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ..monitoring.alerts.observe import read_handed_in
from ..monitoring.health import Status, look
from ..retry.breaker.states import State
from ..store import alerts, breakers, samples
from ..store.adaptation import sum_retries_ended_well
from ..store.dead_letters import PROPERTIES, STATUSES, sum_letters
from ..store.failures import first_hour
from ..store.monitoring import read_monitoring
from ..store.queues import QueueDepth, list_queues
from ..store.samples import MINUTE, Span
from ..store.workers import list_workers
from ..web.auth import VIEWER
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .maintenance import MonitoringReport
from .tables import StorageReport, report_storage
from .work import WorkReport, report_of, share

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute, dependencies=[VIEWER])

LAST_MINUTES = timedelta(minutes=5)


class QueueSummary(BaseModel):
    """A queue now."""

    name: str = Field(examples=["api_calls"])
    waiting: int = Field(description="Jobs that are due; of a paused queue they are held back.", examples=[12])
    running: int = Field(examples=[4])
    oldest_seconds: float | None = Field(examples=[1.25])
    paused: bool


class IdempotencySummary(BaseModel):
    """What Idempotency-Keys kept from being made twice, in the last 24 hours."""

    submissions: int = Field(description="Jobs made, however, and repeats.", examples=[120])
    repeats: int = Field(description="Jobs that a known key kept from being made again.", examples=[3])
    hit_rate: float | None = Field(description="Repeats by submissions, from 0 to 1.", examples=[0.025])


class ServiceSummary(BaseModel):
    """All at a glance."""

    status: Status
    reasons: list[str]
    monitoring: MonitoringReport
    last_minutes: WorkReport = Field(
        description="The last five minutes that are sampled, without what the clock runs for the service itself."
    )
    last_day: WorkReport = Field(description="The last 24 hours, the present one included; likewise.")
    queues: list[QueueSummary]
    dead_letters: dict[str, int] = Field(description="By status.", examples=[{"pending": 3}])
    breakers: dict[str, str] = Field(description="Dependencies that are not simply called.", examples=[{}])
    workers: dict[str, int] = Field(description="By status.", examples=[{"alive": 2}])
    alerts: dict[str, int] = Field(description="Open ones, by severity.", examples=[{"warning": 1}])
    idempotency: IdempotencySummary
    retries_ended_well: int = Field(description="In the last 24 hours: retries with which their job succeeded.")
    storage: StorageReport


@router.get("/summary", summary="Show all at a glance", responses=responses(503))
async def show_summary(conn: ReadingConnection, queue: Queue) -> ServiceSummary:
    """Return health, throughput, queues, dead letters, breakers, workers and alerts, as they are now."""
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    minutes, day = Span(minute - LAST_MINUTES, minute, MINUTE), samples.hours_until(now, 24)
    last_minutes, last_day = [samples.added(await samples.read_points(conn, span)) for span in (minutes, day)]
    asked, repeats = await read_handed_in(conn, day)
    letters = await sum_letters(conn, {"cause": PROPERTIES["cause"]})
    stalled_after = queue.settings.worker.stalled_after
    health = await look(conn, stalled_after=stalled_after)
    workers = await list_workers(conn, stalled_after=stalled_after)
    dependencies = await breakers.list_dependencies(conn, names=queue.own_dependencies()[1])
    return ServiceSummary(
        status=health.status,
        reasons=health.reasons,
        monitoring=MonitoringReport.of(health.monitoring or await read_monitoring(conn)),
        last_minutes=report_of(last_minutes, LAST_MINUTES.total_seconds()),
        last_day=report_of(last_day, (now - day.since).total_seconds()),
        queues=[_queue(each, now) for each in await list_queues(conn)],
        dead_letters={
            status: sum(int(row["letters"]) for row in letters["cause"] if row["status"] == status)
            for status in STATUSES
        },
        breakers={
            each.breaker.name: each.breaker.state.value
            for each in dependencies
            if each.breaker.state is not State.CLOSED
        },
        workers=dict(Counter(worker.status for worker in workers)),
        alerts=await alerts.count_open(conn),
        idempotency=IdempotencySummary(submissions=asked, repeats=repeats, hit_rate=share(repeats, asked)),
        retries_ended_well=await sum_retries_ended_well(conn, first_hour(now, 24)),
        storage=await report_storage(conn),
    )


def _queue(depth: QueueDepth, now: datetime) -> QueueSummary:
    since = depth.ready_since
    return QueueSummary(
        name=depth.name,
        waiting=depth.ready,
        running=depth.running,
        oldest_seconds=None if since is None else max(0.0, (now - since).total_seconds()),
        paused=depth.paused,
    )
