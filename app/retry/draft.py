"""What shapes a decision, in the order in which it acts. Each influence is small, and says what it did.

A new one is a function here, and its place in `BY_TYPE` or `FIXED`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from .backoff import Jitter, Spread, spread
from .circumstances import Circumstances
from .draws import Chance
from .failure import Effect, Failure, FailureType
from .policy import DeathCause, JobLimits, RetryPolicy, SnoozeReason, Step
from .words import duration, duration_once, ordinal

HINT_MAX_SECONDS = 86_400.0
"""A server's hint is believed up to a day; beyond it, it is a broken clock or a wish never to be called again."""

SHORTEST_SNOOZE_SECONDS = 1.0
"""Snoozes cost no attempt, so a server that says "0.01" for ever would keep a job spinning for a day."""

ENDLESS = frozenset({SnoozeReason.DEPENDENCY_HELD})
"""What is waited for however long it takes; the job's deadline still ends it."""

_NAMES = {each: f"{each} jitter" for each in Jitter}

CONTENTION = Spread(1.0, 5.0)
"""First retry of a job that lost to another one: soon, and apart from the one that lost beside it."""


class Limit(NamedTuple):
    """How many retries, and by whose word."""

    retries: int | None
    source: str = ""


@dataclass(slots=True)
class Draft:
    """A decision while it is made: the case, and what it has come to so far.

    Attributes:
        exempt: Why the veto of the failure's type does not hold, if it does not.
        waiting: Set if the wait will cost no attempt.
        seconds: The wait so far.
        floor: What jitter must not go below.
        range: From where the wait is drawn, if not from the policy's jitter.
        around: What is known beside; read by the influences of `adapt`.
    """

    failure: Failure
    exception: BaseException | None
    attempts: int
    policy: RetryPolicy
    limit: Limit
    limits: JobLimits
    now: datetime
    rng: Chance
    max_wait: timedelta
    exempt: str | None = None
    waiting: SnoozeReason | None = None
    seconds: float = 0.0
    floor: float = 0.0
    range: Spread | None = None
    steps: list[Step] = field(default_factory=list)
    around: Circumstances | None = None

    @property
    def retry(self) -> int:
        """Number of the retry that would follow; 1 is the first."""
        return self.attempts + 1

    def say(self, name: str, text: str, numbers: dict[str, float] | None = None) -> None:
        """Add a step to the explanation."""
        self.steps.append(Step(name, text, numbers or {}))


Influence = Callable[[Draft], DeathCause | None]
"""Reads the draft, moves it, says why. A cause ends it."""


def give_up_on(draft: Draft) -> DeathCause | None:
    """Classes the policy gives up on."""
    classes = draft.policy.give_up_on
    if not classes or not any(issubclass(each, classes) for each in _raised(draft.exception)):
        return None
    draft.say("give_up_on", f"give_up_on names {draft.failure.exception_type}")
    return DeathCause.PERMANENT


def retry_on(draft: Draft) -> DeathCause | None:
    """Only the classes named are retried, and those whatever their type."""
    classes = draft.policy.retry_on
    if not classes:
        return None
    raised = list(_raised(draft.exception))
    if raised and all(issubclass(each, classes) for each in raised):
        draft.exempt = "retry_on names it"
        return None
    draft.say("retry_on", f"retry_on names only {', '.join(each.__name__ for each in classes)}")
    return DeathCause.PERMANENT


def setting_lifts_veto(draft: Draft) -> DeathCause | None:
    """A type that is not retried by default is, where a setting gives its policy retries."""
    if draft.failure.type in WHY_NOT and draft.policy.max_retries != 0:
        draft.exempt = f"a setting allows retries of {draft.failure.type}"
    return None


def unsafe_to_repeat(draft: Draft) -> DeathCause | None:
    """A task that must not run twice does not, while nobody knows whether it ran once.

    Not lifted by `retry_on`: to name an exception is a wish, to declare a task not idempotent is a danger.
    """
    if draft.limits.idempotent or not _effect_unknown(draft.failure):
        return None
    draft.say(
        "idempotency", "it may have taken effect and the task is not idempotent: a person must look before a retry"
    )
    return DeathCause.PERMANENT


def veto(draft: Draft) -> DeathCause | None:
    """What fails again when repeated is not repeated."""
    if draft.failure.retryable:
        return None
    if draft.exempt is not None:
        draft.say("veto", f"not retryable by itself, but {draft.exempt}")
        return None
    draft.say("veto", f"not retryable: {WHY_NOT.get(draft.failure.type, draft.failure.sentence)}")
    return DeathCause.PERMANENT


def wait_as_told(draft: Draft) -> DeathCause | None:
    """Coming back when a rate limit said so spends no attempt. Where one attempt is all there is, it is not taken."""
    told = draft.failure.type is FailureType.TRANSIENT_RATE_LIMIT and _hint_seconds(draft.failure) > 0
    if told and draft.limit.retries != 0:
        draft.waiting = SnoozeReason.RATE_LIMIT
    return None


def count(draft: Draft) -> DeathCause | None:
    """The limit of the policy that decides this failure, against all attempts of the job."""
    most = draft.limit.retries
    if most is None or draft.waiting is not None or draft.attempts < most:
        return None
    text = f"all {most} retries spent" if most > 1 else "the only retry is spent" if most else "no retries allowed"
    draft.say("count", text + draft.limit.source, {"retries_count": draft.attempts, "max_retries_count": most})
    return DeathCause.RETRIES_SPENT


def plan(draft: Draft) -> DeathCause | None:
    """What the policy's curve says, before anything moves it."""
    # A wait as told is no retry, so it is not numbered as one.
    step = _planned(draft.policy, draft.retry, None if draft.waiting else draft.limit)
    draft.seconds = step.numbers["delay_seconds"]
    draft.steps.append(step)
    return None


# A process knows a few policies and retries a few times under each; to word them anew took a third of a decision.
@lru_cache(maxsize=1024)
def _planned(policy: RetryPolicy, retry: int, limit: Limit | None) -> Step:
    seconds = policy.wait_seconds(retry)
    which = "" if limit is None else f", {ordinal(retry)} retry"
    of = "" if limit is None or limit.retries is None else f" of {limit.retries}{limit.source}"
    text = f"policy {policy.curve}{which}{of} → {duration(seconds)}"
    return Step("policy", text, {"retry_number": retry, "delay_seconds": seconds})


def contention(draft: Draft) -> DeathCause | None:
    """Two transactions met; nothing is down. Drawn whatever the jitter, or the two would meet again."""
    if draft.attempts > 0 or draft.failure.reason != "contention":
        return None
    if draft.failure.type is not FailureType.TRANSIENT_DATABASE:
        return None
    cap = draft.policy.max_seconds
    draft.range = Spread(min(CONTENTION.low, cap), min(CONTENTION.high, cap))
    draft.seconds = draft.range.high
    text = f"contention: first retry within {duration(draft.range.low)} to {duration(draft.range.high)}"
    draft.say("contention", text, {"low_seconds": draft.range.low, "high_seconds": draft.range.high})
    return None


def hint(draft: Draft) -> DeathCause | None:
    """The server's own word is a floor, also above the policy's cap."""
    said = draft.failure.hint
    seconds = _hint_seconds(draft.failure)
    if said is None or seconds <= 0:
        return None
    # Whole microseconds, upwards: rounding must not bring the job back before its time.
    floor = ceil(min(seconds, HINT_MAX_SECONDS) * 1e6) / 1e6
    draft.floor = max(floor, SHORTEST_SNOOZE_SECONDS) if draft.waiting else floor
    clamped = f", clamped to {duration(HINT_MAX_SECONDS)}" if seconds > HINT_MAX_SECONDS else ""
    draft.seconds = max(draft.seconds, draft.floor)
    # A hint of 1e300 is finite but says nothing; what is stored is what was used.
    text = f"{said.source} {duration(floor)}{clamped} is the floor → {duration(draft.seconds)}"
    draft.say("hint", text, {"hint_seconds": floor, "delay_seconds": draft.seconds})
    return None


def jitter(draft: Draft) -> DeathCause | None:
    """The one draw. Under a hint it only adds, so that all who were told "60" do not return in one instant."""
    policy = draft.policy
    if draft.seconds <= 0 or (policy.jitter is Jitter.NONE and draft.range is None):
        return None
    drawn_from = draft.range or spread(
        policy.jitter,
        draft.seconds,
        retry=draft.retry,
        initial=policy.initial_seconds,
        cap=policy.max_seconds,
        rng=draft.rng,
    )
    low, high = drawn_from.low, drawn_from.high
    if draft.floor > 0:
        low = max(low, draft.floor)
        high = max(high, draft.floor + max(1.0, 0.1 * draft.floor))
    draft.seconds = draft.rng.uniform(low, high)
    text = f"{'drawn' if draft.range else _NAMES[policy.jitter]} → {duration_once(draft.seconds)}"
    draft.steps.append(Step("jitter", text, {"low_seconds": low, "high_seconds": high, "delay_seconds": draft.seconds}))
    return None


def bounds(draft: Draft) -> DeathCause | None:
    """Neither waiting without end nor running after the job's deadline."""
    ended = past_deadline(draft.seconds, draft.limits, draft.now)
    if draft.waiting is not None:
        # The jitter after a hint is ours, not the server's: it alone does not end a job.
        wait = max(draft.floor, SHORTEST_SNOOZE_SECONDS)
        ended = ended or waited_too_long(draft.waiting, wait, draft.limits, draft.max_wait)
    if ended is None:
        return None
    draft.steps.append(ended)
    return DeathCause.WAITED_TOO_LONG


# In the order they act.
FIXED: tuple[Influence, ...] = (
    give_up_on,
    retry_on,
    unsafe_to_repeat,
    veto,
    wait_as_told,
    count,
    plan,
    hint,
    jitter,
    bounds,
)
BY_TYPE: tuple[Influence, ...] = (
    give_up_on,
    retry_on,
    setting_lifts_veto,
    unsafe_to_repeat,
    veto,
    wait_as_told,
    count,
    plan,
    contention,
    hint,
    jitter,
    bounds,
)

WHY_NOT = {
    FailureType.PERMANENT_VALIDATION: "the same data fails again",
    FailureType.PERMANENT_NOT_FOUND: "what it asks for is not there",
    FailureType.PERMANENT_CONFLICT: "what it found there stays until somebody looks",
    FailureType.PERMANENT_AUTH: "access stays refused until credentials or rights change",
    FailureType.PERMANENT_CODE_BUG: "only a change of the code mends it",
    FailureType.CONFIG_MISSING_SETTING: "only a setting mends it",
}


def _raised(exception: BaseException | None) -> Iterator[type[BaseException]]:
    """The class raised; of a group, the classes in it."""
    pending = [] if exception is None else [exception]
    while pending:
        each = pending.pop()
        if isinstance(each, BaseExceptionGroup):
            pending.extend(each.exceptions)
        else:
            yield type(each)


def _effect_unknown(failure: Failure) -> bool:
    if failure.effect is None:  # Of other types without a word about it, the call was answered or never left.
        return failure.type in {FailureType.TRANSIENT_TIMEOUT, FailureType.TRANSIENT_NETWORK}
    return failure.effect is Effect.UNKNOWN


def _hint_seconds(failure: Failure) -> float:
    said = failure.hint
    return said.seconds if said is not None and said.seconds > 0 else 0.0


def waited_too_long(reason: SnoozeReason, seconds: float, limits: JobLimits, max_wait: timedelta) -> Step | None:
    """The step that ends a job which would wait longer for this reason than `max_wait` in all."""
    waited = limits.waited.get(reason, timedelta(0)).total_seconds()
    most = max_wait.total_seconds()
    if waited + seconds <= most or reason in ENDLESS:
        return None
    text = f"waited {duration(waited)} for {reason} already, {duration(seconds)} more is over {duration(most)}"
    return Step("max_wait", text, {"waited_seconds": waited, "delay_seconds": seconds, "max_wait_seconds": most})


def past_deadline(seconds: float, limits: JobLimits, now: datetime) -> Step | None:
    """The step that ends a job whose deadline comes before its next run."""
    if limits.deadline is None:
        return None
    left = (limits.deadline - now).total_seconds()
    if seconds <= left:
        return None
    text = f"its deadline {limits.deadline:%Y-%m-%d %H:%M:%S %Z} comes first"
    return Step("deadline", text, {"left_seconds": left, "delay_seconds": seconds})
