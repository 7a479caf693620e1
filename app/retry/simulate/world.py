"""Queue, workers and clock: events in order of time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, NamedTuple, Protocol

from ..breaker.ramp import shared
from ..failure import Failure
from ..policy import DeadLetter, Decision, Retry, SnoozeReason
from .dependency import Dependency
from .outcome import Outcome, Tally, measured
from .scenario import Arrivals, Scenario

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When every simulation starts: decisions want a date."""


@dataclass(slots=True)
class Job:
    """A job in the simulation.

    Attributes:
        turn: How often it has come to the front; what was planned for an earlier one is void.
    """

    id: int
    poisoned: bool
    attempts: int = 0
    generation: int = 0
    permit: int | None = None
    turn: int = 0
    waited: dict[SnoozeReason, timedelta] = field(default_factory=dict)


class Grant(NamedTuple):
    """What a process may claim now, and when it asks again where that is less than it wanted."""

    jobs: int
    generation: int = 0
    permits: tuple[int, ...] = ()
    for_retries: int | None = None
    ask_at: float = 0.0


class Client(Protocol):
    """A policy under test."""

    name: str
    trips: int

    def begin(self, world: "World") -> None:
        """Get to know the world, before anything happens in it."""

    def admit(self, process: int, want: int, now: float) -> Grant:
        """How many of the waiting jobs a process may claim."""

    def ended(self, process: int, job: Job, failure: Failure | None, now: float) -> Decision | None:
        """Take an attempt's end; after a failure, say what follows."""


class World:
    """One scenario under one policy, played once."""

    def __init__(self, scenario: Scenario, client: Client, seed: int) -> None:
        self.scenario = scenario
        self.rng = Random(seed)  # noqa: S311  Plays a scenario; guards no secret.
        self.tally = Tally()
        self._client = client
        self._dependency = Dependency(scenario, Random(seed + 1))  # noqa: S311  As above.
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._numbers = count(1)
        self._new: deque[Job] = deque()
        self._retries: deque[Job] = deque()
        self._free = [scenario.slots] * scenario.processes
        self._asking = [False] * scenario.processes
        self._next = 0
        self._left = scenario.jobs

    def play(self) -> Outcome:
        """Play to the end: until no job is left, or to the horizon."""
        self._client.begin(self)
        for arrivals in self.scenario.arrivals:
            self._announce(arrivals)
        while self._events and self._left:
            at, _, act, args = heappop(self._events)
            if at > self.scenario.horizon:
                break
            act(at, *args)
        self.tally.trips = self._client.trips
        return measured(self._client.name, self.scenario, self.tally)

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Have `act(now, *args)` called at a time."""
        heappush(self._events, (when, next(self._order), act, args))

    @property
    def waiting(self) -> int:
        """Jobs that could be claimed now."""
        return len(self._new) + len(self._retries)

    def _announce(self, arrivals: Arrivals) -> None:
        if arrivals.per_second is None:
            self.at(arrivals.start, self._arrive, arrivals.jobs, 0.0)
        else:
            self.at(arrivals.start, self._arrive, 1, 1 / arrivals.per_second, arrivals.jobs - 1)

    def _arrive(self, now: float, jobs: int, gap: float, more: int = 0) -> None:
        for _ in range(jobs):
            number = next(self._numbers)
            every = self.scenario.poisoned_every
            self._new.append(Job(number, poisoned=bool(every) and number % every == 0))
        if more > 0:
            self.at(now + gap * self.rng.uniform(0.5, 1.5), self._arrive, 1, gap, more - 1)
        self._wake(now)

    def _wake(self, now: float) -> None:
        """Let idle processes look for jobs, in turn."""
        processes = self.scenario.processes
        for _ in range(processes):
            if not self.waiting:
                return
            self._next = (self._next + 1) % processes
            if self._free[self._next] and not self._asking[self._next]:
                self._claim(now, self._next)

    def _ask_again(self, now: float, process: int) -> None:
        self._asking[process] = False
        self._claim(now, process)

    def _claim(self, now: float, process: int) -> None:
        want = min(self._free[process], self.waiting)
        if want <= 0:
            return
        grant = self._client.admit(process, want, now)
        if grant.jobs < want:
            self._asking[process] = True
            self.at(max(grant.ask_at, now + 0.001), self._ask_again, process)
        for number, job in enumerate(self._taken(grant)):
            job.generation = grant.generation
            job.permit = grant.permits[number] if grant.permits else None
            self._start(now, process, job)

    def _taken(self, grant: Grant) -> list[Job]:
        if grant.for_retries is None:  # Not on a ramp: whoever was due first would go first; retries were there before.
            from_retries = min(grant.jobs, len(self._retries))
            from_new = grant.jobs - from_retries
        else:
            waiting = {"new": len(self._new), "retries": len(self._retries)}
            from_new, from_retries = shared(grant.jobs, grant.for_retries, **waiting)
        retries = [self._retries.popleft() for _ in range(from_retries)]
        return retries + [self._new.popleft() for _ in range(from_new)]

    def _start(self, now: float, process: int, job: Job) -> None:
        self._free[process] -= 1
        self.tally.calls += 1
        self.tally.calls_at[int(now)] += 1
        seconds, failure = self._dependency.call(now, poisoned=job.poisoned)
        self.at(now + seconds, self._end, process, job, failure, seconds)

    def _end(self, now: float, process: int, job: Job, failure: Failure | None, seconds: float) -> None:
        self._free[process] += 1
        decision = self._client.ended(process, job, failure, now)
        if failure is None:
            self._succeeded(now)
        else:
            self.tally.wasted_seconds += seconds
            self._follow(now, job, decision)
        if not self._asking[process]:
            self._claim(now, process)

    def _succeeded(self, now: float) -> None:
        tally = self.tally
        tally.done += 1
        tally.done_at[int(now)] += 1
        tally.last_done = now
        if tally.detected_at is None and now >= self.scenario.well_at:
            tally.detected_at = now
        self._left -= 1

    def _follow(self, now: float, job: Job, decision: Decision | None) -> None:
        if decision is None or isinstance(decision, DeadLetter):
            self.tally.dead += 1
            self.tally.dead_in_vain += not job.poisoned
            self._left -= 1
            return
        if isinstance(decision, Retry):
            job.attempts += 1
        else:
            job.waited[decision.reason] = job.waited.get(decision.reason, timedelta(0)) + decision.delay
        self.at(now + decision.delay.total_seconds(), self._due, job, job.turn)

    def bring_forward(self, when: float, job: Job, turn: int) -> None:
        """Let a job that waits since that turn run at a time, if its own is not before."""
        self.at(when, self._due, job, turn)

    def _due(self, now: float, job: Job, turn: int) -> None:
        if turn != job.turn:  # It has been brought forward, and this was its time.
            return
        job.turn += 1
        (self._retries if job.attempts else self._new).append(job)
        self._wake(now)


def moment(seconds: float) -> datetime:
    """The date of a time in the simulation."""
    return EPOCH + timedelta(seconds=seconds)
