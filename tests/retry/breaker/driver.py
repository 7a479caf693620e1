"""A breaker at work: moved along in time, told outcomes, asked for jobs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from app.retry.breaker import transition
from app.retry.breaker.admit import Admission, admit
from app.retry.breaker.counting import Counted, Report
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.rules import Rules, rules_from
from app.retry.breaker.states import Breaker, Moved, State, Transition
from app.retry.failure import FailureType
from app.retry.presets import default_policies

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = rules_from(default_policies())
DOWN = FailureType.EXTERNAL_API_DOWN  # Three failures, half an hour.
NETWORK = FailureType.TRANSIENT_NETWORK  # Five failures, ten minutes.
AUTH = FailureType.PERMANENT_AUTH
SETTING = FailureType.CONFIG_MISSING_SETTING


class Driver:
    """One breaker with its clock. Every transition it makes is kept."""

    def __init__(self, breaker: Breaker | None = None, rules: Rules = RULES, *, seed: int = 1) -> None:
        self.breaker = breaker or Breaker(name="joke-api")
        self.rules = rules
        self.now = START
        self.rng = Random(seed)
        self.transitions: list[Transition] = []
        self._jobs = count(1)

    @property
    def state(self) -> State:
        """What its jobs may do."""
        return self.breaker.state

    def wait(self, seconds: float) -> "Driver":
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def report(  # noqa: PLR0913  A report has that many sides.
        self,
        *,
        successes: int = 0,
        failures: int = 0,
        kind: FailureType = DOWN,
        job: int | None = None,
        holding: tuple[int, ...] = (),
        paced: int = 0,
        generation: int | None = None,
    ) -> "Driver":
        """Report what happened in this second; each failure is of another job unless one is named."""
        second = int(self.now.timestamp())
        told = Report(
            generation=self.breaker.generation if generation is None else generation,
            at=self.now,
            successes=((second, successes),) if successes else (),
            failures=tuple(Counted(second, next(self._jobs) if job is None else job, kind) for _ in range(failures)),
            holding=tuple((each, kind) for each in holding),
            last_failure_at=self.now if failures else None,
            last_success_at=self.now if successes else None,
            paced=paced,
        )
        return self._keep(transition.report(self.breaker, told, self.rules, now=self.now, rng=self.rng))

    def failing(self, seconds: int, *, each: int = 1, kind: FailureType = DOWN) -> "Driver":
        """Let calls fail in so many seconds in a row."""
        for _ in range(seconds):
            self.report(failures=each, kind=kind).wait(1)
        return self

    def claim(self, want: int = 1, *, timeout: float = 30) -> Admission:
        """Ask for jobs."""
        admission = admit(
            self.breaker, want, self.rules, now=self.now, job_timeout=timedelta(seconds=timeout), rng=self.rng
        )
        self.breaker = admission.breaker
        self.transitions.extend(admission.transitions)
        return admission

    def probe(self, outcome: Relevance) -> "Driver":
        """Claim one probe and report its outcome at once."""
        (permit,) = self.claim().permits
        return self.probed(permit, outcome)

    def probed(self, permit: int, outcome: Relevance) -> "Driver":
        """Report the outcome of a probe."""
        return self._keep(transition.probed(self.breaker, permit, outcome, self.rules, now=self.now, rng=self.rng))

    def paced(self, seconds: float, *, throughput: float | None = 100.0, generation: int | None = None) -> "Driver":
        """A rate limit says to come back in so many seconds, to a call of this generation or of another."""
        until = self.now + timedelta(seconds=seconds)
        when = self.breaker.generation if generation is None else generation
        return self._keep(transition.paced(self.breaker, until, generation=when, throughput=throughput, now=self.now))

    def operated(self, moved: Moved) -> "Driver":
        """Keep what an operator made of it."""
        return self._keep(moved)

    def _keep(self, moved: Moved) -> "Driver":
        self.breaker = moved.breaker
        if moved.transition is not None:
            self.transitions.append(moved.transition)
        return self


def opened() -> Driver:
    """A breaker that has just opened for half an hour; it knows that 100 calls per second were usual."""
    driver = Driver().failing(3)
    assert driver.state is State.OPEN
    driver.breaker = transition.measured(driver.breaker, 100.0)
    return driver


def half_open() -> Driver:
    """One whose break is over and whose first probe is in flight."""
    driver = opened()
    assert driver.breaker.until is not None
    driver.now = driver.breaker.until
    driver.claim()
    assert driver.state is State.HALF_OPEN
    driver.breaker = replace(driver.breaker, permits=())
    return driver


def ramping() -> Driver:
    """One that lets its waiting jobs out, from 10 calls per second on."""
    driver = half_open()
    for _ in range(3):
        driver.probe(Relevance.WORKED)
    assert driver.state is State.RAMPING
    return driver


def held() -> Driver:
    """One whose credentials are refused."""
    driver = Driver()
    for job in (1, 2, 3):
        driver.report(holding=(job,), kind=AUTH)
    assert driver.state is State.HELD
    return driver


def isolated() -> Driver:
    """One that an operator holds."""
    driver = Driver()
    return driver.operated(transition.isolate(driver.breaker, "maintenance", now=driver.now))
