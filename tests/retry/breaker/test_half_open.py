"""Half-open: a few leased probes, over all workers."""

from app.retry.breaker.relevance import Relevance
from app.retry.breaker.rules import Overrides, rules_from
from app.retry.breaker.states import State
from app.retry.presets import default_policies

from .driver import half_open


def test_one_probe_then_two_then_three():
    """One probe is in flight at first, then two; three successes start the ramp."""
    driver = half_open()
    first = driver.claim(10)
    assert (first.jobs, driver.claim(10).jobs) == (1, 0)
    driver.probed(first.permits[0], Relevance.WORKED)
    second = driver.claim(10)
    assert (second.jobs, driver.claim(10).jobs) == (2, 0)
    driver.probed(second.permits[0], Relevance.WORKED)
    assert driver.claim(10).jobs == 2
    assert driver.probed(second.permits[1], Relevance.WORKED).state is State.RAMPING


def test_one_by_one_after_a_failure():
    """After a probe that failed they go one by one: two at a time may be what it does not bear."""
    driver = half_open().probe(Relevance.COUNTED)
    assert driver.breaker.until is not None
    driver.now = driver.breaker.until
    for _ in range(3):
        admission = driver.claim(10)
        assert (admission.jobs, driver.claim(10).jobs) == (1, 0)
        driver.probed(admission.permits[0], Relevance.WORKED)
    assert driver.state is State.RAMPING


def test_most_probes():
    """No more probes are in flight than BREAKER_HALF_OPEN_MAX_CALLS allows."""
    driver = half_open()
    driver.rules = rules_from(default_policies(), Overrides(half_open_max_calls=1))
    for _ in range(2):
        admission = driver.claim(10)
        assert (admission.jobs, driver.claim(10).jobs) == (1, 0)
        driver.probed(admission.permits[0], Relevance.WORKED)


def test_one_failure_opens():
    """One probe that fails opens it again, for longer, and the other probes' results are void."""
    driver = half_open().probe(Relevance.WORKED)
    one, other = driver.claim(2).permits
    driver.probed(one, Relevance.COUNTED)
    assert (driver.state, driver.breaker.reopenings) == (State.OPEN, 2)
    before = driver.breaker
    assert driver.probed(other, Relevance.WORKED).breaker is before


def test_a_permit_counts_once():
    """The same result reported twice is one result."""
    driver = half_open()
    (permit,) = driver.claim().permits
    driver.probed(permit, Relevance.WORKED).probed(permit, Relevance.WORKED)
    assert driver.breaker.probe_successes == 1


def test_a_lost_worker_gives_its_permit_back():
    """The lease of a probe whose worker died runs out, and counts as a failed probe."""
    driver = half_open()
    driver.claim(timeout=30)
    assert (driver.wait(39).claim().jobs, len(driver.breaker.permits)) == (0, 1)
    driver.wait(1.1).claim()
    assert driver.state is State.OPEN
    assert driver.transitions[-1].cause.startswith("a probe did not come back")


def test_a_probe_that_says_nothing_frees_its_permit():
    """A probe that never reached the dependency neither opens nor closes."""
    driver = half_open().probe(Relevance.SILENT)
    assert (driver.state, driver.breaker.probe_successes) == (State.HALF_OPEN, 0)
    assert driver.claim().jobs == 1


def test_a_refusal_is_an_answer():
    """A probe that met a rate limit proves that somebody answers."""
    assert half_open().probe(Relevance.PACED).state is State.RAMPING


def test_permits_are_never_reused():
    """Every permit has a number of its own, over all breaks."""
    driver = half_open()
    seen = set()
    for _ in range(5):
        (permit,) = driver.claim().permits
        assert permit not in seen
        seen.add(permit)
        driver.probed(permit, Relevance.COUNTED)
        assert driver.breaker.until is not None
        driver.now = driver.breaker.until
