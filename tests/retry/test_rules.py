"""People's own words: rules in settings and code, and exceptions that say what follows."""

import errno
from datetime import timedelta
from typing import Any

import pytest

from app.retry.classify import Context, classify
from app.retry.failure import FailureType
from app.retry.markers import Permanent, RetryLater
from app.retry.rules import Rule, RuleBook


class BusyError(Exception):
    """An application's own."""


def test_rules_win():
    """A user's rule wins over a code."""
    rules = (Rule("mine", FailureType.PERMANENT_CONFLICT, exception="RuntimeError"),)
    error = RuntimeError("the request failed")
    error.status_code = 503  # type: ignore[attr-defined]  # As libraries do.
    failure = classify(error, Context(rules=rules))
    assert (failure.type, failure.confidence) == (FailureType.PERMANENT_CONFLICT, 1.0)


def test_rules_reach_into_the_chain():
    """A rule matches a cause as well as what was raised."""
    outer = RuntimeError("x")
    outer.__cause__ = BusyError("y")
    rule = Rule("busy", FailureType.TRANSIENT_RESOURCE, exception="BusyError")
    assert classify(outer, Context(rules=(rule,))).type is FailureType.TRANSIENT_RESOURCE


@pytest.mark.parametrize(
    "conditions",
    [{"exception": f"{__name__}.BusyError"}, {"exception": "BusyError"}, {"contains": "QUEUE is long"},
     {"exception": "BusyError", "contains": "queue"}],
)  # fmt: skip
def test_rules_match(conditions: dict[str, Any]):
    """A rule names a class, a text, or both."""
    rule = Rule("busy", FailureType.TRANSIENT_RESOURCE, **conditions)
    assert classify(BusyError("the queue is long"), Context(rules=(rule,))).evidence[0].rule == "user.busy"


def test_all_conditions_of_a_rule_hold():
    """A rule whose text is missing has no opinion on its class."""
    rule = Rule("busy", FailureType.TRANSIENT_RESOURCE, exception="BusyError", contains="disk")
    assert classify(BusyError("the queue is long"), Context(rules=(rule,))).evidence[0].rule != "user.busy"


def test_rules_in_code():
    """A decorated function answers for a class, or has no opinion."""
    book = RuleBook()

    @book.failure_rule(BusyError, retryable=False)
    def busy(exc: BaseException) -> FailureType | None:
        return FailureType.TRANSIENT_RESOURCE if "long" in str(exc) else None

    context = Context(rules=book.rules)
    assert classify(BusyError("long"), context).type is FailureType.TRANSIENT_RESOURCE
    assert not classify(BusyError("long"), context).retryable
    assert classify(BusyError("short"), context).evidence[0].rule != "user.busy"


def test_a_rule_without_parentheses():
    """A bare decorator registers a function that is asked about every failure."""
    book = RuleBook()

    @book.failure_rule
    def any_failure(_exc: BaseException) -> FailureType | None:
        return FailureType.PERMANENT_CONFLICT

    assert classify(BusyError(), Context(rules=book.rules)).evidence[0].rule == "user.any_failure"


@pytest.mark.parametrize("exception", [5, (ValueError,), int, ValueError()])
def test_a_rule_for_what_is_no_exception(exception: Any):
    """What is neither a class of exceptions nor a name is refused where it is written."""
    with pytest.raises(TypeError, match="failure rule"):
        RuleBook().failure_rule(exception)


def test_a_rule_that_raises():
    """A rule that raises has no opinion."""

    def broken(_exc: BaseException) -> FailureType | None:
        raise SystemExit

    failure = classify(TimeoutError(), Context(rules=(Rule("broken", judge=broken),)))
    assert failure.type is FailureType.TRANSIENT_TIMEOUT


def test_retry_later():
    """The task's own wait is the hint."""
    failure = classify(RetryLater(after=timedelta(minutes=2)))
    assert failure.retryable
    assert failure.hint is not None
    assert failure.hint.seconds == 120


def test_permanent_inside():
    """The task's own verdict counts, whatever is wrapped around it."""
    outer = ConnectionResetError(errno.ECONNRESET, "reset")
    outer.__cause__ = Permanent("closed account", type=FailureType.PERMANENT_CONFLICT)
    failure = classify(outer)
    assert (failure.type, failure.retryable) == (FailureType.PERMANENT_CONFLICT, False)
