"""What a client says about a job to be, and what it comes to: a new job, or the one that its key stands for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..config import SubmissionSettings
from ..config.values import TASK_TYPES, TaskType
from ..queue.app import Afresh
from ..queue.backpressure import QueueFull
from ..queue.catalog import TaskInfo
from ..queue.submit import Submission, repeated, submit, submit_once
from ..queue.task import Cost
from ..redact import MASK
from ..store.idempotency import Claim, Claimed
from ..store.jobs import find_job
from ..telemetry import JobsSubmitted, SubmissionRepeated, emit
from ..web.errors import InvalidInput, JobGone, TooManyJobs
from ..web.fields import Duration, JobQueue, Metadata, Moment, Priority, State, Text, Time
from ..web.keyring import LOCAL, Caller
from ..web.outbound import OutboundLimit
from ..web.paging import BIGGEST_INTEGER

Value = TypeVar("Value")

TaskName = Annotated[str, Path(description="Its slug, or its full dotted name.", examples=["fetch-joke"])]


def nothing_masked(value: Value) -> Value:
    """Refuse what is nothing but a mask: copied from a job as it is shown, it would be given to the task as it is.

    Raises:
        ValueError: Says where.
    """
    if (path := _masked(value)) is not None:
        raise ValueError(f"{'.'.join(path)} is masked, as it was shown; give its value".lstrip())
    return value


def _masked(value: Any, path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    match value:
        case str():
            return path if value == MASK else None
        case dict():
            children = (((*path, key), child) for key, child in value.items())
        case list():
            children = (((*path, str(index)), child) for index, child in enumerate(value))
        case _:
            return None
    return next((found for where, child in children if (found := _masked(child, where)) is not None), None)


def _beside_args(_: object) -> NoReturn:
    raise ValueError("unknown field; what the task is called with goes into args")


class SubmitBody(BaseModel):
    """What to run, when, and how. Everything is optional."""

    # Forbidden, but in words of our own: who puts a task's arguments beside `args` reads where they go.
    __pydantic_extra__: dict[str, Annotated[Any, BeforeValidator(_beside_args)]] = Field(init=False)
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "additionalProperties": False,
            "examples": [{"args": {"joke_id": 42}, "priority": "high", "run_in": "5m"}],
        },
    )

    args: dict[str, Any] = Field(default_factory=dict, description="What the task is called with.")
    queue: JobQueue | None = Field(None, description="In place of the task's own.")
    priority: Priority | None = Field(None, description="1 to 10, higher first; or low, normal, high, critical.")
    run_at: Moment | None = Field(None, description="Not before then; ISO 8601 with an offset.")
    run_in: Duration | None = Field(None, description="Not before this has passed: seconds, or 30s, 5m, 2h, 7d.")
    deadline: Moment | None = Field(
        None, description="It is not begun after then, but buried; in the future, ISO 8601 with an offset."
    )
    max_retries: int | None = Field(None, strict=True, ge=0, lt=BIGGEST_INTEGER, description="After the first attempt.")
    timeout: Duration | None = Field(None, description="Longest run of one attempt: seconds, or 30s, 5m, 2h, 7d.")
    task_type: Text | None = Field(
        None,
        description=f"A kind of work; {', '.join(TASK_TYPES)}, and those of the setting TASK_TYPES, bring a queue and "
        "a priority of their own.",
    )
    metadata: Metadata | None = Field(None, description="Anything to find it by; at most 16 KB.")
    correlation_id: Text | None = Field(None, description="Goes with it into every log line.")
    dependency: Text | None = Field(None, description="What it relies on, in place of what its task relies on.")
    lock: Text | None = Field(None, description="Of the jobs with one lock, one runs at a time.")
    cost: Cost | None = Field(
        None, description="`deferrable`: with a priority of 3 at most it waits until PEAK_HOURS are over."
    )
    queueing_lock: Text | None = Field(None, description="Of the jobs with one queueing lock, one waits at a time.")

    _nothing_masked = field_validator("args", "metadata")(nothing_masked)

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


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for everything in one request."""

    now: datetime
    caller: Caller
    correlation_id: str | None
    settings: SubmissionSettings
    outbound: OutboundLimit


@dataclass(frozen=True, slots=True)
class Answer:
    """What a submission comes to.

    Attributes:
        repeated: Its Idempotency-Key was known: the job is the one that was made first, as it is now.
    """

    submitted: Submitted
    repeated: bool = False


def submission_of(info: TaskInfo, body: SubmitBody, terms: Terms) -> Submission:
    """What was asked for; then what its kind of work brings; then what the task itself says."""
    kind = _kind(body.task_type, terms.settings)
    return Submission(
        task_name=info.name,
        args=body.args,
        queue=body.queue or (kind.queue if kind else info.queue),
        priority=body.priority or (kind.priority if kind else info.priority),
        run_at=body.time(terms.now),
        lock=body.lock or info.lock,
        queueing_lock=body.queueing_lock or info.queueing_lock,
        max_retries=body.max_retries,
        timeout=body.timeout,
        deadline=body.deadline,
        task_type=body.task_type,
        dependency=body.dependency,
        correlation_id=body.correlation_id or terms.correlation_id,
        metadata=body.metadata or None,
        cost=body.cost,
        submitted_by=None if terms.caller == LOCAL else terms.caller.name,
    )


def fault_of_deadline(wanted: Submission, now: datetime) -> str | None:
    """Why a job could never be begun before its deadline; None: it can."""
    if wanted.deadline is None:
        return None
    if wanted.deadline <= now:
        return "a time in the future"
    if wanted.run_at is not None and wanted.deadline <= wanted.run_at:
        return f"a time after {wanted.run_at:%Y-%m-%d %H:%M:%S %Z}, before which it is not to run"
    return None


def _check_deadline(wanted: Submission, now: datetime) -> None:
    if fault := fault_of_deadline(wanted, now):
        raise InvalidInput("deadline", fault)


def _kind(task_type: str | None, settings: SubmissionSettings) -> TaskType | None:
    if task_type is None:
        return None
    return settings.task_types.get(task_type) or TASK_TYPES.get(task_type)


async def hand_in(queue: Afresh, wanted: Submission, claim: Claim | None, terms: Terms) -> Answer:
    """Make the job, or find the one that was made with this key before.

    Raises:
        AlreadyQueued: Its queueing lock is held.
        InvalidInput: Its deadline has passed; a repeat is answered all the same.
        KeyReused: The key stands for another body.
        QueueFull: The queue has its limit; a repeat is answered all the same.
        TooManyJobs: As QueueFull, of the key.
        JobGone: The key's job is not kept any more.
    """
    try:
        _check_deadline(wanted, terms.now)
        ready = {} if _is_later(wanted, terms.now) else {wanted.queue: 1}
        info = queue.catalog.resolve(wanted.task_name)
        with terms.outbound.spending(terms.caller.name, info, [wanted.args]) as spent:
            async with queue.backpressure.room(ready), queue.connection() as conn:
                if claim:
                    made = await submit_once(conn, wanted, claim)
                else:
                    made = await submit(conn, wanted, actor=terms.caller.name)
            spent.made = not isinstance(made, Claimed)
    except (QueueFull, TooManyJobs, InvalidInput):
        if claim is None or (first := await _first_of(queue, claim)) is None:
            raise
        return await _as_it_is(queue, first)
    if isinstance(made, Claimed):
        return await _as_it_is(queue, made)
    emit(JobsSubmitted(1))
    return Answer(_submitted(made, wanted, terms.now))


async def _first_of(queue: Afresh, claim: Claim) -> Claimed | None:
    async with queue.connection() as conn:
        return await repeated(conn, claim)


async def _as_it_is(queue: Afresh, first: Claimed) -> Answer:
    emit(SubmissionRepeated(1))
    job_id = first.job_id or 0
    async with queue.connection() as conn:
        row = await find_job(conn, job_id)
    if row is None:
        raise JobGone(f"job {job_id}, which this Idempotency-Key stands for, is not kept any more; use a new key")
    fields: dict[str, Any] = {name: row[name] for name in Submitted.model_fields}
    return Answer(Submitted(**fields), repeated=True)


def _is_later(submission: Submission, now: datetime) -> bool:
    return submission.run_at is not None and submission.run_at > now


def _submitted(job_id: int, submission: Submission, now: datetime) -> Submitted:
    return Submitted(
        job_id=job_id,
        task_name=submission.task_name,
        queue=submission.queue,
        status="todo",
        state="scheduled" if _is_later(submission, now) else "ready",
        priority=submission.priority,
        scheduled_at=submission.run_at,
        correlation_id=submission.correlation_id,
    )
