"""Alerts over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ..store import alerts
from ..store.alerts import AlertFilter
from ..store.paging import Row
from ..web.auth import VIEWER
from ..web.fields import State, Text, Time
from ..web.limits import StrictRoute
from ..web.paging import PageOf, PageQuery
from ..web.problem import responses
from ..web.reading import ReadingConnection

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute)

MOST_MESSAGES = 100

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


class Delivery(BaseModel):
    """What became of a message at one address."""

    channel: str = Field(
        description="A name of the address that tells nothing of its secrets.", examples=["json-1f0c9a3b"]
    )
    job_id: int = Field(description="The job that sends it.", examples=[17])
    state: State | None = Field(description="Of the job; null: it is not kept any more.")
    attempts: int = Field(examples=[1])
    next_run_at: Time | None
    ended_at: Time | None
    reason: str | None = Field(description="What the last attempt failed of, unless it was sent.")


class AlertMessage(BaseModel):
    """What was told, and whom."""

    id: int = Field(examples=[1])
    rule: str = Field(examples=["error-rate"])
    severity: Severity
    title: str = Field(examples=["[critical] Many attempts fail"])
    body: str
    made_at: Time
    deliveries: list[Delivery] = Field(description="One for each address; none where ALERT_URLS was not set.")


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


@router.get(
    "/alerts/messages",
    dependencies=[VIEWER],
    summary="List what was told about alerts",
    responses=responses(422, 503),
)
async def list_messages(
    conn: ReadingConnection, limit: Annotated[int, Query(ge=1, le=MOST_MESSAGES)] = 20
) -> list[AlertMessage]:
    """Return the newest messages, each with what became of it at every address."""
    return [AlertMessage.model_validate(row) for row in await alerts.list_messages(conn, most=limit)]


def _alert(row: Row) -> Alert:
    return Alert.model_validate({**row, "state": "open" if row["resolved_at"] is None else "resolved"})
