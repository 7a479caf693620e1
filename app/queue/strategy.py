"""Who decides about a failure: our policies as Procrastinate strategies, and foreign strategies as they answer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from procrastinate import jobs
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from ..config import RetrySettings, load_settings
from ..retry.backoff import Backoff, Jitter
from ..retry.policy import Foreign, ForeignBroken, ForeignRetry, RetryPolicy
from ..retry.presets import Preset
from ..retry.presets import preset as preset_policy


def policy_from(settings: RetrySettings) -> RetryPolicy:
    """The policy of MAX_RETRIES and RETRY_*."""
    return RetryPolicy(
        name="env",
        max_retries=settings.max_retries,
        backoff=Backoff(settings.backoff),
        initial_delay=settings.base_delay,
        multiplier=settings.multiplier,
        max_delay=settings.max_delay,
        jitter=Jitter(settings.jitter),
    )


class ExponentialBackoff(BaseRetryStrategy):
    """A policy of ours where Procrastinate wants a strategy.

    On an Afresh app the whole policy rules: the failure's type may veto, a server's hint is a floor. On a plain
    Procrastinate app the schedule and the limit are kept, which is all that a strategy can do there.
    """

    def __init__(self, policy: RetryPolicy | None = None, **fields: Any) -> None:
        """Rule by `policy`, or by a `RetryPolicy` made of its fields.

        Raises:
            ValueError: A field is out of its range.
        """
        fixed = policy if policy is not None else RetryPolicy(**{"name": "exponential", **fields})
        self._made_from: Callable[[RetryPolicy], RetryPolicy] = lambda _: fixed

    @classmethod
    def from_env(cls, **fields: Any) -> "ExponentialBackoff":
        """The policy of MAX_RETRIES and RETRY_* as the app that runs the task has read them, with `fields` changed.

        Raises:
            ValueError: A field is out of its range.
            TypeError: `RetryPolicy` has no such field.
        """
        return cls._derived(lambda env: replace(env, **fields))

    @classmethod
    def preset(cls, name: Preset, **fields: Any) -> "ExponentialBackoff":
        """One of lightweight, standard, complex, critical and api, with `fields` changed.

        Raises:
            ValueError, TypeError: As `from_env`.
        """
        return cls._derived(lambda env: replace(preset_policy(name, from_env=env), **fields))

    @classmethod
    def _derived(cls, made_from: Callable[[RetryPolicy], RetryPolicy]) -> "ExponentialBackoff":
        made_from(RetryPolicy(name="env"))  # A field that is out of its range is told where it is written.
        strategy = cls()
        strategy._made_from = made_from
        return strategy

    def policy(self, env: RetryPolicy) -> RetryPolicy:
        """The policy, given the one of the environment."""
        return self._made_from(env)

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> RetryDecision | None:
        """The next retry by count and schedule alone."""
        policy = self.policy(policy_from(load_settings().retry))
        if isinstance(exception, policy.give_up_on) or (policy.retry_on and not isinstance(exception, policy.retry_on)):
            return None
        if policy.max_retries is not None and job.attempts >= policy.max_retries:
            return None
        return RetryDecision(retry_at=datetime.now(UTC) + timedelta(seconds=policy.wait_seconds(job.attempts + 1)))


preset = ExponentialBackoff.preset


def ask(strategy: BaseRetryStrategy, exception: BaseException, job: jobs.Job) -> Foreign:
    """What a foreign strategy says about this failure; its own error is an answer too.

    It is called without awaiting, so a cancellation that it raises is its own, never the worker's.
    """
    name = type(strategy).__name__
    try:
        retry = strategy.get_retry_exception(exception=exception, job=job)
    except BaseException as error:  # noqa: BLE001  A strategy is the user's code: whatever it raises buries one job.
        return Foreign(name, ForeignBroken(f"{type(error).__name__}: {error}"))
    if retry is None:
        return Foreign(name, None)
    chosen = retry.retry_decision
    return Foreign(name, ForeignRetry(chosen.retry_at or datetime.now(UTC), chosen.priority, chosen.queue, chosen.lock))
