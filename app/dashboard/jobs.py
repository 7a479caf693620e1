"""The page of jobs: filters are in its address, so that a view can be sent to a colleague."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from psycopg import AsyncConnection
from pydantic import AfterValidator

from ..queue.app import Afresh
from ..store.jobs import STATES, JobFilter, find_job, list_jobs
from ..store.paging import Row
from ..web.errors import InvalidInput
from ..web.reading import Queue, ReadingConnection
from .forms import moment_of
from .frame import WITHIN, render

PAGE_SIZE = 50
LONGEST_TEXT = 200
ADDRESS = "/dashboard/jobs"

OWN = "yes"
"""What `own` says in the address where the jobs that the clock makes for the service itself are shown, too."""

_NUMBER = re.compile("#?([0-9]{1,18})")

router = APIRouter(prefix="/dashboard")


def storable(text: str) -> str:
    """Postgres keeps no NUL in a text; a form sends a field that was left empty as an empty text."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Word = Annotated[str, Query(max_length=LONGEST_TEXT), AfterValidator(storable)]


@dataclass(frozen=True, slots=True)
class Filters:
    """What jobs are narrowed down to.

    Attributes:
        given: As the address has it.
        chosen: The same, as jobs are looked for.
    """

    NAMES: ClassVar = (
        "state", "task", "queue", "task_type", "correlation_id", "within", "created_from", "created_to", "text", "own"
    )  # fmt: skip

    given: Mapping[str, str]
    chosen: JobFilter

    @property
    def narrow(self) -> bool:
        """Whether they say more than whether the service's own jobs are among them."""
        return bool(self.given.keys() - {"own"})

    @property
    def moments(self) -> dict[str, datetime | None]:
        """The times among them."""
        return {"created_from": self.chosen.created_from, "created_to": self.chosen.created_to}

    def address(self, **changes: str | int | None) -> str:
        """The page with these filters, some of them changed; None takes one away."""
        wanted = {name: value for name, value in {**self.given, **changes}.items() if value is not None}
        return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS


def filters_of(queue: Afresh, words: Mapping[str, str]) -> Filters:
    """The filters that these words mean; an empty one means nothing.

    What the clock makes for the service itself is left out, unless it is asked for, or a task or a text is looked for.

    Raises:
        InvalidInput: There is no such state, a word is too long, or no time.
    """
    given = {name: value for name, value in words.items() if value}
    if given.get("state", STATES[0]) not in STATES:
        raise InvalidInput("state", f"one of {', '.join(STATES)}")
    for name, value in given.items():
        if len(value) > LONGEST_TEXT:
            raise InvalidInput(name, f"at most {LONGEST_TEXT} characters")
    if given.get("own", OWN) != OWN:
        raise InvalidInput("own", f"{OWN}, or nothing")
    created_from, created_to = _made(given)
    catalog = queue.catalog
    task_type = given.get("task_type")
    return Filters(
        given,
        JobFilter(
            state=given.get("state"),
            task_name=catalog.full_name(given.get("task")),
            queue=given.get("queue"),
            task_type=task_type,
            tasks_of_type=catalog.of_type(task_type),
            correlation_id=given.get("correlation_id"),
            created_from=created_from,
            created_to=created_to,
            text=given.get("text"),
            without_own=None if given.keys() & {"own", "task", "text"} else True,
        ),
    )


def _made(given: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """From when to when jobs were made."""
    times = [moment_of(name, given[name]) if name in given else None for name in ("created_from", "created_to")]
    if "within" not in given:
        return times[0], times[1]
    if given["within"] not in WITHIN:
        raise InvalidInput("within", f"one of {', '.join(WITHIN)}")
    if times[0]:
        raise InvalidInput("created_from", "only one of this and within")
    return datetime.now(UTC) - WITHIN[given["within"]], times[1]


async def _filters(  # noqa: PLR0913 - each is a filter that stands in the address.
    queue_of_jobs: Queue,
    *,
    state: Word = "",
    task: Word = "",
    queue: Word = "",
    task_type: Word = "",
    correlation_id: Word = "",
    within: Word = "",
    created_from: Word = "",
    created_to: Word = "",
    text: Word = "",
    own: Word = "",
) -> Filters:
    words = (state, task, queue, task_type, correlation_id, within, created_from, created_to, text, own)
    return filters_of(queue_of_jobs, dict(zip(Filters.NAMES, words, strict=True)))


JobFilters = Annotated[Filters, Depends(_filters)]


@router.get("/jobs")
async def show_jobs(
    request: Request,
    conn: ReadingConnection,
    filters: JobFilters,
    queue_of_jobs: Queue,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    """One page of the jobs that fit, newest first; where the text is a number, also the job of that number."""
    page = await list_jobs(conn, filters.chosen, limit=PAGE_SIZE, before=before)
    older = filters.address(before=page.next_before) if page.next_before else None
    return render(
        request,
        "jobs.html",
        "Jobs",
        page=page,
        given=filters.given,
        narrow=filters.narrow,
        without_own=filters.chosen.without_own,
        states=STATES,
        address=filters.address,
        older=older,
        paged=before,
        named=await _named(conn, filters.given.get("text", "")),
        within=list(WITHIN),
        moments=filters.moments,
        catalog=queue_of_jobs.catalog,
    )


async def _named(conn: AsyncConnection[Any], text: str) -> Row | None:
    number = _NUMBER.fullmatch(text.strip())
    return await find_job(conn, int(number[1])) if number else None
