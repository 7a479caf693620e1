"""The figures by which a breaker acts. Most come from the policy of the failure's type; settings rule over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ..failure import FailureType
from ..policy import RetryPolicy

DEFAULT_FAILURES = 5
DEFAULT_BREAK = timedelta(seconds=60)
"""Where a type's policy names only one of the two."""

LONGEST_BREAK_SECONDS = 3600.0
BREAK_GROWTH = 2.0
BREAK_SPREAD = 0.1
"""Share of a break by which it is moved, either way: dependencies that fell together do not come back together."""

PROBE_SHARE = 10
PROBE_LEAST_SECONDS = 5.0
PROBE_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Trip:
    """When failures of one type open a breaker, and for how long.

    Attributes:
        failures: The threshold.
        break_seconds: The first break; of a hold, from one probe to the next.
        ratio: Least share of failures.
        holds: Not a break but a hold: `failures` distinct jobs without a success between them.
    """

    failures: int = DEFAULT_FAILURES
    break_seconds: float = DEFAULT_BREAK.total_seconds()
    ratio: float = 0.5
    holds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that a breaker goes by.

    Attributes:
        trips: By failure type; a type that is missing does not count.
        half_open_max_calls: Most probes in flight over all workers.
        window_seconds: How far back outcomes count.
        quiet_seconds: A ramp that has not been the limit for so long is over.
        early_probe: Whether a job now and then looks during a break whether the dependency is back.
    """

    trips: Mapping[FailureType, Trip] = field(default_factory=dict)
    half_open_max_calls: int = 3
    window_seconds: float = 60.0
    quiet_seconds: float = 60.0
    early_probe: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What settings say about every breaker, or about one. None: as the failure's type has it."""

    failures: int | None = None
    break_duration: timedelta | None = None
    ratio: float | None = None
    half_open_max_calls: int | None = None
    window: timedelta | None = None
    quiet: timedelta | None = None
    early_probe: bool | None = None

    def over(self, other: "Overrides") -> "Overrides":
        """Both, of which these win."""
        return Overrides(
            failures=other.failures if self.failures is None else self.failures,
            break_duration=other.break_duration if self.break_duration is None else self.break_duration,
            ratio=other.ratio if self.ratio is None else self.ratio,
            half_open_max_calls=(
                other.half_open_max_calls if self.half_open_max_calls is None else self.half_open_max_calls
            ),
            window=other.window if self.window is None else self.window,
            quiet=other.quiet if self.quiet is None else self.quiet,
            early_probe=other.early_probe if self.early_probe is None else self.early_probe,
        )


def rules_from(policies: Mapping[FailureType, RetryPolicy], overrides: Overrides | None = None) -> Rules:
    """The rules of a breaker, from the policies of the failure types.

    A threshold or a break that is set for all types, or for one dependency, does not touch holds: those count jobs, not
    failures, and have no end.
    """
    ours = overrides or Overrides()
    trips = {kind: _trip(policy, ours) for kind, policy in policies.items() if _counts(policy)}
    return Rules(
        trips=trips,
        half_open_max_calls=ours.half_open_max_calls or Rules().half_open_max_calls,
        window_seconds=ours.window.total_seconds() if ours.window else Rules().window_seconds,
        quiet_seconds=ours.quiet.total_seconds() if ours.quiet else Rules().quiet_seconds,
        early_probe=Rules().early_probe if ours.early_probe is None else ours.early_probe,
    )


def _counts(policy: RetryPolicy) -> bool:
    return policy.breaker_failures is not None or policy.break_duration is not None


def _trip(policy: RetryPolicy, ours: Overrides) -> Trip:
    failures = policy.breaker_failures or DEFAULT_FAILURES
    pause = policy.break_duration or DEFAULT_BREAK
    if policy.breaker_holds:
        return Trip(failures, pause.total_seconds(), 1.0, holds=True)
    return Trip(
        ours.failures or failures,
        (ours.break_duration or pause).total_seconds(),
        ours.ratio or policy.breaker_ratio or Trip().ratio,
    )


def break_seconds(trip: Trip, reopenings: int) -> float:
    """How long the break after `reopenings` earlier ones lasts, before it is spread."""
    longest = max(trip.break_seconds, LONGEST_BREAK_SECONDS)
    # Past 32 doublings every break is the longest, and a float would end.
    return float(min(longest, trip.break_seconds * BREAK_GROWTH ** min(reopenings, 32)))


def probe_interval(seconds: float) -> timedelta:
    """How often an early probe looks during a break: min(60 s, max(5 s, break / 10))."""
    return timedelta(seconds=min(PROBE_MOST_SECONDS, max(PROBE_LEAST_SECONDS, seconds / PROBE_SHARE)))
