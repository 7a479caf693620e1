"""Tasks over HTTP: what there is, and one more job of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Response
from pydantic import BaseModel, Field

from ..queue import decide
from ..queue.app import Afresh
from ..queue.catalog import TaskInfo
from ..web.auth import VIEWER, Operator
from ..web.fields import Text
from ..web.limits import StrictRoute
from ..web.outbound import Outbound
from ..web.permitted import deferrable
from ..web.problem import responses
from ..web.reading import Queue
from .idempotency import KEY_HELP, MADE, REPLAYED, IdempotencyKey, claim_of
from .retry import DecidedBy, Policy, shape
from .submissions import SubmitBody, Submitted, TaskName, Terms, hand_in, submission_of

router = APIRouter(tags=["tasks"], route_class=StrictRoute)


class Task(BaseModel):
    """A task that can be deferred."""

    name: str = Field(
        description="The full name, which its jobs carry.", examples=["app.tasks.jokes.fetch_and_cache_joke"]
    )
    slug: str | None = Field(description="The short name.", examples=["fetch-joke"])
    description: str = Field(examples=["Fetch a joke and keep it."])
    queue: str = Field(examples=["api_calls"])
    priority: int = Field(examples=[5])
    task_type: str | None = Field(examples=["api"])
    depends_on: str | None = Field(description="The dependency whose trouble it shares.", examples=["joke-api"])
    timeout_seconds: float | None = Field(description="Longest run of one attempt; null: JOB_TIMEOUT.", examples=[30.0])
    max_attempts: int | None = Field(description="Null: as the policy of the failure's type says.", examples=[6])
    decided_by: DecidedBy
    policy: Policy | None = Field(description="How often it is retried, and after which waits, if that is its own.")
    http: bool = Field(description="Whether it can be deferred over HTTP.")
    arguments: dict[str, Any] = Field(description="JSON schema of `args`.")


@router.get("/tasks", dependencies=[VIEWER], summary="List the tasks")
async def list_tasks(queue: Queue) -> list[Task]:
    """Return every task, in order of its name."""
    return [_task(queue, info) for info in queue.catalog]


@router.get(
    "/tasks/{task}", dependencies=[VIEWER], summary="Show a task and its arguments", responses=responses(404, 422)
)
async def show_task(task: TaskName, queue: Queue) -> Task:
    """Return one task."""
    return _task(queue, queue.catalog.resolve(task))


@router.post(
    "/tasks/{task}",
    status_code=202,
    summary="Run a task in the background",
    description=f"Puts a job into its queue and returns at once; `Location` says where to follow it.\n\n{KEY_HELP}",
    responses=responses(400, 403, 404, 409, 410, 413, 415, 422, 429, 503) | {202: {"headers": MADE}},
)
async def defer_task(  # noqa: PLR0913, PLR0917 - FastAPI's way to name what a request brings.
    task: TaskName,
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: Annotated[SubmitBody, Body(default_factory=SubmitBody)],
    x_correlation_id: Annotated[Text | None, Header(description="As `correlation_id`, which wins.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Submitted:
    """Put a job into its queue, once for each Idempotency-Key."""
    info = deferrable(queue, task, caller)
    queue.catalog.validate(info, body.args)
    terms = Terms(datetime.now(UTC), caller, x_correlation_id, queue.settings.submission, outbound)
    claim = claim_of(caller.name, idempotency_key, f"POST /tasks/{info.name}", body, terms.settings)
    answer = await hand_in(queue, submission_of(info, body, terms), claim, terms)
    if answer.repeated:
        response.headers[REPLAYED] = "true"
    response.headers["Location"] = f"/jobs/{answer.submitted.job_id}"
    if answer.submitted.correlation_id:
        response.headers["X-Correlation-ID"] = answer.submitted.correlation_id
    return answer.submitted


def _task(queue: Afresh, info: TaskInfo) -> Task:
    ruling = decide.ruling(queue.engine, queue.tasks[info.name])
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
        decided_by=ruling.decided_by,
        policy=shape(ruling.policy) if ruling.policy else None,
        http=info.http,
        arguments=info.arguments,
    )
