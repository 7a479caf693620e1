"""The front page: what is wrong, first; then how the work goes."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from ..monitoring.health import look
from ..retry.breaker.states import State
from ..store import breakers, samples
from ..store.groups import GroupFilter, list_groups
from ..store.queues import list_queues
from ..store.workers import list_workers
from ..web.reading import Queue, ReadingConnection
from .charts import Tone, sparkline
from .frame import render

MOST_GROUPS = 5

RECENT = timedelta(hours=24)
"""A group that has not failed for longer is no incident."""

SPARKS: dict[str, Tone] = {"succeeded": "good", "failed": "bad", "retried": "warn", "buried": "bad"}
"""What is drawn by the hour."""

router = APIRouter(prefix="/dashboard")


@router.get("")
async def show_overview(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Health, groups that fail, breakers that are not closed, the last day, queues and workers."""
    now = datetime.now(UTC)
    stalled_after = queue.settings.worker.stalled_after
    health = await look(conn, stalled_after=stalled_after)
    groups = [
        group
        for status in ("regression", "open")
        for group in (
            await list_groups(
                conn, GroupFilter(status=status, seen_from=now - RECENT), order="count", limit=MOST_GROUPS
            )
        ).items
    ]
    day = samples.hours_until(now, 24)
    points = await samples.read_points(conn, day)
    dependencies = await breakers.list_dependencies(conn, names=queue.own_dependencies()[1])
    return render(
        request,
        "overview.html",
        "Overview",
        health=health,
        groups=groups[:MOST_GROUPS],
        guards=[each for each in dependencies if each.breaker.state is not State.CLOSED],
        day=samples.added(points),
        sparks={name: _spark(points, day, name, tone) for name, tone in SPARKS.items()},
        queues=await list_queues(conn),
        workers=[each for each in await list_workers(conn, stalled_after=stalled_after) if each.lives],
    )


def _spark(points: list[samples.Point], day: samples.Span, name: str, tone: Tone) -> Markup:
    """One number by the hour; hours in which nothing happened are missing among the points."""
    by_hour = {point.at: getattr(point, name) for point in points}
    values = [by_hour.get(hour, 0) for hour in day.steps()]
    return sparkline(values, label=f"{name.capitalize()}, by the hour", tone=tone)
