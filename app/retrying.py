"""Retries for code that is not queued, by the engine that serves the queue: it classifies, decides, explains and tells.

It waits where it is called, so it must never wait as long as a queue would: a server that asks for more than
`max_wait` is obeyed by giving up.

    @retrying(max_retries=5, operation_name="charge card")
    async def charge(order): ...

    for attempt in retrying(initial_delay=0.5):
        with attempt:
            upload(report)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from random import Random
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, assert_never, cast

from . import telemetry
from .redact import redact_text
from .retry.backoff import Backoff, Jitter
from .retry.classify import Context, classify
from .retry.decide import decide
from .retry.explain import line
from .retry.failure import Failure
from .retry.policy import (
    DeadLetter,
    DeathCause,
    Decision,
    Fixed,
    JobLimits,
    Retry,
    RetryPolicy,
    Snooze,
    SnoozeReason,
    Step,
)
from .retry.presets import STANDARD
from .retry.rules import Rule, book
from .retry.words import duration

P = ParamSpec("P")
R = TypeVar("R")
Seconds = float | timedelta

MAX_WAIT = timedelta(minutes=2)
"""Longer than this a caller is not held back for a server's sake; the wait belongs into a queue."""


def retrying(  # noqa: PLR0913  The fields of a policy and the names of an operation, all optional.
    *,
    policy: RetryPolicy = STANDARD,
    max_retries: int | None = None,
    backoff: Backoff | str | None = None,
    initial_delay: Seconds | None = None,
    backoff_multiplier: float | None = None,
    max_delay: Seconds | None = None,
    jitter: Jitter | str | None = None,
    retry_on: tuple[type[BaseException], ...] | None = None,
    give_up_on: tuple[type[BaseException], ...] | None = None,
    track_metrics: bool | None = None,
    operation_name: str | None = None,
    operation_type: str | None = None,
    idempotent: bool = True,
    max_wait: Seconds = MAX_WAIT,
    give_up_after: Seconds | None = None,
    rules: tuple[Rule, ...] = (),
    retry_http_500: bool = False,
    rng: Random | None = None,
) -> "Retrying":
    """Retry a function, as a decorator, or a block, as an iterator of context managers; async or sync.

    The exception that ends it is raised as it was, with the explanation as a note in its traceback. Cancellation passes
    through untouched. Sync code waits with `time.sleep`, which blocks its thread.

    Args:
        policy: What is not given below comes from it. Without a limit: ``RetryPolicy(max_retries=None)``.
        max_retries: Retries after the first attempt.
        backoff: The curve of the waits.
        initial_delay: The first wait; a number is in seconds, here and below.
        backoff_multiplier: Growth of an exponential backoff, at least 1.
        max_delay: The cap of the policy's waits.
        jitter: How each wait is spread.
        retry_on: If given, only these classes are retried, whatever their failure type says.
        give_up_on: These classes are never retried.
        track_metrics: Whether the attempts are counted; they are logged in any case.
        operation_name: In logs and metrics; a function's own name by default.
        operation_type: The metrics' and logs' name for the kind of operation, such as ``email``.
        idempotent: False if it must not run again while its effect is unknown.
        max_wait: The most that honoured hints of rate limits may add up to, and what a hint may ask for at once.
        give_up_after: No retry begins later than this after the first attempt.
        rules: Rules for what a failure is; they come before those of `failure_rule`, which apply here too.
        retry_http_500: Whether an HTTP 500 is worth a retry.
        rng: Seeded, the waits can be drawn again.

    Raises:
        ValueError: A number is out of its range.
    """
    given = {
        "max_retries": max_retries,
        "backoff": None if backoff is None else Backoff(backoff),
        "initial_delay": _timedelta(initial_delay),
        "multiplier": backoff_multiplier,
        "max_delay": _timedelta(max_delay),
        "jitter": None if jitter is None else Jitter(jitter),
        "retry_on": retry_on,
        "give_up_on": give_up_on,
        "track_metrics": track_metrics,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return Retrying(
        policy=replace(policy, **changed) if changed else policy,
        operation_name=operation_name,
        operation_type=operation_type,
        limits=JobLimits(idempotent=idempotent),
        max_wait=_timedelta(max_wait) or timedelta(0),
        give_up_after=_timedelta(give_up_after),
        context=Context(rules=rules, retry_http_500=retry_http_500),
        rng=rng or Random(),  # noqa: S311  Spreads load; guards no secret.
    )


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """How to run something again; made by `retrying`. Each iteration, and each call of what it decorates, is a run."""

    policy: RetryPolicy
    operation_name: str | None
    operation_type: str | None
    limits: JobLimits
    max_wait: timedelta
    give_up_after: timedelta | None
    context: Context
    rng: Random

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function.

        Raises:
            TypeError: It is a generator, whose half-consumed run cannot be begun again.
        """
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"a generator cannot be retried: {function!r}")
        own = replace(self, operation_name=self.operation_name or _name(function))
        if _is_async(function):
            return cast(Callable[P, R], own._async(cast(Callable[..., Any], function)))  # noqa: SLF001  Of its own class.
        return own._sync(function)  # noqa: SLF001  As above.

    def __iter__(self) -> "Run":
        return Run(self)

    def __aiter__(self) -> "Run":
        return Run(self)

    def _sync(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            for attempt in self:
                with attempt:
                    return function(*args, **kwargs)
            raise AssertionError("a run ends by returning or raising")

        return run

    def _async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            async for attempt in self:
                with attempt:
                    return await function(*args, **kwargs)
            raise AssertionError("a run ends by returning or raising")

        return run


@dataclass
class Run(Iterator["Run"], AsyncIterator["Run"]):
    """One run: yields itself before each attempt, after having waited, and guards the attempt's block.

    Attributes:
        attempts: Attempts that failed and counted.
        decision: What followed the last failure, if one has failed.
    """

    how: Retrying
    attempts: int = 0
    decision: Decision | None = None
    _next: timedelta | None = timedelta(0)
    _waited: timedelta = timedelta(0)
    _fingerprints: list[str] = field(default_factory=list)
    _begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = 0.0

    @property
    def number(self) -> int:
        """Number of the attempt that runs or comes next, from 1. One that ended in a snooze keeps its number."""
        return self.attempts + 1

    def __next__(self) -> Self:
        time.sleep(self._pause(StopIteration))
        return self

    async def __anext__(self) -> Self:
        await asyncio.sleep(self._pause(StopAsyncIteration))
        return self

    def __enter__(self) -> Self:
        self._clock = time.perf_counter()
        telemetry.emit(telemetry.AttemptStarted(self._label()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Hold the exception back if there will be another attempt."""
        took = time.perf_counter() - self._clock
        if error is None:
            telemetry.emit(telemetry.AttemptSucceeded(self._label(), took))
        elif isinstance(error, Exception):
            return self._failed(error, took)
        else:
            telemetry.emit(telemetry.AttemptAborted(self._label(), took))
        return False

    def _pause(self, end: type[Exception]) -> float:
        """Seconds until the next attempt.

        Raises `end` where there is none: after a success, but also where the block was left without being guarded.
        """
        pause, self._next = self._next, None
        if pause is None:
            raise end
        return pause.total_seconds()

    def _failed(self, error: Exception, took: float) -> bool:
        rules, seen = (*self.how.context.rules, *book.rules), tuple(self._fingerprints)
        failure = classify(error, self.how.context._replace(now=datetime.now(UTC), previous=seen, rules=rules))
        self._fingerprints.append(failure.fingerprint)
        decision = self.decision = self._decided(failure, error)
        reason = redact_text(line(decision.explanation))
        match decision:
            case Snooze():
                telemetry.emit(telemetry.AttemptSnoozed(self._label(), took, decision, reason, failure))
                self._waited += decision.delay
            case Retry():
                telemetry.emit(telemetry.AttemptFailed(self._label(), took, failure, decision, reason))
                self.attempts += 1
            case DeadLetter():
                telemetry.emit(telemetry.AttemptFailed(self._label(), took, failure, decision, reason))
                # An exception may have made something else of its notes; what it says itself matters more.
                with suppress(TypeError):
                    error.add_note(f"Not retried: {reason}")
                return False
            case _:
                assert_never(decision)
        self._next = decision.delay
        return True

    def _decided(self, failure: Failure, error: Exception) -> Decision:
        how = self.how
        deadline = None if how.give_up_after is None else self._begun_at + how.give_up_after
        decision = decide(
            failure,
            error,
            attempts=self.attempts,
            tier=Fixed(how.policy),
            limits=how.limits._replace(deadline=deadline, waited={SnoozeReason.RATE_LIMIT: self._waited}),
            now=datetime.now(UTC),
            rng=how.rng,
            max_wait=how.max_wait,
        )
        longest = max(how.max_wait, how.policy.max_delay)
        if isinstance(decision, Retry) and decision.delay > longest:
            return _too_long(decision, longest)
        return decision

    def _label(self) -> telemetry.Attempt:
        how, most = self.how, self.how.policy.max_retries
        return telemetry.Attempt(
            task_name=how.operation_name or "unnamed",
            attempt=self.number,
            max_attempts=None if most is None else most + 1,
            operation_type=how.operation_type,
            track_metrics=how.policy.track_metrics,
        )


def _too_long(decision: Retry, longest: timedelta) -> DeadLetter:
    most = longest.total_seconds()
    text = f"too long to hold a caller back: over {duration(most)}"
    step = Step("max_wait", text, {"delay_seconds": decision.delay.total_seconds(), "max_wait_seconds": most})
    return DeadLetter(DeathCause.WAITED_TOO_LONG, (*decision.explanation, step))


def _timedelta(given: Seconds | None) -> timedelta | None:
    return given if given is None or isinstance(given, timedelta) else timedelta(seconds=given)


def _is_async(function: Callable[..., Any]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def _name(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{named.__module__}.{named.__qualname__}"
