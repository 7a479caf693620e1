"""What may be claimed now: everything, nothing, a probe, or as much as the ramp's bucket has."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from . import ramp
from .rules import Rules
from .states import Breaker, Permit, State, Transition
from .transition import closed, half_opened, lapsed

LEASE_GRACE = timedelta(seconds=10)
"""How long after a job's time-out its permit is still out."""


class Admission(NamedTuple):
    """What a claim may take.

    Attributes:
        breaker: The row as it is to be stored.
        jobs: How many jobs; for an open or half-open breaker each of them is a probe.
        permits: Numbers of the probes' permits, one for each job; empty where jobs are no probes.
        for_retries: How many of them are meant for retries where new jobs wait too (`ramp.shared`).
        retry_at: When to ask again, where fewer were granted than wanted; None: when the row changes.
        transitions: To be recorded and announced, in this order.
    """

    breaker: Breaker
    jobs: int
    permits: tuple[int, ...] = ()
    for_retries: int = 0
    retry_at: datetime | None = None
    transitions: tuple[Transition, ...] = ()


def admit(  # noqa: PLR0913  The whole case is in the arguments.
    breaker: Breaker, want: int, rules: Rules, *, now: datetime, job_timeout: timedelta, rng: Random
) -> Admission:
    """How many of `want` waiting jobs may be claimed.

    Args:
        breaker: The row.
        want: Free slots; for jobs that are there.
        rules: Of this dependency.
        now: Aware.
        job_timeout: Of the jobs to be claimed: a permit is leased for so long and ten seconds.
        rng: Spreads the break that an expired lease begins.
    """
    breaker, lapse = lapsed(breaker, rules, now=now, rng=rng)
    granted = _granted(breaker, want, rules, now, job_timeout + LEASE_GRACE)
    return granted if lapse is None else granted._replace(transitions=(lapse, *granted.transitions))


def leased(breaker: Breaker, permit: int, run: timedelta, *, now: datetime) -> Breaker:
    """The row with a permit that lasts as long as a job which may run so long, if it did not anyway."""
    expires_at = now + run + LEASE_GRACE
    permits = (
        each._replace(expires_at=max(each.expires_at, expires_at)) if each.number == permit else each
        for each in breaker.permits
    )
    return replace(breaker, permits=tuple(permits))


def _granted(breaker: Breaker, want: int, rules: Rules, now: datetime, lease: timedelta) -> Admission:
    match breaker.state:
        case State.CLOSED:
            return Admission(breaker, want)
        case State.RAMPING:
            return _from_bucket(breaker, want, rules, now)
        case State.OPEN if breaker.until is not None and now >= breaker.until:
            after, transition = half_opened(breaker, "the break is over", now)
            granted = _probes(after, want, 1 - len(after.permits), now, lease)
            return granted._replace(transitions=() if transition is None else (transition,))
        case State.OPEN | State.HELD:
            return _early(breaker, want, now, lease)
        case State.HALF_OPEN:
            return _probes(breaker, want, _most_probes(breaker, rules) - len(breaker.permits), now, lease)
        case State.ISOLATED:
            return Admission(breaker, 0)


def _most_probes(breaker: Breaker, rules: Rules) -> int:
    """One, then two, then three; after a break that did not help one by one.

    What bears a single call at a time refuses the second of two probes: it would open again for ever.
    """
    return 1 if breaker.reopenings > 1 else min(1 + breaker.probe_successes, rules.half_open_max_calls)


def _from_bucket(breaker: Breaker, want: int, rules: Rules, now: datetime) -> Admission:
    if breaker.until is not None and now < breaker.until:
        return Admission(breaker, 0, retry_at=breaker.until)
    breaker = ramp.stepped(breaker, now)
    after, tokens = ramp.drawn(breaker, want, now)
    # Where the bucket is the limit now, it may have been none for want of workers alone.
    if tokens == want and ramp.is_over(breaker, rules.quiet_seconds, now):
        after, transition = closed(breaker, rules, now)
        return Admission(after, want, transitions=() if transition is None else (transition,))
    meant = ramp.meant_for_retries(breaker.handed, tokens)
    return Admission(after, tokens, for_retries=meant, retry_at=ramp.next_token_at(after) if tokens < want else None)


def _early(breaker: Breaker, want: int, now: datetime, lease: timedelta) -> Admission:
    due = breaker.probe_at
    if due is None or now < due:
        first = min((each for each in (due, breaker.until) if each is not None), default=None)
        return Admission(breaker, 0, retry_at=first)
    return _probes(breaker, want, 1 - len(breaker.permits), now, lease)


def _probes(breaker: Breaker, want: int, free: int, now: datetime, lease: timedelta) -> Admission:
    count = max(0, min(want, free))
    numbers = tuple(range(breaker.last_permit + 1, breaker.last_permit + 1 + count))
    permits = (*breaker.permits, *(Permit(number, now + lease) for number in numbers))
    lapses = min((each.expires_at for each in permits), default=None)
    after = replace(breaker, permits=permits, last_permit=breaker.last_permit + count)
    return Admission(after, count, numbers, retry_at=None if count == want else lapses)
