"""The pages of queues: what waits where, how fast it comes and goes, and what holds it back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse
from psycopg import AsyncConnection
from pydantic import AfterValidator

from ..queue.app import Afresh
from ..store import samples
from ..store.limits import Limit, list_limits
from ..store.queues import QueueDepth, list_queues
from ..store.workers import Worker, list_workers
from ..web.errors import InvalidInput, UnknownQueue
from ..web.reading import Queue, ReadingConnection
from .frame import length, render
from .jobs import storable
from .queue_history import DAY, RANGES, draw, spark

LONGEST_NAME = 128

router = APIRouter(prefix="/dashboard/queues")

Name = Annotated[str, Path(min_length=1, max_length=LONGEST_NAME), AfterValidator(storable)]


@router.get("")
async def show_queues(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Every queue that a task, a job or a pause names."""
    workers = await list_workers(conn, stalled_after=queue.settings.worker.stalled_after)
    queues = await list_queues(conn, names=queue.catalog.queues())
    limits = {each.name: each for each in await list_limits(conn, "queue")}
    day = DAY.span(datetime.now(UTC))
    by_queue = groupby(await samples.read_queues(conn, day), key=attrgetter("queue_name"))
    return render(
        request,
        "queues.html",
        "Queues",
        queues=queues,
        takers={each.name: takers_of(each.name, workers) for each in queues},
        limits=limits,
        sparks={name: spark(points, day) for name, points in by_queue},
        empties=empties,
        in_words=in_words,
    )


@router.get("/{name:path}")
async def show_queue(
    request: Request, name: Name, conn: ReadingConnection, queue: Queue, back: Annotated[str, Query()] = "3h"
) -> HTMLResponse:
    """One queue, with whatever may keep its jobs from running."""
    if back not in RANGES:
        raise InvalidInput("back", f"one of {', '.join(RANGES)}")
    found = await find_queue(conn, queue, name)
    workers = await list_workers(conn, stalled_after=queue.settings.worker.stalled_after)
    tasks = [info for info in queue.catalog if info.queue == name]
    every = await list_limits(conn)
    span = RANGES[back].span(datetime.now(UTC))
    sampled = {point.at for point in await samples.read_service(conn, span)}
    points = await samples.read_queues(conn, span, queue=name)
    return render(
        request,
        "queue.html",
        "Queues",
        queue=found,
        takers=takers_of(name, workers),
        tasks=tasks,
        charts=draw(points, sampled, span, RANGES[back].per),
        back=back,
        ranges=RANGES,
        own_limit=next((each for each in every if (each.kind, each.name) == ("queue", name)), None),
        limits=_that_concern(queue, name, every),
        empties=empties,
        in_words=in_words,
    )


async def find_queue(conn: AsyncConnection[Any], app: Afresh, name: str) -> QueueDepth:
    """The queue of that name.

    Raises:
        UnknownQueue: No task, job or pause names it.
    """
    found = await list_queues(conn, names=app.catalog.queues(), name=name)
    if not found:
        raise UnknownQueue(name)
    return found[0]


def takers_of(name: str, workers: Iterable[Worker]) -> list[Worker]:
    """The workers that live and take jobs of a queue. One that names no queues takes those of all."""
    return [each for each in workers if each.lives and (each.queues is None or name in each.queues)]


def empties(depth: QueueDepth) -> str:
    """When no job will be ready, in words."""
    if depth.paused:
        return "paused"
    seconds = depth.seconds_to_empty()
    if seconds is None:
        return "grows" if depth.rate_in > depth.rate_out else "stands still"
    return "-" if seconds == 0 else f"in {length(seconds)}"


def in_words(limit: Limit) -> str:
    """What a limit allows."""
    said = [] if limit.max_running is None else [f"{limit.max_running:,} at once"]
    if limit.rate:
        said.append(f"{limit.rate.jobs:,} per {length(limit.rate.per.total_seconds())}")
    return ", ".join(said)


def _that_concern(app: Afresh, queue: str, limits: Sequence[Limit]) -> list[Limit]:
    """Those of the queue, of the tasks that name it, and of what these rely on."""
    tasks = [info for info in app.catalog if info.queue == queue]
    concerned = {("queue", queue)} | {("task", info.name) for info in tasks}
    concerned |= {("dependency", info.depends_on) for info in tasks if info.depends_on}
    return [each for each in limits if (each.kind, each.name) in concerned]
