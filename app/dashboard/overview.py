"""The front page: what is wrong, first; then health, how the work goes, queues, workers, and which tasks fail."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from psycopg import AsyncConnection

from ..monitoring.health import look
from ..queue.app import Afresh
from ..retry.offpeak import saved
from ..store import alerts, breakers, samples
from ..store.adaptation import GLANCED_AT, sum_put_off
from ..store.dead_letters import count_pending
from ..store.groups import GroupFilter, count_jobs, count_letters, list_groups
from ..store.queues import AT_A_GLANCE, find_next_due, list_queues
from ..store.trends import find_trends
from ..store.workers import list_workers
from ..web.groups import dependencies_of
from ..web.reading import Queue, ReadingConnection
from .charts import Tone, sparkline
from .frame import remedy, render
from .incidents import Incident, join
from .queues import takers_of

MOST_GROUPS = 5

MOST_FAILURES = 200
"""Of a group, in which its jobs are counted."""

MOST_GUARDS = 20
"""Breakers that are told, and whose waiting jobs are counted."""

AT_FIRST = 8
"""Incidents that are told; the others are folded away, so that what follows is found."""

COUNTED = 10_000
"""Waiting jobs of a dependency that are counted, and pending letters of a group."""

MOST_TASKS = 5
"""Of those that fail."""

HOURS = 24
"""What the page looks back on."""

RECENT = timedelta(hours=HOURS)
"""A group that has not failed for longer is no incident."""

SPARKS: dict[str, Tone] = {"succeeded": "good", "failed": "bad", "retried": "warn", "buried": "bad"}
"""What is drawn by the hour."""

router = APIRouter(prefix="/dashboard")


@router.get("")
async def show_overview(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """What is wrong, health, the last day, queues, workers, what comes next, and the tasks that fail most."""
    now = datetime.now(UTC)
    stalled_after = queue.settings.worker.stalled_after
    health = await look(conn, stalled_after=stalled_after)
    day = samples.hours_until(now, HOURS)
    points = await samples.read_points(conn, day)
    incidents, left_out, others = await _incidents(conn, queue, now)
    put_off = await sum_put_off(conn, now - RECENT, most=GLANCED_AT)
    trends = await find_trends(conn, now - RECENT)
    workers = [each for each in await list_workers(conn, stalled_after=stalled_after) if each.lives]
    queues = await list_queues(conn, closeness=AT_A_GLANCE)
    busy = [each for each in queues if each.paused or each.ready or each.running or each.retrying or each.scheduled]
    return render(
        request,
        "overview.html",
        "Overview",
        health=health,
        incidents=incidents,
        at_first=AT_FIRST,
        left_out=left_out,
        others=others,
        counted=COUNTED,
        alerts=await alerts.count_open(conn),
        pending=await count_pending(conn),
        day=samples.added(points),
        sparks={name: _spark(points, day, name, tone) for name, tone in SPARKS.items()},
        retries_ended_well=trends.whole.retries_succeeded,
        failing=trends.failing_tasks(MOST_TASKS),
        price=queue.settings.off_peak.cost_per_hour,
        saved=saved(put_off.spent, queue.settings.off_peak.cost_per_hour),
        put_off=put_off,
        busy=busy,
        idle=len(queues) - len(busy),
        next_due=await find_next_due(conn),
        remedy=remedy,
        workers=workers,
        takers={each.name: takers_of(each.name, workers) for each in busy},
    )


async def _incidents(conn: AsyncConnection[Any], queue: Afresh, now: datetime) -> tuple[list[Incident], int, int]:
    """What there is to look at, and how many groups that fail, and dependencies that are not well, are left out."""
    pages = [
        await list_groups(conn, GroupFilter(status=status, seen_from=now - RECENT), order="count", limit=MOST_GROUPS)
        for status in ("regression", "open")
    ]
    groups = [group for page in pages for group in page.items][:MOST_GROUPS]
    groups.sort(key=lambda group: (group["status"] != "regression", -sum(group["hours"])))
    names = [group["fingerprint"] for group in groups]
    jobs = await count_jobs(conn, names, now - RECENT, most=MOST_FAILURES)
    letters = await count_letters(conn, names, most=COUNTED)
    groups = [group | {"jobs": jobs[name], "pending": letters[name]} for name, group in zip(names, groups, strict=True)]
    own = queue.own_dependencies()
    guards, unwell = await breakers.search_dependencies(conn, only_unwell=True, limit=MOST_GUARDS)
    held = await breakers.count_held(conn, [each.breaker.name for each in guards], own=own, most=COUNTED)
    catalog = queue.catalog
    incidents = join(groups, guards, relied_on=lambda group: dependencies_of(group, catalog), held=held)
    return incidents, sum(page.total for page in pages) - len(groups), unwell - len(guards)


def _spark(points: list[samples.Point], day: samples.Span, name: str, tone: Tone) -> Markup:
    """One number by the hour; hours in which nothing happened are missing among the points. Nought alarms nobody."""
    by_hour = {point.at: getattr(point, name) for point in points}
    values = [by_hour.get(hour, 0) for hour in day.steps()]
    return sparkline(values, label=f"{name.capitalize()}, by the hour", tone=tone if any(values) else "quiet")
