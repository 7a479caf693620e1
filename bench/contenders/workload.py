"""The tasks that are run: the same functions, under the same names, for both contenders."""

import time
from collections.abc import Callable
from typing import Any

waits: list[float] = []
"""Seconds from just before a job was inserted until its task ran, of `pick_up`."""


async def noop() -> None:
    """Nothing."""


async def fail(i: int = 0) -> None:
    """Fail two frames below the task, as a refused connection does."""
    _connect(i)


def _connect(i: int) -> None:
    raise ConnectionRefusedError(111, f"Connect call failed ('127.0.0.1', {i})")


async def pick_up(sent: float) -> None:
    """Note how long it took to get here."""
    waits.append(time.time() - sent)


TASKS: dict[str, Callable[..., Any]] = {"noop": noop, "fail": fail, "pick_up": pick_up}
