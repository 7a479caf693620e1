"""The page of one job: the ladder of its attempts, each with why what followed did; and what can be done to it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from ..queue import control
from ..queue.control import Move, UnknownJob
from ..store.dead_letters import find_chain
from ..store.jobs import find_job, list_attempts
from ..store.limits import list_limits
from ..store.paging import Row
from ..store.workers import list_workers
from ..web import again
from ..web.errors import InvalidInput
from ..web.outbound import Outbound
from ..web.reading import Queue, ReadingConnection
from .course import drawn_course, why_then
from .forms import OperatorsForm, done
from .frame import render
from .queues import in_words, takers_of

TOLD = 100
"""Runs on the page, the latest: a job may be tried for ever."""

LOWEST, HIGHEST = 1, 10
"""The priorities that people give."""

router = APIRouter(prefix="/dashboard")

JobId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/jobs/{job_id}")
async def show_job(request: Request, job_id: JobId, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Everything that is known of one job."""
    job = await find_job(conn, job_id)
    if job is None:
        raise UnknownJob(job_id)
    attempts = (await list_attempts(conn, [job_id], most=TOLD + 1))[job_id]
    shown = attempts[-TOLD:]
    workers = await list_workers(conn, stalled_after=queue.settings.worker.stalled_after) if _could_run(job) else []
    dependency = job["dependency"] or queue.dependency_of(job["task_name"])
    kept_by = {("queue", job["queue"]), ("task", job["task_name"]), ("dependency", dependency)}
    limits = await list_limits(conn) if job["waiting_for"] == "limit" else []
    waits = job["status"] == "todo" and job["scheduled_at"] is not None
    return render(
        request,
        "job.html",
        "Jobs",
        job=job,
        attempts=shown,
        left_out=len(attempts) > TOLD,
        dependency=dependency,
        limits=[each for each in limits if (each.kind, each.name) in kept_by and not each.room],
        in_words=in_words,
        course=drawn_course(job, shown, datetime.now(UTC)),
        why=why_then(job, shown) if waits else [],
        unattended=_could_run(job) and not takers_of(job["queue"], workers),
        chain=await find_chain(conn, job["dead_letter_id"]) if job["dead_letter_id"] else [],
    )


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, job_id: JobId, form: OperatorsForm, queue: Queue) -> Response:
    """End it if it waits; if it runs, ask it to stop."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        job = await control.cancel(conn, job_id, actor=form.caller.name, reason=reason)
    word = f"Job {job_id} will not run." if job.status == "todo" else f"Job {job_id} runs, and is asked to stop."
    return done(request, address_of_job(job_id), word)


@router.post("/jobs/{job_id}/retry")
async def retry_job(request: Request, job_id: JobId, form: OperatorsForm, queue: Queue, outbound: Outbound) -> Response:
    """Run it now if it waits for its time; a fresh one in its place if it ended badly."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        runs = await again.retry_job(conn, queue, outbound, job_id, actor=form.caller.name, reason=reason)
    if runs == job_id:
        return done(request, address_of_job(job_id), f"Job {job_id} runs as soon as there is room.")
    return done(request, address_of_job(runs), f"Job {runs} runs in the place of job {job_id}.")


@router.post("/jobs/{job_id}/reschedule")
async def reschedule_job(request: Request, job_id: JobId, form: OperatorsForm, queue: Queue) -> Response:
    """Change when a waiting job runs, its priority, or its queue. What is left empty stays."""
    run_in, run_at = form.duration("run_in"), form.moment("run_at")
    if run_in and run_at:
        raise InvalidInput("run_at", "only one of this and run_in")
    move = Move(
        run_at=datetime.now(UTC) + run_in if run_in else run_at,
        priority=form.integer("priority", least=LOWEST, most=HIGHEST),
        queue=form.queue("queue"),
    )
    if move == Move():
        raise InvalidInput("run_in", "one of this, run_at, priority and queue")
    async with queue.connection() as conn:
        await control.reschedule(conn, job_id, move, actor=form.caller.name, reason=form.text("reason"))
    return done(request, address_of_job(job_id), f"Job {job_id} is moved.")


def _could_run(job: Row) -> bool:
    """Whether it waits for nothing but a worker."""
    return bool(job["state"] == "ready" and not job["waiting_for"])


def address_of_job(job_id: int) -> str:
    """Where its page is."""
    return f"/dashboard/jobs/{job_id}"
