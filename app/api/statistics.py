"""What retries have taught, and what was saved, over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ..retry.failure import FailureType
from ..retry.learning import FLOOR_SAMPLES, Samples, is_seldom_worth_it, learned_factor
from ..retry.offpeak import saved
from ..store.adaptation import RetrySample, read_samples, sum_put_off, sum_retries_ended_well
from ..store.failures import first_hour
from ..web.auth import VIEWER
from ..web.fields import Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection

router = APIRouter(prefix="/retry", tags=["retry"], route_class=StrictRoute, dependencies=[VIEWER])

MOST = 1_000
"""Pairs of task and failure type in one answer."""

LONGEST = 24 * 31
"""Hours of one answer."""


class Learned(BaseModel):
    """How retries of one task after one failure type went, and what follows for a task without `retry=`."""

    task_name: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    failure_type: FailureType
    retries: int = Field(description="Those of which it is known how they ended.", examples=[45])
    successes: int = Field(description="Those whose next attempt succeeded.", examples=[39])
    success_ratio: float = Field(ge=0, le=1, examples=[0.867])
    delay_factor: float = Field(description="What delays are multiplied by; 1 below ten samples.", examples=[0.7])
    one_retry_fewer: bool = Field(description="Such retries seldom succeed.")


class Statistics(BaseModel):
    """What retries have taught."""

    enabled: bool = Field(description="ADAPTIVE_RETRY: whether decisions heed it.")
    least_samples: int = Field(description="Below it nothing follows.")
    since: Time | None = Field(description="The beginning of the time that was counted; null: nothing is known yet.")
    refreshed_at: Time | None
    items: list[Learned] = Field(description="The most frequent first, 1000 at most.")


class OffPeakSavings(BaseModel):
    """Work that was put off to the quiet hours."""

    peak_hours: str = Field(examples=["9\N{EN DASH}18 UTC"])
    put_off: int = Field(description="How often a job was put off.")
    runs: int = Field(description="Those of them that ran after the peak.")
    run_seconds: float = Field(description="How long these took.")
    cost_per_hour: float = Field(description="PEAK_COST_PER_HOUR.", examples=[3.5])
    saved: float = Field(description="The cost of that time, in the unit of PEAK_COST_PER_HOUR.", examples=[12.25])
    is_exact: bool = Field(description="False: there are more than were looked at.")


class Savings(BaseModel):
    """What retrying well has saved."""

    hours: int
    since: Time
    off_peak: OffPeakSavings
    retries_ended_well: int = Field(description="Retries with which their job succeeded, without anybody's help.")


@router.get("/statistics", summary="Show what retries have taught", responses=responses(503))
async def show_statistics(queue: Queue, conn: ReadingConnection) -> Statistics:
    """Return the success rate of retries by task and failure type, with its samples and what follows from it."""
    samples = await read_samples(conn, most=MOST)
    newest = samples[0] if samples else None
    return Statistics(
        enabled=queue.settings.retry.adaptive,
        least_samples=FLOOR_SAMPLES,
        since=newest.since if newest else None,
        refreshed_at=newest.refreshed_at if newest else None,
        items=[_learned(each) for each in samples],
    )


@router.get("/savings", summary="Show what was saved", responses=responses(422, 503))
async def show_savings(
    queue: Queue,
    conn: ReadingConnection,
    hours: Annotated[int, Query(ge=1, le=LONGEST, description="The present one and those before it.")] = 24,
) -> Savings:
    """Return what work that was put off to the quiet hours has saved, and how many retries ended well."""
    since = first_hour(datetime.now(UTC), hours)
    settings, found = queue.settings.off_peak, await sum_put_off(conn, since)
    return Savings(
        hours=hours,
        since=since,
        off_peak=OffPeakSavings(
            peak_hours=str(settings.peak),
            put_off=found.put_off,
            runs=found.runs,
            run_seconds=found.spent.total_seconds(),
            cost_per_hour=settings.cost_per_hour,
            saved=saved(found.spent, settings.cost_per_hour),
            is_exact=found.is_exact,
        ),
        retries_ended_well=await sum_retries_ended_well(conn, since),
    )


def _learned(sample: RetrySample) -> Learned:
    samples = Samples(sample.retries, sample.successes)
    return Learned(
        task_name=sample.task_name,
        failure_type=FailureType(sample.failure_type),
        retries=samples.retries,
        successes=samples.successes,
        success_ratio=samples.ratio,
        delay_factor=learned_factor(samples),
        one_retry_fewer=is_seldom_worth_it(samples),
    )
