"""A simulation over HTTP: small enough to be played while the client waits, one at a time."""

from functools import partial
from math import isinf
from typing import Annotated, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from ..retry.simulate.outcome import Outcome
from ..retry.simulate.run import Comparison, compared
from ..retry.simulate.scenario import small_scenarios
from ..web.auth import VIEWER
from ..web.limits import StrictRoute
from ..web.problem import responses

router = APIRouter(prefix="/retry", tags=["retry"], route_class=StrictRoute, dependencies=[VIEWER])

MOST_JOBS = 2000
"""All policies then take a second or two."""

ScenarioName = Literal[
    "full outage",
    "brownout",
    "poisoned task",
    "failover",
    "healthy",
    "rate limited",
    "flapping",
    "revoked key",
    "40 % errors",
]


class Simulation(BaseModel):
    """What to play."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"scenario": "full outage"}]})

    scenario: ScenarioName = Field("full outage", description="What happens to the dependency.")
    jobs: int = Field(1000, strict=True, ge=100, le=MOST_JOBS, description="Jobs that wait or come.")
    seed: int = Field(1, strict=True, ge=0, lt=2**31, description="The same seed has the same end.")


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
    detection_seconds: float = Field(description="From recovery to the first call that worked.")
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


_one_at_a_time = CapacityLimiter(1)


@router.post("/simulate", summary="Play an outage through", responses=responses(400, 403, 413, 415, 422))
async def simulate(body: Annotated[Simulation, Body()]) -> SimulationResult:
    """Say what our policies and plain ones would do to the jobs and to the dependency. Nothing is stored."""
    played = await to_thread.run_sync(partial(_played, body), limiter=_one_at_a_time)
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


def _played(asked: Simulation) -> Comparison:
    scenarios = [each for each in small_scenarios(asked.jobs) if each.name == asked.scenario]
    return next(compared(scenarios, seed=asked.seed))


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
