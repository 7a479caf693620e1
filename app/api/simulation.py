"""A simulation over HTTP: small enough to be played while the client waits, one at a time."""

from datetime import timedelta
from math import isinf
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from ..retry.backoff import Backoff, Jitter
from ..retry.policy import RetryPolicy
from ..retry.simulate.outcome import Outcome
from ..web.auth import VIEWER
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.simulating import LEAST_JOBS, MOST_JOBS, MOST_RETRIES, TRIED, Asked, ScenarioName, play

router = APIRouter(prefix="/retry", tags=["retry"], route_class=StrictRoute, dependencies=[VIEWER])

LONGEST_DELAY_SECONDS = 86_400


class TriedPolicy(BaseModel):
    """A policy to be tried: a schedule and nothing else."""

    model_config = ConfigDict(extra="forbid")

    max_retries: int = Field(strict=True, ge=0, le=MOST_RETRIES, description="After the first attempt.", examples=[5])
    initial_delay_seconds: float = Field(1.0, ge=0, le=LONGEST_DELAY_SECONDS)
    backoff: Backoff = Backoff.EXPONENTIAL
    multiplier: float = Field(2.0, ge=1, le=100)
    max_delay_seconds: float = Field(300.0, ge=0, le=LONGEST_DELAY_SECONDS)
    jitter: Jitter = Jitter.PROPORTIONAL


class Simulation(BaseModel):
    """What to play."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"scenario": "full outage"}]})

    scenario: ScenarioName = Field("full outage", description="What happens to the dependency.")
    jobs: int = Field(1000, strict=True, ge=LEAST_JOBS, le=MOST_JOBS, description="Jobs that wait or come.")
    seed: int = Field(1, strict=True, ge=0, lt=2**31, description="The same seed has the same end.")
    policy: TriedPolicy | None = Field(None, description=f"One to be tried; it comes last, as `{TRIED}`.")


class Played(BaseModel):
    """What came of one policy."""

    policy: str = Field(examples=["ours"])
    jobs_done: int
    jobs_dead: int
    jobs_dead_in_vain: int = Field(description="Dead letters that another try would have saved.")
    jobs_waiting: int = Field(description="After an hour of the story.")
    calls: int
    calls_per_job: float | None = Field(description="For each job done; null: none was.", examples=[1.03])
    peak_ratio: float = Field(description="Most calls in a second from recovery on, to what the dependency bears.")
    drain_seconds: float = Field(description="From recovery to the last success.")
    oracle_seconds: float = Field(description="The same for who knows when it is well, and what it bears.")
    detection_seconds: float = Field(description="From recovery to the first call that worked; 0: none did.")
    wasted_worker_seconds: float = Field(description="Spent in calls that failed.")
    trips: int = Field(description="How often a breaker opened.")
    step_seconds: int = Field(description="Of the series.")
    calls_per_second: list[float] = Field(description="A point for each step.")
    done_per_second: list[float] = Field(description="A point for each step.")


class Outage(BaseModel):
    """A time in which the dependency was not well."""

    start_seconds: float
    end_seconds: float | None = Field(description="null: to the end.")


class SimulationResult(BaseModel):
    """One story under every policy."""

    scenario: ScenarioName
    story: str
    jobs: int
    capacity_per_second: float = Field(description="Calls that the dependency bears.")
    outages: list[Outage]
    policies: list[Played] = Field(description="Ours first.")


@router.post("/simulate", summary="Play an outage through", responses=responses(400, 403, 413, 415, 422))
async def simulate(body: Annotated[Simulation, Body()]) -> SimulationResult:
    """Say what our policies and plain ones would do to the jobs and to the dependency. Nothing is stored."""
    asked = Asked(scenario=body.scenario, jobs=body.jobs, seed=body.seed, tried=_tried(body.policy))
    played = await play(asked)
    scenario = played.scenario
    ends = [*(each.start for each in scenario.phases[1:]), None]
    return SimulationResult(
        scenario=body.scenario,
        story=scenario.story,
        jobs=scenario.jobs,
        capacity_per_second=scenario.capacity,
        outages=[
            Outage(start_seconds=phase.start, end_seconds=end)
            for phase, end in zip(scenario.phases, ends, strict=True)
            if phase.disturbed
        ],
        policies=[_policy(each) for each in played.outcomes],
    )


def _tried(policy: TriedPolicy | None) -> RetryPolicy | None:
    if policy is None:
        return None
    return RetryPolicy(
        name=TRIED,
        max_retries=policy.max_retries,
        backoff=policy.backoff,
        initial_delay=timedelta(seconds=policy.initial_delay_seconds),
        multiplier=policy.multiplier,
        max_delay=timedelta(seconds=policy.max_delay_seconds),
        jitter=policy.jitter,
    )


def _policy(outcome: Outcome) -> Played:
    return Played(
        policy=outcome.policy,
        jobs_done=outcome.done,
        jobs_dead=outcome.dead,
        jobs_dead_in_vain=outcome.dead_in_vain,
        jobs_waiting=outcome.waiting,
        calls=outcome.calls,
        calls_per_job=None if isinf(outcome.calls_per_job) else outcome.calls_per_job,
        peak_ratio=outcome.peak,
        drain_seconds=outcome.drain_seconds,
        oracle_seconds=outcome.oracle_seconds,
        detection_seconds=outcome.detection_seconds,
        wasted_worker_seconds=outcome.wasted_seconds,
        trips=outcome.trips,
        step_seconds=outcome.step_seconds,
        calls_per_second=list(outcome.calls_series),
        done_per_second=list(outcome.done_series),
    )
