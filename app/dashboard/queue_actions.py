"""What can be done to a queue from its page: pause it, let it go on, clear it, limit it."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ..queue import control
from ..queue.control import CLEARED_AT_ONCE, NotConfirmed
from ..store import limits
from ..store.limits import BIGGEST, Rate
from ..web.auth import ADMIN
from ..web.errors import InvalidInput, UnknownLimit
from ..web.reading import Queue, ReadingConnection
from .forms import AdminsForm, Form, OperatorsForm, done
from .frame import render
from .queues import Name, find_queue

router = APIRouter(prefix="/dashboard/queues")


@router.post("/{name:path}/pause")
async def pause_queue(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let no worker take its jobs until it is resumed."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        await control.pause(conn, name, actor=form.caller.name, reason=reason)
    return done(request, address_of_queue(name), f"{name} is paused: what runs goes on, what comes in waits.")


@router.post("/{name:path}/resume")
async def resume_queue(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let workers take its jobs again."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        await control.resume(conn, name, actor=form.caller.name, reason=reason)
    return done(request, address_of_queue(name), f"{name} goes on.")


@router.get("/{name:path}/clear", dependencies=[ADMIN])
async def ask_before_clearing(request: Request, name: Name, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Say how many jobs would be cancelled. Nothing is done yet."""
    return render(
        request,
        "clear.html",
        "Queues",
        queue=await find_queue(conn, queue, name),
        waiting=await control.count_waiting(conn, name),
        most=CLEARED_AT_ONCE,
    )


@router.post("/{name:path}/clear")
async def clear_queue(request: Request, name: Name, form: AdminsForm, queue: Queue) -> Response:
    """Cancel all jobs that wait in it, if their number is the one that was typed."""
    reason, confirmed = form.needed("reason"), form.integer("confirm")
    if confirmed is None:
        raise InvalidInput("confirm", "is missing")
    try:
        async with queue.connection() as conn:
            cancelled = await control.clear(conn, name, confirmed, actor=form.caller.name, reason=reason)
    except NotConfirmed as refusal:
        word = f"Nothing is cancelled: {refusal.count:,} wait by now, and {confirmed:,} was confirmed."
        return done(request, f"{address_of_queue(name)}/clear", word)
    word = f"{cancelled:,} {'job is' if cancelled == 1 else 'jobs are'} cancelled. What runs goes on."
    return done(request, address_of_queue(name), word)


@router.post("/{name:path}/limit")
async def limit_queue(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let no more of its jobs run at the same time, or start in a period; in the place of a limit that it had."""
    reason = form.needed("reason")
    most, rate = form.integer("max_running", least=1, most=BIGGEST), _rate(form)
    if most is None and rate is None:
        raise InvalidInput("max_running", "either this or a rate is needed")
    async with queue.connection() as conn:
        await limits.put(conn, "queue", name, max_running=most, rate=rate, actor=form.caller.name, reason=reason)
    return done(request, address_of_queue(name), f"{name} is limited, from the next claim on.")


@router.post("/{name:path}/unlimit")
async def lift_limit(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let its jobs start as workers have room."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        if not await limits.lift(conn, "queue", name, actor=form.caller.name, reason=reason):
            raise UnknownLimit("queue", name)
    return done(request, address_of_queue(name), f"{name} has no limit of its own any more.")


def address_of_queue(name: str) -> str:
    """Where its page is."""
    return f"/dashboard/queues/{quote(name)}"


def _rate(form: Form) -> Rate | None:
    jobs, per = form.integer("rate_jobs", least=1, most=BIGGEST), form.duration("rate_per")
    burst = form.integer("rate_burst", least=1, most=BIGGEST)
    if jobs is None and per is None and burst is None:
        return None
    if jobs is None or per is None:
        raise InvalidInput("rate_jobs" if jobs is None else "rate_per", "a rate is so many jobs in a period")
    return Rate(jobs, per, burst)
