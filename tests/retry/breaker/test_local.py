"""What a worker keeps in memory."""

from datetime import timedelta

import pytest

from app.retry.breaker.counting import Counted
from app.retry.breaker.local import Ring, Seen, Snapshot
from app.retry.breaker.states import Breaker, State

from .driver import AUTH, DOWN, START, Driver, opened, ramping

SECOND = int(START.timestamp())


def after(seconds: float):
    """A moment."""
    return START + timedelta(seconds=seconds)


def test_snapshot_tells_what_a_decision_needs():
    """It answers with state, generation and end of a breaker; who is not in it is closed."""
    breaker = opened().breaker
    snapshot = Snapshot([breaker])
    seen = snapshot.of("joke-api")
    assert seen is not None
    assert (seen.state, seen.generation, seen.until, seen.shut) == (State.OPEN, 1, breaker.until, True)
    assert snapshot.of("another") is None


def test_snapshot_names_whom_to_ask():
    """Jobs of dependencies that are not closed are claimed by admission; suspects are claimed, and reported about."""
    suspect = Driver(Breaker(name="suspect")).failing(1).breaker
    snapshot = Snapshot([opened().breaker, suspect])
    assert snapshot.gated() == ["joke-api"]
    assert snapshot.suspects == {"suspect"}


def test_snapshot_knows_the_generation_of_the_healthy():
    """Of a breaker that is well again its generation is known, so that what was started before it is late; no more."""
    snapshot = Snapshot([opened().breaker], past={"another": 7})
    assert snapshot.of("another") == Seen("another", State.CLOSED, generation=7)
    assert (snapshot.gated(), snapshot.suspects) == (["joke-api"], frozenset())


def test_the_first_report_has_the_successes_since_the_first_failure():
    """What worked before the first failure does not dilute it; what worked beside it does."""
    ring = Ring()
    for _ in range(100):
        ring.success(after(-5))
    ring.failure(START, 7, DOWN)
    ring.success(START)
    ring.success(after(1))
    report = ring.take(0, since=None, now=after(1))
    assert report.successes == ((SECOND, 1), (SECOND + 1, 1))
    assert report.failures == (Counted(SECOND, 7, DOWN),)


def test_nothing_is_reported_twice():
    """A second report has what came since."""
    ring = Ring()
    ring.success(START)
    assert ring.take(0, since=START, now=START).successes == ((SECOND, 1),)
    ring.success(START)
    assert ring.take(0, since=START, now=START).successes == ((SECOND, 1),)
    assert ring.take(0, since=START, now=START).is_empty


def test_a_minute_is_remembered():
    """The ring has the last 64 seconds; an older count is overwritten, not added to."""
    ring = Ring()
    for second in range(200):
        ring.success(after(second))
    report = ring.take(0, since=START, now=after(199))
    assert [second - SECOND for second, _ in report.successes] == list(range(136, 200))
    assert {count for _, count in report.successes} == {1}


def test_refusals_are_carried():
    """Jobs without access, and calls that a rate limit refused, are in the report."""
    ring = Ring()
    ring.holding(1, AUTH)
    ring.paced()
    report = ring.take(3, since=None, now=START)
    assert (report.holding, report.paced, report.generation) == (((1, AUTH),), 1, 3)


def test_a_new_generation_begins_empty():
    """What was not reported when the breaker changed is not reported afterwards."""
    ring = Ring()
    ring.success(START)
    ring.failure(START, 1, DOWN)
    ring.forget()
    report = ring.take(1, since=START, now=START)
    assert (report.successes, report.failures) == ((), ())


@pytest.mark.parametrize(("failures", "braked"), [(2, False), (3, True)])
def test_the_brake(failures: int, *, braked: bool):
    """As many failures in a row as the threshold stop claims until the next second."""
    ring = Ring()
    for job in range(failures):
        ring.failure(START, job, DOWN)
    assert ring.braked(START, 3) is braked
    assert not ring.braked(after(1), 3)


def test_a_success_releases_the_brake():
    """A call that worked shows that it is no outage."""
    ring = Ring()
    for job in range(3):
        ring.failure(START, job, DOWN)
    ring.success(START)
    assert not ring.braked(START, 3)


def test_since_of_a_ramp():
    """On a ramp, results count from its begin on."""
    breaker = ramping().breaker
    seen = Snapshot([breaker]).of("joke-api")
    assert seen is not None
    assert seen.since == breaker.changed_at
