"""What can be done to a job over HTTP: cancel it, run it again, move it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..queue import control
from ..queue.app import Afresh
from ..web import again
from ..web.auth import Operator
from ..web.fields import LOCATION, Duration, JobId, JobQueue, Moment, Priority
from ..web.limits import StrictRoute
from ..web.outbound import Outbound
from ..web.problem import responses
from ..web.reading import Queue
from .reasons import MayReason, Reason

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], route_class=StrictRoute)

REFUSALS = responses(400, 403, 404, 409, 413, 415, 422, 503)
RETRIED = REFUSALS | responses(429) | {202: {"headers": LOCATION}}


class MoveBody(Reason):
    """When and where a waiting job is to run. What is not said stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"run_in": "1h", "priority": "low"}]})

    run_at: Moment | None = Field(None, description="Not before then; ISO 8601 with an offset.")
    run_in: Duration | None = Field(None, description="Not before this has passed: seconds, or 30s, 5m, 2h, 7d.")
    priority: Priority | None = Field(None, description="1 to 10, higher first; or low, normal, high, critical.")
    queue: JobQueue | None = None

    @model_validator(mode="after")
    def _something(self) -> "MoveBody":
        if self.run_at and self.run_in:
            raise ValueError("run_at and run_in: only one of them")
        if not (self.run_at or self.run_in or self.priority or self.queue):
            raise ValueError("one of run_at, run_in, priority and queue")
        return self

    def move(self, now: datetime) -> control.Move:
        """The same, as the queue takes it."""
        return control.Move(
            run_at=now + self.run_in if self.run_in else self.run_at, priority=self.priority, queue=self.queue
        )


class JobAction(BaseModel):
    """What was done to a job."""

    job_id: int = Field(description="The job to look at from now on.", examples=[7])
    effect: Literal["cancelled", "abort_requested", "runs_now", "replayed", "rescheduled"]
    detail: str = Field(examples=["Job 7 runs in the place of job 3."])
    replay_of: int | None = Field(None, description="The ended job in whose place the new one runs.", examples=[3])


@router.post(
    "/cancel",
    summary="Cancel a job",
    responses=REFUSALS | {202: {"model": JobAction, "description": "It runs, and is asked to stop"}},
)
async def cancel_job(
    job_id: JobId,
    caller: Operator,
    response: Response,
    queue: Queue,
    body: MayReason,
) -> JobAction:
    """End a waiting job at once; ask a running one to stop (202): an async task is stopped, a sync one has to look."""
    async with queue.connection() as conn:
        job = await control.cancel(conn, job_id, actor=caller.name, reason=body.reason)
    if job.status == "todo":
        return JobAction(job_id=job_id, effect="cancelled", detail=f"Job {job_id} will not run.")
    response.status_code = 202
    return JobAction(job_id=job_id, effect="abort_requested", detail=_asked(queue, job_id, job.task_name))


@router.post("/retry", status_code=202, summary="Run a job again", responses=RETRIED)
async def retry_job(  # noqa: PLR0913, PLR0917 - FastAPI's way to name what a request brings.
    job_id: JobId,
    caller: Operator,
    response: Response,
    queue: Queue,
    outbound: Outbound,
    body: MayReason,
) -> JobAction:
    """Run a scheduled or retrying job now, its attempts kept; or a fresh job in the place of one that ended badly.

    A fresh job of a task that reaches out counts like one that is handed in.
    """
    async with queue.connection() as conn:
        runs = await again.retry_job(conn, queue, outbound, job_id, actor=caller.name, reason=body.reason)
    response.headers["Location"] = f"/jobs/{runs}"
    if runs == job_id:
        return JobAction(job_id=job_id, effect="runs_now", detail=f"Job {job_id} runs as soon as there is room.")
    detail = f"Job {runs} runs in the place of job {job_id}."
    return JobAction(job_id=runs, effect="replayed", detail=detail, replay_of=job_id)


@router.post("/reschedule", summary="Move a waiting job", responses=REFUSALS)
async def reschedule_job(job_id: JobId, caller: Operator, queue: Queue, body: Annotated[MoveBody, Body()]) -> JobAction:
    """Change when a waiting job runs, its priority, or its queue."""
    async with queue.connection() as conn:
        move = body.move(datetime.now(UTC))
        await control.reschedule(conn, job_id, move, actor=caller.name, reason=body.reason)
    return JobAction(job_id=job_id, effect="rescheduled", detail=f"Job {job_id} is moved.")


def _asked(queue: Afresh, job_id: int, task_name: str) -> str:
    info = queue.catalog.find(task_name)
    if info is None or info.is_async:
        return f"Job {job_id} runs; its worker stops it."
    return (
        f"Job {job_id} runs a plain function, which cannot be stopped from outside: "
        "it goes on until it asks context.should_abort() or ends."
    )
