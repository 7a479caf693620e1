"""How the service itself is doing, over HTTP."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from ..monitoring.health import Status, examine
from ..web.reading import Queue

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
    checks: list[HealthCheck]


@router.get(
    "/health",
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
        checks=[HealthCheck(name=each.name, status=each.status, reason=each.reason) for each in health.checks],
    )
