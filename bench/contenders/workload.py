"""The tasks that are run: the same functions, under the same names, for both contenders."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import httpx

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


async def call() -> None:
    """Call the dependency on loopback that BENCH_DEPENDENCY names, over a connection that is kept."""
    (await _client().get("/")).raise_for_status()


@functools.cache
def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=os.environ["BENCH_DEPENDENCY"], trust_env=False, timeout=10)


TASKS: dict[str, Callable[..., Any]] = {"noop": noop, "fail": fail, "pick_up": pick_up}
