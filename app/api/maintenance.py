"""The maintenance window over HTTP: a time in which nothing is sampled and nobody is told."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from ..store.monitoring import Monitoring, read_monitoring
from ..web import maintenance
from ..web.auth import Operator
from ..web.fields import Duration, Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue
from .reasons import Because, MayReason

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute)


class MonitoringReport(BaseModel):
    """Whether samples are taken and alerts evaluated, or a maintenance window is open."""

    stopped: bool
    stopped_until: Time | None = Field(description="When it goes on by itself.", examples=[None])
    stopped_by: str | None = Field(examples=[None])
    reason: str | None = Field(examples=[None])
    evaluated_at: Time | None = Field(description="When alerts were evaluated last; null: never.")

    @classmethod
    def of(cls, found: Monitoring) -> "MonitoringReport":
        """As it is now; a window that is over is told no more."""
        stopped = found.is_stopped(datetime.now(UTC))
        return cls(
            stopped=stopped,
            stopped_until=found.stopped_until if stopped else None,
            stopped_by=found.stopped_by if stopped else None,
            reason=found.stopped_because if stopped else None,
            evaluated_at=found.evaluated_at,
        )


class MonitoringStop(Because):
    """How long to be quiet, and why; it goes into the audit."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"duration": "1h", "reason": "moving the database"}]}
    )

    duration: Duration = Field(timedelta(hours=1), description="After which it goes on by itself; 7 days at most.")


@router.post("/stop", summary="Stop monitoring for a while", responses=responses(400, 403, 413, 415, 422, 503))
async def stop(body: Annotated[MonitoringStop, Body()], caller: Operator, queue: Queue) -> MonitoringReport:
    """Take no samples, and open, resolve and send no alerts, for a maintenance window that ends by itself."""
    async with queue.connection() as conn:
        await maintenance.stop(conn, body.duration, actor=caller.name, reason=body.reason)
        return MonitoringReport.of(await read_monitoring(conn))


@router.post("/start", summary="Let monitoring go on", responses=responses(400, 403, 409, 413, 415, 422, 503))
async def start(caller: Operator, queue: Queue, body: MayReason) -> MonitoringReport:
    """End the maintenance window before its time."""
    async with queue.connection() as conn:
        await maintenance.start(conn, actor=caller.name, reason=body.reason)
        return MonitoringReport.of(await read_monitoring(conn))
