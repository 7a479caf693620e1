"""What a process may retry."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.retry.budget import CAPACITY, FLOOR_PER_SECOND, Budget, cost, earned, spent, wait_seconds
from app.retry.failure import FailureType

from .samples import NOW


def empty() -> Budget:
    """A budget that has no token."""
    return spent(earned(Budget(), 0, NOW), CAPACITY)


def test_full_at_first():
    """A new process can retry 50 times before anything worked."""
    assert wait_seconds(Budget(), CAPACITY) == 0


def test_five_calls_make_a_retry():
    """Every call adds 0.2, so that one call in six is a retry at most."""
    assert wait_seconds(earned(empty(), 4, NOW), 1) > 0
    assert wait_seconds(earned(empty(), 5, NOW), 1) == pytest.approx(0)


def test_the_floor():
    """A dead dependency is tried once in five seconds by each process."""
    assert wait_seconds(empty(), 1) == 5
    assert wait_seconds(earned(empty(), 0, NOW + timedelta(seconds=5)), 1) == pytest.approx(0)


def test_who_waits_stands_in_line():
    """Each deferred retry takes its token in advance, so that the next one comes after it."""
    budget, waits = empty(), []
    for _ in range(4):
        waits.append(wait_seconds(budget, 1))
        budget = spent(budget, 1)
    assert waits == [5, 10, 15, 20]


def test_nobody_waits_for_ever():
    """However many are deferred, none waits for much more than an hour."""
    budget = empty()
    for _ in range(10_000):
        budget = spent(budget, 2)
    assert wait_seconds(budget, 1) <= 3605


def test_time_outs_cost_two():
    """A retry after a time-out costs two tokens, any other one."""
    assert cost(FailureType.TRANSIENT_TIMEOUT) == 2
    assert cost(FailureType.TRANSIENT_NETWORK) == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1000)), max_size=50))
def test_retries_are_bounded(turns: list[tuple[int, float]]):
    """Retries made at once are never more than the capacity, a fifth of the calls and the floor."""
    budget, now, calls, retries = earned(Budget(), 0, NOW), NOW, 0, 0
    for more, seconds in turns:
        calls, now = calls + more, now + timedelta(seconds=seconds)
        budget = earned(budget, more, now)
        while wait_seconds(budget, 1) == 0:
            budget, retries = spent(budget, 1), retries + 1
    elapsed = (now - NOW).total_seconds()
    assert retries <= CAPACITY + 0.2 * calls + FLOOR_PER_SECOND * elapsed + 1e-6


def test_another_share():
    """RETRY_BUDGET says what a call adds."""
    budget = Budget(tokens=0, at=NOW, per_call=0.5)
    assert wait_seconds(earned(budget, 2, NOW), 1) == 0
