"""Held: somebody has to mend credentials or settings; meanwhile nothing dies."""

from datetime import timedelta

from app.retry.breaker import transition
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.states import State

from .driver import held


def test_nothing_is_claimed_for_a_quarter_of_an_hour():
    """It has no end of its own; one probe goes every 15 min."""
    driver = held()
    assert driver.breaker.until is None
    assert driver.claim(100).retry_at == driver.now + timedelta(minutes=15)
    assert driver.wait(15 * 60).claim(100).jobs == 1


def test_a_failed_probe_goes_on_holding():
    """A probe that is refused again changes nothing but the time of the next one."""
    driver = held().wait(15 * 60).probe(Relevance.HOLDS)
    assert driver.state is State.HELD
    assert driver.breaker.probe_at == driver.now + timedelta(minutes=15)


def test_a_probe_releases():
    """A probe that is let in lets the others out on the ramp."""
    assert held().wait(15 * 60).probe(Relevance.WORKED).state is State.RAMPING


def test_an_operator_releases():
    """Whoever mended it need not wait for the probe."""
    driver = held()
    driver.operated(transition.reset(driver.breaker, "new key", now=driver.now))
    assert driver.state is State.RAMPING


def test_reports_do_not_release():
    """Late successes of before say nothing about the new state."""
    driver = held()
    before = driver.breaker
    assert driver.report(successes=10, generation=0).breaker is before


def test_the_transition_says_why():
    """The history names how many jobs and what they failed with."""
    assert held().transitions[-1].cause == "3 jobs failed with PERMANENT_AUTH"
