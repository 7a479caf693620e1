"""The page of workers: who lives, who was lost, and what each runs now."""

from collections import Counter

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from ..store.workers import RunningJob, Worker, list_running, list_workers
from ..web.reading import Queue, ReadingConnection
from .frame import render

MOST_SHOWN = 200
MOST_JOBS = 3
"""Of what one worker runs, as many are shown."""

_ORDER = ("lost", "overloaded", "alive", "stopped")
"""What needs a look comes first."""

router = APIRouter(prefix="/dashboard")


@router.get("/workers")
async def show_workers(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """The workers that live, and those that stopped or were lost within the hour."""
    stalled_after = queue.settings.worker.stalled_after
    workers = sorted(await list_workers(conn, stalled_after=stalled_after), key=_place)
    shown = workers[:MOST_SHOWN]
    running: dict[int, list[RunningJob]] = {each.worker_id: [] for each in shown}
    for job in await list_running(conn, list(running), most=MOST_JOBS):
        running[job.worker_id].append(job)
    living = [each for each in workers if each.lives]
    return render(
        request,
        "workers.html",
        "Workers",
        workers=shown,
        left_out=len(workers) - len(shown),
        running=running,
        statuses=Counter(each.status for each in workers),
        busy=sum(each.running for each in living),
        slots=sum(each.concurrency or 0 for each in living),
        versions=sorted({each.version for each in living if each.version}),
        stalled_after=stalled_after.total_seconds(),
    )


def _place(worker: Worker) -> tuple[int, int]:
    return _ORDER.index(worker.status), worker.worker_id
