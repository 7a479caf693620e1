"""From a failure to what follows it.

Pure and total: it draws from the `rng` it is given alone, and never raises over a failure, however odd.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import assert_never

from . import adapt
from .circumstances import Circumstances
from .draft import BY_TYPE, ENDLESS, FIXED, Draft, Limit, bounds, past_deadline, waited_too_long
from .draws import Chance, Draws
from .failure import Failure, FailureType, Remediation
from .policy import (
    ByType,
    DeadLetter,
    DeathCause,
    Decision,
    Fixed,
    Foreign,
    ForeignBroken,
    ForeignRetry,
    JobLimits,
    Retry,
    RetryPolicy,
    Snooze,
    SnoozeReason,
    Step,
    Tier,
)
from .presets import NONE
from .words import duration

MAX_WAIT = timedelta(hours=24)
"""The default longest wait for one reason that costs no attempt."""

SNOOZED = Step("snooze", "waits without spending an attempt", {})


def decide(  # noqa: PLR0913  The whole case is in the arguments; nothing is looked up.
    failure: Failure,
    exception: BaseException | None,
    *,
    attempts: int,
    tier: Tier,
    limits: JobLimits,
    now: datetime,
    rng: Chance,
    max_wait: timedelta = MAX_WAIT,
    around: Circumstances | None = None,
) -> Decision:
    """What follows this failure, explained.

    Args:
        failure: As classified.
        exception: What was raised, for `retry_on` and `give_up_on`; None where it is no longer at hand.
        attempts: Ended runs of the job that counted before this one; 0 on the first run.
        tier: Who decides, with what policy or verdict.
        limits: What the job and its task allow.
        now: Aware; the decision's times are counted from it.
        rng: All that is drawn comes from it. `rng_for` makes one that can be made again.
        max_wait: The longest a job waits for one reason without spending an attempt.
        around: The breaker and the budget of its dependency, history, load, peak hours; None: nothing of it acts.
    """
    match tier:
        case Foreign():
            decision = _foreign(failure, tier, now)
            if around is None or not isinstance(decision, Retry):
                return decision
            draft = Draft(failure, exception, attempts, NONE, Limit(None), limits, now, rng, max_wait, around=around)
            return _moved_later(decision, draft)
        case ByType():
            policy = tier.policies[failure.type]
            limit = _limit(policy, limits, tier.max_retries_bound)
            influences = BY_TYPE if around is None else adapt.BY_TYPE
        case Fixed():
            policy = tier.policy
            limit = _limit(policy, limits, None)
            influences = FIXED if around is None else adapt.FIXED
        case _:
            assert_never(tier)
    steps = [_verdict(failure)]
    draft = Draft(failure, exception, attempts, policy, limit, limits, now, rng, max_wait, steps=steps, around=around)
    for influence in influences:
        cause = influence(draft)
        if cause is not None:
            return _buried(failure, draft.steps, cause)
    return _timed(draft)


def snooze(  # noqa: PLR0913  As `decide`.
    reason: SnoozeReason,
    delay: timedelta,
    because: Step,
    *,
    limits: JobLimits,
    now: datetime,
    max_wait: timedelta = MAX_WAIT,
) -> Snooze | DeadLetter:
    """A wait that no failure asked for: a shutdown, an open breaker, an empty budget.

    It is cut short where the job's waiting for this reason would exceed `max_wait`; once that is used up, or where the
    job's deadline comes first, the job is buried.

    Args:
        reason: What it waits for.
        delay: How long; below zero is not at all.
        because: The step that explains it.
        limits: What the job has waited already, and its deadline.
        now: Aware.
        max_wait: The longest a job waits for one reason.
    """
    longest = timedelta.max if reason in ENDLESS else max_wait
    left = longest - limits.waited.get(reason, timedelta(0))
    seconds = max(0.0, min(delay, left).total_seconds())
    ended = past_deadline(seconds, limits, now)
    if left <= timedelta(0):
        ended = waited_too_long(reason, delay.total_seconds(), limits, max_wait) or ended
    if ended is not None:
        return DeadLetter(DeathCause.WAITED_TOO_LONG, (because, ended))
    at, delay = _later(now, seconds)
    return Snooze(at, delay, reason, (because, SNOOZED))


def rng_for(job_id: int, attempts: int) -> Draws:
    """Randomness that belongs to one attempt of one job: a decision can be drawn again and come out the same."""
    return Draws(job_id << 24 ^ attempts)


def _foreign(failure: Failure, tier: Foreign, now: datetime) -> Decision:
    steps = [_verdict(failure)]
    alone = f"strategy {tier.strategy_name} alone decides"
    match tier.verdict:
        case None:
            steps.append(Step("strategy", f"{alone}: no retry", {}))
            return _buried(failure, steps, DeathCause.RETRIES_SPENT)
        case ForeignBroken(error):
            steps.append(Step("strategy", f"strategy {tier.strategy_name} is broken: {error}", {}))
            return _buried(failure, steps, DeathCause.BROKEN_STRATEGY)
        case ForeignRetry(at, priority, queue, lock):
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            delay = max(at - now, timedelta(0))
            seconds = delay.total_seconds()
            steps.append(Step("strategy", f"{alone}: retry in {duration(seconds)}", {"delay_seconds": seconds}))
            return Retry(at, delay, tuple(steps), priority, queue, lock)
        case _:
            assert_never(tier.verdict)


def _moved_later(retry: Retry, draft: Draft) -> Decision:
    """A foreign strategy's retry, not before its dependency lets anybody in; what waits for that costs no attempt."""
    draft.steps.extend(retry.explanation)
    draft.seconds = draft.floor = retry.delay.total_seconds()
    for influence in adapt.FOREIGN:
        influence(draft)
    if draft.waiting is None:
        at, delay = _later(draft.now, draft.seconds)
        return retry._replace(at=at, delay=delay, explanation=tuple(draft.steps))
    ended = bounds(draft)
    return _timed(draft) if ended is None else _buried(draft.failure, draft.steps, ended)


def _timed(draft: Draft) -> Retry | Snooze:
    at, delay = _later(draft.now, draft.seconds)
    if draft.waiting is None:
        return Retry(at, delay, tuple(draft.steps))
    return Snooze(at, delay, draft.waiting, (*draft.steps, SNOOZED))


def _buried(failure: Failure, steps: list[Step], cause: DeathCause) -> DeadLetter:
    return DeadLetter(cause, (*steps, Step("remediation", _advice(failure), {})))


def _later(now: datetime, seconds: float) -> tuple[datetime, timedelta]:
    delay = timedelta(seconds=seconds)
    try:
        return now + delay, delay
    except OverflowError:
        at = datetime.max.replace(tzinfo=now.tzinfo)
        return at, at - now


def _verdict(failure: Failure) -> Step:
    return _seen(failure.type, failure.confidence, failure.exception_type)


# A process meets the same few errors again and again.
@lru_cache(maxsize=256)
def _seen(kind: FailureType, confidence: float, exception_type: str) -> Step:
    return Step("failure", f"{kind} ({confidence:.2f}) by {exception_type}", {"confidence_ratio": confidence})


def _limit(policy: RetryPolicy, limits: JobLimits, bound: int | None) -> Limit:
    if limits.max_retries is not None:
        return Limit(limits.max_retries, " (the job's own limit)")
    if bound is not None and (policy.max_retries is None or bound < policy.max_retries):
        return Limit(bound, " (bounded by MAX_RETRIES)")
    return Limit(policy.max_retries)


def _advice(failure: Failure) -> str:
    """Once buried, a job is not retried by itself any more; whoever presses the button does it by hand."""
    spent = failure.remediation is Remediation.AUTO_RETRY
    return f"{Remediation.MANUAL_RETRY if spent else failure.remediation}"
