"""Alerts over HTTP, and the maintenance window in which there are none."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..store import alerts
from ..store.alerts import AlertFilter
from ..store.monitoring import read_monitoring, start_monitoring, stop_monitoring
from ..store.paging import Row
from ..web.auth import VIEWER, Operator
from ..web.errors import NotStopped
from ..web.limits import StrictRoute
from ..web.paging import PageOf, PageQuery
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .fields import Duration, Text, Time
from .monitoring import MonitoringReport

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute)

LONGEST_STOP = timedelta(days=7)
"""Whoever needs longer switches rules off by their settings."""

Severity = Literal["info", "warning", "critical"]
AlertState = Literal["open", "resolved"]


class AlertQuery(PageQuery):
    """Which alerts, and which part of them."""

    state: AlertState | None = None
    rule: Text | None = Field(None, description="Such as error-rate or breaker-open.")
    subject: Text | None = Field(None, description="A task, a queue, a dependency, a host …")
    severity: Severity | None = None


class AlertEvent(BaseModel):
    """Something that happened to an alert."""

    at: Time
    kind: Literal["opened", "escalated", "eased", "resolved", "milestone"]
    severity: Severity
    line: str = Field(description="As it was told.", examples=["Many attempts fail · 12 of 80 attempts failed"])


class Alert(BaseModel):
    """Something that is wrong, or was; or, as a milestone, good news."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(examples=[1])
    rule: str = Field(examples=["error-rate"])
    subject: str = Field(description="What it is about; empty: the service.", examples=[""])
    severity: Severity = Field(description="The present one, or the last one before it was resolved.")
    state: AlertState
    opened_at: Time
    resolved_at: Time | None
    changed_at: Time = Field(description="When it came to its severity, or was resolved.")
    value: float = Field(description="The number that was judged, as it was seen last.", examples=[15.0])
    threshold: float = Field(description="Beyond which it opens.", examples=[10.0])
    cause: str = Field(examples=["12 of 80 attempts failed within 5 min: sample.fail 10 of 10"])
    what_to_do: str
    events: list[AlertEvent] = Field(description="What happened to it, in order.")


class AlertPage(PageOf[Alert]):
    """Some alerts, newest first."""


class MonitoringStop(BaseModel):
    """How long to be quiet, and why; it goes into the audit."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"duration": "1h", "reason": "moving the database"}]}
    )

    duration: Duration = Field(timedelta(hours=1), description="After which it goes on by itself; 7 days at most.")
    reason: Text

    @field_validator("duration")
    @classmethod
    def _not_for_long(cls, value: timedelta) -> timedelta:
        if value > LONGEST_STOP:
            raise ValueError("7 days at most")
        return value


class MonitoringStart(BaseModel):
    """Why it goes on; it goes into the audit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "it is moved"}]})

    reason: Text | None = None


@router.get("/alerts", dependencies=[VIEWER], summary="List the alerts", responses=responses(422, 503))
async def list_alerts(wanted: Annotated[AlertQuery, Query()], conn: ReadingConnection) -> AlertPage:
    """Return one page of the alerts that fit, newest first, each with what happened to it."""
    chosen = AlertFilter(
        rule=wanted.rule,
        subject=wanted.subject,
        severity=wanted.severity,
        is_open=None if wanted.state is None else wanted.state == "open",
    )
    page = await alerts.list_alerts(conn, chosen, limit=wanted.limit, before=wanted.before, offset=wanted.offset)
    return AlertPage.of(page, _alert)


@router.post("/stop", summary="Stop monitoring for a while", responses=responses(400, 403, 413, 415, 422, 503))
async def stop(body: Annotated[MonitoringStop, Body()], caller: Operator, queue: Queue) -> MonitoringReport:
    """Take no samples, and open, resolve and send no alerts, for a maintenance window that ends by itself."""
    until = datetime.now(UTC) + body.duration
    async with queue.connection() as conn:
        await stop_monitoring(conn, until=until, duration=body.duration, actor=caller.name, reason=body.reason)
        return MonitoringReport.of(await read_monitoring(conn))


@router.post("/start", summary="Let monitoring go on", responses=responses(400, 403, 409, 413, 415, 422, 503))
async def start(
    caller: Operator, queue: Queue, body: Annotated[MonitoringStart, Body(default_factory=MonitoringStart)]
) -> MonitoringReport:
    """End the maintenance window before its time."""
    async with queue.connection() as conn:
        if not await start_monitoring(conn, actor=caller.name, reason=body.reason):
            raise NotStopped
        return MonitoringReport.of(await read_monitoring(conn))


def _alert(row: Row) -> Alert:
    return Alert.model_validate({**row, "state": "open" if row["resolved_at"] is None else "resolved"})
