"""How the service itself is doing, over HTTP."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from ..monitoring.health import Status, examine, is_ready
from ..web.auth import VIEWER
from ..web.reading import Queue
from .maintenance import MonitoringReport

router = APIRouter(prefix="/monitoring", tags=["monitoring"])


class HealthCheck(BaseModel):
    """One thing that was looked at."""

    name: str = Field(examples=["workers"])
    status: Status = Field(examples=["healthy"])
    reason: str = Field(description="What was found.", examples=["1 worker is alive"])


class HealthReport(BaseModel):
    """The worst of its checks."""

    status: Status = Field(examples=["healthy"])
    reasons: list[str] = Field(description="What is not well; empty when healthy.", examples=[[]])
    database: Literal["embedded", "external"] = Field(description="Where the database comes from.")
    monitoring: MonitoringReport | None = Field(description="Null where the database cannot be asked.")
    checks: list[HealthCheck]


@router.get(
    "/health",
    dependencies=[VIEWER],
    summary="Say how the service is, and why",
    responses={503: {"model": HealthReport, "description": "Unhealthy: jobs cannot be taken in"}},
)
async def show_health(queue: Queue, response: Response) -> HealthReport:
    """Return healthy, degraded (jobs are taken in but something is wrong) or unhealthy (503)."""
    health = await examine(queue.connection, stalled_after=queue.settings.worker.stalled_after)
    if health.status is Status.UNHEALTHY:
        response.status_code = 503
    return HealthReport(
        status=health.status,
        reasons=health.reasons,
        database="external" if queue.settings.database.url else "embedded",
        monitoring=None if health.monitoring is None else MonitoringReport.of(health.monitoring),
        checks=[HealthCheck(name=each.name, status=each.status, reason=each.reason) for each in health.checks],
    )


class Probe(BaseModel):
    """As much as anybody may know."""

    status: Literal["ok", "unavailable"] = "ok"


@router.get("/live", summary="Say that this process answers")
async def show_live() -> Probe:
    """Return 200; needs no key."""
    return Probe()


@router.get(
    "/ready",
    summary="Say whether requests can be served",
    responses={503: {"model": Probe, "description": "Not at the moment"}},
)
async def show_ready(queue: Queue, response: Response) -> Probe:
    """Return 200 where the database answers and its schema is not behind, else 503; needs no key."""
    if await is_ready(queue.connection):
        return Probe()
    response.status_code = 503
    return Probe(status="unavailable")
