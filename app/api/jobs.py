"""Jobs over HTTP: what became of them, attempt by attempt."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..queue.app import Afresh
from ..queue.control import UnknownJob
from ..redact import redact
from ..store.jobs import JobFilter, find_job, list_attempts
from ..store.jobs import count_jobs as total_of_jobs
from ..store.jobs import list_jobs as page_of_jobs
from ..store.paging import Row
from ..web.auth import VIEWER
from ..web.fields import JobId, State, Time
from ..web.limits import StrictRoute
from ..web.paging import IsExact, PageOf
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .job_query import METADATA_HELP, SEARCH_HELP, ChosenJobs, JobFilterQuery

router = APIRouter(tags=["jobs"], route_class=StrictRoute)

Redacted = AfterValidator(redact)
LISTED = responses(422, 503)

REASON = "TRANSIENT_NETWORK (0.97) by httpx.ConnectError · policy exponential 2 s ×2, 1st retry of 5 → 2 s"


class LastFailure(BaseModel):
    """What went wrong last."""

    failure_type: str = Field(examples=["TRANSIENT_NETWORK"])
    exception_type: str | None = Field(examples=["httpx.ConnectError"])
    message: str | None = Field(examples=["All connection attempts failed"])
    reason: str | None = Field(description="What followed from it, in one line.", examples=[REASON])
    failed_at: Time


class JobSummary(BaseModel):
    """A job. Values of arguments and metadata whose key names a secret are masked."""

    model_config = ConfigDict(extra="ignore")

    job_id: int = Field(examples=[1])
    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    queue: str = Field(examples=["api_calls"])
    status: str = Field(description="As Procrastinate has it.", examples=["succeeded"])
    state: State = Field(examples=["succeeded"])
    waiting_for: str | None = Field(description="dependency, queue_paused, lock, limit, or null.", examples=[None])
    attempts: int = Field(description="Runs that ended and counted.", examples=[3])
    max_attempts: int | None = Field(description="Null: no limit, or one that depends on the failure.", examples=[6])
    rescues: int = Field(description="How often it lost its worker.", examples=[0])
    priority: int = Field(examples=[5])
    created_at: Time | None
    scheduled_at: Time | None
    deadline: Time | None = Field(description="It is not begun after then.", examples=[None])
    started_at: Time | None = Field(description="Of its last attempt.")
    ended_at: Time | None
    task_type: str | None = Field(examples=["api"])
    dependency: str | None = Field(examples=["joke-api"])
    lock: str | None = Field(examples=[None])
    queueing_lock: str | None = Field(examples=[None])
    abort_requested: bool
    batch_id: int | None = Field(description="The batch it came with.", examples=[None])
    replay_of: int | None = Field(description="The ended job in whose place it runs.", examples=[None])
    replayed_as: int | None = Field(description="The newest job that runs, or ran, in its place.", examples=[None])
    dead_letter_id: int | None = Field(
        description="The dead letter that its end left, or in whose place it runs.", examples=[None]
    )
    correlation_id: str | None = Field(examples=["order-7"])
    submitted_by: str | None = Field(description="The name of the API key that asked for it.", examples=["deploy"])
    args: Annotated[dict[str, Any], Redacted] = Field(examples=[{"joke_id": 42}])
    metadata: Annotated[dict[str, Any], Redacted] = Field(examples=[{}])
    last_failure: LastFailure | None


class Checkpoint(BaseModel):
    """What a finished step of a job made; a retry does not do the step again."""

    name: str = Field(examples=["draft"])
    version: int = Field(description="Of the code that made it.", examples=[1])
    value: Annotated[Any, Redacted] = Field(examples=["Bonjour"])
    attempt: int = Field(description="The run that did the step.", examples=[1])
    saved_at: Time


class Job(JobSummary):
    """A job with its result, and how far it has come."""

    progress: float | None = Field(None, description="From 0 to 1, as its task reports it.", examples=[0.75])
    progress_message: str | None = Field(None, examples=["Step 3 of 4"])
    result: Annotated[Any, Redacted] = None
    checkpoints: list[Checkpoint] = Field([], description="Until it succeeds, in the order in which they were made.")


class JobPage(PageOf[JobSummary]):
    """Some jobs, newest first."""


class JobCount(BaseModel):
    """How many jobs there are."""

    total: int = Field(description="How many the filter lets through.", examples=[150])
    total_is_exact: IsExact


class Attempt(BaseModel):
    """One run of a job that has ended."""

    model_config = ConfigDict(extra="ignore")

    attempt: int = Field(description="From 1. A run that is not counted has the number of the next one.", examples=[1])
    started_at: Time | None
    ended_at: Time
    duration_seconds: float | None = Field(examples=[0.215])
    worker: int | None = Field(validation_alias="worker_id", description="Id of the worker that ran it.", examples=[1])
    outcome: str = Field(
        description="succeeded, failed, snoozed, lost, released, aborted or coalesced.", examples=["failed"]
    )
    counted: bool = Field(description="Whether it counts as an attempt.")
    exception_type: str | None = Field(examples=["httpx.ConnectError"])
    message: str | None = Field(examples=["All connection attempts failed"])
    traceback: str | None = Field(examples=["Traceback (most recent call last):\n  …"])
    failure_type: str | None = Field(examples=["TRANSIENT_NETWORK"])
    confidence: float | None = Field(examples=[0.97])
    evidence: list[dict[str, Any]] | None
    remediation: str | None = Field(examples=["AUTO_RETRY"])
    fingerprint: str | None = Field(examples=["5c1f0d6be1a2"])
    decision: str | None = Field(description="retry, snooze or dead_letter.", examples=["retry"])
    delay_seconds: float | None = Field(examples=[2.0])
    next_run_at: Time | None
    explanation: list[dict[str, Any]] | None = Field(description="Each step that shaped the decision.")
    reason: str | None = Field(description="The same in one line.", examples=[REASON])


class AttemptList(BaseModel):
    """Every run of a job that has ended, in order."""

    items: list[Attempt]
    total: int = Field(examples=[3])
    total_is_exact: bool = True
    next_cursor: str | None = None


@router.get(
    "/jobs",
    dependencies=[VIEWER],
    summary="List jobs",
    description=f"Newest first.\n\n{METADATA_HELP}\n\n{SEARCH_HELP}",
    responses=LISTED,
)
async def list_jobs(chosen: ChosenJobs, conn: ReadingConnection, queue: Queue) -> JobPage:
    """Return one page of the jobs that fit, newest first."""
    return await show_page(conn, queue, *chosen)


@router.get("/jobs/count", dependencies=[VIEWER], summary="Count jobs", responses=LISTED)
async def count_jobs(chosen: ChosenJobs, conn: ReadingConnection) -> JobCount:
    """Return how many jobs there are; filters as those of the list. Exact up to 10 000, then estimated."""
    total, exact = await total_of_jobs(conn, chosen[1])
    return JobCount(total=total, total_is_exact=exact)


async def show_page(conn: ReadingConnection, queue: Afresh, wanted: JobFilterQuery, chosen: JobFilter) -> JobPage:
    """One page of jobs, for this list and those of a queue."""
    page = await page_of_jobs(conn, chosen, limit=wanted.limit, before=wanted.before, offset=wanted.offset)
    return JobPage.of(page, lambda row: JobSummary.model_validate(shape(row, queue)))


@router.get("/jobs/{job_id}", dependencies=[VIEWER], summary="Show a job", responses=responses(404, 422, 503))
async def show_job(job_id: JobId, conn: ReadingConnection, queue: Queue) -> Job:
    """Return one job."""
    return Job.model_validate(shape(await _existing(conn, job_id), queue))


@router.get(
    "/jobs/{job_id}/attempts",
    dependencies=[VIEWER],
    summary="Show why each attempt ended",
    responses=responses(404, 422, 503),
)
async def show_attempts(job_id: JobId, conn: ReadingConnection) -> AttemptList:
    """Return every attempt of one job, with its failure, the decision and what made it so."""
    rows = (await list_attempts(conn, [job_id]))[job_id]
    if not rows:
        await _existing(conn, job_id)
    return AttemptList(items=[Attempt.model_validate(row) for row in rows], total=len(rows))


def shape(row: Row, queue: Afresh) -> Row:
    """Turn a row of the store into what clients rely on."""
    info = queue.catalog.find(row["task_name"])
    retries = row["max_retries"] if row["max_retries"] is not None else info.max_retries if info else None
    failure = None
    if row["last_failure_type"] is not None:
        failure = {name: row[f"last_{name}"] for name in ("failure_type", "exception_type", "message", "reason")}
        failure["failed_at"] = row["last_failed_at"]
    return row | {
        "max_attempts": None if retries is None else retries + 1,
        "task_type": row["task_type"] or (info.task_type if info else None),
        "dependency": row["dependency"] or (info.depends_on if info else None),
        "last_failure": failure,
    }


async def _existing(conn: ReadingConnection, job_id: int) -> Row:
    row = await find_job(conn, job_id)
    if row is None:
        raise UnknownJob(job_id)
    return row
