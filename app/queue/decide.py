"""What follows a failure in this app: its rules, policies and limits, applied by the pure engine."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from procrastinate.tasks import Task

from ..config import RetrySettings, Settings
from ..retry.backoff import Jitter
from ..retry.circumstances import Circumstances
from ..retry.classify import Context, classify, from_description
from ..retry.decide import decide, rng_for, snooze
from ..retry.described import as_described
from ..retry.failure import Evidence, Failure, FailureType, Remediation
from ..retry.policy import (
    ByType,
    DeadLetter,
    DeathCause,
    Decision,
    Fixed,
    JobLimits,
    Retry,
    RetryPolicy,
    Snooze,
    SnoozeReason,
    Step,
    Tier,
)
from ..retry.presets import NONE, default_policies, overridden
from ..retry.rules import Rule, book
from ..retry.words import duration
from .call import AttemptTimedOut, delayed_by_rest
from .guarded import DependencyUnavailable
from .record import Run
from .strategy import ExponentialBackoff, ask, policy_from
from .task import options_of

LONGEST_SCHEDULE = 100
"""Waits that are listed of a policy, which may have no limit."""

UNKNOWN_TASK_PAUSE = timedelta(seconds=30)
"""Between two looks whether a task has been deployed."""


Judge = Callable[[Failure], Circumstances | None]
"""Tells what stands around a failure."""


def _alone(_: Failure) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Engine:
    """The settings of the engine for one app, worked out once.

    Attributes:
        env: The policy of MAX_RETRIES and RETRY_*.
        by_type: The policies of the failure types.
        rules: Those of FAILURE_RULES; the ones in code come before them.
    """

    settings: RetrySettings
    unknown_task_grace: timedelta
    env: RetryPolicy
    by_type: ByType
    rules: tuple[Rule, ...]
    timeouts: Mapping[str, timedelta] = field(default_factory=dict)

    def tier_of(self, task: Task[Any, Any, Any]) -> Tier | None:
        """Who decides for this task; None: a foreign strategy, which must be asked about each failure."""
        strategy = task.retry_strategy
        if isinstance(strategy, ExponentialBackoff):
            return Fixed(strategy.policy(self.env))
        if strategy is not None:
            return None
        return self.by_type if options_of(task).decides_by_type else Fixed(NONE)

    def policy_of(self, kind: FailureType) -> RetryPolicy:
        """The policy of a failure's type, as far as MAX_RETRIES lets it."""
        bound, policy = self.by_type.max_retries_bound, self.by_type.policies[kind]
        if bound is None:
            return policy
        return replace(policy, max_retries=bound if policy.max_retries is None else min(bound, policy.max_retries))

    def timeout_of(self, task: Task[Any, Any, Any]) -> timedelta:
        """The longest run of one attempt: TASK_TIMEOUTS by name or slug, the task's own, or JOB_TIMEOUT."""
        options = options_of(task)
        named = self.timeouts.get(task.name) or self.timeouts.get(options.slug)
        return named or options.timeout or self.settings.job_timeout


def engine(settings: Settings) -> Engine:
    """The engine of an app."""
    retry = settings.retry
    return Engine(
        settings=retry,
        unknown_task_grace=settings.worker.unknown_task_grace,
        env=policy_from(retry),
        by_type=ByType(policies_from(retry), retry.max_retries_bound),
        rules=tuple(Rule(name, type=kind, exception=name) for name, kind in retry.failure_rules.items()),
        timeouts=retry.task_timeouts,
    )


def policies_from(settings: RetrySettings) -> Mapping[FailureType, RetryPolicy]:
    """The policies of the failure types, with what POLICY__… and RETRY_JITTER change about them."""
    changes = {kind: each.model_dump(exclude_none=True) for kind, each in settings.policies.items()}
    return overridden(default_policies(jitter=Jitter(settings.jitter)), changes)


def after_failure(
    engine: Engine, run: Run, exception: BaseException, judge: Judge = _alone
) -> tuple[Failure, Decision]:
    """Classify what a task raised and decide what follows; `judge` says what it means for the dependency called."""
    job = run.claimed.job
    context = Context(
        task_name=job.task_name,
        now=run.ended,
        previous=run.claimed.fingerprints,
        retry_http_500=engine.settings.http_500,
        rules=(*book.rules, *engine.rules),
    )
    failure = classify(exception, context)
    around = judge(failure)
    task = run.prepared.task if run.prepared else None
    tier = engine.by_type if task is None else engine.tier_of(task)
    if tier is None and task is not None and task.retry_strategy is not None:
        tier = ask(task.retry_strategy, exception, job)
    decision = decide(
        failure,
        exception,
        attempts=job.attempts,
        tier=tier or engine.by_type,
        limits=_limits(run),
        now=run.ended,
        rng=rng_for(run.claimed.job_id, job.attempts),
        max_wait=engine.settings.max_wait,
        around=around,
    )
    if isinstance(exception, AttemptTimedOut) and not isinstance(decision, DeadLetter):
        decision = _not_beside_its_rest(decision, exception, run.ended)
    return failure, decision


@dataclass(frozen=True, slots=True)
class Ruling:
    """Who decides about the failures of a task: the failure's type, the policy shown, or a foreign strategy by name."""

    task: str
    decided_by: str
    policy: RetryPolicy | None = None


def ruling(engine: Engine, task: Task[Any, Any, Any]) -> Ruling:
    """Who decides about the failures of `task`."""
    match engine.tier_of(task):
        case Fixed(policy):
            return Ruling(task.name, "policy", policy)
        case None:
            return Ruling(task.name, type(task.retry_strategy).__name__)
        case _:
            return Ruling(task.name, "failure type")


def describe(  # noqa: PLR0913  A description has four parts, and each may be missing.
    engine: Engine,
    *,
    exception_type: str | None,
    message: str,
    status: int | None,
    sqlstate: str | None,
    task_name: str | None = None,
    tier: Tier | None = None,
    most: int = LONGEST_SCHEDULE,
) -> tuple[Failure, list[Decision]]:
    """What a failure that is only described would be, and what would follow if it came again and again.

    Args:
        engine: Of the app that is asked.
        exception_type: Qualified name.
        message: Its text.
        status: An HTTP status.
        sqlstate: Five characters.
        task_name: Of the task that would have failed.
        tier: Who decides; the policies of the failure types if not given.
        most: Decisions that are drawn, if none of them buries the job.
    """
    rules = (*book.rules, *engine.rules)
    context = Context(retry_http_500=engine.settings.http_500, rules=rules, task_name=task_name)
    error = as_described(exception_type or "", message, status=status, sqlstate=sqlstate)
    failure = (
        classify(error, context)
        if error is not None
        else from_description(
            exception_type=exception_type, message=message, status=status, sqlstate=sqlstate, context=context
        )
    )
    following = _following(failure, error, _steady(tier or engine.by_type), engine.settings.max_wait)
    return failure, list(islice(following, most))


def _following(failure: Failure, error: BaseException | None, tier: Tier, max_wait: timedelta) -> Iterator[Decision]:
    """What follows each failure of this kind in a row, until the job is buried."""
    attempts, waited, now = 0, dict.fromkeys(SnoozeReason, timedelta(0)), datetime.now(UTC)
    while True:
        limits, rng = JobLimits(waited=waited), Random(attempts)  # noqa: S311  Spreads load; guards no secret.
        decision = decide(
            failure, error, attempts=attempts, tier=tier, limits=limits, now=now, rng=rng, max_wait=max_wait
        )
        yield decision
        match decision:
            case DeadLetter():
                return
            case Snooze():
                waited[decision.reason] += decision.delay
            case Retry():
                attempts += 1


def _steady(tier: Tier) -> Tier:
    """The same policies without jitter, so that the same question has the same answer."""
    match tier:
        case ByType(policies):
            steady = {kind: replace(each, jitter=Jitter.NONE) for kind, each in policies.items()}
            return replace(tier, policies=steady)
        case Fixed(policy):
            return Fixed(replace(policy, jitter=Jitter.NONE))
        case _:
            return tier


def after_missing_task(engine: Engine, run: Run) -> tuple[Failure, Decision]:
    """A job whose task no code here knows waits for a deploy, and is buried when that does not come."""
    name = run.claimed.job.task_name
    grace = engine.unknown_task_grace
    because = Step("unknown_task", f"no task named {name} is registered here", {"grace_seconds": grace.total_seconds()})
    limits = _limits(run)
    waited = limits.waited.get(SnoozeReason.UNKNOWN_TASK, timedelta(0))
    pause = min(UNKNOWN_TASK_PAUSE, max(grace - waited, timedelta(0)))
    decision: Decision = DeadLetter(DeathCause.UNKNOWN_TASK, (because,))
    if pause:
        decision = snooze(SnoozeReason.UNKNOWN_TASK, pause, because, limits=limits, now=run.ended, max_wait=grace)
    return _unknown_task(name), decision


def after_refusal(engine: Engine, run: Run, refusal: DependencyUnavailable) -> tuple[Failure, Decision]:
    """A job that was not let in by a dependency of its own choice waits, at no cost."""
    failure = _unavailable(refusal)
    because = Step("breaker", str(refusal), {"delay_seconds": refusal.delay.total_seconds()})
    decision = snooze(
        refusal.reason,
        refusal.delay,
        because,
        limits=_limits(run),
        now=run.ended,
        max_wait=engine.settings.max_wait,
    )
    return failure, decision


def after_deadline(deadline: datetime) -> tuple[Failure, DeadLetter]:
    """A job that could not begin before its deadline is not run any more."""
    said = f"its deadline {deadline:%Y-%m-%d %H:%M:%S %Z} passed before it could run"
    failure = Failure(
        type=FailureType.UNKNOWN,
        confidence=1.0,
        evidence=(Evidence("queue.deadline", "DeadlinePassed", 0, said),),
        remediation=Remediation.MANUAL_RETRY,
        sentence="It waited until its deadline had passed, for its dependency, its queue or a free worker.",
        retryable=False,
        fingerprint="deadline-passed",
        exception_type="DeadlinePassed",
        message=said,
    )
    return failure, DeadLetter(DeathCause.WAITED_TOO_LONG, (Step("deadline", said, {}),))


def after_waiting(name: str, why: str, *, waited: timedelta, max_wait: timedelta) -> tuple[Failure, DeadLetter]:
    """A job whose dependency let nobody in for longer than a job may wait; `why` is what the breaker says."""
    seconds, most = waited.total_seconds(), max_wait.total_seconds()
    said = f"waited {duration(seconds)} for {SnoozeReason.DEPENDENCY_OPEN}, more than {duration(most)}"
    because = f"{said}: {name} lets nobody in, {why}"
    failure = Failure(
        type=FailureType.EXTERNAL_API_DOWN,
        confidence=1.0,
        evidence=(Evidence("queue.held_too_long", "DependencyUnavailable", 0, because),),
        remediation=Remediation.MANUAL_RETRY,
        sentence=f"{name} let nobody in for longer than a job may wait (MAX_WAIT); replay it when that is back.",
        retryable=True,
        fingerprint="dependency-unavailable-" + name[-100:],
        exception_type=f"{DependencyUnavailable.__module__}.DependencyUnavailable",
        message=because,
    )
    numbers = {"waited_seconds": seconds, "max_wait_seconds": most}
    return failure, DeadLetter(DeathCause.WAITED_TOO_LONG, (Step("max_wait", because, numbers),))


def after_own_fault(error: BaseException) -> tuple[Failure, Decision]:
    """No decision could be drawn, by a fault of this code: the job is kept where an operator sees it."""
    failure = classify(error)
    because = Step("fault", f"no decision could be drawn: {failure.exception_type}: {failure.message[:200]}", {})
    return failure, DeadLetter(DeathCause.BROKEN_STRATEGY, (because,))


def after_unreadable_row(error: Exception) -> tuple[Failure, Decision]:
    """The job holds what only Postgres can hold; the next worker could read it no better."""
    says = f"{type(error).__name__}: {error}"[:200]
    failure = Failure(
        type=FailureType.PERMANENT_VALIDATION,
        confidence=1.0,
        evidence=(Evidence("queue.unreadable_row", type(error).__name__, 0, says),),
        remediation=Remediation.FIX_DATA,
        sentence="Its row holds a value that only Postgres can hold: correct its time or its arguments.",
        retryable=False,
        fingerprint="unreadable-row",
        exception_type="UnreadableRow",
        message=says,
    )
    return failure, DeadLetter(DeathCause.PERMANENT, (Step("unreadable", f"its row cannot be read: {says}", {}),))


def _limits(run: Run) -> JobLimits:
    claimed = run.claimed
    waited = claimed.waited or {}
    return JobLimits(
        max_retries=claimed.max_retries,
        deadline=claimed.deadline,
        # What another version knew as a reason to wait bounds nothing here.
        waited={each: timedelta(seconds=seconds) for each in SnoozeReason if (seconds := waited.get(each)) is not None},
        idempotent=run.prepared.options.idempotent if run.prepared else True,
    )


def _not_beside_its_rest(decision: Retry | Snooze, timed_out: AttemptTimedOut, now: datetime) -> Retry | Snooze:
    at = delayed_by_rest(decision.at, timed_out, now)
    if at == decision.at:
        return decision
    text = f"{timed_out.why_later} → at most 60 s, or until it ends"
    step = Step("still_running", text, {"delay_seconds": (at - now).total_seconds()})
    return decision._replace(at=at, delay=at - now, explanation=(*decision.explanation, step))


def _unavailable(refusal: DependencyUnavailable) -> Failure:
    return Failure(
        type=FailureType.EXTERNAL_API_DOWN,
        confidence=1.0,
        evidence=(Evidence("queue.dependency_unavailable", "DependencyUnavailable", 0, str(refusal)),),
        remediation=Remediation.AUTO_RETRY,
        sentence=f"The breaker of {refusal.name} lets nobody in; the job runs when it does.",
        retryable=True,
        fingerprint="dependency-unavailable-" + refusal.name[-100:],
        exception_type=f"{DependencyUnavailable.__module__}.DependencyUnavailable",
        message=str(refusal),
    )


def _unknown_task(name: str) -> Failure:
    return Failure(
        type=FailureType.PERMANENT_CODE_BUG,
        confidence=1.0,
        evidence=(Evidence("queue.unknown_task", "TaskNotFound", 0, f"no task named {name}"),),
        remediation=Remediation.ALERT_TEAM,
        sentence=f"No worker that saw this job knows a task named {name}: deploy it, or correct the name.",
        retryable=False,
        fingerprint="unknown-task-" + name[-100:],
        exception_type="procrastinate.exceptions.TaskNotFound",
        message=f"no task named {name} is registered",
    )
