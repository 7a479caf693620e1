"""Queues over HTTP: what is in them, and holding them back, letting them go and clearing them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from ..queue import control
from ..queue.app import Afresh
from ..store.jobs import JobFilter
from ..store.queues import QueueDepth, list_queues
from ..web.auth import VIEWER, Admin, Operator
from ..web.errors import InvalidInput, UnknownQueue
from ..web.fields import QueueName, Text, Time
from ..web.limits import StrictRoute
from ..web.paging import BIGGEST_INTEGER
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .job_query import ChosenJobs
from .jobs import JobPage, show_page
from .reasons import MustReason

router = APIRouter(prefix="/queues", tags=["queues"], route_class=StrictRoute)

Name = Annotated[QueueName, Path(examples=["api_calls"])]


class Pause(BaseModel):
    """Why a queue is held back."""

    reason: str = Field(examples=["deploy at noon"])
    paused_by: str = Field(examples=["local"])
    paused_at: Time


class QueueReport(BaseModel):
    """A queue and what is in it."""

    name: str = Field(examples=["api_calls"])
    ready: int = Field(description="Jobs that could run now.", examples=[12])
    scheduled: int = Field(description="Jobs that wait for their time.", examples=[3])
    retrying: int = Field(description="Jobs that wait for their next attempt.", examples=[1])
    running: int = Field(examples=[4])
    depth_is_exact: bool = Field(
        description="False: there are more, only so many were counted; or of many that wait for their time a sample "
        "told which wait for another attempt. One queue alone is counted further than all together."
    )
    oldest_ready_seconds: float | None = Field(
        description="How long the oldest ready job has been there, or due.", examples=[1.25]
    )
    rate_in: float = Field(
        description="Jobs made per second, over 5 minutes or the latest 5 000 events of all queues.", examples=[2.5]
    )
    rate_out: float = Field(description="Jobs ended per second, likewise.", examples=[3.0])
    workers: int = Field(description="Workers that run its jobs now.", examples=[1])
    eta_seconds: float | None = Field(
        description="Until no job is ready, at these rates; null: not to be told.", examples=[24.0]
    )
    paused: Pause | None = Field(examples=[None])


class Cleared(BaseModel):
    """What was cleared."""

    queue: str = Field(examples=["api_calls"])
    cancelled: int = Field(description="Jobs that waited and are cancelled now.", examples=[12])


@router.get("", dependencies=[VIEWER], summary="List the queues", responses=responses(503))
async def show_queues(conn: ReadingConnection, queue: Queue) -> list[QueueReport]:
    """Return every queue that a task, a job or a pause names, by name."""
    now = datetime.now(UTC)
    return [_report(each, now) for each in await list_queues(conn, names=queue.catalog.queues())]


@router.get("/{name}", dependencies=[VIEWER], summary="Show a queue", responses=responses(404, 422, 503))
async def show_queue(name: Name, conn: ReadingConnection, queue: Queue) -> QueueReport:
    """Return one queue: its depth by state, how fast it fills and empties, and whether it is paused."""
    return await _find(conn, queue, name)


@router.get("/{name}/jobs", dependencies=[VIEWER], summary="List the jobs of a queue", responses=responses(422, 503))
async def list_queue_jobs(name: Name, chosen: ChosenJobs, conn: ReadingConnection, queue: Queue) -> JobPage:
    """Return one page of a queue's jobs, newest first; filters as those of all jobs."""
    wanted, jobs = chosen
    _agree(jobs, queue=name)
    return await show_page(conn, queue, wanted, replace(jobs, queue=name))


@router.get(
    "/{name}/running", dependencies=[VIEWER], summary="List what runs from a queue", responses=responses(422, 503)
)
async def list_running_jobs(name: Name, chosen: ChosenJobs, conn: ReadingConnection, queue: Queue) -> JobPage:
    """Return one page of a queue's running jobs, newest first; filters as those of all jobs."""
    wanted, jobs = chosen
    _agree(jobs, queue=name, state="running")
    return await show_page(conn, queue, wanted, replace(jobs, queue=name, state="running"))


@router.post("/{name}/pause", summary="Hold a queue back", responses=responses(400, 403, 409, 413, 415, 422, 503))
async def pause_queue(name: Name, body: MustReason, caller: Operator, queue: Queue) -> QueueReport:
    """Let no worker take jobs of this queue until it is resumed. What runs goes on; what comes in waits."""
    async with queue.connection() as conn:
        await control.pause(conn, name, actor=caller.name, reason=body.reason)
        return await _find(conn, queue, name)


@router.post("/{name}/resume", summary="Let a queue go on", responses=responses(400, 403, 404, 409, 413, 415, 422, 503))
async def resume_queue(name: Name, body: MustReason, caller: Operator, queue: Queue) -> QueueReport:
    """Let workers take jobs of this queue again."""
    async with queue.connection() as conn:
        await control.resume(conn, name, actor=caller.name, reason=body.reason)
        return await _find(conn, queue, name)


@router.delete("/{name}/jobs", summary="Clear a queue", responses=responses(400, 403, 409, 422, 503))
async def clear_queue(
    name: Name,
    caller: Admin,
    queue: Queue,
    confirm: Annotated[
        int | None, Query(ge=0, le=BIGGEST_INTEGER, description="How many jobs wait; 409 tells, and changes nothing.")
    ] = None,
    reason: Annotated[Text | None, Query(description="Goes into the audit.")] = None,
) -> Cleared:
    """Cancel all jobs that wait in a queue, up to 100 000 at once, if their number is confirmed. What runs goes on."""
    async with queue.connection() as conn:
        cancelled = await control.clear(conn, name, confirm, actor=caller.name, reason=reason)
    return Cleared(queue=name, cancelled=cancelled)


def _agree(jobs: JobFilter, **said: str) -> None:
    """Refuse a filter that contradicts what the address says already."""
    for field, value in said.items():
        if getattr(jobs, field) not in {None, value}:
            raise InvalidInput(field, f"here it is {value}")


async def _find(conn: ReadingConnection, queue: Afresh, name: str) -> QueueReport:
    found = await list_queues(conn, names=queue.catalog.queues(), name=name)
    if not found:
        raise UnknownQueue(name)
    return _report(found[0], datetime.now(UTC))


def _report(depth: QueueDepth, now: datetime) -> QueueReport:
    pause = None
    if depth.held_at is not None:
        pause = Pause(reason=depth.reason or "", paused_by=depth.held_by or "", paused_at=depth.held_at)
    return QueueReport(
        name=depth.name,
        ready=depth.ready,
        scheduled=depth.scheduled,
        retrying=depth.retrying,
        running=depth.running,
        depth_is_exact=depth.is_exact,
        oldest_ready_seconds=depth.ready_since and max(0.0, (now - depth.ready_since).total_seconds()),
        rate_in=depth.rate_in,
        rate_out=depth.rate_out,
        workers=depth.workers,
        eta_seconds=depth.seconds_to_empty(),
        paused=pause,
    )
