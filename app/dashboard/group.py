"""The page of one failure group: what fails, since when, whom it concerns, and its dead letters."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from ..retry.taxonomy import TAXONOMY
from ..store.dead_letters import LetterFilter, list_letters
from ..store.groups import HOURS, find_group
from ..store.paging import COUNTED_EXACTLY
from ..web.errors import UnknownGroup
from ..web.fields import Text
from ..web.groups import dependencies_of
from ..web.reading import Queue, ReadingConnection
from .charts import bars
from .frame import render

LETTERS = 10
"""The newest, that the page shows."""

router = APIRouter(prefix="/dashboard")

Fingerprint = Annotated[Text, Path()]


@router.get("/failures/groups/{fingerprint:path}")
async def show_group(request: Request, fingerprint: Fingerprint, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Everything that is known of one group."""
    group = await find_group(conn, fingerprint)
    if group is None:
        raise UnknownGroup(fingerprint)
    letters = await list_letters(conn, LetterFilter(group=fingerprint), limit=LETTERS)
    meaning = TAXONOMY.get(group["failure_type"])
    return render(
        request,
        "group.html",
        "Failures",
        group=group,
        meaning=meaning.sentence if meaning else None,
        remediations=list(dict.fromkeys([group["remediation"], *(meaning.actions if meaning else ())])),
        dependencies=dependencies_of(group, queue.catalog),
        letters=letters,
        pending_is_exact=group["pending_letters"] <= COUNTED_EXACTLY,
        chart=bars(
            group["hours"],
            labels=[*(f"{ago} h ago" for ago in range(HOURS - 1, 0, -1)), "this hour"],
            label="Failures by the hour, of the last day",
            tone="bad",
        ),
    )
