"""Exceptions that hold others."""

import asyncio

from app.retry.classify import classify
from app.retry.failure import FailureType


def test_a_group_of_cancellations():
    """Several that were stopped are no failure of theirs either."""
    group = BaseExceptionGroup("stopped", [asyncio.CancelledError(), asyncio.CancelledError()])
    assert classify(group).reason == "cancelled"


class ChattyError(Exception):
    """Counts how often it is asked for its words."""

    asked = 0

    def __str__(self) -> str:
        type(self).asked += 1
        return "the other side did not answer"


def test_a_group_is_taken_apart_once():
    """Whoever raises the parts of a group one by one while handling it makes it the context of each of its parts."""
    parts = [ChattyError() for _ in range(20)]
    group = ExceptionGroup("all failed", parts)
    for part in parts:
        part.__context__ = group
    ChattyError.asked = 0
    assert classify(group).type is FailureType.TRANSIENT_TIMEOUT
    assert ChattyError.asked <= 2 * len(parts)
