"""The page of one job: the ladder of its attempts, each with why what followed did."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from ..queue.control import UnknownJob
from ..store.jobs import find_job, list_attempts
from ..web.reading import Queue, ReadingConnection
from .frame import render

router = APIRouter(prefix="/dashboard")


@router.get("/jobs/{job_id}")
async def show_job(
    request: Request, job_id: Annotated[int, Path(ge=1, lt=2**63)], conn: ReadingConnection, queue: Queue
) -> HTMLResponse:
    """Everything that is known of one job."""
    job = await find_job(conn, job_id)
    if job is None:
        raise UnknownJob(job_id)
    attempts = (await list_attempts(conn, [job_id]))[job_id]
    dependency = job["dependency"] or queue.dependency_of(job["task_name"])
    return render(request, "job.html", "Jobs", job=job, attempts=attempts, dependency=dependency)
