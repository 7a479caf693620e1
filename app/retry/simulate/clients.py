"""The policies under test: plain ones that know their schedule alone, and ours with breaker, ramp and budget."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from .. import budget as budgets
from ..adapt import SOONEST
from ..backoff import Backoff, Jitter
from ..breaker import transition
from ..breaker.admit import admit
from ..breaker.local import REPORT_SECONDS, Ring, Seen, seen
from ..breaker.relevance import Relevance, relevance
from ..breaker.rules import Rules, rules_from
from ..breaker.states import Breaker, Moved, State, Transition
from ..circumstances import Circumstances
from ..decide import decide
from ..failure import Failure, FailureType
from ..policy import ByType, DeadLetter, Decision, Fixed, JobLimits, RetryPolicy, Tier
from ..presets import default_policies
from .world import EPOCH, Grant, Job, World, moment

NEWS_SECONDS = 0.05
"""How long a notification travels. Here that a dependency is suspect travels so, too; for real the others see it with
their look of each second, which comes to the same but for a second or two."""

JOB_TIMEOUT = timedelta(seconds=30)
ASK_SECONDS = 0.1
"""How long a process waits before it asks an empty bucket again, at most."""

NAME = "dependency"


class Plain:
    """A schedule and nothing else, as most queues have it."""

    def __init__(self, name: str, policy: RetryPolicy) -> None:
        self.name = name
        self.trips = 0
        self._tier: Tier = Fixed(policy)

    def begin(self, world: World) -> None:
        """Know the randomness of this world."""
        self._rng = world.rng

    def admit(self, process: int, want: int, now: float) -> Grant:  # noqa: ARG002  As `Client`.
        """Whatever is there."""
        return Grant(want)

    def ended(self, process: int, job: Job, failure: Failure | None, now: float) -> Decision | None:  # noqa: ARG002  As `Client`.
        """What the schedule says."""
        if failure is None:
            return None
        limits = JobLimits(waited=job.waited)
        return decide(
            failure, None, attempts=job.attempts, tier=self._tier, limits=limits, now=moment(now), rng=self._rng
        )


class Process:
    """What one worker process remembers of the dependency."""

    __slots__ = ("budget", "reporting", "ring", "seen")

    def __init__(self) -> None:
        self.ring = Ring()
        self.budget = budgets.Budget(at=EPOCH)
        self.seen = Seen(NAME)
        self.reporting = False


class Guarded:
    """Ours: the policies of the failure types, with the breaker shared by all processes."""

    def __init__(
        self,
        name: str = "ours",
        *,
        jitter: Jitter = Jitter.PROPORTIONAL,
        policies: Mapping[FailureType, RetryPolicy] | None = None,
        rules: Rules | None = None,
    ) -> None:
        policies = policies or default_policies(jitter=jitter)
        self.name = name
        self.trips = 0
        self.transitions: list[Transition] = []
        self._tier = ByType(policies)
        self._rules = rules or rules_from(policies)
        self._row = Breaker(name=NAME)
        self._for_recovery: list[tuple[float, Job, int]] = []

    def begin(self, world: World) -> None:
        """Start the processes."""
        self._world = world
        self._rng = world.rng
        self._processes = [Process() for _ in range(world.scenario.processes)]

    # --- claiming

    def admit(self, process: int, want: int, now: float) -> Grant:
        """All, while the breaker looks closed from here; else what the shared row grants."""
        mine, at = self._processes[process], moment(now)
        if mine.seen.state is State.CLOSED:
            return self._unless_braked(mine, want, now, at)
        got = admit(self._row, want, self._rules, now=at, job_timeout=JOB_TIMEOUT, rng=self._rng)
        self._row = got.breaker
        for each in got.transitions:
            self._announce(process, each, now)
        mine.seen = seen(self._row)
        ask_at = now + 1.0 if got.retry_at is None else (got.retry_at - EPOCH).total_seconds()
        ask_at = min(now + 1.0, ask_at) + self._rng.uniform(0, ASK_SECONDS)
        on_ramp = self._row.state is State.RAMPING
        return Grant(got.jobs, self._row.generation, got.permits, got.for_retries if on_ramp else None, ask_at)

    def _unless_braked(self, mine: Process, want: int, now: float, at: datetime) -> Grant:
        if mine.ring.braked(at, min(trip.failures for trip in self._rules.trips.values())):
            return Grant(0, ask_at=float(int(now) + 1))
        return Grant(want, mine.seen.generation)

    # --- outcomes

    def ended(self, process: int, job: Job, failure: Failure | None, now: float) -> Decision | None:
        """Count it, report it where that cannot wait, and decide."""
        mine, at = self._processes[process], moment(now)
        mine.budget = budgets.earned(mine.budget, 1, at)
        says = relevance(failure, self._rules.trips)
        if job.permit is not None:
            permit = job.permit
            self._keep(process, transition.probed(self._row, permit, says, self._rules, now=at, rng=self._rng), now)
            self._learn(now, process, seen(self._row))
        elif job.generation == mine.seen.generation:
            self._count(process, job, says, failure, now)
        if failure is None:
            return None
        if says is Relevance.PACED and failure.hint is not None:
            self._pace(process, job, failure.hint.seconds, now)
        decision = self._decided(mine, job, failure, says, at)
        if any(step.name == "recovery" for step in decision.explanation):
            self._for_recovery.append((now, job, job.turn))
        return decision

    def _count(self, process: int, job: Job, says: Relevance, failure: Failure | None, now: float) -> None:
        mine, at = self._processes[process], moment(now)
        match says:
            case Relevance.WORKED:
                mine.ring.success(at)
            case Relevance.COUNTED if failure is not None:
                mine.ring.failure(at, job.id, failure.type)
            case Relevance.HOLDS if failure is not None:
                mine.ring.holding(job.id, failure.type)
            case Relevance.PACED:
                mine.ring.paced()
            case _:
                return
        first = says is Relevance.COUNTED and not self._row.suspect
        if first or says is Relevance.HOLDS:
            self._report(process, now)

    def _report(self, process: int, now: float) -> None:
        mine, at = self._processes[process], moment(now)
        told = mine.ring.take(mine.seen.generation, since=mine.seen.since, now=at)
        if told.is_empty:
            return
        self._keep(process, transition.report(self._row, told, self._rules, now=at, rng=self._rng), now)
        self._learn(now, process, seen(self._row))

    def _pace(self, process: int, job: Job, seconds: float, now: float) -> None:
        until = moment(now + seconds)
        generation = self._row.generation if job.permit is not None else job.generation
        moved = transition.paced(
            self._row, until, generation=generation, throughput=self._throughput(now), now=moment(now)
        )
        self._keep(process, moved, now)

    def _decided(self, mine: Process, job: Job, failure: Failure, says: Relevance, at: datetime) -> Decision:
        cost = budgets.cost(failure.type)
        around = Circumstances(
            dependency=NAME,
            relevance=says,
            breaker=mine.seen,
            generation=job.generation,
            probe=job.permit is not None,
            budget_seconds=budgets.wait_seconds(mine.budget, cost),
            ready_jobs=0 if mine.seen.state is not State.CLOSED else self._world.waiting,
        )
        limits = JobLimits(waited=job.waited)
        decision = decide(
            failure, None, attempts=job.attempts, tier=self._tier, limits=limits, now=at, rng=self._rng, around=around
        )
        if not around.caught and not isinstance(decision, DeadLetter):
            mine.budget = budgets.spent(mine.budget, cost)
        return decision

    # --- the shared row

    def _keep(self, process: int, moved: Moved, now: float) -> None:
        was_healthy = self._row.healthy
        self._row = moved.breaker
        if moved.transition is not None:
            self._announce(process, moved.transition, now)
        elif was_healthy and not self._row.healthy:
            self._tell(process, now)

    def _announce(self, process: int, what: Transition, now: float) -> None:
        self.transitions.append(what)
        if what.after in {State.OPEN, State.HELD}:
            self.trips += 1
            if what.before is State.CLOSED:
                self._row = transition.measured(self._row, self._throughput(now))
        if what.after is State.RAMPING and what.before in {State.OPEN, State.HALF_OPEN}:
            for failed_at, job, turn in self._for_recovery:
                self._world.bring_forward(max(now, failed_at + SOONEST.total_seconds()), job, turn)
            self._for_recovery.clear()
        self._tell(process, now)

    def _tell(self, process: int, now: float) -> None:
        """The process that changed the row knows at once; the others when the news is there."""
        self._learn(now, process, seen(self._row))
        for other in range(len(self._processes)):
            if other != process:
                self._world.at(now + NEWS_SECONDS * self._rng.uniform(0.5, 1.5), self._learn, other, seen(self._row))

    def _learn(self, now: float, process: int, news: Seen) -> None:
        mine = self._processes[process]
        if news.generation < mine.seen.generation:
            return
        if news.generation > mine.seen.generation:
            mine.ring.forget()
        mine.seen = news
        if not mine.reporting:
            mine.reporting = True
            self._world.at(now + REPORT_SECONDS * self._rng.uniform(0.5, 1.0), self._flush, process)

    def _flush(self, now: float, process: int) -> None:
        mine = self._processes[process]
        if self._row.healthy or self._row.state in {State.OPEN, State.HELD, State.ISOLATED}:
            mine.reporting = False
            return
        self._report(process, now)
        self._world.at(now + REPORT_SECONDS, self._flush, process)

    def _throughput(self, now: float) -> float:
        """Successes per second over the last minute, as one count of the queue's history has it."""
        done = self._world.tally.done_at
        newest = int(now)
        seconds = min(60, max(1, newest))
        return sum(done[second] for second in range(newest - seconds, newest)) / seconds


_THREE = RetryPolicy(max_retries=3, initial_delay=timedelta(seconds=2), max_delay=timedelta(seconds=300))


def plain_clients() -> list[Plain]:
    """What ours is compared with: three retries from 2 s on."""
    fixed = replace(_THREE, backoff=Backoff.FIXED, jitter=Jitter.NONE)
    return [
        Plain("fixed delay", fixed),
        Plain("exponential", replace(_THREE, jitter=Jitter.NONE)),
        Plain("exponential, full jitter", replace(_THREE, jitter=Jitter.FULL)),
    ]
