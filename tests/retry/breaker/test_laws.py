"""What holds whatever happens to a breaker."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.retry.breaker.counting import run
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.states import Breaker, Slot, State

from .driver import Driver, half_open, opened, ramping
from .test_transitions import wander

SECONDS = st.floats(min_value=0.001, max_value=120, allow_nan=False)


@given(reports=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), max_size=60))
@settings(max_examples=100)
def test_a_healthy_majority_never_opens(reports: list[tuple[int, int]]):
    """Where in every second fewer calls fail than work, it stays closed."""
    driver = Driver()
    for successes, failures in reports:
        driver.report(successes=successes, failures=min(failures, successes - 1)).wait(1)
    assert driver.state is State.CLOSED


@given(failures=st.integers(1, 500), step=st.floats(0.0, 0.37))
@settings(max_examples=50)
def test_a_burst_never_opens(failures: int, step: float):
    """However many fail at once, within a second and a half it stays closed."""
    driver = Driver()
    for _ in range(5):
        driver.report(failures=failures).wait(step)
    assert driver.state is State.CLOSED


@given(counts=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=20))
@settings(max_examples=200)
def test_a_run_is_what_failed_since_the_last_second_with_a_success(counts: list[tuple[int, int]]):
    """Of the seconds those count in which nothing worked and after which nothing has."""
    slots = tuple(Slot(10 * number, *count, count[1] / 10) for number, count in enumerate(counts, 1))
    last = max((slot.second for slot in slots if slot.successes), default=0)
    since = [slot for slot in slots if slot.second > last]
    found = run(Breaker(name="api", slots=slots))
    assert found.successes == 0
    assert found.failures == sum(slot.failures for slot in since)
    assert found.pressure == sum(slot.pressure for slot in since)
    assert found.seconds == sum(slot.failures > 0 for slot in since)


@given(polls=st.lists(st.tuples(SECONDS, st.integers(1, 100)), max_size=60))
@settings(max_examples=100)
def test_the_bucket_never_gives_more_than_its_rate(polls: list[tuple[float, int]]):
    """Whoever asks whenever: over any time a ramp without results hands out its rate, and its depth at most."""
    driver = ramping()
    begin, given_out = driver.now, 0
    for seconds, want in polls:
        admission = driver.wait(seconds).claim(want)
        if driver.state is not State.RAMPING:
            return
        given_out += admission.jobs
        elapsed = (driver.now - begin).total_seconds()
        assert given_out <= 1 + driver.breaker.rate * elapsed + 1e-6


@given(polls=st.lists(st.tuples(SECONDS, st.integers(1, 30), st.booleans()), max_size=60))
@settings(max_examples=100)
def test_probes_in_flight_are_bounded(polls: list[tuple[float, int, bool]]):
    """Over all workers no more probes are in flight than half-open allows, and one while it is open."""
    driver = half_open()
    for seconds, want, works in polls:
        admission = driver.wait(seconds).claim(want, timeout=1000)
        if driver.state not in {State.OPEN, State.HALF_OPEN}:
            return
        most = driver.rules.half_open_max_calls if driver.state is State.HALF_OPEN else 1
        assert len(driver.breaker.permits) <= most
        if admission.permits and works:
            driver.probed(admission.permits[0], Relevance.WORKED)


@given(wants=st.lists(st.integers(1, 24), min_size=1, max_size=24))
@settings(max_examples=50)
def test_exactly_one_first_probe(wants: list[int]):
    """However many ask at the end of a break, one job gets through."""
    driver = opened()
    assert driver.breaker.until is not None
    driver.now = driver.breaker.until
    assert sum(driver.claim(want).jobs for want in wants) == 1


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_a_dependency_is_never_wedged(seed: int):
    """Whatever happened to it: asked again and again and answering, a breaker that nobody isolated closes."""
    driver, rng = Driver(), Random(seed)
    for _ in range(40):
        wander(driver, rng)
    if driver.state is State.ISOLATED:
        return
    for _ in range(400):
        for permit in driver.claim(1).permits:
            driver.probed(permit, Relevance.WORKED)
        driver.wait(20).report(successes=1)
    assert driver.state is State.CLOSED


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_same_history_same_breaker(seed: int):
    """A breaker is a function of what was said to it, when, and of its randomness."""
    twins = [Driver(seed=3), Driver(seed=3)]
    for driver in twins:
        rng = Random(seed)
        for _ in range(40):
            wander(driver, rng)
    assert twins[0].breaker == twins[1].breaker


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1)])
def test_a_clock_that_goes_back(late: timedelta):
    """A worker whose clock is behind neither gets tokens nor raises."""
    driver = ramping()
    driver.now -= late
    assert driver.claim(100).jobs == 0
