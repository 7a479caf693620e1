"""What reports, probes, hints and operators make of a breaker. Each function takes the row and returns it changed.

A report of an earlier generation says nothing about the present one, and is ignored wherever it arrives.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from ..failure import FailureType
from ..words import duration
from . import ramp
from .counting import LONGEST_RUN_SECONDS, Count, Report, counted, tripped
from .relevance import Relevance
from .rules import BREAK_SPREAD, Rules, Trip, break_seconds, probe_interval
from .states import LEGAL, Breaker, Moved, State, Transition

PROBES_TO_RAMP = 3
IDLE = timedelta(seconds=LONGEST_RUN_SECONDS)
"""Without a call for so long nothing is known of a dependency any more: no failure counts for longer either."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_PROBED = frozenset({State.OPEN, State.HELD})

RATIO_AFTER = timedelta(seconds=1.5)
"""A step of the ramp is not judged bad before: one event must not look like an outage there either."""


def report(breaker: Breaker, report: Report, rules: Rules, *, now: datetime, rng: Random) -> Moved:
    """Count what a process saw. Opens or holds the breaker where that is enough."""
    if report.generation != breaker.generation:
        return Moved(breaker)
    match breaker.state:
        case State.CLOSED:
            return _suspected(breaker, report, rules, now, rng)
        case State.RAMPING:
            return _ramped(breaker, report, rules, now, rng)
        case _:  # Late results say nothing: whoever is let through now reports as a probe.
            return Moved(breaker)


def probed(  # noqa: PLR0913  The whole case is in the arguments.
    breaker: Breaker, permit: int, outcome: Relevance, rules: Rules, *, now: datetime, rng: Random
) -> Moved:
    """Take a probe's result, and its permit back. A permit that is not out any more is ignored.

    A probe that met a rate limit reached a dependency that works; its hint then goes to `paced`.
    """
    left = tuple(each for each in breaker.permits if each.number != permit)
    if len(left) == len(breaker.permits):
        return Moved(breaker)
    breaker = replace(breaker, permits=left)
    match outcome:
        case Relevance.WORKED:
            return _probe_worked(breaker, now)
        case Relevance.PACED:
            return _to_ramp(breaker, "a probe was answered by a rate limit", now)
        case Relevance.COUNTED | Relevance.HOLDS:
            return _probe_failed(breaker, "a probe failed", rules, now, rng)
        case Relevance.SILENT:
            # It never reached the dependency: the next probe is due at once.
            return probe_now(breaker, now=now)


def lapsed(breaker: Breaker, rules: Rules, *, now: datetime, rng: Random) -> Moved:
    """Take back the permits whose lease ran out: a probe that hangs must not wedge the breaker."""
    running = tuple(each for each in breaker.permits if each.expires_at > now)
    if len(running) == len(breaker.permits):
        return Moved(breaker)
    return _probe_failed(replace(breaker, permits=running), "a probe did not come back", rules, now, rng)


def paced(
    breaker: Breaker, until: datetime, *, generation: int, throughput: float | None = None, now: datetime
) -> Moved:
    """Hold the dependency until a rate limit's hint is over; the waiting jobs then come back on the ramp.

    Of several hints the latest end counts. Calls that were in flight together are all told, and the first of them to
    say so moves the breaker, as a probe does: a hint holds whatever generation its call was of, being a time and no
    count. But only a call of this ramp says that the ramp was too fast.

    Args:
        breaker: The row.
        until: Aware; what the hint comes to.
        generation: When the call was started.
        throughput: Successful calls per second over all workers, of late; None: not known.
        now: Aware.
    """
    if until <= now:
        return Moved(breaker)
    cause = f"asked to wait until {until:%H:%M:%S}"
    match breaker.state:
        case State.CLOSED:
            breaker = replace(breaker, baseline=throughput)
            return _to_ramp(breaker, cause, now, until=until, share=ramp.PACED_SHARE)
        case State.RAMPING:
            told_first = breaker.until is None or breaker.until <= now  # Others were in flight with it.
            if told_first and generation == breaker.generation:
                breaker = ramp.begun(breaker, until, start=breaker.rate * ramp.PACED_SHARE)
            return Moved(_paused(breaker, until))
        case _:
            return Moved(breaker)


def _paused(breaker: Breaker, until: datetime) -> Breaker:
    """The ramp with its pause prolonged, if it ended before; bucket and step begin after it."""
    if breaker.until is not None and until <= breaker.until:
        return breaker
    return replace(breaker, until=until, tokens=0.0, tokens_at=until, step_at=until, limited_at=until)


def isolate(breaker: Breaker, cause: str, *, now: datetime) -> Moved:
    """Hold the dependency until an operator resets it."""
    if breaker.state is State.ISOLATED:
        return Moved(breaker)
    return _moved(_forgotten(breaker), State.ISOLATED, cause, now)


def reset(breaker: Breaker, cause: str, *, now: datetime) -> Moved:
    """Let the dependency's jobs out by an operator's word, on the ramp; forget what was counted."""
    if breaker.state is State.CLOSED:
        return Moved(_forgotten(breaker))
    if breaker.state is State.RAMPING:
        return Moved(breaker)
    return _to_ramp(replace(breaker, reopenings=0), cause, now)


def probe_now(breaker: Breaker, *, now: datetime) -> Moved:
    """Have the next probe go at once by an operator's word. Where nothing is probed, nothing changes."""
    return Moved(replace(breaker, probe_at=now) if breaker.state in _PROBED else breaker)


def idle(breaker: Breaker, *, now: datetime) -> Moved:
    """Let go of a breaker that nobody has called for an hour. Only for one that no waiting job relies on.

    A break that is over waits for a probe, and what was counted for the next report: of a dependency that nobody needs
    any more neither comes. An open breaker goes by way of the ramp, which is over in a minute where nobody calls: who
    comes back with many calls does not stampede. What somebody has to mend, or an operator said, stays as it is.
    """
    match breaker.state:
        case State.CLOSED if breaker.suspect and now - _last_counted(breaker) >= IDLE:
            return Moved(_forgotten(breaker))
        case State.OPEN | State.HALF_OPEN if now - _last_sign(breaker) >= IDLE:
            return _to_ramp(replace(breaker, reopenings=0), f"not called for {duration(IDLE.total_seconds())}", now)
        case _:
            return Moved(breaker)


def _last_counted(breaker: Breaker) -> datetime:
    seconds = (datetime.fromtimestamp(slot.second + 1, UTC) for slot in breaker.slots)
    return max((breaker.hold_since or _LONG_AGO, *seconds))


def _last_sign(breaker: Breaker) -> datetime:
    """When it was last looked at, or is to be: each look moves these times."""
    leases = (each.expires_at for each in breaker.permits)
    return max(each or _LONG_AGO for each in (breaker.changed_at, breaker.until, breaker.probe_at, *leases))


def measured(breaker: Breaker, throughput: float) -> Breaker:
    """The row with the throughput before the trip, in successful calls per second: one count, made at the trip.

    It is where the ramp leads back to. A trip out of a ramp keeps the one that was known.
    """
    return breaker if breaker.baseline is not None else replace(breaker, baseline=throughput)


def half_opened(breaker: Breaker, cause: str, now: datetime, *, successes: int = 0) -> Moved:
    """The break is over: a few probes are let through."""
    breaker = replace(breaker, until=None, probe_at=None, probe_successes=successes)
    return _moved(breaker, State.HALF_OPEN, cause, now)


def closed(breaker: Breaker, rules: Rules, now: datetime) -> Moved:
    """The ramp is over."""
    breaker = replace(_forgotten(breaker), reopenings=0, baseline=None, rate=0.0, tokens=0.0)
    return _moved(breaker, State.CLOSED, f"the ramp has not been the limit for {duration(rules.quiet_seconds)}", now)


def _suspected(breaker: Breaker, report: Report, rules: Rules, now: datetime, rng: Random) -> Moved:
    held = _held(breaker, report, rules, now)
    if held.transition is not None:
        return held
    breaker = counted(held.breaker, report, rules)
    if (why := tripped(breaker, report, rules)) is None:
        return Moved(breaker)
    return _opened(breaker, _counts(breaker, why), rules, now, rng)


def _counts(breaker: Breaker, why: Count) -> str:
    return f"{why.failures} of {why.outcomes} calls failed, the last with {breaker.failure_type}"


def _held(breaker: Breaker, report: Report, rules: Rules, now: datetime) -> Moved:
    """Distinct jobs that were let in by nobody, without a success since the first of them."""
    since, jobs = breaker.hold_since, breaker.hold_jobs
    ended = since is not None and (
        (report.last_success_at is not None and report.last_success_at > since)
        or (now - since).total_seconds() > LONGEST_RUN_SECONDS
    )
    if ended:
        since, jobs = None, ()
    for job_id, kind in report.holding:
        jobs = jobs if job_id in jobs else (*jobs, job_id)
        if len(jobs) >= rules.trips[kind].failures:
            return _to_hold(breaker, kind, len(jobs), rules, now)
    if report.holding and since is None:
        since = now
    return Moved(replace(breaker, hold_jobs=jobs, hold_since=since))


def _to_hold(breaker: Breaker, kind: FailureType, jobs: int, rules: Rules, now: datetime) -> Moved:
    interval = rules.trips[kind].break_seconds
    probe_at = now + timedelta(seconds=interval)
    breaker = replace(_forgotten(breaker), probe_at=probe_at, failure_type=kind, break_seconds=interval)
    return _moved(breaker, State.HELD, f"{jobs} jobs failed with {kind}", now)


def _opened(breaker: Breaker, cause: str, rules: Rules, now: datetime, rng: Random) -> Moved:
    seconds = break_seconds(_trip_of(breaker, rules), breaker.reopenings)
    spread = seconds * rng.uniform(1 - BREAK_SPREAD, 1 + BREAK_SPREAD)
    breaker = replace(
        _forgotten(breaker),
        suspect_since=breaker.suspect_since,
        until=now + timedelta(seconds=spread),
        probe_at=_early_look(seconds, rules, now),
        break_seconds=seconds,
        reopenings=breaker.reopenings + 1,
    )
    return _moved(breaker, State.OPEN, f"{cause} → {duration(spread)}", now)


def _early_look(seconds: float, rules: Rules, now: datetime) -> datetime | None:
    """When a job looks during a break of so many seconds whether the dependency is back; None: at its end alone."""
    return now + probe_interval(seconds) if rules.early_probe else None


def _probe_worked(breaker: Breaker, now: datetime) -> Moved:
    match breaker.state:
        case State.OPEN:
            return half_opened(breaker, "an early probe worked", now, successes=1)
        case State.HELD:
            return _to_ramp(breaker, "a probe worked", now)
        case State.HALF_OPEN if breaker.probe_successes + 1 >= PROBES_TO_RAMP:
            return _to_ramp(breaker, f"{PROBES_TO_RAMP} probes worked", now)
        case _:
            return Moved(replace(breaker, probe_successes=breaker.probe_successes + 1))


def _probe_failed(breaker: Breaker, cause: str, rules: Rules, now: datetime, rng: Random) -> Moved:
    match breaker.state:
        case State.OPEN:
            return Moved(replace(breaker, probe_at=_early_look(breaker.break_seconds, rules, now)))
        case State.HELD:
            return Moved(replace(breaker, probe_at=now + timedelta(seconds=breaker.break_seconds)))
        case _:
            return _opened(breaker, cause, rules, now, rng)


def _trip_of(breaker: Breaker, rules: Rules) -> Trip:
    trip = rules.trips.get(breaker.failure_type) if breaker.failure_type is not None else None
    return Trip() if trip is None or trip.holds else trip


def _ramped(breaker: Breaker, report: Report, rules: Rules, now: datetime, rng: Random) -> Moved:
    held = _held(breaker, report, rules, now)
    if held.transition is not None:
        return held
    breaker = replace(
        counted(held.breaker, report, rules),
        step_successes=breaker.step_successes + sum(count for _, count in report.successes),
        step_failures=breaker.step_failures + len(report.failures) + report.paced,
    )
    if _is_bad(breaker, report, rules, now):
        cause = f"{breaker.step_failures} of {breaker.step_successes + breaker.step_failures} calls of the ramp failed"
        return _opened(breaker, cause, rules, now, rng)
    # Most of a step may have worked before an outage began in it.
    if (why := tripped(breaker, report, rules)) is not None:
        return _opened(breaker, _counts(breaker, why), rules, now, rng)
    breaker = ramp.stepped(breaker, now)
    return closed(breaker, rules, now) if ramp.is_over(breaker, rules.quiet_seconds, now) else Moved(breaker)


def _is_bad(breaker: Breaker, report: Report, rules: Rules, now: datetime) -> bool:
    """Rate limits slow the ramp down; only an outage ends it."""
    share = ramp.failed_share(breaker)
    if share is None or not report.failures or breaker.step_at is None:
        return False
    return now - breaker.step_at >= RATIO_AFTER and share >= _trip_of(breaker, rules).ratio


def _to_ramp(
    breaker: Breaker,
    cause: str,
    now: datetime,
    *,
    until: datetime | None = None,
    share: float = ramp.START_SHARE,
) -> Moved:
    breaker = ramp.begun(_forgotten(breaker), until or now, share=share)
    return _moved(replace(breaker, until=until), State.RAMPING, cause, now)


def _forgotten(breaker: Breaker) -> Breaker:
    """The row without what belonged to its state."""
    return replace(
        breaker,
        slots=(),
        suspect_since=None,
        hold_jobs=(),
        hold_since=None,
        until=None,
        probe_at=None,
        probe_successes=0,
        permits=(),
    )


def _moved(breaker: Breaker, state: State, cause: str, now: datetime) -> Moved:
    if state not in LEGAL[breaker.state]:
        raise ValueError(f"{breaker.name}: no way from {breaker.state} to {state}")
    after = replace(breaker, state=state, generation=breaker.generation + 1, changed_at=now, cause=cause)
    return Moved(after, Transition(breaker.name, after.generation, breaker.state, state, now, cause))
