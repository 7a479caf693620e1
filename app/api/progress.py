"""How far a job has come, and what it returned."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ..queue.control import UnknownJob
from ..store.jobs import find_job, find_result
from ..store.progress import list_progress
from ..web.auth import VIEWER
from ..web.errors import NoResult
from ..web.fields import JobId, State, Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import ReadingConnection
from .jobs import Redacted

router = APIRouter(tags=["jobs"], route_class=StrictRoute, dependencies=[VIEWER])


class Report(BaseModel):
    """What the task said at one moment."""

    model_config = ConfigDict(extra="ignore")

    number: int = Field(description="From 1 within the job.", examples=[3])
    at: Time
    attempt: int = Field(description="The run that said it.", examples=[1])
    progress: float = Field(validation_alias="fraction", description="From 0 to 1.", examples=[0.75])
    message: str | None = Field(examples=["Step 3 of 4"])
    current_step: str | None = Field(examples=["review"])
    data: dict[str, Any] | None = Field(examples=[{"words": 1200}])


class JobProgress(BaseModel):
    """How far a job has come, and how it came there."""

    job_id: int = Field(examples=[1])
    progress: float | None = Field(description="From 0 to 1; null: nothing was reported.", examples=[0.75])
    progress_message: str | None = Field(examples=["Step 3 of 4"])
    current_step: str | None = Field(examples=["review"])
    updated_at: Time | None
    history: list[Report] = Field(description="Oldest first; the newest 200.")


class Result(BaseModel):
    """What a job that succeeded returned."""

    model_config = ConfigDict(extra="ignore")

    job_id: int = Field(examples=[1])
    state: State = Field(examples=["succeeded"])
    result: Annotated[Any, Redacted] = Field(description="Null where it returned nothing.", examples=[3.5])
    note: str | None = Field(description="Why what it returned is not stored: too large, or not JSON.", examples=[None])


@router.get("/jobs/{job_id}/progress", summary="Show how far a job has come", responses=responses(404, 422, 503))
async def show_progress(job_id: JobId, conn: ReadingConnection) -> JobProgress:
    """Return the progress that the job's task has reported, and its history."""
    rows = await list_progress(conn, job_id)
    if not rows and await find_job(conn, job_id) is None:
        raise UnknownJob(job_id)
    history = [Report.model_validate(row) for row in rows]
    newest = history[-1] if history else None
    return JobProgress(
        job_id=job_id,
        progress=newest.progress if newest else None,
        progress_message=newest.message if newest else None,
        current_step=newest.current_step if newest else None,
        updated_at=newest.at if newest else None,
        history=history,
    )


@router.get("/jobs/{job_id}/result", summary="Show what a job returned", responses=responses(404, 409, 422, 503))
async def show_result(job_id: JobId, conn: ReadingConnection) -> Result:
    """Return the result of a job that succeeded; of any other, 409 with its state.

    Who waits for a result follows `/jobs/{job_id}/events` until its `end`.
    """
    row = await find_result(conn, job_id)
    if row is None:
        raise UnknownJob(job_id)
    if row["state"] != "succeeded":
        raise NoResult(job_id, row["state"], row["last_failure_type"], row["last_message"])
    return Result.model_validate(row)
