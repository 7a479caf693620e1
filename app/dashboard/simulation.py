"""The page of a simulation: what policies would do to the jobs and to a dependency that misbehaves."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from ..config.values import parse_duration
from ..retry.backoff import Backoff, Jitter
from ..retry.policy import RetryPolicy, schedule
from ..retry.simulate.outcome import Outcome
from ..retry.simulate.run import Comparison
from ..retry.simulate.scenario import Scenario, small_scenarios
from ..web.errors import InvalidInput
from ..web.reading import Queue
from ..web.simulating import LEAST_JOBS, MOST_JOBS, MOST_RETRIES, TRIED, Asked, ScenarioName, play
from .charts import Level, Shade, bars, lines
from .frame import length, render

router = APIRouter(prefix="/dashboard")

POINTS = 160
"""Of a curve."""

QUARTERS = 4
SCENARIOS: tuple[ScenarioName, ...] = get_args(ScenarioName)
LONGEST_WAIT = timedelta(days=1)


class Question(BaseModel):
    """What the form asks; without a scenario nothing is played."""

    model_config = ConfigDict(extra="forbid")

    scenario: ScenarioName | None = None
    jobs: int = Field(500, ge=LEAST_JOBS, le=MOST_JOBS)
    seed: int = Field(1, ge=0, lt=2**31)
    max_retries: int = Field(5, ge=0, le=MOST_RETRIES)
    initial_delay: str = Field("2s", max_length=20)
    backoff: Backoff = Backoff.EXPONENTIAL
    multiplier: float = Field(2.0, ge=1, le=100)
    max_delay: str = Field("5m", max_length=20)
    jitter: Jitter = Jitter.PROPORTIONAL

    def policy(self) -> RetryPolicy:
        """The policy that is tried.

        Raises:
            InvalidInput: A wait is no duration, or longer than a day.
        """
        return RetryPolicy(
            name=TRIED,
            max_retries=self.max_retries,
            initial_delay=_duration("initial_delay", self.initial_delay),
            backoff=self.backoff,
            multiplier=self.multiplier,
            max_delay=_duration("max_delay", self.max_delay),
            jitter=self.jitter,
        )


@router.get("/policies/simulation")
async def show_simulation(request: Request, queue: Queue, question: Annotated[Question, Query()]) -> HTMLResponse:
    """The form, filled in with the policy of the settings at first, and what came of it."""
    played = schedule_chart = None
    if question.scenario is None:
        question = _as_set(queue.engine.env)
    else:
        tried = question.policy()
        asked = Asked(scenario=question.scenario, jobs=question.jobs, seed=question.seed, tried=tried)
        played, schedule_chart = await play(asked), _waits(tried)
    return render(
        request,
        "simulation.html",
        "Policies",
        question=question,
        scenarios=[each for each in small_scenarios(question.jobs) if each.name in SCENARIOS],
        backoffs=list(Backoff),
        jitters=list(Jitter),
        least_jobs=LEAST_JOBS,
        most_jobs=MOST_JOBS,
        most_retries=MOST_RETRIES,
        played=played,
        waits=schedule_chart,
        done=None if played is None else _done(played),
        loads=[] if played is None else _loads(played),
    )


def _as_set(policy: RetryPolicy) -> Question:
    """The policy of MAX_RETRIES and RETRY_*, as far as the form can have it."""
    retries = MOST_RETRIES if policy.max_retries is None else min(policy.max_retries, MOST_RETRIES)
    return Question(
        max_retries=retries,
        initial_delay=f"{min(policy.initial_delay, LONGEST_WAIT).total_seconds():g}s",
        backoff=policy.backoff,
        multiplier=min(policy.multiplier, 100.0),
        max_delay=f"{min(policy.max_delay, LONGEST_WAIT).total_seconds():g}s",
        jitter=policy.jitter,
    )


def _duration(name: str, text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError:
        found = None
    if not isinstance(found, timedelta) or found > LONGEST_WAIT:
        raise InvalidInput(name, "a duration: seconds, or 30s, 5m, 2h; at most a day")
    return found


def _waits(policy: RetryPolicy) -> Markup:
    """How long one job waits before each of its attempts, without jitter."""
    waits = [each.total_seconds() for each in schedule(policy, MOST_RETRIES)]
    labels = [f"before attempt {number}" for number in range(2, len(waits) + 2)]
    return bars(waits, labels=labels, label="Your policy: the waits of one job that always fails", unit="s")


def _done(played: Comparison) -> Markup:
    """How many jobs each policy had done, over time."""
    seconds = _seconds(played)
    series = {each.policy: _cumulated(each, seconds) for each in played.outcomes}
    return lines(
        series, label="Jobs done", across=_axis(seconds), unit="jobs", shades=_outages(played.scenario, seconds)
    )


def _loads(played: Comparison) -> list[Markup]:
    """How often each policy called the dependency, all on one scale."""
    seconds, scenario = _seconds(played), played.scenario
    most = max(max(each.calls_series, default=0.0) for each in played.outcomes)
    return [
        lines(
            {each.policy: _peaks(each, seconds)},
            label=f"Load by {each.policy}",
            across=_axis(seconds),
            unit="calls/s",
            levels=[Level(scenario.capacity, "what it bears")],
            shades=_outages(scenario, seconds),
            top=most,
        )
        for each in played.outcomes
    ]


def _seconds(played: Comparison) -> int:
    """The length of the story as far as anything happened in it."""
    return max(1, *(len(each.calls_series) * each.step_seconds for each in played.outcomes))


def _axis(seconds: int) -> list[str]:
    return ["0", *(length(seconds * quarter / QUARTERS) for quarter in range(1, QUARTERS + 1))]


def _outages(scenario: Scenario, seconds: int) -> list[Shade]:
    ends = [*(each.start for each in scenario.phases[1:]), float(seconds)]
    return [
        Shade(min(1.0, phase.start / seconds), min(1.0, end / seconds), "not well")
        for phase, end in zip(scenario.phases, ends, strict=True)
        if phase.disturbed
    ]


def _peaks(outcome: Outcome, seconds: int) -> list[float]:
    """The series on the common axis; of what falls together the most, since peaks are what hurts."""
    return [max(part, default=0.0) for part in _parts(outcome.calls_series, outcome.step_seconds, seconds)]


def _cumulated(outcome: Outcome, seconds: int) -> list[float]:
    step = outcome.step_seconds
    sums = [0.0, *accumulate(each * step for each in outcome.done_series)]
    at = [min(len(sums) - 1, round(seconds * point / (POINTS - 1) / step)) for point in range(POINTS)]
    return [sums[index] for index in at]


def _parts(series: Sequence[float], step: int, seconds: int) -> list[Sequence[float]]:
    """What of a series falls to each point of the common axis; at least one value, until it ends."""
    edges = [seconds * point / POINTS / step for point in range(POINTS + 1)]
    return [series[int(start) : max(int(start) + 1, int(end))] for start, end in pairwise(edges)]
