from datetime import UTC, datetime, timedelta

import pytest

from app.retry.decide import snooze
from app.retry.explain import line
from app.retry.policy import (
    DeathCause,
    JobLimits,
    Snooze,
    SnoozeReason,
    Step,
)

from .samples import NOW, cause

SHUTDOWN = Step("shutdown", "the worker is shutting down", {})


def test_a_snooze_explains_itself():
    """A wait that costs no attempt says why."""
    waiting = snooze(SnoozeReason.SHUTDOWN, timedelta(0), SHUTDOWN, limits=JobLimits(), now=NOW)
    assert isinstance(waiting, Snooze)
    assert (waiting.at, waiting.reason) == (NOW, SnoozeReason.SHUTDOWN)
    assert line(waiting.explanation) == "the worker is shutting down · waits without spending an attempt"


@pytest.mark.parametrize(
    "limits",
    [
        JobLimits(waited={SnoozeReason.BUDGET: timedelta(hours=24)}),
        JobLimits(deadline=NOW + timedelta(seconds=1)),
    ],
    ids=["max wait", "deadline"],
)
def test_a_snooze_ends(limits: JobLimits):
    """Waiting ends at MAX_WAIT for its reason, or at the job's deadline."""
    waiting = snooze(SnoozeReason.BUDGET, timedelta(seconds=5), SHUTDOWN, limits=limits, now=NOW)
    assert cause(waiting) is DeathCause.WAITED_TOO_LONG


def test_a_deadline_ends_what_has_waited_for_all_of_max_wait():
    """Whoever has waited for exactly as long as is allowed has a deadline, too."""
    limits = JobLimits(waited={SnoozeReason.SHUTDOWN: timedelta(hours=1)}, deadline=NOW - timedelta(seconds=1))
    ended = snooze(SnoozeReason.SHUTDOWN, timedelta(0), SHUTDOWN, limits=limits, now=NOW, max_wait=timedelta(hours=1))
    assert cause(ended) is DeathCause.WAITED_TOO_LONG


def test_a_snooze_is_cut_short_at_max_wait():
    """A wait that would lead past MAX_WAIT leads to it."""
    limits = JobLimits(waited={SnoozeReason.BUDGET: timedelta(hours=23, minutes=59)})
    waiting = snooze(SnoozeReason.BUDGET, timedelta(hours=1), SHUTDOWN, limits=limits, now=NOW)
    assert isinstance(waiting, Snooze)
    assert waiting.delay == timedelta(minutes=1)


def test_the_calendar_ends_in_9999():
    """A wait that leads past the last date leads to the last date."""
    limits = JobLimits()
    late = datetime(9999, 12, 31, 23, tzinfo=UTC)
    waiting = snooze(SnoozeReason.SHUTDOWN, timedelta(hours=20), SHUTDOWN, limits=limits, now=late)
    assert isinstance(waiting, Snooze)
    assert waiting.at == late + waiting.delay
