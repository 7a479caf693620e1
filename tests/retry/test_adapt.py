"""What the dependency, history, load and peak hours make of a decision."""

from datetime import UTC, timedelta
from random import Random
from typing import Any

import pytest

from app.retry.backoff import Jitter
from app.retry.breaker.local import Seen, seen
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.states import Breaker, State
from app.retry.circumstances import Circumstances
from app.retry.decide import decide
from app.retry.explain import line
from app.retry.failure import Effect, FailureType
from app.retry.learning import Samples
from app.retry.offpeak import PeakHours
from app.retry.policy import (
    DeadLetter,
    DeathCause,
    Decision,
    Fixed,
    Foreign,
    ForeignRetry,
    JobLimits,
    Retry,
    Snooze,
    SnoozeReason,
    Tier,
)
from app.retry.presets import NONE

from .samples import NOW, a_failure, by_type, fixed

COUNTED = Relevance.COUNTED
OPEN = Seen("joke-api", State.OPEN, 3, NOW + timedelta(minutes=30), NOW + timedelta(seconds=60))
EXACT: dict[str, dict[str, Any]] = {each: {"jitter": "none"} for each in FailureType}


def around(**fields: Any) -> Circumstances:
    """Circumstances of a job that relies on joke-api."""
    return Circumstances(dependency="joke-api", **fields)


def decided(
    circumstances: Circumstances | None,
    tier: Tier | None = None,
    *,
    kind: FailureType = FailureType.TRANSIENT_NETWORK,
    attempts: int = 0,
    limits: JobLimits | None = None,
    **failure: Any,
) -> Decision:
    """The decision at `NOW`, without jitter where no other policy is given."""
    return decide(
        a_failure(kind, **failure),
        None,
        attempts=attempts,
        tier=tier or by_type(EXACT),
        limits=limits or JobLimits(),
        now=NOW,
        rng=Random(1),
        around=circumstances,
    )


def seconds(decision: Decision) -> float:
    """How long it waits."""
    assert not isinstance(decision, DeadLetter)
    return decision.delay.total_seconds()


# --- the breaker


def test_caught_in_flight():
    """A job whose dependency was opened under it waits for the next look at it, and gets its attempt back."""
    decision = decided(around(relevance=COUNTED, breaker=OPEN, generation=2))
    assert isinstance(decision, Snooze)
    assert decision.reason is SnoozeReason.DEPENDENCY_OPEN
    assert 60 <= seconds(decision) <= 65
    assert "breaker of joke-api open until 12:30:00, the attempt is given back → 12:01:0" in line(decision.explanation)


@pytest.mark.parametrize(
    ("fields", "given_back"),
    [
        ({"breaker": None}, False),
        ({"breaker": Seen("joke-api", generation=2), "generation": 2}, False),
        ({"breaker": Seen("joke-api", generation=4), "generation": 2}, True),
        ({"breaker": OPEN, "generation": 3}, True),
        ({"breaker": Seen("joke-api", State.RAMPING, 5), "generation": 5}, True),
        ({"breaker": Seen("joke-api", State.HALF_OPEN, 5), "generation": 5, "probe": True}, True),
        ({"breaker": OPEN, "relevance": Relevance.WORKED}, False),
        ({"breaker": OPEN, "relevance": Relevance.SILENT}, False),
    ],
)
def test_which_attempts_are_given_back(fields: dict[str, Any], *, given_back: bool):
    """Those of failures that are the dependency's: in another generation, while it is not closed, or as a probe."""
    decision = decided(around(**{"relevance": COUNTED, **fields}))
    assert isinstance(decision, Snooze) is given_back


def test_spent_retries_do_not_bury_who_was_caught():
    """A job on its last attempt is not buried for an outage."""
    circumstances = around(relevance=COUNTED, breaker=OPEN)
    assert isinstance(decided(circumstances, attempts=50), Snooze)
    assert isinstance(decided(around(relevance=Relevance.SILENT, breaker=OPEN), attempts=50), DeadLetter)


def test_held_jobs_wait_instead_of_dying():
    """While a dependency is held, what it refuses is not buried."""
    held = Seen("joke-api", State.HELD, 1, None, NOW + timedelta(minutes=15))
    decision = decided(
        around(relevance=Relevance.HOLDS, breaker=held), kind=FailureType.PERMANENT_AUTH, effect=Effect.REJECTED
    )
    assert isinstance(decision, Snooze)
    assert 900 <= seconds(decision) <= 905


def patient(kind: FailureType) -> Seen:
    """A breaker that is held by failures of a type."""
    return seen(Breaker(name="joke-api", state=State.HELD, generation=1, failure_type=kind))


@pytest.mark.parametrize("held_by", [FailureType.PERMANENT_AUTH, FailureType.CONFIG_MISSING_SETTING])
def test_a_hold_is_waited_for_without_end(held_by: FailureType):
    """Who waits for credentials or a setting is not buried, however long that takes, but at the job's own deadline."""
    circumstances = around(relevance=Relevance.HOLDS, breaker=patient(held_by))
    a_month = {SnoozeReason.DEPENDENCY_HELD: timedelta(days=30)}
    kind: dict[str, Any] = {"kind": held_by, "effect": Effect.REJECTED}
    decision = decided(circumstances, limits=JobLimits(waited=a_month), **kind)
    assert isinstance(decision, Snooze)
    assert decision.reason is SnoozeReason.DEPENDENCY_HELD
    assert "held, the attempt is given back" in line(decision.explanation)
    late = JobLimits(waited=a_month, deadline=NOW + timedelta(seconds=30))
    assert isinstance(decided(circumstances, limits=late, **kind), DeadLetter)


def test_not_repeated_where_that_is_a_danger():
    """A task that must not run twice does not, whatever its dependency does."""
    decision = decided(
        around(relevance=COUNTED, breaker=OPEN),
        kind=FailureType.TRANSIENT_TIMEOUT,
        effect=Effect.UNKNOWN,
        limits=JobLimits(idempotent=False),
    )
    assert isinstance(decision, DeadLetter)


@pytest.mark.parametrize(
    ("tier", "limits"),
    [(Fixed(NONE), JobLimits()), (by_type(bound=0), JobLimits()), (by_type(), JobLimits(max_retries=0))],
    ids=["task", "MAX_RETRIES", "job"],
)
def test_one_attempt_is_one_attempt(tier: Tier, limits: JobLimits):
    """Where somebody said that there is one attempt, it is not given back."""
    assert isinstance(decided(around(relevance=COUNTED, breaker=OPEN), tier, limits=limits), DeadLetter)


def test_another_failure_waits_for_the_break():
    """A retry that would come while nobody is let in comes when the breaker is looked at; its attempt is spent."""
    breaker = Seen("joke-api", State.OPEN, 3, NOW + timedelta(minutes=3))
    decision = decided(around(relevance=Relevance.SILENT, breaker=breaker))
    assert isinstance(decision, Retry)
    assert 180 <= seconds(decision) <= 185


FAILED = FailureType.EXTERNAL_API_DOWN  # Fifteen minutes until its first retry.
SOONER = "sooner if joke-api was down and recovers"


def test_a_long_wait_ends_with_the_outage():
    """A retry that waits for long because its dependency failed says that it comes sooner if that recovers."""
    decision = decided(around(relevance=COUNTED), kind=FAILED)
    assert isinstance(decision, Retry)
    assert (decision.explanation[-1].name, decision.explanation[-1].text) == ("recovery", SOONER)
    assert seconds(decision) == 900


@pytest.mark.parametrize(
    ("fields", "case"),
    [
        ({"relevance": Relevance.SILENT}, {}),
        ({"relevance": COUNTED, "breaker": OPEN}, {}),
        ({"relevance": COUNTED, "peak": PeakHours(0, 1, UTC)}, {}),
        ({"relevance": COUNTED}, {"hint": 100}),
        ({"relevance": COUNTED}, {"kind": FailureType.TRANSIENT_NETWORK}),
        ({"relevance": COUNTED}, {"tier": fixed(initial_delay=timedelta(hours=1), max_delay=timedelta(hours=1))}),
    ],
    ids=["own fault", "caught", "off-peak", "hint", "short", "own policy"],
)
def test_other_waits_are_kept(fields: dict[str, Any], case: dict[str, Any]):
    """A server's word, a quiet hour, a short wait and a policy of the task's own are kept, whatever recovers."""
    decision = decided(around(**fields), **({"kind": FAILED} | case))
    assert not isinstance(decision, DeadLetter)
    assert SOONER not in line(decision.explanation)


def test_a_hint_stays_a_floor():
    """A server that said 600 s is not called sooner because its breaker is looked at sooner."""
    assert seconds(decided(around(relevance=COUNTED, breaker=OPEN), hint=600)) >= 600


def test_waiting_has_an_end():
    """Who has waited a day for its dependency is buried, and told why."""
    limits = JobLimits(waited={SnoozeReason.DEPENDENCY_OPEN: timedelta(hours=24)})
    decision = decided(around(relevance=COUNTED, breaker=OPEN), limits=limits)
    assert isinstance(decision, DeadLetter)
    assert decision.cause is DeathCause.WAITED_TOO_LONG


def test_a_foreign_strategy_is_only_moved_later():
    """Its retry costs no attempt where the job was caught, and comes no sooner than it said; its no stays a no."""
    circumstances = around(relevance=COUNTED, breaker=OPEN)
    soon = Foreign("Mine", ForeignRetry(NOW + timedelta(seconds=5), queue="other"))
    late = Foreign("Mine", ForeignRetry(NOW + timedelta(hours=2)))
    assert 60 <= seconds(decided(circumstances, soon)) <= 65
    assert isinstance(decided(circumstances, soon), Snooze)
    assert seconds(decided(circumstances, late)) == 7200
    assert isinstance(decided(circumstances, Foreign("Mine", None)), DeadLetter)
    assert decided(around(), soon) == decided(None, soon)


# --- the budget


def test_an_empty_budget_defers():
    """A retry for which there is no token waits for one, and costs no attempt."""
    decision = decided(around(relevance=COUNTED, budget_seconds=400))
    assert isinstance(decision, Snooze)
    assert decision.reason is SnoozeReason.BUDGET
    assert seconds(decision) == 400
    assert line(decision.explanation).endswith(
        "retry budget of joke-api is empty → 6 min 40 s · waits without spending an attempt"
    )


def test_a_budget_does_not_save_who_is_spent():
    """A job without retries left is buried whatever the budget."""
    assert isinstance(decided(around(budget_seconds=400), attempts=3), DeadLetter)


# --- learning and load


def test_the_words_of_the_specification():
    """What was learned and the depth of the queue are told with their numbers, in the order in which they act."""
    circumstances = around(samples=Samples(45, 39), ready_jobs=240)
    decision = decided(circumstances, by_type({"TRANSIENT_NETWORK": {"jitter": "full"}}), attempts=1)
    told = line(decision.explanation)
    assert (
        "policy exponential 60 s ×2, 2nd retry of 3 → 120 s · 87 % of 45 such retries succeed → ×0.7 = 84 s · "
        "queue depth 240 > 100 → ×1.3 = 109 s · full jitter → " in told
    )


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(Samples(9, 9), 60), (Samples(10, 9), 42), (Samples(10, 8), 60), (Samples(10, 3), 60), (Samples(10, 2), 90)],
)
def test_learning(samples: Samples, expected: float):
    """Over 80 % success 30 % sooner, under 30 % half as late again, with ten samples at least."""
    assert seconds(decided(around(samples=samples))) == pytest.approx(expected)


def test_one_retry_fewer():
    """Where retries seldom succeed there is one fewer: of one, none, until what was learned is too old."""
    seldom = around(samples=Samples(100, 5))
    assert isinstance(decided(seldom, attempts=1), Retry)
    last = decided(seldom, attempts=2)
    assert isinstance(last, DeadLetter)
    assert "all 2 retries spent (one fewer: they seldom succeed)" in line(last.explanation)
    only = by_type({"TRANSIENT_NETWORK": {"max_retries": 1}})
    assert isinstance(decided(seldom, only), DeadLetter)
    assert isinstance(decided(around(), only), Retry)


@pytest.mark.parametrize(("ready", "expected"), [(100, 60), (101, 78)])
def test_load(ready: int, expected: float):
    """Over 100 ready jobs, 30 % later."""
    assert seconds(decided(around(ready_jobs=ready))) == pytest.approx(expected)


def test_the_cap_holds():
    """What was learned does not lead beyond the policy's longest wait."""
    tier = by_type({"TRANSIENT_NETWORK": {"jitter": "none", "max_delay": timedelta(seconds=60)}})
    assert seconds(decided(around(samples=Samples(100, 1), ready_jobs=500), tier)) == 60


def test_fixed_policies_are_not_adapted():
    """A schedule that the task fixes is neither learned nor adapted to load."""
    circumstances = around(samples=Samples(100, 99), ready_jobs=500)
    tier = fixed(jitter=Jitter.NONE, initial_delay=timedelta(seconds=10))
    assert seconds(decided(circumstances, tier)) == 10


# --- peak hours


def test_off_peak():
    """A retry that can wait is not made in the dear hours, and those that waited come apart."""
    decision = decided(around(peak=PeakHours(9, 18, UTC)))
    assert 5.9 * 3600 <= seconds(decision) <= 6 * 3600 + 300
    assert "peak hours 9-18 UTC → 18:0" in line(decision.explanation).replace("\N{EN DASH}", "-")
    assert seconds(decided(around(peak=PeakHours(13, 18, UTC)))) == 60


def test_no_circumstances():
    """Where nothing is known beside, the decision is the plain one."""
    assert decided(around()) == decided(None)
