"""The page of jobs: filters are in its address, so that a view can be sent to a colleague."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator

from ..store.jobs import STATES, JobFilter, list_jobs
from ..web.errors import InvalidInput
from ..web.reading import Queue, ReadingConnection
from .frame import render

PAGE_SIZE = 50
LONGEST_TEXT = 200
ADDRESS = "/dashboard/jobs"

router = APIRouter(prefix="/dashboard")


def storable(text: str) -> str:
    """Postgres keeps no NUL in a text; a form sends a field that was left empty as an empty text."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Word = Annotated[str, Query(max_length=LONGEST_TEXT), AfterValidator(storable)]


@router.get("/jobs")
async def show_jobs(  # noqa: PLR0913 - each is a filter that stands in the address.
    request: Request,
    conn: ReadingConnection,
    queue_of_jobs: Queue,
    *,
    state: Word = "",
    task: Word = "",
    queue: Word = "",
    task_type: Word = "",
    correlation_id: Word = "",
    text: Word = "",
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    """One page of the jobs that fit, newest first."""
    if state and state not in STATES:
        raise InvalidInput("state", f"one of {', '.join(STATES)}")
    given = {
        "state": state, "task": task, "queue": queue, "task_type": task_type,
        "correlation_id": correlation_id, "text": text,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value}
    catalog = queue_of_jobs.catalog
    info = catalog.find(task) if task else None
    chosen = JobFilter(
        state=state or None,
        task_name=info.name if info else task or None,
        queue=queue or None,
        correlation_id=correlation_id or None,
        text=text or None,
    )
    if task_type:
        of_type = [each.name for each in catalog if each.task_type == task_type]
        chosen = replace(chosen, task_type=task_type, tasks_of_type=of_type)
    page = await list_jobs(conn, chosen, limit=PAGE_SIZE, before=before)
    older = address(given, before=page.next_before) if page.next_before else None
    return render(
        request, "jobs.html", "Jobs", page=page, given=given, states=STATES, address=address, older=older, paged=before
    )


def address(given: dict[str, str], **changes: str | int | None) -> str:
    """The page with these filters, some of them changed; None takes one away."""
    wanted = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS
