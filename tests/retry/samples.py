"""Failures and cases to decide about."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from app.retry.backoff import Jitter
from app.retry.decide import decide
from app.retry.draft import WHY_NOT
from app.retry.failure import Effect, Evidence, Failure, FailureType, Hint, Remediation
from app.retry.policy import ByType, DeadLetter, DeathCause, Decision, Fixed, JobLimits, Retry, RetryPolicy, Tier
from app.retry.presets import default_policies, overridden

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
EXACT: dict[str, Any] = {"jitter": Jitter.NONE}
PERMANENT = [kind for kind in FailureType if kind.startswith(("PERMANENT_", "CONFIG_"))]


def a_failure(  # noqa: PLR0913  A failure has that many sides.
    kind: FailureType = FailureType.TRANSIENT_NETWORK,
    *,
    retryable: bool | None = None,
    hint: float | None = None,
    effect: Effect | None = None,
    reason: str | None = None,
    exception_type: str = "httpx.ConnectError",
) -> Failure:
    """A failure of that type; retryable as its type is by default."""
    return Failure(
        type=kind,
        confidence=0.97,
        evidence=(Evidence("class", exception_type, 0, "seen"),),
        remediation=Remediation.FIX_DATA if kind in WHY_NOT else Remediation.AUTO_RETRY,
        sentence="The server failed inside itself.",
        retryable=kind not in WHY_NOT if retryable is None else retryable,
        fingerprint="0123456789abcdef",
        exception_type=exception_type,
        message="",
        hint=None if hint is None else Hint(hint, "Retry-After"),
        effect=effect,
        reason=reason,
    )


def by_type(fields: Mapping[str, Mapping[str, Any]] | None = None, *, bound: int | None = None) -> ByType:
    """The default policies, some of them changed: ``by_type({"UNKNOWN": {"max_retries": 0}})``."""
    return ByType(
        overridden(default_policies(), {FailureType(kind): each for kind, each in (fields or {}).items()}), bound
    )


def fixed(**fields: Any) -> Fixed:
    """A policy of the task's own."""
    return Fixed(RetryPolicy(**fields))


def decided(  # noqa: PLR0913  As `decide`.
    failure: Failure,
    tier: Tier,
    exception: BaseException | None = None,
    *,
    attempts: int = 0,
    limits: JobLimits | None = None,
    seed: int = 1,
) -> Decision:
    """The decision at `NOW`."""
    return decide(
        failure, exception, attempts=attempts, tier=tier, limits=limits or JobLimits(), now=NOW, rng=Random(seed)
    )


def wait(decision: object) -> float:
    """Seconds until the retry that was decided."""
    assert isinstance(decision, Retry)
    return decision.delay.total_seconds()


def cause(decision: object) -> DeathCause:
    """Why the job was buried."""
    assert isinstance(decision, DeadLetter)
    return decision.cause
