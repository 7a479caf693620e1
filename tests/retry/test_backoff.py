from datetime import timedelta
from itertools import pairwise
from random import Random
from statistics import mean, pstdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.retry.backoff import Backoff, Jitter, planned, spread
from app.retry.policy import LONGEST_DELAY, RetryPolicy, schedule

backoffs = st.sampled_from(Backoff)
jitters = st.sampled_from(Jitter)
retries = st.integers(1, 200) | st.just(10_000) | st.integers(0, 10**400)
delays = st.timedeltas(timedelta(0), LONGEST_DELAY).map(timedelta.total_seconds)
multipliers = st.floats(1, 1e308)
bounded = settings(max_examples=150)


def seconds(waits: list[timedelta]) -> list[float]:
    """Waits as numbers."""
    return [wait.total_seconds() for wait in waits]


@bounded
@given(backoffs, retries, delays, multipliers, delays)
def test_within_the_cap(backoff: Backoff, retry: int, initial: float, multiplier: float, cap: float):
    """Whatever the curve, the retry number and the settings, a wait lies between 0 and the cap."""
    assert 0 <= planned(backoff, retry, initial=initial, multiplier=multiplier, cap=cap) <= cap


@bounded
@given(backoffs, st.integers(1, 1_200), delays, multipliers, delays)
def test_never_falls(backoff: Backoff, retry: int, initial: float, multiplier: float, cap: float):
    """Without jitter, no retry waits less than the one before."""
    first, second = (planned(backoff, n, initial=initial, multiplier=multiplier, cap=cap) for n in (retry, retry + 1))
    assert first <= second


@bounded
@given(jitters, delays, retries, delays, delays, st.integers())
def test_spread_within_the_cap(  # noqa: PLR0913, PLR0917  One per argument of `spread`.
    jitter: Jitter, cap: float, retry: int, initial: float, share: float, seed: int
):
    """A jitter's range lies between 0 and the cap, its lower end first."""
    wait = min(share, cap)
    low, high = spread(jitter, wait, retry=retry, initial=initial, cap=cap, rng=Random(seed))
    assert 0 <= low <= high <= cap


@pytest.mark.parametrize("backoff", Backoff)
def test_the_ten_thousandth_retry(backoff: Backoff):
    """Retry 10 000 is planned like any other."""
    wait = planned(backoff, 10_000, initial=2.0, multiplier=2.0, cap=300.0)
    assert wait == {Backoff.IMMEDIATE: 0.0, Backoff.FIXED: 2.0}.get(backoff, 300.0)


def test_exponential_from_settings():
    """MAX_RETRIES=5, RETRY_BASE_DELAY=2 and RETRY_MAX_DELAY=300 wait exactly 2, 4, 8, 16 and 32 s."""
    policy = RetryPolicy(max_retries=5, initial_delay=timedelta(seconds=2), max_delay=timedelta(seconds=300))
    assert seconds(schedule(policy, 10)) == [2, 4, 8, 16, 32]


def test_fibonacci_begins_with_two_ones():
    """Fibonacci waits are the first delay times 1, 1, 2, 3, 5, up to the cap."""
    policy = RetryPolicy(
        max_retries=None,
        backoff=Backoff.FIBONACCI,
        initial_delay=timedelta(minutes=15),
        max_delay=timedelta(hours=2),
    )
    assert seconds(schedule(policy, 7)) == [900, 900, 1800, 2700, 4500, 7200, 7200]


def test_linear_adds_the_first_delay():
    """Linear waits grow by the first delay each time, and the first of them is not zero."""
    policy = RetryPolicy(backoff=Backoff.LINEAR, initial_delay=timedelta(seconds=60), max_delay=timedelta(seconds=150))
    assert seconds(schedule(policy, 3)) == [60, 120, 150]


def drawn(jitter: Jitter, wait: float, *, cap: float = 300.0, retry: int = 1, draws: int = 20_000) -> list[float]:
    """Many draws from the range of one wait."""
    rng = Random(20)
    ranges = (spread(jitter, wait, retry=retry, initial=10.0, cap=cap, rng=rng) for _ in range(draws))
    return [rng.uniform(low, high) for low, high in ranges]


@pytest.mark.parametrize(
    ("jitter", "low", "high"),
    [(Jitter.PROPORTIONAL, 90.0, 110.0), (Jitter.EQUAL, 50.0, 100.0), (Jitter.FULL, 0.0, 100.0)],
)
def test_even_distribution(jitter: Jitter, low: float, high: float):
    """Proportional, equal and full jitter spread evenly over their range: mean, deviation and ends say so."""
    waits = drawn(jitter, 100.0)
    assert low <= min(waits) <= low + 0.2
    assert high - 0.2 <= max(waits) <= high
    assert mean(waits) == pytest.approx((low + high) / 2, rel=0.02)
    assert pstdev(waits) == pytest.approx((high - low) / 12**0.5, rel=0.03)


def test_no_heap_at_the_cap():
    """A wait at the cap is spread below it; jobs do not gather on the cap itself."""
    waits = drawn(Jitter.PROPORTIONAL, 300.0)
    assert len(set(waits)) > 0.99 * len(waits)
    assert mean(waits) == pytest.approx(285.0, rel=0.01)


def test_decorrelated_is_the_published_chain():
    """Decorrelated waits are distributed as sleep = U(first, min(cap, 3 · sleep)) walked from the first delay."""
    rng = Random(4)

    def walked(links: int) -> float:
        sleep = 10.0
        for _ in range(links):
            sleep = rng.uniform(10.0, min(300.0, 3 * sleep))
        return sleep

    waits = drawn(Jitter.DECORRELATED, 40.0, retry=3)
    assert mean(waits) == pytest.approx(mean(walked(3) for _ in range(20_000)), rel=0.03)


def test_decorrelated_before_the_first_retry():
    """The first decorrelated wait lies between the first delay and three times it."""
    waits = drawn(Jitter.DECORRELATED, 10.0)
    assert 10.0 <= min(waits) < 10.1
    assert 29.9 < max(waits) <= 30.0


@pytest.mark.parametrize(
    "fields",
    [
        {"max_retries": -1},
        {"initial_delay": timedelta(seconds=-1)},
        {"max_delay": timedelta(seconds=-1)},
        {"max_delay": timedelta(days=4000)},
        {"multiplier": 0.5},
        {"multiplier": float("nan")},
        {"multiplier": float("inf")},
    ],
)
def test_senseless_policies_are_refused(fields: dict[str, Any]):
    """A policy with a number out of range does not come to be."""
    with pytest.raises(ValueError, match=next(iter(fields))):
        RetryPolicy(**fields)


def test_exact_to_the_microsecond():
    """A schedule's neighbours are what the curve says, to the microsecond."""
    policy = RetryPolicy(max_retries=None, initial_delay=timedelta(microseconds=1), max_delay=timedelta(days=3650))
    waits = schedule(policy, 40)
    assert all(later == 2 * earlier for earlier, later in pairwise(waits))
