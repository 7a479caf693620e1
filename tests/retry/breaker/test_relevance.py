"""What an outcome says about the dependency."""

import pytest

from app.retry.breaker.relevance import Relevance, relevance
from app.retry.breaker.rules import rules_from
from app.retry.failure import Effect, Failure, FailureType
from app.retry.presets import default_policies, overridden

from ..samples import a_failure
from .driver import RULES

T = FailureType
R = Relevance


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (None, R.WORKED),
        (a_failure(T.TRANSIENT_NETWORK), R.COUNTED),
        (a_failure(T.TRANSIENT_TIMEOUT), R.COUNTED),
        (a_failure(T.TRANSIENT_DATABASE), R.COUNTED),
        (a_failure(T.EXTERNAL_API_DOWN, effect=Effect.REJECTED), R.COUNTED),
        (a_failure(T.UNKNOWN), R.COUNTED),
        (a_failure(T.TRANSIENT_DATABASE, reason="contention"), R.WORKED),
        (a_failure(T.TRANSIENT_RATE_LIMIT, hint=5), R.PACED),
        (a_failure(T.PERMANENT_AUTH, effect=Effect.REJECTED), R.HOLDS),
        (a_failure(T.CONFIG_MISSING_SETTING), R.HOLDS),
        (a_failure(T.PERMANENT_VALIDATION, effect=Effect.REJECTED), R.WORKED),
        (a_failure(T.PERMANENT_NOT_FOUND, effect=Effect.REJECTED), R.WORKED),
        (a_failure(T.PERMANENT_VALIDATION), R.SILENT),
        (a_failure(T.PERMANENT_CODE_BUG), R.SILENT),
        (a_failure(T.SYSTEM_OUT_OF_MEMORY), R.SILENT),
        (a_failure(T.SYSTEM_WORKER_LOST), R.SILENT),
    ],
)
def test_relevance(failure: Failure | None, expected: Relevance):
    """Outages count, refusals prove that somebody answers, and our own faults say nothing."""
    assert relevance(failure, RULES.trips) is expected


def test_a_type_counts_where_a_setting_says_so():
    """A threshold of its own makes any type count; what the setting leaves out is 5 failures and 60 s."""
    kind = T.TRANSIENT_RATE_LIMIT
    rules = rules_from(overridden(default_policies(), {kind: {"breaker_failures": 2}}))
    assert relevance(a_failure(kind), rules.trips) is R.COUNTED
    assert (rules.trips[kind].failures, rules.trips[kind].break_seconds) == (2, 60.0)
