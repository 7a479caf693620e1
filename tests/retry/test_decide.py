from collections import Counter
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest

from app.retry.backoff import Backoff, Jitter
from app.retry.decide import decide, rng_for
from app.retry.explain import line
from app.retry.failure import Effect, FailureType
from app.retry.policy import (
    DeathCause,
    Fixed,
    Foreign,
    ForeignBroken,
    ForeignRetry,
    JobLimits,
    Retry,
    Snooze,
    SnoozeReason,
    Tier,
)
from app.retry.presets import (
    NONE,
)

from .samples import EXACT, NOW, PERMANENT, a_failure, by_type, cause, decided, fixed, wait

# --- counting


def test_waits_of_the_settings():
    """With 5 retries from 2 s and no jitter, five retries come after 2, 4, 8, 16 and 32 s, and then no more."""
    tier = fixed(max_retries=5, initial_delay=timedelta(seconds=2), **EXACT)
    decisions = [decided(a_failure(), tier, attempts=attempts) for attempts in range(6)]
    assert [wait(each) for each in decisions[:5]] == [2, 4, 8, 16, 32]
    assert cause(decisions[5]) is DeathCause.RETRIES_SPENT


def test_no_retries():
    """A count of 0 is one attempt."""
    assert cause(decided(a_failure(), Fixed(NONE))) is DeathCause.RETRIES_SPENT


def test_no_limit():
    """A count of None never runs out, and its ten thousandth wait is the cap."""
    assert wait(decided(a_failure(), fixed(max_retries=None, **EXACT), attempts=10_000)) == 300.0


@pytest.mark.parametrize("tier", [fixed(max_retries=1), by_type(bound=1)], ids=["fixed", "by type"])
def test_a_jobs_own_count_replaces_the_policys(tier: Tier):
    """A job's own max_retries rules over its policy's and over MAX_RETRIES, both ways."""
    failure = a_failure()
    assert isinstance(decided(failure, tier, attempts=6, limits=JobLimits(max_retries=7)), Retry)
    assert cause(decided(failure, tier, limits=JobLimits(max_retries=0))) is DeathCause.RETRIES_SPENT


def test_max_retries_bounds_the_types():
    """MAX_RETRIES, set explicitly, ends a type's retries before the type's own count does."""
    decision = decided(a_failure(), by_type(bound=1), attempts=1)
    assert cause(decision) is DeathCause.RETRIES_SPENT
    assert "bounded by MAX_RETRIES" in line(decision.explanation)


def test_max_retries_gives_no_type_more():
    """MAX_RETRIES is a bound: a type with fewer retries keeps its own count."""
    assert cause(decided(a_failure(), by_type(bound=50), attempts=3)) is DeathCause.RETRIES_SPENT


def test_counted_per_job():
    """The limit of the policy that decides this failure is compared with all attempts, whatever they failed of."""
    network, api = a_failure(), a_failure(FailureType.EXTERNAL_API_DOWN)
    assert isinstance(decided(network, by_type(), attempts=2), Retry)
    assert cause(decided(api, by_type(), attempts=2)) is DeathCause.RETRIES_SPENT


# --- the veto of the type, retry_on, give_up_on


@pytest.mark.parametrize("kind", PERMANENT)
@pytest.mark.parametrize("tier", [by_type(), fixed()], ids=["by type", "fixed"])
def test_permanent_failures_are_buried(kind: FailureType, tier: Tier):
    """What fails again when repeated is not retried, also where the job allows retries."""
    decision = decided(a_failure(kind), tier, limits=JobLimits(max_retries=5))
    assert cause(decision) is DeathCause.PERMANENT
    assert "not retryable: " in line(decision.explanation)


def test_a_setting_allows_retries_of_a_permanent_type():
    """POLICY__PERMANENT_NOT_FOUND__MAX_RETRIES=1 gives such jobs one retry, after the table's 15 s."""
    tier = by_type({"PERMANENT_NOT_FOUND": {"max_retries": 1, "jitter": Jitter.NONE}})
    failure = a_failure(FailureType.PERMANENT_NOT_FOUND)
    assert wait(decided(failure, tier)) == 15.0
    assert cause(decided(failure, tier, attempts=1)) is DeathCause.RETRIES_SPENT


def test_http_500_stays_vetoed():
    """A failure that classification calls not retryable is buried although its type's policy has retries."""
    decision = decided(a_failure(FailureType.EXTERNAL_API_DOWN, retryable=False), by_type())
    assert cause(decision) is DeathCause.PERMANENT
    assert "The server failed inside itself." in line(decision.explanation)


def test_retry_on_narrows():
    """With retry_on, an error of another class is not retried, however transient."""
    tier = fixed(retry_on=(TimeoutError,))
    assert cause(decided(a_failure(), tier, ConnectionError())) is DeathCause.PERMANENT
    assert isinstance(decided(a_failure(), tier, TimeoutError()), Retry)


def test_retry_on_overrides_the_veto():
    """A class that retry_on names is retried although its type is permanent."""
    failure = a_failure(FailureType.PERMANENT_VALIDATION)
    assert isinstance(decided(failure, fixed(retry_on=(ValueError,)), UnicodeError()), Retry)


def test_give_up_on_always_wins():
    """A class named by give_up_on is not retried, also where retry_on names it too."""
    tier = fixed(retry_on=(OSError,), give_up_on=(ConnectionError,))
    assert cause(decided(a_failure(), tier, ConnectionResetError())) is DeathCause.PERMANENT


def test_groups_are_looked_into():
    """A group is retried if retry_on names all that is in it, and given up if give_up_on names any."""
    group = ExceptionGroup("both", [TimeoutError(), ExceptionGroup("inner", [ConnectionError()])])
    assert isinstance(decided(a_failure(), fixed(retry_on=(TimeoutError, ConnectionError)), group), Retry)
    assert cause(decided(a_failure(), fixed(retry_on=(TimeoutError,)), group)) is DeathCause.PERMANENT
    assert cause(decided(a_failure(), fixed(give_up_on=(ConnectionError,)), group)) is DeathCause.PERMANENT


# --- effects that are not known


@pytest.mark.parametrize(
    "failure",
    [
        a_failure(FailureType.TRANSIENT_TIMEOUT),
        a_failure(FailureType.TRANSIENT_NETWORK),
        a_failure(FailureType.TRANSIENT_DATABASE, effect=Effect.UNKNOWN),
    ],
)
@pytest.mark.parametrize("tier", [by_type(), fixed(), fixed(retry_on=(Exception,))], ids=["type", "fixed", "retry_on"])
def test_not_idempotent_and_nobody_knows(tier: Tier, failure: Any):
    """A task that is not idempotent is not retried by itself if it may have taken effect."""
    decision = decided(failure, tier, TimeoutError(), limits=JobLimits(idempotent=False))
    assert cause(decision) is DeathCause.PERMANENT
    assert "may have taken effect" in line(decision.explanation)


@pytest.mark.parametrize("effect", [Effect.NOT_SENT, Effect.REJECTED])
@pytest.mark.parametrize("kind", [FailureType.TRANSIENT_TIMEOUT, FailureType.TRANSIENT_NETWORK])
def test_not_idempotent_but_surely_without_effect(kind: FailureType, effect: Effect):
    """A call that surely had no effect is made again even where the task is not idempotent."""
    failure = a_failure(kind, effect=effect)
    assert isinstance(decided(failure, by_type(), limits=JobLimits(idempotent=False)), Retry)


# --- hints


def test_a_hint_is_a_floor():
    """A server's hint above the policy's wait rules, beyond the cap too, and jitter only adds to it."""
    tier = fixed(initial_delay=timedelta(seconds=2), max_delay=timedelta(seconds=10))
    waits = [wait(decided(a_failure(hint=100.0), tier, seed=seed)) for seed in range(300)]
    assert 100.0 <= min(waits) < 100.5
    assert 109.5 < max(waits) <= 110.0


def test_a_short_hint_still_spreads():
    """Under a hint of a second, jobs are spread over a second."""
    waits = [wait(decided(a_failure(hint=1.0), fixed(backoff=Backoff.IMMEDIATE), seed=seed)) for seed in range(300)]
    assert 1.0 <= min(waits) < 1.05
    assert 1.95 < max(waits) <= 2.0


def test_a_hint_below_the_wait():
    """A hint that the policy's wait exceeds changes nothing."""
    tier = fixed(initial_delay=timedelta(seconds=60))
    assert wait(decided(a_failure(hint=5.0), tier)) == wait(decided(a_failure(), tier))


def test_a_hint_is_clamped():
    """A hint of a year is believed for a day."""
    assert wait(decided(a_failure(hint=366 * 86_400.0), fixed(**EXACT))) == 86_400.0


def test_a_hint_without_jitter_is_exact():
    """Where jitter is off, nothing is added to a hint."""
    assert wait(decided(a_failure(hint=7.5), fixed(**EXACT))) == 7.5


def test_an_honoured_rate_limit_costs_no_attempt():
    """Told to come back in 60 s by a rate limit, the job waits that long at no cost in attempts, retries or not."""
    failure = a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=60.0)
    for attempts in (0, 3, 99):
        decision = decided(failure, fixed(**EXACT), attempts=attempts)
        assert isinstance(decision, Snooze)
        assert decision.reason is SnoozeReason.RATE_LIMIT
        assert decision.delay >= timedelta(seconds=60)


def test_a_rate_limit_without_a_hint_is_a_retry():
    """Where the server named no time, a rate limit is retried by its policy."""
    assert 27.0 <= wait(decided(a_failure(FailureType.TRANSIENT_RATE_LIMIT), by_type())) <= 33.0


def test_one_attempt_is_one_attempt():
    """A task without retries is not brought back by a rate limit's hint either."""
    failure = a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=60.0)
    assert cause(decided(failure, Fixed(NONE))) is DeathCause.RETRIES_SPENT


def test_snoozes_do_not_spin():
    """A rate limit that says "in a millisecond" for ever holds a job for a second each time."""
    failure = a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=0.001)
    decision = decided(failure, fixed(backoff=Backoff.IMMEDIATE))
    assert isinstance(decision, Snooze)
    assert decision.delay >= timedelta(seconds=1)


def test_honouring_ends_at_max_wait():
    """A job that has waited for rate limits almost a day is buried rather than told to wait again, and it says so."""
    failure = a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=3600.0)
    limits = JobLimits(waited={SnoozeReason.RATE_LIMIT: timedelta(hours=23, minutes=30)})
    decision = decided(failure, by_type(), limits=limits)
    assert cause(decision) is DeathCause.WAITED_TOO_LONG
    assert "waited 23 h 30 min for rate_limit" in line(decision.explanation)


def test_waiting_is_counted_by_reason():
    """A day behind a breaker does not shorten the patience with a rate limit."""
    failure = a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=60.0)
    limits = JobLimits(waited={SnoozeReason.DEPENDENCY_OPEN: timedelta(hours=24)})
    assert isinstance(decided(failure, by_type(), limits=limits), Snooze)


def test_nothing_runs_after_the_deadline():
    """A retry that would come after the job's deadline is a dead letter that names it."""
    decision = decided(a_failure(), by_type(), limits=JobLimits(deadline=NOW + timedelta(seconds=30)))
    assert cause(decision) is DeathCause.WAITED_TOO_LONG
    assert "deadline 2026-03-01 12:00:30 UTC" in line(decision.explanation)


# --- contention


def test_contention_is_retried_soon():
    """A job that lost a lock or a serialisation race runs again within 1 to 5 s, and after that as its type says."""
    lost = a_failure(FailureType.TRANSIENT_DATABASE, reason="contention")
    waits = [wait(decided(lost, by_type(), seed=seed)) for seed in range(300)]
    assert 1.0 <= min(waits) < 1.1
    assert 4.9 < max(waits) <= 5.0
    assert 54.0 <= wait(decided(lost, by_type(), attempts=1)) <= 66.0


def test_contention_keeps_a_fixed_schedule():
    """A task's own policy fixes its schedule, also under contention."""
    lost = a_failure(FailureType.TRANSIENT_DATABASE, reason="contention")
    assert wait(decided(lost, fixed(initial_delay=timedelta(seconds=20), **EXACT))) == 20.0


# --- foreign strategies


def test_a_foreign_strategy_alone_decides():
    """A foreign strategy's time is taken as it is: no veto, no hint, no jitter, no count of the job's."""
    at = NOW + timedelta(seconds=5)
    failure = a_failure(FailureType.PERMANENT_VALIDATION, hint=600.0)
    tier = Foreign("RetryStrategy", ForeignRetry(at, priority=7, queue="slow", lock="l"))
    decision = decided(failure, tier, attempts=99, limits=JobLimits(max_retries=0))
    assert decision == Retry(at, timedelta(seconds=5), decision.explanation, priority=7, queue="slow", lock="l")
    assert "strategy RetryStrategy alone decides: retry in 5 s" in line(decision.explanation)


def test_a_foreign_no():
    """A foreign strategy that answers None has spent its retries."""
    assert cause(decided(a_failure(), Foreign("RetryStrategy", None))) is DeathCause.RETRIES_SPENT


def test_a_broken_strategy():
    """A strategy that raised buries the job and its error is told."""
    decision = decided(a_failure(), Foreign("Mine", ForeignBroken("ZeroDivisionError: division by zero")))
    assert cause(decision) is DeathCause.BROKEN_STRATEGY
    assert "strategy Mine is broken: ZeroDivisionError" in line(decision.explanation)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (NOW - timedelta(hours=1), 0.0),
        ((NOW + timedelta(seconds=9)).replace(tzinfo=None), 9.0),
        ((NOW + timedelta(seconds=9)).astimezone(timezone(timedelta(hours=5))), 9.0),
    ],
    ids=["past", "naive", "another zone"],
)
def test_any_time_a_foreign_strategy_names(at: datetime, seconds: float):
    """A time past is now, a naive one is UTC, and any zone will do."""
    assert wait(decided(a_failure(), Foreign("Mine", ForeignRetry(at)))) == seconds


# --- randomness


def test_drawn_again_it_is_the_same():
    """The same job and attempt draw the same decision; another job draws another."""
    waits = [wait(decided(a_failure(), by_type(), seed=hash(rng_for(job, 1).uniform(0, 1)))) for job in (7, 7, 8)]
    assert waits[0] == waits[1] != waits[2]


def test_seeds_do_not_meet():
    """Jobs beside each other, and attempts of one job, draw apart."""
    draws = {rng_for(job, attempts).uniform(0, 1) for job in range(200) for attempts in range(20)}
    assert len(draws) == 200 * 20


def test_draws_are_even():
    """What the jobs of an outage draw lies evenly over the range, the first draw and the second."""
    for at in (0, 1):
        tenths = Counter(
            int([rng.uniform(5, 15) for _ in range(2)][at]) for rng in map(rng_for, range(10_000), [0] * 10_000)
        )
        assert set(tenths) == set(range(5, 15))
        assert max(tenths.values()) - min(tenths.values()) < 250


def test_what_is_recorded_is_what_is_scheduled():
    """The delay recorded and the time scheduled agree to the microsecond, and the explanation ends on that delay."""
    for seed in range(100):
        decision = decided(a_failure(), by_type(), attempts=1, seed=seed)
        assert isinstance(decision, Retry)
        assert decision.at - NOW == decision.delay
        assert timedelta(seconds=decision.explanation[-1].numbers["delay_seconds"]) == decision.delay


def test_one_draw():
    """A decision draws one number, no more."""
    rng, same = Random(1), Random(1)
    decide(a_failure(), None, attempts=0, tier=by_type(), limits=JobLimits(), now=NOW, rng=rng)
    same.random()
    assert rng.getstate() == same.getstate()
