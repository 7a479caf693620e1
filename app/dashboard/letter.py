"""The page of one dead letter: what died and why, what helps, and every attempt of every job in its place."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from ..queue.letters import UnknownLetter
from ..retry.taxonomy import TAXONOMY
from ..store.dead_letters import find_chain, find_letter
from ..store.jobs import list_attempts
from ..web.letters import what_helps
from ..web.paging import BIGGEST_ID
from ..web.reading import Queue, ReadingConnection
from .frame import render

router = APIRouter(prefix="/dashboard")

LetterId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]


@router.get("/dead-letters/{letter_id}")
async def show_letter(request: Request, letter_id: LetterId, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Everything that is known of one letter."""
    letter = await find_letter(conn, letter_id)
    if letter is None:
        raise UnknownLetter(letter_id)
    jobs = await find_chain(conn, letter_id)
    runs = await list_attempts(conn, [job["job_id"] for job in jobs])
    meaning = TAXONOMY.get(letter["failure_type"])
    return render(
        request,
        "letter.html",
        "Dead letters",
        letter=letter,
        meaning=meaning.sentence if meaning else None,
        remediations=what_helps(letter["remediation"], meaning.actions if meaning else ()),
        dependency=letter["dependency"] or queue.dependency_of(letter["task_name"]),
        chain=[(job, runs[job["job_id"]]) for job in jobs],
    )
