"""Open: nothing is claimed, but one early probe now and then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.retry.breaker import transition
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.states import State

from .driver import DOWN, RULES, Driver, half_open, opened


def test_it_knows_when_the_outage_began():
    """From the trip to the ramp it keeps when the first failure was, whatever probes say in between."""
    driver = Driver().failing(2)
    began = driver.breaker.suspect_since
    assert driver.failing(1).state is State.OPEN
    for _ in range(2):
        assert driver.breaker.until is not None
        driver.now = driver.breaker.until
        driver.probe(Relevance.COUNTED)
        assert (driver.state, driver.breaker.suspect_since) == (State.OPEN, began)
    driver.operated(transition.reset(driver.breaker, "it is back", now=driver.now))
    assert driver.breaker.suspect_since is None


def test_nothing_is_claimed():
    """While it is open a claim takes nothing, and is told when to ask again."""
    driver = opened()
    admission = driver.claim(100)
    assert admission.jobs == 0
    assert admission.retry_at == driver.breaker.probe_at


@pytest.mark.parametrize("seed", range(20))
def test_the_break_is_spread(seed: int):
    """The break is the type's, ±10 %, so that dependencies that fell together do not return together."""
    driver = Driver(seed=seed).failing(3)
    assert driver.breaker.until is not None
    seconds = (driver.breaker.until - driver.transitions[0].at).total_seconds()
    assert 0.9 * 1800 <= seconds <= 1.1 * 1800


def test_the_transition_says_why():
    """The history says what was seen and for how long it opened."""
    (trip,) = opened().transitions
    assert (trip.before, trip.after, trip.generation) == (State.CLOSED, State.OPEN, 1)
    assert trip.cause.startswith(f"3 of 3 calls failed, the last with {DOWN} → ")


def test_breaks_grow_to_a_cap():
    """Each break in a row is twice the one before, up to an hour."""
    driver = half_open()
    lengths = [driver.breaker.break_seconds]
    for _ in range(4):
        driver.probe(Relevance.COUNTED)
        lengths.append(driver.breaker.break_seconds)
        assert driver.breaker.until is not None
        driver.now = driver.breaker.until
    assert lengths == [1800, 3600, 3600, 3600, 3600]


def test_one_early_probe_a_minute():
    """One probe goes every min(60 s, max(5 s, break / 10)), and no second one beside it."""
    driver = opened()
    assert driver.breaker.probe_at == driver.transitions[0].at + timedelta(seconds=60)
    driver.wait(60)
    assert driver.claim(100).jobs == 1
    assert driver.claim(100).jobs == 0


def test_a_failed_early_probe_changes_nothing():
    """It fails, and the break goes on; the next one is due an interval later."""
    driver = opened().wait(60)
    until = driver.breaker.until
    driver.probe(Relevance.COUNTED)
    assert (driver.state, driver.breaker.until) == (State.OPEN, until)
    assert driver.breaker.probe_at == driver.now + timedelta(seconds=60)


def without_early_probes() -> Driver:
    """One that has just opened, and of which nothing is looked at before its break is over."""
    return Driver(rules=replace(RULES, early_probe=False)).failing(3)


def test_early_probes_can_be_switched_off():
    """Then nobody looks before the break is over, however long it is; the probe at its end half-opens as ever."""
    driver = without_early_probes()
    until = driver.breaker.until
    assert until is not None
    driver.now = until - timedelta(seconds=1)
    admission = driver.claim(100)
    assert (admission.jobs, admission.retry_at) == (0, until)
    assert driver.wait(1).claim(100).jobs == 1
    assert driver.state is State.HALF_OPEN


def test_an_operator_probes_without_early_probes():
    """Who switched them off can have one probe go; when it fails, no other one follows it."""
    driver = without_early_probes()
    driver.operated(transition.probe_now(driver.breaker, now=driver.now))
    driver.probe(Relevance.COUNTED).wait(120)
    assert (driver.state, driver.claim().jobs) == (State.OPEN, 0)


def test_a_probe_that_says_nothing():
    """A probe that never reached the dependency is followed by another one at once."""
    driver = opened().wait(60).probe(Relevance.SILENT)
    assert driver.claim().jobs == 1


def test_an_early_probe_works():
    """One that works half-opens the breaker, and is the first of the three successes."""
    driver = opened().wait(60).probe(Relevance.WORKED)
    assert driver.state is State.HALF_OPEN
    assert driver.breaker.probe_successes == 1


def test_an_early_probe_meets_a_rate_limit():
    """Who asks us to slow down is up: the waiting jobs come back on the ramp, after the hint."""
    driver = opened().wait(60)
    generation = driver.breaker.generation
    driver.probe(Relevance.PACED)
    assert driver.state is State.RAMPING
    rate = driver.breaker.rate
    assert driver.paced(20, generation=generation).claim(5).jobs == 0
    assert driver.breaker.rate == rate  # No call of this ramp was too much.


def test_a_probe_that_hangs():
    """A lease that ran out is a failed probe: the next one goes an interval later."""
    driver = opened().wait(60)
    driver.claim(timeout=30)
    driver.wait(41)
    assert driver.claim().jobs == 0
    assert driver.breaker.permits == ()
    assert driver.wait(60).claim().jobs == 1


def test_late_results_are_ignored():
    """Jobs caught in flight report nothing to an open breaker, under whatever generation."""
    driver = opened()
    before = driver.breaker
    assert driver.report(successes=100, generation=0).breaker is before
    assert driver.report(successes=100).breaker is before
    assert driver.probed(99, Relevance.WORKED).breaker is before


def test_probe_by_an_operator():
    """An operator can have the next probe go at once."""
    driver = opened()
    driver.operated(transition.probe_now(driver.breaker, now=driver.now))
    assert driver.claim().jobs == 1


def test_reset_by_an_operator():
    """A reset lets the jobs out on the ramp, not at once, and the next break is short again."""
    driver = opened()
    driver.operated(transition.reset(driver.breaker, "vendor says so", now=driver.now))
    assert (driver.state, driver.breaker.reopenings) == (State.RAMPING, 0)


def test_a_late_claim_half_opens():
    """When the break is over, the next claim gets the first probe."""
    driver = opened()
    assert driver.breaker.until is not None
    driver.now = driver.breaker.until
    admission = driver.claim(50)
    assert (driver.state, admission.jobs, len(admission.permits)) == (State.HALF_OPEN, 1, 1)
