"""What is done to many jobs at once: first how many it would be, then, with a reason, the job that does it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from ..queue import many
from ..queue.many import Action, Chosen
from ..store.jobs import list_jobs
from ..store.paging import Page
from ..web.auth import Operator
from ..web.errors import InvalidInput
from ..web.reading import Queue, ReadingConnection
from .forms import OperatorsForm, done
from .frame import render
from .job import address_of_job
from .jobs import PAGE_SIZE, Filters, JobFilters, filters_of

SHOWN = 10
"""Of the jobs that it would be."""

Ticked = Annotated[list[Annotated[int, Query(ge=1, lt=2**63)]], Query(max_length=many.MOST_TICKED)]

router = APIRouter(prefix="/dashboard")


@router.get("/jobs/many")
async def show_many(  # noqa: PLR0913 - each is in the address.
    request: Request,
    action: Literal["cancel", "retry"],
    filters: JobFilters,
    conn: ReadingConnection,
    _: Operator,
    *,
    job: Ticked = [],  # noqa: B006 - FastAPI makes a new one.
    ticked: Annotated[bool, Query()] = False,
) -> HTMLResponse:
    """Say how many jobs it would be, and ask for a reason.

    Where those that are `ticked` are meant, and none is, all that fit the filters are not meant in their place.
    """
    if ticked and not job:
        raise InvalidInput("job", "none is ticked")
    chosen = _chosen(job, filters)
    page = Page([], len(job), total_is_exact=True, next_before=None)
    if not job:
        page = await list_jobs(conn, chosen.fits, limit=SHOWN)  # Its total is the number that `start` would count.
    return render(
        request,
        "many.html",
        "Jobs",
        action=action,
        total=page.total,
        total_is_exact=page.total_is_exact,
        most=many.MOST,
        ticked=job,
        most_shown=PAGE_SIZE,
        given={} if job else filters.given,
        without_own=not job and filters.chosen.without_own,
        moments=filters.moments,
        shown=page.items,
        back=filters.address(),
    )


@router.post("/jobs/many")
async def act_on_many(request: Request, form: OperatorsForm, queue: Queue) -> Response:
    """Have it done; lead to the job that does it."""
    action = form.needed("action")
    if action not in {"cancel", "retry"}:
        raise InvalidInput("action", "one of cancel, retry")
    ticked = [_id(each) for each in form.all("job")]
    if len(ticked) > many.MOST_TICKED:
        raise InvalidInput("job", f"at most {many.MOST_TICKED:,}")
    filters = filters_of(queue, {name: form.text(name) or "" for name in Filters.NAMES})
    wanted: Action = "cancel" if action == "cancel" else "retry"
    chosen = _chosen(ticked, filters)
    reason = form.needed("reason")
    async with queue.connection() as conn:
        job_id = await many.start(conn, wanted, chosen, actor=form.caller.name, reason=reason)
    return done(request, address_of_job(job_id), f"Job {job_id} does it; here is how far it is.")


def _chosen(ticked: list[int], filters: Filters) -> Chosen:
    chosen = Chosen(ticked) if ticked else Chosen(fits=filters.chosen)
    try:
        chosen.check()
    except many.NothingChosen as nothing:
        raise InvalidInput("job", str(nothing)) from None
    return chosen


def _id(value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value[:20]) < 2**63:
        raise InvalidInput("job", "numbers of jobs")
    return int(value)
