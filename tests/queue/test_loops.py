"""What a worker does besides running jobs ends when the worker does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.queue.app import Afresh
from app.queue.dependencies import Call

pytestmark = pytest.mark.anyio


def meet(app: Afresh) -> None:
    """Give the loop that looks at queues something to do."""
    app.adaptation.meet("q")


def say(app: Afresh) -> None:
    """Give the loop that reports to the breakers something to do."""
    app.dependencies.unused(Call("joke-api", 1, permit=1))


LOOPS: list[tuple[Callable[[Afresh], Awaitable[None]], Callable[[Afresh], None]]] = [
    (lambda app: app.adaptation.look(), meet),
    (lambda app: app.dependencies.report(), say),
]


@pytest.mark.parametrize(("loop", "wake"), LOOPS, ids=["adaptation", "reports"])
@pytest.mark.parametrize("steps", range(4))
async def test_a_loop_that_wakes_when_its_worker_stops_ends(
    queue_app: Afresh,
    loop: Callable[[Afresh], Awaitable[None]],
    wake: Callable[[Afresh], None],
    steps: int,
):
    """A loop is ended by its worker at whatever moment that comes, also in the one in which it has something to do."""
    running = asyncio.ensure_future(loop(queue_app))
    await turns(3)
    wake(queue_app)
    await turns(steps)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()


async def turns(count: int) -> None:
    """Let everything that can go on do so, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
