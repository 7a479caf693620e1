"""How the service did, over HTTP, out of samples: no request counts jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ..store import samples
from ..store.samples import MINUTE, QueuePoint, Span
from ..web.auth import VIEWER
from ..web.fields import QueueName, Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .work import WorkReport, fields_of

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute, dependencies=[VIEWER])

LONGEST = 24 * 90
MINUTES_FOR_HOURS = 6
"""Up to so many hours are shown by the minute, where nobody asks otherwise …"""

HOURS_FOR_HOURS = 24 * 7
"""… and up to so many by the hour."""

MINUTES_KEPT_HOURS = 48

Step = Literal["minute", "hour", "day"]


class PointReport(WorkReport):
    """… from `at` on, for one step."""

    at: Time


class TaskReport(WorkReport):
    """… of one task, over the whole time."""

    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])


class QueuePointReport(BaseModel):
    """How full a queue was in one step."""

    at: Time
    ready: float = Field(description="Jobs that could run; of an hour, the mean.", examples=[12])
    ready_most: int = Field(examples=[30])
    oldest_ready_seconds: float = Field(description="The longest that one had waited.", examples=[4.5])
    running: float = Field(examples=[4])


class QueueHistory(BaseModel):
    """How full a queue was."""

    queue: str = Field(examples=["api_calls"])
    points: list[QueuePointReport]


class ServicePointReport(BaseModel):
    """What there was of the service as a whole in one step."""

    at: Time
    repeats: int = Field(description="Jobs that an Idempotency-Key kept from being made twice.", examples=[0])
    dead_letters: int = Field(description="Pending.", examples=[3])
    workers: int = Field(examples=[2])


class Performance(BaseModel):
    """How the service did."""

    since: Time
    until: Time
    step_seconds: int = Field(description="60, 3600 or 86400.", examples=[60])
    total: WorkReport = Field(description="Of all points.")
    points: list[PointReport] = Field(
        description="Of all tasks but those that the clock runs for the service itself, or of the one asked for; idle "
        "steps are missing."
    )
    tasks: list[TaskReport] = Field(description="Those that ran most first; beyond 500, the others together.")
    queues: list[QueueHistory] = Field(description="Of the fullest, as many as have 10 000 points in all.")
    service: list[ServicePointReport]


@router.get(
    "/performance",
    response_model=Performance,
    summary="Show how the service did",
    responses=responses(422, 503),
)
async def show_performance(  # noqa: PLR0913, PLR0917  Each is a parameter of the request.
    conn: ReadingConnection,
    queue: Queue,
    hours: Annotated[int, Query(ge=1, le=LONGEST)] = 1,
    step: Annotated[Step | None, Query(description="Minutes are kept for 48 hours; days are UTC's.")] = None,
    task: Annotated[QueueName | None, Query(description="Slug or full name.")] = None,
    of_queue: Annotated[QueueName | None, Query(alias="queue")] = None,
) -> Response:
    """Return throughput, failures, retries, durations, depth and age of what waits, in steps of one width.

    Up to 6 hours are told by the minute, up to a week by the hour, and more by the day, unless `step` says otherwise.
    """
    span = _span(datetime.now(UTC), hours, step or _step(hours))
    whole = (span.until - span.since).total_seconds()
    name = queue.catalog.full_name(task)
    points = await samples.read_points(conn, span, task_name=name)
    tasks = await samples.read_tasks(conn, span, task_name=name)
    answer = {
        "since": span.since,
        "until": span.until,
        "step_seconds": span.seconds,
        "total": fields_of(samples.added(points), whole),
        "points": [{"at": each.at, **fields_of(each, span.seconds)} for each in points],
        "tasks": [{"task_name": each.task_name, **fields_of(each, whole)} for each in tasks],
        "queues": _histories(await samples.read_queues(conn, span, queue=of_queue)),
        "service": [
            {"at": each.at, "repeats": each.repeats, "dead_letters": each.dead_letters, "workers": each.workers}
            for each in await samples.read_service(conn, span)
        ],
    }
    # Two days by the minute are ten thousand rows, of which to make models takes three times as long as all the rest.
    return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), media_type="application/json")


def _step(hours: int) -> Step:
    if hours <= MINUTES_FOR_HOURS:
        return "minute"
    return "hour" if hours <= HOURS_FOR_HOURS else "day"


def _span(now: datetime, hours: int, step: Step) -> Span:
    """So many hours up to now; by the hour or day, the present one is the last of them."""
    if step == "day":
        return samples.days_until(now, -(-hours // 24))
    if step == "hour":
        return samples.hours_until(now, hours)
    minute = now.replace(second=0, microsecond=0)
    return Span(minute - timedelta(hours=min(hours, MINUTES_KEPT_HOURS)), minute, MINUTE)


def _histories(points: Sequence[QueuePoint]) -> list[dict[str, Any]]:
    return [
        {
            "queue": name,
            "points": [
                {
                    "at": each.at,
                    "ready": each.ready,
                    "ready_most": each.ready_most,
                    "oldest_ready_seconds": each.oldest_seconds,
                    "running": each.running,
                }
                for each in found
            ],
        }
        for name, found in groupby(points, key=lambda point: point.queue_name)
    ]
