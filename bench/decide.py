"""What a decision costs: `decide` on a failure that is retried, with its explanation. SPEC asks for 10 µs at most."""

import gc
from datetime import UTC, datetime
from random import Random
from statistics import median
from time import perf_counter_ns

from app.retry.breaker.relevance import Relevance
from app.retry.circumstances import Circumstances
from app.retry.decide import decide
from app.retry.failure import Evidence, Failure, FailureType, Hint, Remediation
from app.retry.learning import Samples
from app.retry.policy import ByType, Fixed, JobLimits, Tier
from app.retry.presets import CRITICAL, default_policies

from .bench import Bench
from .row import Row

ROUNDS = 4_000
REQUIRED_US = 10.0

AROUND = Circumstances("joke-api", Relevance.COUNTED, samples=Samples(45, 39), ready_jobs=240)
"""What a worker knows beside the failure: a dependency that is well as yet, how such retries went, and a deep queue."""


def rows(_: Bench) -> list[Row]:
    """One row per kind of decision: its median in µs."""
    by_type: Tier = ByType(default_policies())
    return [
        _row("decide, by type", _failure(), by_type),
        _row("decide, by type, with a hint", _failure(Hint(90.0, "Retry-After")), by_type),
        _row("decide, preset", _failure(), Fixed(CRITICAL)),
        _row("decide, by type, as a worker does", _failure(), by_type, AROUND),
    ]


def _failure(hint: Hint | None = None) -> Failure:
    return Failure(
        type=FailureType.TRANSIENT_NETWORK,
        confidence=0.97,
        evidence=(Evidence("class.httpx.ConnectError", "httpx.ConnectError", 0, "class"),),
        remediation=Remediation.AUTO_RETRY,
        sentence="The connection could not be made.",
        retryable=True,
        fingerprint="0123456789abcdef",
        exception_type="httpx.ConnectError",
        message="All connection attempts failed",
        hint=hint,
    )


def _row(name: str, failure: Failure, tier: Tier, around: Circumstances | None = None) -> Row:
    now, rng, limits, error = datetime.now(UTC), Random(7), JobLimits(), ConnectionError()  # noqa: S311  Repeatable.
    taken = []
    gc.disable()
    for round_ in range(ROUNDS):
        begun = perf_counter_ns()
        decide(failure, error, attempts=round_ % 3, tier=tier, limits=limits, now=now, rng=rng, around=around)
        taken.append(perf_counter_ns() - begun)
    gc.enable()
    return Row(name=name, value=median(taken) / 1_000, unit="µs", required=REQUIRED_US, smaller_is_better=True)
