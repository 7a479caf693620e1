"""Ramping: the waiting jobs are let out by a bucket that feels its way."""

import itertools
from dataclasses import replace

import pytest

from app.retry.breaker import ramp
from app.retry.breaker.states import State
from app.retry.failure import FailureType

from .driver import Driver, ramping


def pour(driver: Driver, seconds: float, *, failing: float = 0.0, poll: float = 0.02) -> int:
    """Take what the bucket gives for a while, and report it; a share of the calls fails. Returns the calls."""
    calls = 0
    for _ in range(round(seconds / poll)):
        taken = driver.wait(poll).claim(1000).jobs
        calls += taken
        failed = round(taken * failing)
        driver.report(successes=taken - failed, failures=failed)
    return calls


def step(driver: Driver) -> float:
    """Take what the bucket gives until the step is over; all calls work. Returns the seconds that it took."""
    begun, started = driver.breaker.step_at, driver.now
    while driver.breaker.step_at == begun:
        pour(driver, 0.1)
    return (driver.now - started).total_seconds()


def test_starts_at_a_tenth():
    """It starts at 10 % of the throughput before the trip, and hands out exactly that."""
    driver = ramping()
    assert driver.breaker.rate == pytest.approx(10.0)
    assert pour(driver, 4.9) in range(47, 51)


def test_surges_then_creeps():
    """A step grows by half below half the baseline, by 15 % up to nine tenths of it, and by 5 % from there on."""
    driver = ramping()
    rates = []
    for _ in range(11):
        step(driver)
        rates.append(driver.breaker.rate)
    factors = [later / former for former, later in itertools.pairwise([10.0, *rates])]
    assert factors == pytest.approx([1.5] * 4 + [1.15] * 5 + [1.05] * 2)
    assert rates[8] == pytest.approx(101.8, abs=0.1)


def test_steps_are_as_long_as_it_takes_to_know():
    """A step takes 5 s, or where it has 60 results sooner, until then; but no less than 2 s."""
    driver = ramping()
    lengths = [step(driver) for _ in range(6)]
    assert lengths == pytest.approx([5.0, 4.0, 2.6, 2.0, 2.0, 2.0], abs=0.15)


def at_80() -> Driver:
    """A ramp that has come to 80 calls per second."""
    driver = ramping()
    driver.breaker = replace(driver.breaker, rate=80.0)
    return driver


def test_no_burst_after_a_quiet_time():
    """What was not taken is not saved up: the bucket holds a twentieth of a second."""
    assert at_80().wait(30).claim(1000).jobs == 4


def test_does_not_grow_while_the_bucket_lasts():
    """A rate that nobody uses up is not raised."""
    driver = ramping()
    for _ in range(10):
        driver.wait(1).claim(1)
        driver.report(successes=1)
    assert driver.breaker.rate == pytest.approx(10.0)


def test_shrinks_at_five_percent():
    """A step in which 5 % of the calls failed, or more, lowers the rate to 85 %; with fewer it grows by 5 %."""
    driver, twin = at_80(), at_80()
    driver.report(successes=95, failures=5).wait(5).claim(1000)
    twin.claim(1000)
    twin.report(successes=96, failures=4).wait(5).claim(1000)
    assert driver.breaker.rate == pytest.approx(68.0)
    assert twin.breaker.rate == pytest.approx(84.0)


def test_feels_the_limit():
    """From the rate before on, a step in which more than 2 % failed does not raise it: the limit is near."""
    driver, twin = at_80(), at_80()
    for each in (driver, twin):
        each.breaker = replace(each.breaker, rate=100.0)
        each.claim(1000)
    driver.report(successes=97, failures=3).wait(5).claim(1000)
    twin.report(successes=98, failures=2).wait(5).claim(1000)
    assert driver.breaker.rate == pytest.approx(100.0)
    assert twin.breaker.rate == pytest.approx(105.0)


def test_a_small_bucket_holds_two_calls():
    """A token that nobody asked for in time is not lost at once: workers ask when they can."""
    driver = ramping()
    driver.claim(1000)
    driver.wait(0.2)
    assert driver.claim(1000).jobs == 2


def test_does_not_surge_to_where_it_failed():
    """Once it was lowered it grows by small steps, far below the throughput before, too."""
    driver = ramping()
    driver.breaker = replace(driver.breaker, rate=30.0)
    driver.report(successes=80, failures=20).wait(5).claim(1000)
    assert driver.breaker.rate == pytest.approx(25.5)
    step(driver)
    assert driver.breaker.rate == pytest.approx(25.5 * 1.05)


def test_notices_that_it_bears_more():
    """At a tenth more than where calls failed last without any, it grows as if it had never failed."""
    driver = ramping()
    driver.breaker = replace(driver.breaker, rate=40.0)
    driver.report(successes=80, failures=20).wait(5).claim(1000)
    assert driver.breaker.rate == driver.breaker.ceiling == pytest.approx(34.0)
    rates = [34.0]
    for _ in range(10):
        step(driver)
        rates.append(driver.breaker.rate)
    factors = [later / former for former, later in itertools.pairwise(rates)]
    assert factors == pytest.approx([1.05] * 6 + [1.5] + [1.15] * 2 + [1.05])


def test_not_below_where_it_began():
    """Jobs that fail by themselves do not starve the others: a tenth of the throughput before stays."""
    driver = ramping()
    for _ in range(30):
        driver.claim(1000)
        driver.report(successes=8, failures=2).wait(5)
    assert driver.breaker.rate == pytest.approx(10.0)


def test_rate_limits_slow_it_down_only():
    """Calls refused by a rate limit lower the rate, and never open the breaker."""
    driver = at_80()
    driver.wait(3).report(paced=50).wait(3).report(paced=1)
    assert driver.state is State.RAMPING
    assert driver.breaker.rate == pytest.approx(68.0)


def test_few_results_say_nothing():
    """Fewer than three results in a step neither raise nor lower nor open."""
    driver = ramping()
    driver.wait(2).report(failures=2).wait(4).report()
    assert driver.state is State.RAMPING
    assert driver.breaker.rate == pytest.approx(10.0)


def test_half_of_a_step_opens():
    """A step in which half of the calls failed opens it again, for longer."""
    driver = ramping().wait(2).report(successes=5, failures=5)
    assert driver.state is State.OPEN
    assert driver.breaker.break_seconds == 3600
    assert driver.breaker.baseline == 100.0


def test_an_outage_in_the_midst_of_a_step():
    """An outage opens it within seconds, also where most of the step had worked before."""
    driver = at_80()
    for _ in range(3):
        driver.wait(1).report(successes=80)
    for _ in range(3):
        driver.wait(0.9).report(failures=15)
    assert driver.state is State.OPEN
    assert driver.transitions[-1].cause.startswith("45 of 45 calls failed, the last with EXTERNAL_API_DOWN")


def test_one_event_does_not_open():
    """A burst of failures right after the step began is not judged yet."""
    assert ramping().wait(1).report(failures=100).state is State.RAMPING


def test_ends_when_it_is_not_the_limit():
    """It ends once the bucket has not been empty for a minute, and the next break is short again."""
    driver = ramping()
    for _ in range(59):
        driver.wait(1).claim(1)
        driver.report(successes=1)
    assert len(driver.transitions) == 3
    driver.wait(1).report(successes=1)
    assert driver.state is State.CLOSED
    assert (driver.breaker.reopenings, driver.breaker.baseline) == (0, None)


def test_does_not_end_at_a_rate():
    """With a backlog it goes on, far beyond the throughput before: who leaves early brings the stampede back."""
    driver = ramping()
    for _ in range(100):
        driver.wait(5.1).claim(10_000)
        driver.report(successes=100)
    assert driver.state is State.RAMPING
    assert driver.breaker.rate > 200


def test_the_claim_ends_it_too():
    """Where no report comes, a claim after a quiet minute ends it."""
    driver = ramping().wait(61)
    assert driver.claim(1).jobs == 1
    assert driver.state is State.CLOSED


def test_does_not_end_for_want_of_workers():
    """A backlog that nobody claimed from for some minutes, as in a deploy, finds the ramp as it was."""
    driver = ramping().wait(300)
    assert driver.claim(1000).jobs == 2
    assert driver.state is State.RAMPING


def test_nearly_stops_where_nothing_works():
    """Once five calls failed and none worked since, it lets out a tenth until one works; it does not open for less."""
    driver = at_80().report(successes=200).wait(1).report(failures=5)
    assert driver.state is State.RAMPING
    assert unheard(driver, 0.9) in range(7, 13)
    driver.report(successes=1)
    assert unheard(driver, 0.9) >= 70


def test_four_failures_in_a_row_stop_nothing():
    """Fewer may be the jobs' own."""
    assert unheard(at_80().report(successes=200).wait(1).report(failures=4), 0.9) >= 70


def unheard(driver: Driver, seconds: float) -> int:
    """Take what the bucket gives for a while; of what became of it nobody hears."""
    return sum(driver.wait(0.05).claim(1000).jobs for _ in range(round(seconds / 0.05)))


def test_a_hint_pauses_it():
    """A rate limit's hint stops the ramp until then, and lowers its rate once for all who are told."""
    driver = ramping().paced(30).paced(30)
    assert driver.breaker.rate == pytest.approx(7.0)
    assert driver.claim(5).jobs == 0
    assert driver.wait(120).claim(1).jobs == 1
    assert driver.state is State.CLOSED


def test_held_out_of_a_ramp():
    """Jobs without access hold it here too."""
    driver = ramping().report(holding=(1, 2, 3), kind=FailureType.PERMANENT_AUTH)
    assert driver.state is State.HELD


def test_an_unknown_baseline():
    """Without a throughput to lead back to, it starts at one call per second and grows by 15 % a step."""
    driver = Driver().paced(1, throughput=None).wait(1)
    assert driver.breaker.rate == 1.0
    pour(driver, 30)
    assert driver.breaker.rate == pytest.approx(ramp.FEEL**6)


@pytest.mark.parametrize(
    ("tokens", "new", "retries", "expected"),
    [
        (10, 100, 100, (8, 2)),
        (10, 100, 0, (10, 0)),
        (10, 100, 1, (9, 1)),
        (10, 0, 100, (0, 10)),
        (10, 3, 100, (3, 7)),
        (4, 100, 100, (4, 0)),
        (0, 5, 5, (0, 0)),
    ],
)
def test_four_to_one(tokens: int, new: int, retries: int, expected: tuple[int, int]):
    """New jobs and retries share the bucket 4 : 1, and what one leaves goes to the other."""
    assert ramp.shared(tokens, ramp.meant_for_retries(0, tokens), new=new, retries=retries) == expected


def test_retries_are_not_starved_by_single_tokens():
    """Where tokens come one by one, every fifth is a retry's."""
    driver, for_retries = ramping(), 0
    for _ in range(50):
        for_retries += driver.wait(0.1).claim(1).for_retries
    assert for_retries == 10
