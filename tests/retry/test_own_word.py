"""Exceptions that say themselves whether to try again: heard, but no louder than a message."""

import errno
from typing import Any

import pytest

from app.retry.classify import Context, classify
from app.retry.failure import FailureType
from app.retry.rules import RuleBook


def saying(base: type[Exception] = Exception, **attributes: Any) -> Exception:
    """An error of a library that nobody has heard of, with these attributes."""
    error: Exception = type("Odd", (base,), attributes)("it went wrong")
    return error


@pytest.mark.parametrize(
    ("attributes", "retryable"),
    [
        ({"retryable": True}, True),
        ({"retryable": False}, False),
        ({"retriable": False}, False),
        ({"is_retryable": False}, False),
        ({"should_retry": False}, False),
        ({"non_retryable": True}, False),
        ({"non_retryable": False}, True),
    ],
)
def test_an_unknown_error_is_believed(attributes: dict[str, Any], *, retryable: bool):
    """What no rule knows stays unknown, and is retried or not as it says of itself, which is told."""
    failure = classify(saying(**attributes))
    (name,) = attributes
    assert (failure.type, failure.retryable) == (FailureType.UNKNOWN, retryable)
    assert failure.evidence[0].rule == f"own_word.{name}"
    assert f"{name} = {attributes[name]}" in failure.sentence


def test_against_a_base_that_says_little():
    """A ValueError that calls itself retryable is no proof of bad data; one that does not, is as before."""
    willing, unwilling = classify(saying(ValueError, retryable=True)), classify(saying(ValueError, retryable=False))
    assert (willing.type, willing.retryable) == (FailureType.UNKNOWN, True)
    assert (unwilling.type, unwilling.retryable) == (FailureType.PERMANENT_VALIDATION, False)


@pytest.mark.parametrize("word", [None, "no", 0, 1, (), lambda: False])
def test_only_a_bool_is_a_word(word: Any):
    """What is no bool, such as a method, says nothing."""
    assert classify(saying(retryable=word)).evidence[0].rule == "unknown"


def test_what_is_known_is_known_better():
    """Neither a code, nor a class, nor a cause that is known gives way to it."""
    code = OSError(errno.ENOSPC, "No space left on device")
    code.retryable = False  # type: ignore[attr-defined]  # As a library might.
    wrapped = saying(retryable=False)
    wrapped.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    for known in (code, saying(ConnectionError, retryable=False), wrapped):
        assert classify(known).retryable


def test_rules_are_above_it():
    """The user's own rule decides, whatever the exception says of itself."""
    book = RuleBook()
    book.failure_rule(lambda _: FailureType.PERMANENT_CONFLICT)
    assert not classify(saying(retryable=True), Context(rules=book.rules)).retryable
