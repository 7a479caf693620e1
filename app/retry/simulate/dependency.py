"""What one call comes to: the only thing in the simulation that is made up."""

from bisect import bisect_right
from random import Random
from typing import NamedTuple

from ..failure import Effect, Evidence, Failure, FailureType, Hint, Remediation
from ..taxonomy import TAXONOMY
from .scenario import Phase, Scenario

BURST_SECONDS = 0.25
"""What the dependency takes at once, as time at its capacity."""

REFUSAL_SECONDS = 0.05
"""How long it takes to refuse a call that is too much."""


class Call(NamedTuple):
    """How long a call takes, and how it ends; None: well."""

    seconds: float
    failure: Failure | None


class Dependency:
    """Something that bears so many calls a second, in phases."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        self._scenario = scenario
        self._rng = rng
        self._starts = [phase.start for phase in scenario.phases]
        self._tokens = scenario.capacity * BURST_SECONDS
        self._at = 0.0
        self._quota_window = -1
        self._quota_left = 0

    def call(self, now: float, *, poisoned: bool) -> Call:
        """What a call that starts now comes to."""
        number = bisect_right(self._starts, now) - 1
        phase = self._scenario.phases[number]
        if phase.failing is not None:
            return Call(phase.fail_seconds, a_failure(phase.failing))
        if (refused := self._refused(now, phase)) is not None:
            return refused
        if self._rng.random() < phase.errors or poisoned:
            return Call(phase.fail_seconds, a_failure(FailureType.EXTERNAL_API_DOWN))
        return self._unless_killed(now, number)

    def _refused(self, now: float, phase: Phase) -> Call | None:
        rate = self._scenario.capacity * phase.share
        # Whatever bears a call a minute bears one at once.
        self._tokens = min(max(1.0, rate * BURST_SECONDS), self._tokens + rate * (now - self._at))
        self._at = now
        if self._tokens < 1:
            return Call(REFUSAL_SECONDS, a_failure(FailureType.EXTERNAL_API_DOWN))
        self._tokens -= 1
        return self._over_quota(now) if self._scenario.quota else None

    def _over_quota(self, now: float) -> Call | None:
        length = self._scenario.quota_seconds
        window = int(now // length)
        if window != self._quota_window:
            self._quota_window, self._quota_left = window, self._scenario.quota
        if self._quota_left:
            self._quota_left -= 1
            return None
        hint = (window + 1) * length - now
        return Call(REFUSAL_SECONDS, a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=hint))

    def _unless_killed(self, now: float, number: int) -> Call:
        seconds = self._scenario.call_seconds * self._rng.uniform(0.8, 1.2)
        following = self._scenario.phases[number + 1 : number + 2]
        for phase in following:
            if phase.kills and phase.failing is not None and phase.start < now + seconds:
                return Call(phase.start - now, a_failure(phase.failing))
        return Call(seconds, None)


def a_failure(kind: FailureType, *, hint: float | None = None) -> Failure:
    """A failure of that type, as `classify` would have it."""
    meaning = TAXONOMY[kind]
    return Failure(
        type=kind,
        confidence=1.0,
        evidence=(Evidence("simulated", "Simulated", 0, "simulated"),),
        remediation=meaning.actions[0] if meaning.actions else Remediation.INVESTIGATE,
        sentence=meaning.sentence,
        retryable=meaning.retryable,
        fingerprint="0" * 16,
        exception_type="Simulated",
        message="",
        hint=None if hint is None else Hint(hint, "Retry-After"),
        effect=Effect.REJECTED,
    )
