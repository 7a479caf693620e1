"""Influences that look beyond the failure: the breaker and the budget of the dependency, history, load, peak hours.

They read `Draft.around`, and stand between those of `draft`: `BY_TYPE` and `FIXED` here are its sequences with them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from . import draft as plain
from .breaker.local import Seen
from .breaker.relevance import Relevance
from .breaker.states import State
from .draft import Draft, Influence, Limit
from .learning import DEEP_JOBS, Samples, is_seldom_worth_it, learned_factor, load_factor
from .offpeak import peak_end
from .policy import DeathCause, SnoozeReason, Step
from .words import duration

SPREAD_SECONDS = 5.0
"""Over how long jobs that wait for the same moment are spread."""

LOOK_AGAIN = timedelta(seconds=60)
"""Where a breaker has no end of its own. The claim holds the job anyway; this is when it stands in line again."""

SOONEST = timedelta(seconds=60)
"""How long after its failure a retry comes at the soonest that a recovery brings forward."""

_SOONEST_SECONDS = SOONEST.total_seconds()

OFF_PEAK_SPREAD_SECONDS = 300.0

CAUGHT = frozenset({SnoozeReason.DEPENDENCY_OPEN, SnoozeReason.DEPENDENCY_HELD})
"""What a job waits for that was caught by its dependency."""


def caught(draft: Draft) -> DeathCause | None:
    """A job whose dependency went down under it gets its attempt back, unless one attempt is all it was given."""
    around = draft.around
    one_attempt = draft.limit.retries == 0 and bool(draft.limit.source)
    if around is not None and around.caught and not one_attempt:
        held = around.breaker is not None and around.breaker.state is State.HELD
        draft.waiting = SnoozeReason.DEPENDENCY_HELD if held else SnoozeReason.DEPENDENCY_OPEN
        draft.exempt = f"{around.dependency} let nobody in" if not draft.failure.retryable else draft.exempt
    return None


def caught_once(draft: Draft) -> DeathCause | None:
    """The same for a policy of the task's own, where no retries are as much as one attempt."""
    return None if draft.limit.retries == 0 else caught(draft)


def one_fewer(draft: Draft) -> DeathCause | None:
    """Where such retries seldom succeed there is one fewer.

    Where that leaves none, no sample comes any more: in a week nothing is left to have learned from, and one is tried.
    """
    samples = draft.around.samples if draft.around else None
    retries = draft.limit.retries
    if samples is None or retries is None or retries < 1 or not is_seldom_worth_it(samples):
        return None
    draft.limit = Limit(retries - 1, f"{draft.limit.source} (one fewer: they seldom succeed)")
    return None


def learned(draft: Draft) -> DeathCause | None:
    """Sooner where such retries usually succeed, later where they seldom do."""
    samples = draft.around.samples if draft.around else None
    if samples is not None and draft.seconds > 0:
        _move(draft, _learned(samples, draft.seconds, draft.policy.max_seconds))
    return None


def load(draft: Draft) -> DeathCause | None:
    """Later where the queue is deep: what waits is not helped by more of it."""
    jobs = draft.around.ready_jobs if draft.around else 0
    if jobs > DEEP_JOBS and draft.seconds > 0:
        _move(draft, _loaded(jobs, draft.seconds, draft.policy.max_seconds))
    return None


# Workers read both anew every few seconds; between two looks one failure is like the other, and to word them cost a
# third of a decision.
@lru_cache(maxsize=1024)
def _learned(samples: Samples, seconds: float, cap: float) -> Step | None:
    if (factor := learned_factor(samples)) == 1:
        return None
    after = _multiplied(seconds, factor, cap)
    text = f"{samples.ratio:.0%} of {samples.retries} such retries succeed → ×{factor:g} = {duration(after)}"
    numbers = {"success_ratio": samples.ratio, "samples_count": samples.retries, "delay_seconds": after}
    return Step("learned", text.replace("%", " %", 1), numbers)


@lru_cache(maxsize=1024)
def _loaded(jobs: int, seconds: float, cap: float) -> Step:
    after = _multiplied(seconds, factor := load_factor(jobs), cap)
    text = f"queue depth {jobs} > {DEEP_JOBS} → ×{factor:g} = {duration(after)}"
    return Step("load", text, {"queue_depth_jobs": jobs, "delay_seconds": after})


def _multiplied(seconds: float, factor: float, cap: float) -> float:
    return min(seconds * factor, max(cap, seconds))


def _move(draft: Draft, step: Step | None) -> None:
    if step is not None:
        draft.seconds = step.numbers["delay_seconds"]
        draft.steps.append(step)


def gate(draft: Draft) -> DeathCause | None:
    """Not before the breaker is looked at again. A job that was caught is back in line then, however long its wait."""
    around = draft.around
    given_back = draft.waiting in CAUGHT
    if around is None or (around.breaker is None and not given_back):
        return None
    breaker = around.breaker or Seen(around.dependency or "")
    if not (given_back or breaker.shut):
        return None
    at = _looked_at(breaker, draft.now) + timedelta(seconds=draft.rng.uniform(0, SPREAD_SECONDS))
    seconds = max((at - draft.now).total_seconds(), draft.floor)
    draft.seconds = seconds if given_back else max(seconds, draft.seconds)
    back = ", the attempt is given back" if given_back else ""
    text = f"breaker of {breaker.name} {_reading(breaker)}{back} → {_clock(draft.now, draft.seconds)}"
    draft.say("breaker", text, {"generation_number": breaker.generation, "delay_seconds": draft.seconds})
    return None


def _looked_at(breaker: Seen, now: datetime) -> datetime:
    if breaker.shut:
        # A look that is due has begun, or soon will: how it ends is known by the one after it.
        looks = [each if each > now else now + LOOK_AGAIN for each in (breaker.until, breaker.probe_at) if each]
        return min(looks, default=now + LOOK_AGAIN)
    return max(now, breaker.until or now)


def _reading(breaker: Seen) -> str:
    match breaker.state:
        case State.OPEN if breaker.until is not None:
            return f"open until {breaker.until:%H:%M:%S}"
        case State.RAMPING if breaker.until is not None:
            return f"paused until {breaker.until:%H:%M:%S}"
        case State.CLOSED:
            return "closed meanwhile"
        case _:
            return breaker.state.value.replace("_", "-")


def _clock(now: datetime, seconds: float) -> str:
    return f"{now + timedelta(seconds=min(seconds, 1e9)):%H:%M:%S}"


def afford(draft: Draft) -> DeathCause | None:
    """A retry that the dependency's budget has no token for waits for one."""
    around = draft.around
    if around is None or draft.waiting is not None or around.budget_seconds <= 0:
        return None
    draft.waiting = SnoozeReason.BUDGET
    draft.seconds = max(draft.seconds, around.budget_seconds)
    numbers = {"budget_seconds": around.budget_seconds, "delay_seconds": draft.seconds}
    draft.say("budget", f"retry budget of {around.dependency} is empty → {duration(draft.seconds)}", numbers)
    return None


def off_peak(draft: Draft) -> DeathCause | None:
    """Work that can wait is not retried in the dear hours."""
    hours = draft.around.peak if draft.around else None
    if hours is None:
        return None
    end = peak_end(draft.now + timedelta(seconds=min(draft.seconds, 1e9)), hours)
    if end is None:
        return None
    seconds = (end - draft.now).total_seconds() + draft.rng.uniform(0, OFF_PEAK_SPREAD_SECONDS)
    draft.seconds = max(draft.seconds, seconds)
    text = f"peak hours {hours} → {_clock(draft.now, draft.seconds)}"
    draft.say("off_peak", text, {"delay_seconds": draft.seconds})
    return None


def sooner(draft: Draft) -> DeathCause | None:
    """A long wait ends with the outage that it is for: `recovery` in the explanation is what a recovery looks for."""
    around = draft.around
    if around is None or around.relevance is not Relevance.COUNTED or draft.waiting is not None:
        return None
    if draft.floor > 0 or around.peak is not None or draft.seconds <= _SOONEST_SECONDS:
        return None
    draft.steps.append(_for_recovery(around.dependency or ""))
    return None


@lru_cache(maxsize=256)
def _for_recovery(dependency: str) -> Step:
    return Step("recovery", on_recovery(dependency), {})


def on_recovery(dependency: str) -> str:
    """What the explanation of a retry says that comes sooner once its dependency lets jobs in again."""
    return f"sooner if {dependency} was down and recovers"


def _around(influences: Sequence[Influence], *, caught_by: Influence, adapted: bool) -> tuple[Influence, ...]:
    """Put ours in their places: after what forbids a repetition, around the plan, and after the draw."""
    ours: dict[Influence, tuple[Influence, ...]] = {
        plain.unsafe_to_repeat: (caught_by,),
        plain.wait_as_told: (one_fewer,) if adapted else (),
        plain.plan: (learned, load) if adapted else (),
        plain.jitter: (gate, afford, off_peak, *((sooner,) if adapted else ())),
    }
    return tuple(each for influence in influences for each in (influence, *ours.get(influence, ())))


BY_TYPE = _around(plain.BY_TYPE, caught_by=caught, adapted=True)
FIXED = _around(plain.FIXED, caught_by=caught_once, adapted=False)

FOREIGN = (caught, gate, afford)
"""What may move the time that a foreign strategy named, and only to later."""
