"""Translations over HTTP: jobs of `translate`, under words of their own."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..queue.control import UnknownJob
from ..store.batches import find_batch, list_job_ids
from ..store.jobs import find_job
from ..store.paging import Row
from ..tasks.translation import MODES, NAME, Language, Mode, Source
from ..web.auth import VIEWER, Operator
from ..web.errors import JobGone, NoResult, UnknownBatch
from ..web.fields import JobId, State, Text, Time
from ..web.limits import StrictRoute
from ..web.outbound import Outbound
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .batches import BatchBody, BatchId, BatchSubmitted, defer_batch
from .idempotency import KEY_HELP, MADE, IdempotencyKey
from .job_actions import REFUSALS, RETRIED, JobAction, cancel_job, retry_job
from .jobs import LastFailure, Redacted, shape
from .reasons import MayReason, Reason
from .submissions import SubmitBody, nothing_masked
from .tasks import defer_task

router = APIRouter(prefix="/translations", tags=["translations"], route_class=StrictRoute)

SUBMITTED = responses(400, 403, 409, 410, 413, 415, 422, 429, 503) | {202: {"headers": MADE}}

MOST_TEXTS = 1_000
"""In one batch."""

Shown = Annotated[str, Redacted]
"""Of the arguments and the result of a job: without the secrets in it, as everywhere that these are shown."""

CorrelationId = Annotated[Text | None, Header(description="Goes with each job into every log line.")]


class TextBody(BaseModel):
    """A text, and the language that it is wanted in."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Good morning", "target": "French"}]}
    )

    text: Source = Field(examples=["Good morning"])
    target: Language = Field(description="Such as French, or pt-BR.", examples=["French"])
    source: Language | None = Field(None, description="Of the text; else the model finds out.", examples=["English"])

    _nothing_masked = field_validator("text")(nothing_masked)

    def job(self, mode: Mode) -> SubmitBody:
        """The job that translates it."""
        return SubmitBody(
            args=self.model_dump(include={"text", "target", "source"}, exclude_none=True) | {"mode": mode}
        )


class TranslationBody(TextBody):
    """What is to be translated, and by which models."""

    mode: Mode = Field("hybrid", description="Which model does which step; hybrid: thought goes into the review alone.")


class TranslationBatchBody(BaseModel):
    """Many texts."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "translations": [
                        {"text": "Tea", "target": "Dutch"},
                        {"text": "Cake", "target": "pt-BR", "mode": "non_reasoning"},
                    ]
                }
            ]
        },
    )

    translations: list[TranslationBody] = Field(min_length=1, max_length=MOST_TEXTS)


class TranslationSubmitted(BaseModel):
    """A translation that now waits."""

    translation_id: int = Field(description="Of its job, too.", examples=[1])
    state: State = Field(examples=["ready"])


class Comparison(BaseModel):
    """One text, translated in every mode."""

    batch_id: int = Field(description="`GET /translations/compare/{batch_id}` shows them side by side.", examples=[1])
    translations: dict[Mode, int] = Field(examples=[{"reasoning": 1, "non_reasoning": 2, "hybrid": 3}])


class Translation(BaseModel):
    """How far a translation is."""

    translation_id: int = Field(examples=[1])
    state: State = Field(examples=["running"])
    mode: Shown | None = Field(examples=["hybrid"])
    source: Shown | None = Field(examples=["English"])
    target: Shown | None = Field(description="null: its job, which nobody checked, names none.", examples=["French"])
    progress: float | None = Field(description="From 0 to 1.", examples=[0.67])
    progress_message: str | None = Field(examples=["Review done"])
    attempts: int = Field(description="Runs that ended and counted.", examples=[0])
    created_at: Time | None
    ended_at: Time | None
    replayed_as: int | None = Field(description="The translation that runs in its place.", examples=[None])
    last_failure: LastFailure | None


class TranslationResult(BaseModel):
    """What a translation came to."""

    translation_id: int = Field(examples=[1])
    text: Shown = Field(description="The revised translation.", examples=["Bonjour"])
    draft: Shown = Field(examples=["Bon matin"])
    review: Shown = Field(description="What was found wrong with the draft.", examples=["Nobody says bon matin."])
    mode: Mode
    models: dict[Literal["draft", "review", "revision"], str] = Field(
        examples=[{"draft": "gpt-4.1-mini", "review": "o4-mini", "revision": "gpt-4.1-mini"}]
    )
    tokens: int = Field(description="That all steps took; each counts once, however often it was tried.", examples=[21])


class Compared(BaseModel):
    """One text in one mode: how far it is, and what came of it."""

    translation_id: int = Field(examples=[1])
    state: State = Field(examples=["succeeded"])
    seconds: float | None = Field(description="That its last attempt took.", examples=[3.2])
    result: TranslationResult | None = Field(description="null until it has succeeded.")
    last_failure: LastFailure | None


class SideBySide(BaseModel):
    """One text in all modes."""

    batch_id: int = Field(examples=[1])
    text: Shown | None = Field(description="What was to be translated.", examples=["Good morning"])
    target: Shown | None = Field(examples=["French"])
    translations: dict[Mode, Compared] = Field(description="Those of jobs that are still kept.")


@router.post("", status_code=202, summary="Translate a text", description=KEY_HELP, responses=SUBMITTED)
async def submit_translation(  # noqa: PLR0913, PLR0917 - FastAPI's way to name what a request brings.
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: TranslationBody,
    x_correlation_id: CorrelationId = None,
    idempotency_key: IdempotencyKey = None,
) -> TranslationSubmitted:
    """Put a translation into its queue, once for each Idempotency-Key."""
    made = await defer_task(
        NAME, caller, queue, outbound, response, body.job(body.mode), x_correlation_id, idempotency_key
    )
    response.headers["Location"] = f"/translations/{made.job_id}"
    return TranslationSubmitted(translation_id=made.job_id, state=made.state)


@router.post("/batch", status_code=202, summary="Translate many texts", description=KEY_HELP, responses=SUBMITTED)
async def submit_translations(  # noqa: PLR0913, PLR0917 - as above.
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: TranslationBatchBody,
    x_correlation_id: CorrelationId = None,
    idempotency_key: IdempotencyKey = None,
) -> BatchSubmitted:
    """Put all of them into their queue, or none."""
    jobs = BatchBody(jobs=[each.job(each.mode) for each in body.translations], on_conflict="fail")
    return await defer_batch(NAME, caller, queue, outbound, response, jobs, x_correlation_id, idempotency_key)


@router.post(
    "/compare", status_code=202, summary="Translate a text in every mode", description=KEY_HELP, responses=SUBMITTED
)
async def compare_translations(  # noqa: PLR0913, PLR0917 - as above.
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: TextBody,
    x_correlation_id: CorrelationId = None,
    idempotency_key: IdempotencyKey = None,
) -> Comparison:
    """Put one translation for each mode into their queue, side by side."""
    jobs = BatchBody(jobs=[body.job(mode) for mode in MODES], on_conflict="fail")
    made = await defer_batch(NAME, caller, queue, outbound, response, jobs, x_correlation_id, idempotency_key)
    if len(made.job_ids) != len(MODES):
        raise JobGone(f"not all translations of batch {made.batch_id} are kept any more; use a new key")
    response.headers["Location"] = f"/translations/compare/{made.batch_id}"
    return Comparison(batch_id=made.batch_id, translations=dict(zip(MODES, made.job_ids, strict=True)))


@router.get(
    "/compare/{batch_id}",
    dependencies=[VIEWER],
    summary="Show a text in every mode, side by side",
    responses=responses(404, 422, 503),
)
async def show_comparison(batch_id: BatchId, conn: ReadingConnection, queue: Queue) -> SideBySide:
    """Return what each mode made of the text, with its tokens and its time; where a retry was asked for, of that."""
    batch = await find_batch(conn, batch_id)
    if batch is None or batch.task_name != NAME or batch.total != len(MODES):
        raise UnknownBatch(batch_id)
    jobs = [job for number in await list_job_ids(conn, batch_id) if (job := await find_job(conn, number))]
    by_mode = {_text(job["args"].get("mode")): job for job in jobs}
    if len(by_mode) < len(jobs) or not by_mode.keys() <= set(MODES):
        raise UnknownBatch(batch_id)
    asked = jobs[0]["args"] if jobs else {}
    return SideBySide(
        batch_id=batch_id,
        text=_text(asked.get("text")),
        target=_text(asked.get("target")),
        translations={mode: _compared(shape(await _latest(conn, job), queue)) for mode, job in by_mode.items()},
    )


@router.get("/{job_id}", dependencies=[VIEWER], summary="Show a translation", responses=responses(404, 422, 503))
async def show_translation(job_id: JobId, conn: ReadingConnection, queue: Queue) -> Translation:
    """Return how far it is."""
    job = shape(await _existing(conn, job_id), queue)
    asked: dict[str, Any] = {"mode": "hybrid"} | job["args"]
    named = {name: _text(asked.get(name)) for name in ("mode", "source", "target")}
    return Translation.model_validate(job | named | {"translation_id": job_id})


@router.get(
    "/{job_id}/result",
    dependencies=[VIEWER],
    summary="Show what was translated",
    responses=responses(404, 409, 422, 503),
)
async def show_translation_result(job_id: JobId, conn: ReadingConnection) -> TranslationResult:
    """Return the text, with its draft and its review; 409 until it has succeeded."""
    job = await _existing(conn, job_id)
    result = _result(job)
    if result is None:
        raise NoResult(job_id, job["state"], job["last_failure_type"], job["last_message"])
    return result


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Run a translation again",
    responses=RETRIED,
)
async def retry_translation(  # noqa: PLR0913, PLR0917 - as above.
    job_id: JobId,
    caller: Operator,
    response: Response,
    queue: Queue,
    outbound: Outbound,
    body: MayReason,
) -> JobAction:
    """Run it now, or another in its place; steps that are done are not done again."""
    async with queue.connection() as conn:
        await _existing(conn, job_id)
    action = await retry_job(job_id, caller, response, queue, outbound, body)
    response.headers["Location"] = f"/translations/{action.job_id}"
    return action


@router.delete(
    "/{job_id}",
    summary="Cancel a translation",
    responses=REFUSALS | {202: {"model": JobAction, "description": "It runs, and is asked to stop"}},
)
async def cancel_translation(job_id: JobId, caller: Operator, response: Response, queue: Queue) -> JobAction:
    """End a waiting one at once; stop a running one (202)."""
    async with queue.connection() as conn:
        await _existing(conn, job_id)
    return await cancel_job(job_id, caller, response, queue, Reason())


async def _latest(conn: AsyncConnection[Any], job: Row) -> Row:
    """A job, or the last that is kept of those that run in its place."""
    while job["replayed_as"] is not None and (follower := await find_job(conn, job["replayed_as"])):
        job = follower
    return job


def _compared(job: Row) -> Compared:
    began, ended, is_done = job["started_at"], job["ended_at"], job["state"] == "succeeded"
    return Compared(
        translation_id=job["job_id"],
        state=job["state"],
        seconds=(ended - began).total_seconds() if is_done and began and ended else None,
        result=_result(job),
        last_failure=job["last_failure"],
    )


def _result(job: Row) -> TranslationResult | None:
    """What it came to; None: it has not succeeded, or its result is too large to be stored."""
    if job["state"] != "succeeded" or job["result"] is None:
        return None
    return TranslationResult.model_validate(job["result"] | {"translation_id": job["job_id"]})


def _text(argument: Any) -> str | None:
    """An argument of a job that may have come by SQL, where nobody checked it."""
    return argument if isinstance(argument, str) else None


async def _existing(conn: AsyncConnection[Any], job_id: int) -> Row:
    job = await find_job(conn, job_id)
    if job is None or job["task_name"] != NAME:
        raise UnknownJob(job_id)
    return job
