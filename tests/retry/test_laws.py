"""What holds for every decision, whatever the case."""

import json
from datetime import UTC, datetime, timedelta
from math import inf, isfinite, nan
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.retry.backoff import Backoff, Jitter
from app.retry.decide import decide
from app.retry.explain import as_json, line
from app.retry.failure import Effect, Failure, FailureType, Hint, Remediation
from app.retry.policy import (
    LONGEST_DELAY,
    ByType,
    DeadLetter,
    Fixed,
    JobLimits,
    Retry,
    RetryPolicy,
    Snooze,
    SnoozeReason,
    Tier,
)
from app.retry.presets import default_policies

bounded = settings(max_examples=300)
delays = st.timedeltas(timedelta(0), LONGEST_DELAY)
counts = st.none() | st.integers(0, 20)
times = st.datetimes(timezones=st.just(UTC))
classes = st.lists(st.sampled_from([OSError, TimeoutError, ValueError, Exception]), max_size=2).map(tuple)
errors = st.sampled_from([None, ValueError(), TimeoutError(), ExceptionGroup("g", [OSError(), ValueError()])])
hints = st.none() | st.floats(0, 1e6) | st.sampled_from([0.0, inf, nan, -1.0, 1e308])


def _one_for_all(policy: RetryPolicy, bound: int | None) -> ByType:
    return ByType(dict.fromkeys(FailureType, policy), bound)


policies = st.builds(
    RetryPolicy,
    max_retries=counts,
    backoff=st.sampled_from(Backoff),
    initial_delay=delays,
    multiplier=st.floats(1, 1e308),
    max_delay=delays,
    jitter=st.sampled_from(Jitter),
    retry_on=classes,
    give_up_on=classes,
)
tiers: st.SearchStrategy[Tier] = st.builds(Fixed, policies) | st.builds(_one_for_all, policies, counts)
limits = st.builds(
    JobLimits,
    max_retries=counts,
    deadline=st.none() | times,
    waited=st.dictionaries(st.sampled_from(SnoozeReason), delays),
    idempotent=st.booleans(),
)
attempts = st.integers(0, 30) | st.just(10_000)
failures = st.builds(
    Failure,
    type=st.sampled_from(FailureType),
    confidence=st.floats(0, 1),
    evidence=st.just(()),
    remediation=st.sampled_from(Remediation),
    sentence=st.just("It failed."),
    retryable=st.booleans(),
    fingerprint=st.just("0" * 16),
    exception_type=st.just("x.Y"),
    message=st.text(),
    hint=st.none() | st.builds(Hint, hints.filter(lambda each: each is not None), st.just("Retry-After")),
    effect=st.none() | st.sampled_from(Effect),
    reason=st.none() | st.just("contention"),
)


@bounded
@given(failures, errors, attempts, tiers, limits, times, st.integers())
def test_total(  # noqa: PLR0913, PLR0917  One per argument of `decide`.
    failure: Failure, error: Exception | None, spent: int, tier: Tier, job: JobLimits, now: datetime, seed: int
):
    """Every case is decided: timed now or later and exactly as recorded, or buried; explained in finite numbers."""
    decision = decide(failure, error, attempts=spent, tier=tier, limits=job, now=now, rng=Random(seed))
    match decision:
        case Retry() | Snooze():
            assert decision.at >= now
            assert decision.at - now == decision.delay
        case DeadLetter():
            assert decision.explanation[-1].name == "remediation"
    assert line(decision.explanation).startswith(failure.type)
    assert json.dumps(as_json(decision.explanation), allow_nan=False)
    assert all(isfinite(number) for step in decision.explanation for number in step.numbers.values())


def timed(failure: Failure, tier: Tier, spent: int, seed: int) -> timedelta:
    """The wait that follows a failure that may be retried without limit."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    decision = decide(failure, None, attempts=spent, tier=tier, limits=JobLimits(), now=now, rng=Random(seed))
    assert isinstance(decision, Retry | Snooze)
    return decision.delay


endless = st.builds(
    RetryPolicy,
    max_retries=st.none(),
    backoff=st.sampled_from(Backoff),
    initial_delay=delays,
    multiplier=st.floats(1, 1e308),
    max_delay=delays,
    jitter=st.sampled_from(Jitter),
)


def transient(hint: float | None = None) -> Failure:
    """A failure that is retried."""
    return Failure(
        type=FailureType.TRANSIENT_NETWORK,
        confidence=0.9,
        evidence=(),
        remediation=Remediation.AUTO_RETRY,
        sentence="",
        retryable=True,
        fingerprint="",
        exception_type="x.Y",
        message="",
        hint=None if hint is None else Hint(hint, "Retry-After"),
    )


@bounded
@given(endless, attempts, st.integers())
def test_within_the_cap(policy: RetryPolicy, spent: int, seed: int):
    """Without a hint, a wait lies between 0 and the policy's cap, jitter included."""
    assert timedelta(0) <= timed(transient(), Fixed(policy), spent, seed) <= policy.max_delay


@bounded
@given(endless, attempts, st.floats(0, 86_400), st.integers())
def test_a_hint_is_a_floor(policy: RetryPolicy, spent: int, hint: float, seed: int):
    """No job comes back before the time its server named."""
    assert timed(transient(hint), Fixed(policy), spent, seed).total_seconds() >= hint


@bounded
@given(endless, st.floats(0, 1e9), st.integers())
def test_a_hint_adds_little(policy: RetryPolicy, hint: float, seed: int):
    """A hint moves a wait at most to a tenth, or a second, above the believed hint, or leaves the policy's own cap."""
    believed = min(hint, 86_400.0)
    longest = max(policy.max_seconds, believed + max(1.0, believed / 10), policy.wait_seconds(1) * 1.1)
    assert timed(transient(hint), Fixed(policy), 0, seed).total_seconds() <= longest + 1e-6


@bounded
@given(st.sampled_from(FailureType), st.integers(0, 20), st.none() | st.integers(0, 20))
def test_never_more_runs_than_allowed(kind: FailureType, bound: int, own: int | None):
    """However a job fails, its retries end at MAX_RETRIES, or at its own count where it has one."""
    tier, job = ByType(default_policies(), bound), JobLimits(max_retries=own)
    failure = Failure(
        kind, 0.9, (), Remediation.AUTO_RETRY, "", retryable=True, fingerprint="", exception_type="x", message=""
    )
    spent = 0
    while isinstance(
        decide(
            failure, None, attempts=spent, tier=tier, limits=job, now=datetime(2026, 1, 1, tzinfo=UTC), rng=Random(1)
        ),
        Retry,
    ):
        spent += 1
    assert spent <= bound if own is None else spent == own
