"""Dead letters over HTTP: what died and why, bringing it back, giving it up."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field

from ..queue.letters import Replayed, UnknownLetter, abandon_letter
from ..redact import Masked
from ..retry.failure import FailureType
from ..retry.taxonomy import TAXONOMY
from ..store.dead_letters import PROPERTIES, find_chain, find_letter, sum_letters
from ..store.dead_letters import list_letters as page_of_letters
from ..store.jobs import find_job, list_attempts
from ..store.paging import Row
from ..web.again import replay_letter
from ..web.auth import VIEWER, Operator
from ..web.errors import InvalidInput, JobGone
from ..web.fields import Cause, LetterStatus, State, Time
from ..web.letters import (
    LetterQuery,
    ReplayBody,
    Share,
    Summary,
    letter_filter,
    refuse_own_task,
    shares_of,
    summarise,
    what_helps,
)
from ..web.limits import StrictRoute
from ..web.outbound import Outbound
from ..web.paging import BIGGEST_ID, PageOf
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .idempotency import REPLAYED, IdempotencyKey, claim_of
from .jobs import Attempt, Redacted
from .reasons import MustReason

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=StrictRoute)

LetterId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]
REFUSALS = responses(400, 403, 404, 409, 413, 415, 422, 503)


class LetterSummary(BaseModel):
    """A piece of work that will not be tried again by itself."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(examples=[7])
    status: LetterStatus
    cause: Cause
    job_id: int = Field(description="The job that died first.", examples=[12])
    died_as: int = Field(description="The job whose end is told here: that one, or a replay of it.", examples=[12])
    replays: int = Field(description="How often it was brought back.", examples=[0])
    replayed_as: int | None = Field(description="The newest job in its place, whatever became of it.")
    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    queue: str = Field(examples=["api_calls"])
    priority: int = Field(examples=[5])
    dependency: str | None
    attempts: int = Field(description="Of the job whose end is told, runs that counted.", examples=[4])
    failure_type: FailureType | None
    exception_type: str | None = Field(examples=["httpx.ConnectError"])
    message: str | None
    reason: str | None = Field(description="What made it so, in one line.")
    fingerprint: str | None = Field(description="The failure group.")
    remediation: str | None = Field(description="What helps first.", examples=["CHECK_EXTERNAL"])
    first_died_at: Time
    died_at: Time
    changed_at: Time = Field(description="When it came into its status.")
    note: str | None = Field(description="Why it was abandoned.")
    bulk_id: int | None = Field(description="The bulk action that was the last to touch it.")


class LetterPage(PageOf[LetterSummary]):
    """Some dead letters, newest first."""


class ChainedJob(BaseModel):
    """One of the jobs of a letter."""

    job_id: int
    state: State | None = Field(description="Null: the job is not kept any more.")
    attempts: int | None
    created_at: Time | None
    ended_at: Time | None
    runs: list[Attempt]


class Letter(LetterSummary):
    """A dead letter with its whole story. Values of arguments whose key names a secret are masked."""

    args: Annotated[dict[str, Any], Redacted]
    lock: str | None
    queueing_lock: str | None
    meaning: str | None = Field(description="What its failure type means.")
    remediations: list[str] = Field(description="What helps, first things first.")
    jobs: list[ChainedJob] = Field(description="The job that died first, then those in its place, with every attempt.")


class Distribution(BaseModel):
    """Dead letters by the day of their death (UTC), and by kind, over some days until today."""

    days: int
    by_day: list[Share] = Field(description="In order; days without any are missing.")
    by_type: list[Share]
    by_task: list[Share]
    by_cause: list[Share]
    by_remediation: list[Share]


class ReplayedLetter(BaseModel):
    """A job in the place of one that died."""

    dead_letter_id: int = Field(examples=[7])
    job_id: int = Field(description="The job to look at from now on.", examples=[31])
    replay_of: int | None = Field(description="The job before it.", examples=[12])
    task_name: str
    queue: str
    priority: int
    state: State
    scheduled_at: Time | None


@router.get("", dependencies=[VIEWER], summary="List dead letters", responses=responses(422, 503))
async def list_letters(wanted: Annotated[LetterQuery, Query()], conn: ReadingConnection, queue: Queue) -> LetterPage:
    """Return one page of the letters that fit, newest first."""
    chosen = letter_filter(queue, wanted)
    page = await page_of_letters(conn, chosen, limit=wanted.limit, before=wanted.before, offset=wanted.offset)
    return LetterPage.of(page, LetterSummary.model_validate)


@router.get("/summary", dependencies=[VIEWER], summary="Count dead letters", responses=responses(503))
async def summarise_letters(conn: ReadingConnection) -> Summary:
    """Return how many letters there are by status, type, task, cause and remediation. Costs the same for a million."""
    return await summarise(conn)


@router.get("/distribution", dependencies=[VIEWER], summary="Count dead letters by day", responses=responses(422, 503))
async def distribute_letters(
    conn: ReadingConnection, days: Annotated[int, Query(ge=1, le=366, description="Until today, in UTC.")] = 30
) -> Distribution:
    """Return the letters whose newest death lies within these days: by day, type, task, cause and remediation."""
    since: date = datetime.now(UTC).date() - timedelta(days=days - 1)
    counts = await sum_letters(conn, PROPERTIES, since=since)
    shares = {f"by_{name}": shares_of(rows) for name, rows in counts.items()}
    shares["by_day"].sort(key=lambda share: share.name or "")
    return Distribution(days=days, **shares)


@router.get("/{letter_id}", dependencies=[VIEWER], summary="Show a dead letter", responses=responses(404, 422, 503))
async def show_letter(letter_id: LetterId, conn: ReadingConnection) -> Letter:
    """Return the whole story: what died and why, its arguments, and every attempt of every job in its place."""
    row = await find_letter(conn, letter_id)
    if row is None:
        raise UnknownLetter(letter_id)
    jobs = await find_chain(conn, letter_id)
    runs = await list_attempts(conn, [job["job_id"] for job in jobs])
    meaning = TAXONOMY.get(row["failure_type"])
    story = [job | {"runs": [Attempt.model_validate(run) for run in runs[job["job_id"]]]} for job in jobs]
    about = {
        "meaning": meaning.sentence if meaning else None,
        "remediations": what_helps(row["remediation"], meaning.actions if meaning else ()),
        "jobs": story,
    }
    return Letter.model_validate(row | about)


@router.post(
    "/{letter_id}/replay", status_code=202, summary="Bring a dead letter back", responses=REFUSALS | responses(410, 429)
)
async def replay(  # noqa: PLR0913, PLR0917 - FastAPI's way to name what a request brings.
    letter_id: LetterId,
    caller: Operator,
    queue: Queue,
    outbound: Outbound,
    response: Response,
    body: Annotated[ReplayBody, Body(default_factory=ReplayBody)],
    idempotency_key: IdempotencyKey = None,
) -> ReplayedLetter:
    """Put a fresh job into the place of the one that died, its attempts at zero.

    The letter is then retrying; it is resolved when that job succeeds, and pending again when it does not. Of several
    requests at once one makes a job; the others get 409 with its number, or 202 with the same `Idempotency-Key`.
    """
    route = f"POST /dead-letters/{letter_id}/replay"
    async with queue.connection() as conn:
        if body.args is not None:
            await refuse_own_task(conn, queue, letter_id, caller)
        try:
            made = await replay_letter(
                conn,
                queue,
                outbound,
                letter_id,
                body.changes(datetime.now(UTC)),
                actor=caller.name,
                reason=body.reason,
                claim=claim_of(caller.name, idempotency_key, route, body, queue.settings.submission),
            )
        except Masked as error:
            raise InvalidInput(f"args.{error.path}", "is masked, and not as it was shown; give its value") from None
        job = await _existing_job(conn, made)
    response.headers["Location"] = f"/jobs/{made.job_id}"
    if made.repeated:
        response.headers[REPLAYED] = "true"
    return ReplayedLetter.model_validate(job | {"dead_letter_id": letter_id})


@router.post("/{letter_id}/abandon", summary="Give a dead letter up", responses=REFUSALS)
async def abandon(letter_id: LetterId, body: MustReason, caller: Operator, queue: Queue) -> LetterSummary:
    """Mark a letter as not to be brought back, with a note that says why. It is kept, and a replay stays possible."""
    async with queue.connection() as conn:
        await abandon_letter(conn, letter_id, actor=caller.name, note=body.reason)
        return LetterSummary.model_validate(await find_letter(conn, letter_id))


async def _existing_job(conn: AsyncConnection[Any], made: Replayed) -> Row:
    job = await find_job(conn, made.job_id)
    if job is None:
        raise JobGone(f"job {made.job_id}, which this Idempotency-Key stands for, is not kept any more; use a new key")
    return job
