"""Trends over HTTP: what fails more, what retries achieve, and what failing costs."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ..retry.failure import FailureType, Remediation
from ..retry.taxonomy import TAXONOMY
from ..store.failures import first_hour
from ..store.trends import Tally, Trends, find_trends
from ..web.auth import VIEWER
from ..web.fields import Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import ReadingConnection

router = APIRouter(prefix="/failures", tags=["failures"], route_class=StrictRoute, dependencies=[VIEWER])

TASKS = 10
"""That fail most often, and are named."""

LONGEST = 24 * 31
"""Hours of one answer."""

Share = Annotated[float | None, Field(ge=0, le=1, examples=[0.87])]


class Retries(BaseModel):
    """What retries achieved, of those that ended in this time."""

    decided: int = Field(description="Decisions to try again, at the cost of an attempt.", examples=[60])
    succeeded: int = Field(description="Retries with which their job succeeded.", examples=[52])
    failed: int = Field(description="Retries that failed.", examples=[8])
    share_ended_well: Share = Field(description="Succeeded, of those that ended; null where none has.")
    mean_until_end: float | None = Field(
        description="Retries of a job until it succeeded or died, on average; null where none did.", examples=[1.4]
    )


class Economics(BaseModel):
    """What failing cost."""

    dead_jobs: int = Field(description="Jobs that became dead letters.", examples=[3])
    calls_for_dead_jobs: int = Field(description="All attempts of those jobs.", examples=[12])
    failed_worker_seconds: float = Field(description="Time of workers in attempts that failed.", examples=[94.5])


class TypeTrend(BaseModel):
    """A failure type over the time asked for. A retry counts for the failure that it ended in, or came after."""

    type: FailureType
    meaning: str
    remediations: list[Remediation] = Field(description="What helps, the recommended one first.")
    failures: int
    jobs: int = Field(description="That met it for the first time.")
    by_hour: list[int] = Field(description="Failures in each hour, the present one last.")
    retries: Retries
    economics: Economics


class TaskTrend(BaseModel):
    """A task that fails."""

    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    failures: int
    retries: Retries
    economics: Economics


class FailureTrends(BaseModel):
    """How failures and retries went."""

    hours: int
    since: Time = Field(description="The beginning of the first hour; the last one is the present, unfinished.")
    failures: int
    types: list[TypeTrend] = Field(description="Those that were met, the commonest first.")
    tasks: list[TaskTrend] = Field(description="The ten that fail most often, the worst first.")
    retries: Retries
    economics: Economics


@router.get("/trends", summary="Show what fails and what retries achieve", responses=responses(422, 503))
async def show_trends(
    conn: ReadingConnection,
    hours: Annotated[int, Query(ge=1, le=LONGEST, description="The present one and those before it.")] = 24,
) -> FailureTrends:
    """Return failures by type and hour, the tasks that fail most, and what retries achieved and cost."""
    since = first_hour(datetime.now(UTC), hours)
    trends = await find_trends(conn, since)
    types = sorted(trends.by_type.items(), key=lambda pair: (-pair[1].failures, pair[0]))
    return FailureTrends(
        hours=hours,
        since=since,
        failures=trends.whole.failures,
        types=[_type(FailureType(name), tally, trends, since, hours) for name, tally in types],
        tasks=[_task(name, tally) for name, tally in trends.failing_tasks(TASKS)],
        retries=_retries(trends.whole),
        economics=_economics(trends.whole),
    )


def _type(kind: FailureType, tally: Tally, trends: Trends, since: datetime, hours: int) -> TypeTrend:
    meaning = TAXONOMY[kind]
    found = trends.by_hour[kind]
    return TypeTrend(
        type=kind,
        meaning=meaning.sentence,
        remediations=list(meaning.actions),
        failures=tally.failures,
        jobs=tally.jobs,
        by_hour=[found.get(since + timedelta(hours=n), Tally()).failures for n in range(hours)],
        retries=_retries(tally),
        economics=_economics(tally),
    )


def _task(name: str, tally: Tally) -> TaskTrend:
    return TaskTrend(task_name=name, failures=tally.failures, retries=_retries(tally), economics=_economics(tally))


def _retries(tally: Tally) -> Retries:
    return Retries(
        decided=tally.retries,
        succeeded=tally.retries_succeeded,
        failed=tally.retries_failed,
        share_ended_well=tally.share_ended_well,
        mean_until_end=tally.mean_retries,
    )


def _economics(tally: Tally) -> Economics:
    return Economics(
        dead_jobs=tally.deaths,
        calls_for_dead_jobs=tally.calls_of_dead,
        failed_worker_seconds=tally.spent_seconds,
    )
