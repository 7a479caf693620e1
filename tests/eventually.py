"""Waiting for what happens elsewhere, with a deadline instead of a sleep that is either too short or too long."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import anyio

T = TypeVar("T")

_POLL_SECONDS = 0.02


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], within: float = 30.0) -> T: ...


@overload
async def eventually(predicate: Callable[[], T], within: float = 30.0) -> T: ...


async def eventually(predicate: Callable[[], Any], within: float = 30.0) -> Any:
    """Call the predicate, async or not, until it answers something true, and return that.

    Raises:
        AssertionError: It did not within so many seconds; its last answer is in the text.
    """
    deadline = time.monotonic() + within
    while True:
        answer = predicate()
        found = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {within} s"
        await anyio.sleep(_POLL_SECONDS)


def eventually_sync(predicate: Callable[[], T], within: float = 30.0) -> T:
    """As `eventually`, for tests without a loop.

    Raises:
        AssertionError: As there.
    """
    deadline = time.monotonic() + within
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"still {found!r} after {within} s"
        time.sleep(_POLL_SECONDS)
    return found
