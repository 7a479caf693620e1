"""Closed: what opens a breaker, and what does not."""

import pytest

from app.retry.breaker.states import State
from app.retry.failure import FailureType

from .driver import AUTH, DOWN, NETWORK, SETTING, Driver


def test_healthy_claims_everything():
    """A closed breaker limits nothing, and asking it changes nothing."""
    driver = Driver()
    before = driver.breaker
    assert driver.claim(1000).jobs == 1000
    assert driver.breaker is before


@pytest.mark.parametrize(("kind", "threshold"), [(DOWN, 3), (NETWORK, 5), (FailureType.TRANSIENT_DATABASE, 10)])
def test_threshold_of_the_type(kind: FailureType, threshold: int):
    """It opens at the threshold of the failure's type, and not before."""
    driver = Driver().failing(threshold - 1, kind=kind)
    assert driver.state is State.CLOSED
    assert driver.breaker.suspect
    assert driver.failing(1, kind=kind).state is State.OPEN


def test_types_add_up():
    """Failures of several types add up by their share of their thresholds."""
    assert Driver().failing(3, kind=NETWORK).failing(1, kind=DOWN).state is State.CLOSED
    assert Driver().failing(4, kind=NETWORK).failing(1, kind=DOWN).state is State.OPEN


def test_three_failures_at_one_job_a_minute():
    """A dependency that is called once a minute opens at its third failure in a row."""
    driver = Driver()
    for _ in range(3):
        assert driver.state is State.CLOSED
        driver.report(failures=1).wait(60)
    assert driver.state is State.OPEN


def test_a_success_ends_the_run_at_low_traffic():
    """With few calls, only failures without a success between them count."""
    driver = Driver().failing(2).report(successes=1).wait(1).failing(2)
    assert driver.state is State.CLOSED
    assert driver.failing(1).state is State.OPEN


def test_an_hour_old_failure_is_forgotten():
    """Failures further apart than an hour are no run."""
    driver = Driver()
    for _ in range(5):
        driver.report(failures=1).wait(2000)
    assert driver.state is State.CLOSED


def test_one_second_is_one_event():
    """500 failures within one second do not open it; those of the next second do."""
    driver = Driver().report(failures=500)
    assert driver.state is State.CLOSED
    assert driver.wait(2).report(failures=2).state is State.OPEN


def test_not_before_a_second_and_a_half():
    """Two seconds of the clock that lie 0.2 s apart are still one event."""
    driver = Driver().wait(0.9).report(failures=100).wait(0.2).report(failures=100)
    assert driver.state is State.CLOSED
    assert driver.wait(1.4).report(failures=1).state is State.OPEN


def test_share_of_failures():
    """With traffic, half of the calls must fail: 1 % of errors at 500 jobs a second never opens it."""
    driver = Driver()
    for _ in range(120):
        driver.report(successes=495, failures=5).wait(1)
    assert driver.state is State.CLOSED
    assert Driver().report(successes=5, failures=6).wait(2).report(successes=5, failures=6).state is State.OPEN


def test_an_outage_after_noise_is_seen_within_seconds():
    """A minute of traffic with some errors does not hide an outage: a run of 20 failures opens it."""
    driver = Driver()
    for _ in range(60):
        driver.report(successes=495, failures=5).wait(1)
    assert driver.failing(2, each=15).state is State.OPEN


def test_unknown_errors_need_a_larger_share():
    """Errors of an unknown type open it at 80 % only."""
    most, all_but_few = Driver(), Driver()
    for _ in range(10):
        most.report(successes=3, failures=7, kind=FailureType.UNKNOWN).wait(1)
        all_but_few.report(successes=1, failures=9, kind=FailureType.UNKNOWN).wait(1)
    assert most.state is State.CLOSED
    assert all_but_few.state is State.OPEN


def test_one_job_counts_once():
    """One job that fails again and again is a poisoned job, not an outage."""
    driver = Driver()
    for _ in range(20):
        driver.report(failures=1, job=7).wait(60)
    assert driver.state is State.CLOSED
    assert len(driver.breaker.slots) == 1


def test_healthy_again():
    """Once its failures are out of the window a suspect is healthy, and nobody has to report any more."""
    driver = Driver().report(successes=50, failures=1)
    assert driver.breaker.suspect
    assert driver.wait(61).report(successes=50).breaker.healthy


def test_suspicion_is_no_transition():
    """Becoming suspect changes no generation: the failures that lead to a trip are judged like any other."""
    driver = Driver().failing(2)
    assert driver.breaker.generation == 0
    assert driver.transitions == []


def test_late_reports_are_ignored():
    """What was started under another generation says nothing about this one."""
    driver = Driver()
    before = driver.breaker
    assert driver.report(failures=100, generation=7).breaker is before


@pytest.mark.parametrize("kind", [AUTH, SETTING])
def test_three_refused_jobs_hold_it(kind: FailureType):
    """Three distinct jobs without access or a setting hold the dependency; the same job thrice does not."""
    assert Driver().report(holding=(1, 1, 1), kind=kind).state is State.CLOSED
    driver = Driver().report(holding=(1, 2), kind=kind)
    assert driver.state is State.CLOSED
    assert driver.wait(5).report(holding=(3,), kind=kind).state is State.HELD


def test_a_success_ends_the_count_of_a_hold():
    """Where some are let in, access is a matter of the job: a success in between starts the count anew."""
    driver = Driver().report(holding=(1, 2), kind=AUTH).wait(1).report(successes=1).wait(1)
    assert driver.report(holding=(3,), kind=AUTH).state is State.CLOSED
    assert not driver.wait(3601).report(successes=1).breaker.suspect


def test_a_hint_pauses_and_ramps():
    """A rate limit's hint holds all jobs until it is over; they come back at 70 % of the throughput."""
    driver = Driver().paced(30)
    assert driver.state is State.RAMPING
    admission = driver.claim(10)
    assert (admission.jobs, admission.retry_at) == (0, driver.breaker.until)
    assert driver.breaker.rate == pytest.approx(70.0)
    driver.wait(31)
    assert driver.claim(10).jobs == 3


def test_a_hint_that_is_over_is_ignored():
    """Who was told to wait until a time that has passed by now holds nobody."""
    driver = Driver()
    before = driver.breaker
    assert driver.paced(-1).breaker is before


@pytest.mark.parametrize("hints", [(30, 90), (90, 30)], ids=["the later one last", "the later one first"])
def test_the_latest_of_several_hints_counts(hints: tuple[int, int]):
    """Of calls in flight together each is told its own time: the latest holds them all, by one transition."""
    first, second = hints
    driver = Driver().paced(first).paced(second, generation=0)
    assert driver.wait(89).claim(5).jobs == 0
    driver.wait(1.5).claim(5)
    assert driver.breaker.rate == pytest.approx(70.0)
    assert [each.after for each in driver.transitions] == [State.RAMPING]


def test_a_pause_made_longer_is_no_quiet_time():
    """A ramp whose pause is prolonged by more than a minute begins after it, and is not over at once."""
    driver = Driver().paced(10).paced(200, generation=0).wait(200)
    driver.wait(1).claim(5)
    assert driver.state is State.RAMPING
    assert driver.claim(1000).jobs < 100
