"""Isolated: an operator's word, until an operator's word."""

from app.retry.breaker import transition
from app.retry.breaker.states import State

from .driver import Driver, isolated, opened, ramping


def test_nothing_is_claimed_ever():
    """There is no probe and no end."""
    driver = isolated()
    for _ in range(5):
        admission = driver.wait(86_400).claim(10)
        assert (admission.jobs, admission.retry_at) == (0, None)


def test_from_every_state():
    """An operator can isolate whatever it is doing; twice is once."""
    for driver in (Driver(), opened(), ramping()):
        generation = driver.breaker.generation
        for _ in range(2):
            driver.operated(transition.isolate(driver.breaker, "maintenance", now=driver.now))
        assert (driver.state, driver.breaker.generation) == (State.ISOLATED, generation + 1)


def test_reset_ramps():
    """Released, its jobs come back on the ramp."""
    driver = isolated()
    driver.operated(transition.reset(driver.breaker, "done", now=driver.now))
    assert driver.state is State.RAMPING
    assert driver.transitions[-1].cause == "done"


def test_probing_is_not_for_the_isolated():
    """Asking for a probe does not let one through."""
    driver = isolated()
    driver.operated(transition.probe_now(driver.breaker, now=driver.now))
    assert driver.claim().jobs == 0


def test_resetting_the_healthy():
    """A reset of a closed breaker forgets what it suspects, without a transition."""
    driver = Driver().failing(2)
    driver.operated(transition.reset(driver.breaker, "noise", now=driver.now))
    assert driver.breaker.healthy
    assert driver.transitions == []
