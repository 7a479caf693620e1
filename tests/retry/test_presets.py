from datetime import timedelta

import pytest

from app.retry.backoff import Backoff, Jitter
from app.retry.failure import FailureType
from app.retry.policy import (
    ByType,
    DeathCause,
    RetryPolicy,
)
from app.retry.presets import (
    COMPLEX,
    CRITICAL,
    LIGHTWEIGHT,
    STANDARD,
    Preset,
    default_policies,
    overridden,
    preset,
)

from .samples import EXACT, PERMANENT, a_failure, by_type, cause, decided, wait


def test_every_type_has_a_policy():
    """All sixteen types have a default policy, and a table that lacks one is refused."""
    policies = default_policies()
    assert set(policies) == set(FailureType)
    with pytest.raises(ValueError, match="UNKNOWN"):
        ByType({kind: each for kind, each in policies.items() if kind is not FailureType.UNKNOWN})


@pytest.mark.parametrize("kind", PERMANENT)
def test_permanent_types_have_no_retries(kind: FailureType):
    """PERMANENT_ and CONFIG_ types are not retried by default."""
    assert default_policies()[kind].max_retries == 0


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        (FailureType.TRANSIENT_DATABASE, [30, 60, 120, 240, 480]),
        (FailureType.TRANSIENT_NETWORK, [60, 120, 240]),
        (FailureType.TRANSIENT_RATE_LIMIT, [30, 60, 120, 240, 480, 960, 1920, 3600]),
        (FailureType.TRANSIENT_TIMEOUT, [60, 120, 240]),
        (FailureType.TRANSIENT_RESOURCE, [60, 120, 180, 240, 300, 360]),
        (FailureType.EXTERNAL_API_DOWN, [900, 900]),
        (FailureType.SYSTEM_OUT_OF_MEMORY, [300, 300]),
        (FailureType.SYSTEM_DISK_FULL, [600, 1200, 2400]),
        (FailureType.SYSTEM_WORKER_LOST, [30, 60, 120]),
        (FailureType.UNKNOWN, [120, 360]),
    ],
)
def test_default_waits(kind: FailureType, waits: list[float]):
    """Each type that is retried waits as its row of the table says."""
    tier = by_type({kind: EXACT})
    decisions = [decided(a_failure(kind), tier, attempts=attempts) for attempts in range(len(waits) + 1)]
    assert [wait(each) for each in decisions[:-1]] == waits
    assert cause(decisions[-1]) is DeathCause.RETRIES_SPENT


def test_settings_change_a_types_policy():
    """POLICY__UNKNOWN__… replaces what it names, in the words of the settings, and leaves the rest."""
    settings = {"backoff": "linear", "max_retries": 4, "breaker_seconds": timedelta(minutes=1)}
    policy = overridden(default_policies(), {FailureType.UNKNOWN: settings})[FailureType.UNKNOWN]
    assert (policy.backoff, policy.max_retries, policy.break_duration) == (Backoff.LINEAR, 4, timedelta(minutes=1))
    assert policy.initial_delay == default_policies()[FailureType.UNKNOWN].initial_delay


@pytest.mark.parametrize(
    ("policy", "retries", "first"),
    [(LIGHTWEIGHT, 3, 0.5), (STANDARD, 3, 1.0), (COMPLEX, 3, 2.0), (CRITICAL, 5, 1.0)],
)
def test_presets(policy: RetryPolicy, retries: int, first: float):
    """Each preset has its count and its first delay."""
    assert (policy.max_retries, policy.initial_delay.total_seconds()) == (retries, first)


@pytest.mark.parametrize("name", ["lightweight", "standard", "complex", "critical", "api"])
def test_presets_follow_the_settings(name: Preset):
    """RETRY_JITTER and RETRY_MAX_DELAY reach every preset; MAX_RETRIES and RETRY_BASE_DELAY only `api`."""
    env = RetryPolicy(max_retries=9, initial_delay=timedelta(seconds=7), max_delay=timedelta(seconds=99), **EXACT)
    policy = preset(name, from_env=env)
    assert (policy.name, policy.jitter, policy.max_delay) == (name, Jitter.NONE, timedelta(seconds=99))
    assert (policy.max_retries == 9) is (policy.initial_delay == timedelta(seconds=7)) is (name == "api")
