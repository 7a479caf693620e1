"""The policies that ship: one per failure type, and the presets that a task can name."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, assert_never

from .backoff import Backoff, Jitter
from .failure import FailureType
from .policy import RetryPolicy

Preset = Literal["lightweight", "standard", "complex", "critical", "api"]

NONE = RetryPolicy(name="none", max_retries=0)
"""What ``retry=False`` and ``retry=0`` mean: one attempt."""

LIGHTWEIGHT = RetryPolicy(name="lightweight", max_retries=3, initial_delay=timedelta(seconds=0.5))
STANDARD = RetryPolicy(name="standard", max_retries=3, initial_delay=timedelta(seconds=1))
COMPLEX = RetryPolicy(name="complex", max_retries=3, initial_delay=timedelta(seconds=2))
CRITICAL = RetryPolicy(name="critical", max_retries=5, initial_delay=timedelta(seconds=1))


def preset(name: Preset, *, from_env: RetryPolicy) -> RetryPolicy:
    """The preset of that name.

    Args:
        name: One of the five.
        from_env: The policy of MAX_RETRIES and RETRY_*. It is `api`; the others keep their count and first delay
            and take the rest from it, so that one setting changes the jitter or the cap of all.
    """
    match name:
        case "lightweight":
            return _shaped(LIGHTWEIGHT, from_env)
        case "standard":
            return _shaped(STANDARD, from_env)
        case "complex":
            return _shaped(COMPLEX, from_env)
        case "critical":
            return _shaped(CRITICAL, from_env)
        case "api":
            return replace(from_env, name="api")
        case _:
            assert_never(name)


def _shaped(own: RetryPolicy, env: RetryPolicy) -> RetryPolicy:
    return replace(env, name=own.name, max_retries=own.max_retries, initial_delay=own.initial_delay)


def default_policies(*, jitter: Jitter = Jitter.PROPORTIONAL) -> Mapping[FailureType, RetryPolicy]:
    """A policy for each failure type.

    The counts and delays outlast what usually causes the type: a database failover takes minutes, an empty pool
    seconds under less load, somebody else's outage half an hour. Types that begin with PERMANENT_ or CONFIG_ are not
    retried; their delays rule where a setting allows them retries.
    """
    return {kind: replace(policy, name=kind.value, jitter=jitter) for kind, policy in _BY_TYPE.items()}


def overridden(
    policies: Mapping[FailureType, RetryPolicy], settings: Mapping[FailureType, Mapping[str, Any]]
) -> Mapping[FailureType, RetryPolicy]:
    """The policies with some fields replaced, as ``POLICY__<TYPE>__<FIELD>`` asks.

    Args:
        policies: As they were.
        settings: What to replace, by type: fields of `RetryPolicy`, its `backoff` and `jitter` also as their names,
            its `break_duration` also as ``breaker_seconds``, which is what the setting is called.

    Raises:
        ValueError: A number is out of its range.
        TypeError: `RetryPolicy` has no such field.
    """
    return {kind: replace(policy, **_fields(policy, settings.get(kind, {}))) for kind, policy in policies.items()}


def _fields(policy: RetryPolicy, settings: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(settings)
    if "initial_delay" in fields:  # Whoever asks for a longer first wait than the former cap means it.
        fields.setdefault("max_delay", max(policy.max_delay, fields["initial_delay"]))
    if "breaker_seconds" in fields:
        fields["break_duration"] = fields.pop("breaker_seconds")
    if "backoff" in fields:
        fields["backoff"] = Backoff(fields["backoff"])
    if "jitter" in fields:
        fields["jitter"] = Jitter(fields["jitter"])
    return fields


def _row(  # noqa: PLR0913  One parameter per column of the table below.
    retries: int,
    first: float,
    backoff: Backoff = Backoff.FIXED,
    *,
    by: float = 2.0,
    cap: float | None = None,
    opens: tuple[int, float] | None = None,
    ratio: float | None = None,
    holds: bool = False,
) -> RetryPolicy:
    failures, seconds = opens or (None, None)
    return RetryPolicy(
        max_retries=retries,
        initial_delay=timedelta(seconds=first),
        backoff=backoff,
        multiplier=by,
        max_delay=timedelta(seconds=first if cap is None else cap),
        breaker_failures=failures,
        break_duration=None if seconds is None else timedelta(seconds=seconds),
        breaker_ratio=ratio,
        breaker_holds=holds,
    )


_EXP, _LIN, _FIB = Backoff.EXPONENTIAL, Backoff.LINEAR, Backoff.FIBONACCI
_BY_TYPE = {
    # 30 to 480 s is 15 minutes in all: a failover.
    FailureType.TRANSIENT_DATABASE: _row(5, 30, _EXP, cap=3600, opens=(10, 300)),
    # 7 minutes in all; a longer outage is survived because an open breaker spends no attempt.
    FailureType.TRANSIENT_NETWORK: _row(3, 60, _EXP, cap=1800, opens=(5, 600)),
    # No breaker: the server works, and open we would lose the throughput it grants us.
    FailureType.TRANSIENT_RATE_LIMIT: _row(8, 30, _EXP, cap=3600),
    FailureType.TRANSIENT_TIMEOUT: _row(3, 60, _EXP, cap=1800, opens=(5, 600)),
    # Linear, because the cause is our own concurrency.
    FailureType.TRANSIENT_RESOURCE: _row(6, 60, _LIN, cap=900, opens=(10, 180)),
    FailureType.EXTERNAL_API_DOWN: _row(2, 900, _FIB, cap=7200, opens=(3, 1800)),
    FailureType.PERMANENT_VALIDATION: _row(0, 60),
    # One retry after 15 s is a good setting where jobs are deferred before their rows commit.
    FailureType.PERMANENT_NOT_FOUND: _row(0, 15),
    FailureType.PERMANENT_CONFLICT: _row(0, 10),
    # Held: one revoked key, or one missing setting, would bury every job of the dependency.
    FailureType.PERMANENT_AUTH: _row(0, 60, opens=(3, 900), holds=True),
    FailureType.CONFIG_MISSING_SETTING: _row(0, 60, opens=(3, 900), holds=True),
    FailureType.PERMANENT_CODE_BUG: _row(0, 60),
    FailureType.SYSTEM_OUT_OF_MEMORY: _row(2, 300),
    FailureType.SYSTEM_DISK_FULL: _row(3, 600, _EXP, cap=3600, opens=(2, 900)),
    FailureType.SYSTEM_WORKER_LOST: _row(3, 30, _EXP, cap=900),
    # Two cheap tries, then a human.
    FailureType.UNKNOWN: _row(2, 120, _EXP, by=3.0, cap=1800, opens=(10, 300), ratio=0.8),
}
