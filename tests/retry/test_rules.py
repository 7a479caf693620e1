"""People's own words: rules in settings and code, and exceptions that say what follows."""

import errno
from datetime import timedelta
from typing import Any

import pytest

from app.retry.classify import Context, classify
from app.retry.failure import FailureType
from app.retry.markers import Permanent, RetryLater
from app.retry.rules import Rule, RuleBook, RuleError, parse_rules


class BusyError(Exception):
    """An application's own."""


def test_rules_win():
    """A user's rule wins over a code."""
    rules = parse_rules("RuntimeError=PERMANENT_CONFLICT")
    error = RuntimeError("the request failed")
    error.status_code = 503  # type: ignore[attr-defined]  # As libraries do.
    failure = classify(error, Context(rules=rules))
    assert (failure.type, failure.confidence) == (FailureType.PERMANENT_CONFLICT, 1.0)


def test_rules_reach_into_the_chain():
    """A rule matches a cause as well as what was raised."""
    outer = RuntimeError("x")
    outer.__cause__ = BusyError("y")
    assert (
        classify(outer, Context(rules=parse_rules("BusyError=TRANSIENT_RESOURCE"))).type
        is FailureType.TRANSIENT_RESOURCE
    )


@pytest.mark.parametrize(
    "text",
    [f"{__name__}.BusyError=TRANSIENT_RESOURCE", "BusyError = TRANSIENT_RESOURCE", '"queue is long"=TRANSIENT_RESOURCE',
     'BusyError "QUEUE"=TRANSIENT_RESOURCE', "# why\nBusyError=TRANSIENT_RESOURCE; Other=UNKNOWN"],
)  # fmt: skip
def test_rules_in_settings(text: str):
    """Settings name a class, a text, or both."""
    failure = classify(BusyError("the queue is long"), Context(rules=parse_rules(text)))
    assert failure.type is FailureType.TRANSIENT_RESOURCE


@pytest.mark.parametrize("text", ["BusyError", "BusyError=NOPE", "=UNKNOWN", 'BusyError "x=UNKNOWN'])
def test_rules_that_cannot_be_read(text: str):
    """A rule that cannot be read is refused with its own text."""
    with pytest.raises(RuleError, match="failure rule"):
        parse_rules(text)


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
