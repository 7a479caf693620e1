"""Tasks over HTTP: what there is, and one more job of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..queue.catalog import TaskInfo
from ..queue.submit import Submission, submit
from ..store.keys import Role
from ..web.auth import VIEWER, Operator
from ..web.errors import NotOverHttp
from ..web.keyring import LOCAL, Caller
from ..web.limits import StrictRoute
from ..web.paging import BIGGEST_INTEGER
from ..web.problem import responses
from ..web.reading import Queue
from .fields import Duration, Metadata, Moment, Priority, QueueName, State, Text, Time

router = APIRouter(tags=["tasks"], route_class=StrictRoute)

TASK_TYPES = {"email": (3, "email"), "report": (5, "reports"), "analytics": (2, "analytics"), "cleanup": (1, "cleanup")}
"""Priority and queue of the kinds of work that everybody has."""

TaskName = Annotated[str, Path(description="Its slug, or its full dotted name.", examples=["fetch-joke"])]


class Task(BaseModel):
    """A task that can be deferred."""

    name: str = Field(
        description="The full name, which its jobs carry.", examples=["app.tasks.jokes.fetch_and_cache_joke"]
    )
    slug: str | None = Field(description="The short name.", examples=["fetch-joke"])
    description: str
    queue: str = Field(examples=["api_calls"])
    priority: int = Field(examples=[5])
    task_type: str | None = Field(examples=["api"])
    depends_on: str | None = Field(description="The dependency whose trouble it shares.", examples=["joke-api"])
    timeout_seconds: float | None = Field(description="Longest run of one attempt; null: JOB_TIMEOUT.", examples=[30.0])
    max_attempts: int | None = Field(description="Null: as the policy of the failure's type says.", examples=[6])
    http: bool = Field(description="Whether it can be deferred over HTTP.")
    arguments: dict[str, Any] = Field(description="JSON schema of `args`.")


class SubmitBody(BaseModel):
    """What to run, when, and how. Everything is optional."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"args": {"joke_id": 42}, "priority": "high", "run_in": "5m"}]},
    )

    args: dict[str, Any] = Field(default_factory=dict, description="What the task is called with.")
    queue: QueueName | None = Field(None, description="In place of the task's own.")
    priority: Priority | None = Field(None, description="1 to 10, higher first; or low, normal, high, critical.")
    run_at: Moment | None = Field(None, description="Not before then; ISO 8601 with an offset.")
    run_in: Duration | None = Field(None, description="Not before this has passed: seconds, or 30s, 5m, 2h, 7d.")
    max_retries: int | None = Field(None, strict=True, ge=0, lt=BIGGEST_INTEGER, description="After the first attempt.")
    timeout: Duration | None = Field(None, description="Longest run of one attempt: seconds, or 30s, 5m, 2h, 7d.")
    task_type: Text | None = Field(
        None, description=f"A kind of work; {', '.join(TASK_TYPES)} bring a queue and a priority of their own."
    )
    metadata: Metadata | None = Field(None, description="Anything to find it by; at most 16 KB.")
    correlation_id: Text | None = Field(None, description="Goes with it into every log line.")
    lock: Text | None = Field(None, description="Of the jobs with one lock, one runs at a time.")
    queueing_lock: Text | None = Field(None, description="Of the jobs with one queueing lock, one waits at a time.")

    @model_validator(mode="after")
    def _one_time(self) -> "SubmitBody":
        if self.run_at and self.run_in:
            raise ValueError("run_at and run_in: only one of them")
        return self

    def time(self, now: datetime) -> datetime | None:
        """When it is to run; None: as soon as it can."""
        return now + self.run_in if self.run_in else self.run_at


class Submitted(BaseModel):
    """A job that now waits."""

    job_id: int = Field(examples=[1])
    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    queue: str = Field(examples=["api_calls"])
    status: str = Field(examples=["todo"])
    state: State = Field(examples=["ready"])
    priority: int = Field(examples=[5])
    scheduled_at: Time | None = Field(examples=[None])
    correlation_id: str | None = Field(examples=[None])


@router.get("/tasks", dependencies=[VIEWER], summary="List the tasks")
async def list_tasks(queue: Queue) -> list[Task]:
    """Return every task, in order of its name."""
    return [_task(info) for info in queue.catalog]


@router.get(
    "/tasks/{task}", dependencies=[VIEWER], summary="Show a task and its arguments", responses=responses(404, 422)
)
async def show_task(task: TaskName, queue: Queue) -> Task:
    """Return one task."""
    return _task(queue.catalog.resolve(task))


@router.post(
    "/tasks/{task}",
    status_code=202,
    summary="Run a task in the background",
    responses=responses(400, 403, 404, 409, 413, 415, 422, 503),
)
async def defer_task(  # noqa: PLR0913, PLR0917 - FastAPI fills them in.
    task: TaskName,
    caller: Operator,
    queue: Queue,
    response: Response,
    body: Annotated[SubmitBody, Body()] = SubmitBody(),  # noqa: B008 - frozen in effect: nothing assigns to it.
    x_correlation_id: Annotated[Text | None, Header(description="As `correlation_id`, which wins.")] = None,
) -> Submitted:
    """Put a job into its queue and return at once; `Location` says where to follow it."""
    info = queue.catalog.resolve(task)
    if not info.http and (caller == LOCAL or caller.role < Role.ADMIN):
        raise NotOverHttp(f"{info.name} is for the server's own use")
    queue.catalog.validate(info, body.args)
    now = datetime.now(UTC)
    submission = _submission(info, body, now, x_correlation_id, caller)
    async with queue.connection() as conn:
        job_id = await submit(conn, submission)
    response.headers["Location"] = f"/jobs/{job_id}"
    if submission.correlation_id:
        response.headers["X-Correlation-ID"] = submission.correlation_id
    return _submitted(job_id, submission, now)


def _submission(
    info: TaskInfo, body: SubmitBody, now: datetime, correlation_id: str | None, caller: Caller
) -> Submission:
    """What was asked for; then what its kind of work brings; then what the task itself says."""
    priority, queue = TASK_TYPES.get(body.task_type or "", (info.priority, info.queue))
    return Submission(
        task_name=info.name,
        args=body.args,
        queue=body.queue or queue,
        priority=body.priority or priority,
        run_at=body.time(now),
        lock=body.lock or info.lock,
        queueing_lock=body.queueing_lock or info.queueing_lock,
        max_retries=body.max_retries,
        timeout=body.timeout,
        task_type=body.task_type,
        correlation_id=body.correlation_id or correlation_id,
        metadata=body.metadata or None,
        submitted_by=None if caller == LOCAL else caller.name,
    )


def _submitted(job_id: int, submission: Submission, now: datetime) -> Submitted:
    later = submission.run_at is not None and submission.run_at > now
    return Submitted(
        job_id=job_id,
        task_name=submission.task_name,
        queue=submission.queue,
        status="todo",
        state="scheduled" if later else "ready",
        priority=submission.priority,
        scheduled_at=submission.run_at,
        correlation_id=submission.correlation_id,
    )


def _task(info: TaskInfo) -> Task:
    return Task(
        name=info.name,
        slug=info.slug,
        description=info.description,
        queue=info.queue,
        priority=info.priority,
        task_type=info.task_type,
        depends_on=info.depends_on,
        timeout_seconds=info.timeout.total_seconds() if info.timeout else None,
        max_attempts=None if info.max_retries is None else info.max_retries + 1,
        http=info.http,
        arguments=info.arguments,
    )
