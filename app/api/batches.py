"""Many jobs of one task at once over HTTP, and how far they are."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from ..queue.app import Afresh
from ..queue.backpressure import QueueFull
from ..queue.batch import MOST, Batch, submit_batch
from ..queue.catalog import InvalidArguments, TaskInfo
from ..queue.submit import Submission, repeated
from ..store.batches import BatchProgress, find_batch, list_job_ids
from ..store.idempotency import Claim, Claimed
from ..telemetry import JobsSubmitted, SubmissionRepeated, emit
from ..web.auth import VIEWER, Operator
from ..web.errors import InvalidItems, JobGone, TooManyJobs, UnknownBatch
from ..web.fields import State, Text, Time
from ..web.limits import StrictRoute
from ..web.outbound import Outbound
from ..web.paging import BIGGEST_ID
from ..web.permitted import deferrable
from ..web.problem import MOST_FAULTS, responses
from ..web.reading import Queue, ReadingConnection
from .idempotency import KEY_HELP, MADE, REPLAYED, IdempotencyKey, claim_of
from .submissions import SubmitBody, TaskName, Terms, fault_of_deadline, submission_of

router = APIRouter(tags=["batches"], route_class=StrictRoute)

BatchId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]

_AT_ONCE = 250
"""Items that are looked at before other requests get their turn."""


class BatchBody(BaseModel):
    """Jobs of one task, each as for a single one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"jobs": [{"args": {"joke_id": 1}}, {"args": {"joke_id": 2}, "run_in": "5m"}]}]
        },
    )

    jobs: list[SubmitBody] = Field(min_length=1, max_length=MOST)
    on_conflict: Literal["fail", "skip"] = Field(
        "fail",
        description="What to do about an item whose queueing lock is held by a waiting job, or by an item before it: "
        "store nothing and answer 409 with its index, or leave it out.",
    )


class BatchSubmitted(BaseModel):
    """Jobs that now wait."""

    batch_id: int = Field(examples=[1])
    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    total: int = Field(description="Jobs that were made.", examples=[2])
    job_ids: list[int] = Field(description="In the order of the items.", examples=[[1, 2]])
    skipped: list[int] = Field(description="Indices of items that were left out.", examples=[[]])


class BatchReport(BaseModel):
    """How far a batch is."""

    batch_id: int = Field(examples=[1])
    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    created_at: Time
    created_by: str = Field(examples=["local"])
    total: int = Field(description="Jobs that were made.", examples=[150])
    skipped: int = Field(description="Items that were left out.", examples=[0])
    states: dict[State, int] = Field(examples=[{"ready": 20, "running": 10, "succeeded": 115, "failed": 5}])
    gone: int = Field(description="Jobs that ended and are not kept any more.", examples=[0])
    finished: int = Field(description="Jobs that have ended, however.", examples=[120])
    percent: float = Field(description="Of the total.", examples=[80.0])
    eta: Time | None = Field(description="When it is done at the rate of the last minutes; null: cannot be told.")
    eta_seconds: float | None = Field(examples=[12.5])


@router.post(
    "/tasks/{task}/batch",
    status_code=202,
    summary="Run a task many times in the background",
    description=f"Up to {MOST:,} jobs in one transaction, all or none. `Location` says where to follow them.\n\n"
    f"{KEY_HELP}",
    responses=responses(400, 403, 404, 409, 410, 413, 415, 422, 429, 503) | {202: {"headers": MADE}},
)
async def defer_batch(  # noqa: PLR0913, PLR0917 - FastAPI's way to name what a request brings.
    task: TaskName,
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: BatchBody,
    x_correlation_id: Annotated[Text | None, Header(description="As `correlation_id` of each that has none.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> BatchSubmitted:
    """Put all jobs into their queues, or none of them."""
    info = deferrable(queue, task, caller)
    await _validate(queue, info, body)
    terms = Terms(datetime.now(UTC), caller, x_correlation_id, queue.settings.submission, outbound)
    wanted = [submission_of(info, each, terms) for each in body.jobs]
    claim = claim_of(caller.name, idempotency_key, f"POST /tasks/{info.name}/batch", body, terms.settings)
    made = await _hand_in(queue, wanted, claim, terms, on_conflict=body.on_conflict)
    if isinstance(made, Claimed):
        response.headers[REPLAYED] = "true"
        made = await _as_it_was(queue, made)
    else:
        emit(JobsSubmitted(len(made.job_ids)))
    response.headers["Location"] = f"/batches/{made.batch_id}"
    return BatchSubmitted(
        batch_id=made.batch_id,
        task_name=info.name,
        total=len(made.job_ids),
        job_ids=made.job_ids,
        skipped=made.skipped,
    )


@router.get(
    "/batches/{batch_id}", dependencies=[VIEWER], summary="Show how far a batch is", responses=responses(404, 422, 503)
)
async def show_batch(batch_id: BatchId, conn: ReadingConnection) -> BatchReport:
    """Return the batch's jobs by state, and when it will be done."""
    batch = await find_batch(conn, batch_id)
    if batch is None:
        raise UnknownBatch(batch_id)
    return _report(batch, datetime.now(UTC))


async def _validate(queue: Afresh, info: TaskInfo, body: BatchBody) -> None:
    """Look at every item's arguments.

    Raises:
        InvalidItems: Some do not fit; the first hundred faults are named.
    """
    faults: dict[str, str] = {}
    for index, item in enumerate(body.jobs):
        if index % _AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            queue.catalog.validate(info, item.args)
        except InvalidArguments as error:
            where = f"jobs.{index}.args"
            faults |= {f"{where}.{name}" if name else where: fault for name, fault in error.faults.items()}
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise InvalidItems(dict(list(faults.items())[:MOST_FAULTS]))


def _check_deadlines(wanted: list[Submission], now: datetime) -> None:
    faults = {f"jobs.{index}.deadline": fault_of_deadline(each, now) for index, each in enumerate(wanted)}
    if found := {field: fault for field, fault in faults.items() if fault}:
        raise InvalidItems(dict(list(found.items())[:MOST_FAULTS]))


async def _hand_in(
    queue: Afresh,
    wanted: list[Submission],
    claim: Claim | None,
    terms: Terms,
    *,
    on_conflict: Literal["fail", "skip"],
) -> Batch | Claimed:
    ready = Counter(each.queue for each in wanted if each.run_at is None or each.run_at <= terms.now)
    actor, task_name = terms.caller.name, wanted[0].task_name
    try:
        _check_deadlines(wanted, terms.now)
        info, args = queue.catalog.resolve(task_name), [each.args for each in wanted]
        with terms.outbound.spending(actor, info, args) as spent:
            async with queue.backpressure.room(ready), queue.connection() as conn:
                made = await submit_batch(
                    conn, wanted, task_name=task_name, actor=actor, on_conflict=on_conflict, claim=claim
                )
            spent.made = isinstance(made, Batch)
            return made
    except (QueueFull, TooManyJobs, InvalidItems):  # None is asked of a request that was answered before.
        async with queue.connection() as conn:
            if claim and (first := await repeated(conn, claim)):
                return first
        raise


async def _as_it_was(queue: Afresh, first: Claimed) -> Batch:
    batch_id = first.batch_id or 0
    async with queue.connection() as conn:
        made = await list_job_ids(conn, batch_id)
        batch = await find_batch(conn, batch_id)
    emit(SubmissionRepeated(1 if batch is None else batch.total))
    if batch is None or batch.gone == batch.total > 0:
        raise JobGone(f"the jobs of batch {batch_id}, which this Idempotency-Key stands for, are not kept any more")
    return Batch(batch_id, made, batch.skipped)


def _report(batch: BatchProgress, now: datetime) -> BatchReport:
    left = batch.eta_seconds(now)
    return BatchReport(
        batch_id=batch.id,
        task_name=batch.task_name,
        created_at=batch.created_at,
        created_by=batch.created_by,
        total=batch.total,
        skipped=len(batch.skipped),
        states=batch.states,
        gone=batch.gone,
        finished=batch.finished,
        percent=batch.percent,
        eta=None if left is None else now + timedelta(seconds=left),
        eta_seconds=left,
    )
