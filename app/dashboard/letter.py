"""The page of one dead letter: what died and why, what helps, every attempt of every job; bringing it back, or not."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from psycopg import AsyncConnection

from ..queue.app import Afresh
from ..queue.catalog import InvalidArguments
from ..queue.letters import AHEAD, Changes, UnknownLetter, abandon_letter
from ..redact import Masked, redact
from ..retry.taxonomy import TAXONOMY
from ..store.dead_letters import find_chain, find_letter
from ..store.jobs import list_attempts
from ..store.paging import Row
from ..web.again import replay_letter
from ..web.errors import InvalidInput
from ..web.letters import refuse_own_task, what_helps
from ..web.outbound import Outbound
from ..web.paging import BIGGEST_ID
from ..web.reading import Queue, ReadingConnection
from .forms import Form, OperatorsForm, done
from .frame import render

LOWEST, HIGHEST = 1, 10
"""The priorities that people give."""

TOLD_JOBS = 20
"""The latest of its jobs on the page, besides the first: it may be replayed again and again."""

TOLD_RUNS = 20
"""Of each of them, the latest: a job may be tried for ever."""

FIELDS = ("args", "queue", "priority", "ahead", "run_in", "run_at", "reason")

router = APIRouter(prefix="/dashboard")

LetterId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]


@router.get("/dead-letters/{letter_id}")
async def show_letter(
    request: Request,
    letter_id: LetterId,
    conn: ReadingConnection,
    queue: Queue,
    *,
    edit: Annotated[bool, Query()] = False,
) -> HTMLResponse:
    """Everything that is known of one letter; with `edit`, the form for its replay unfolded."""
    story = await _story(conn, queue, letter_id)
    return render(request, "letter.html", "Dead letters", fault=None, draft={}, edit=edit, **story)


@router.post("/dead-letters/{letter_id}/replay")
async def replay(
    request: Request, letter_id: LetterId, form: OperatorsForm, queue: Queue, outbound: Outbound
) -> Response:
    """Put a fresh job in its place, with what was changed. What cannot be is said beside the form, which keeps it."""
    draft = {name: next(iter(form.all(name)), "") for name in FIELDS}
    async with queue.connection() as conn:
        try:
            letter = await find_letter(conn, letter_id)
            if letter is None:
                raise UnknownLetter(letter_id)
            reason, changes = form.needed("reason"), _changes(form, letter["args"], datetime.now(UTC))
            if changes.args is not None:
                await refuse_own_task(conn, queue, letter_id, form.caller)
            made = await replay_letter(conn, queue, outbound, letter_id, changes, actor=form.caller.name, reason=reason)
        except (InvalidInput, InvalidArguments, Masked) as refusal:
            story = await _story(conn, queue, letter_id)
            page = render(
                request, "letter.html", "Dead letters", fault=_fault(refusal), draft=draft, edit=True, **story
            )
            page.status_code = 422
            return page
    return done(request, address_of_letter(letter_id), f"Job {made.job_id} runs in the place of job {made.replay_of}.")


@router.post("/dead-letters/{letter_id}/abandon")
async def abandon(request: Request, letter_id: LetterId, form: OperatorsForm, queue: Queue) -> Response:
    """Mark it as not to be brought back, with a note that says why."""
    note = form.needed("reason")
    async with queue.connection() as conn:
        await abandon_letter(conn, letter_id, actor=form.caller.name, note=note)
    return done(request, address_of_letter(letter_id), f"Dead letter {letter_id} is abandoned.")


def address_of_letter(letter_id: int) -> str:
    """Where its page is."""
    return f"/dashboard/dead-letters/{letter_id}"


async def _story(conn: AsyncConnection[Any], queue: Afresh, letter_id: int) -> Row:
    """What the page shows."""
    letter = await find_letter(conn, letter_id)
    if letter is None:
        raise UnknownLetter(letter_id)
    first, *others = await find_chain(conn, letter_id)
    jobs = [first, *others[-TOLD_JOBS:]]
    runs = await list_attempts(conn, [job["job_id"] for job in jobs], most=TOLD_RUNS + 1)
    meaning = TAXONOMY.get(letter["failure_type"])
    return {
        "letter": letter,
        "meaning": meaning.sentence if meaning else None,
        "remediations": what_helps(letter["remediation"], meaning.actions if meaning else ()),
        "dependency": letter["dependency"] or queue.dependency_of(letter["task_name"]),
        "is_known": queue.catalog.find(letter["task_name"]) is not None,
        "chain": [(job, runs[job["job_id"]][-TOLD_RUNS:], len(runs[job["job_id"]]) > TOLD_RUNS) for job in jobs],
        "replays": len(others),
        "left_out": len(others) - len(jobs) + 1,
    }


def _changes(form: Form, args: dict[str, Any], now: datetime) -> Changes:
    """What is to be different. Arguments that came back as they were shown are not."""
    given = form.arguments("args")
    run_in, run_at = form.duration("run_in"), form.moment("run_at")
    if run_in and run_at:
        raise InvalidInput("run_at", "only one of this and run_in")
    ahead, priority = form.text("ahead"), form.integer("priority", least=LOWEST, most=HIGHEST)
    if ahead and priority:
        raise InvalidInput("priority", "only one of this and ahead of all others")
    return Changes(
        args=None if given == orjson.loads(orjson.dumps(redact(args))) else given,
        queue=form.queue("queue"),
        priority=AHEAD if ahead else priority,
        run_at=now + run_in if run_in else run_at,
    )


def _fault(refusal: InvalidInput | InvalidArguments | Masked) -> str:
    match refusal:
        case InvalidArguments():
            return "; ".join(f"args.{name}: {fault}" for name, fault in refusal.faults.items())
        case Masked():
            return f"args.{refusal}"
        case _:
            return str(refusal)
