"""Tasks as a user would write them."""

import asyncio
from typing import Annotated, Any

from pydantic import Field

from app.queue.task import task
from app.redact import MASK

MOST_CHARGED = 100


class RefusedError(Exception):
    """What `fail` and `charge` raise."""


@task(name="sample.add", slug="add", queue="sums")
async def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@task(name="sample.greet", slug="greet")
def greet(name: Annotated[str, Field(max_length=20)], *, loud: bool = False, tags: list[str] | None = None) -> str:
    """Greet somebody."""
    return f"Hello {name}{'!' if loud else ''} {tags or ''}"


@task(name="sample.accept_anything", slug="accept-anything")
async def accept_anything(**given: Any) -> dict[str, Any]:
    """Return what it is given."""
    return given


@task(name="sample.fail", slug="fail", retry=False)
async def fail(message: str, password: str = "") -> None:
    """Fail at once, with no retry."""
    del password
    raise RefusedError(message)


@task(name="sample.charge", slug="charge", queue="orders", retry=False)
async def charge(amount: int, password: str) -> int:
    """Charge what is not too much, with a password that is none of those shown in place of one."""
    if amount > MOST_CHARGED or MASK in password:
        raise RefusedError(f"{amount} is refused")
    return amount


@task(name="sample.return_nothing", slug="return-nothing")
async def return_nothing() -> None:
    """Return nothing."""


@task(name="sample.internal", slug="internal", http=False)
async def internal() -> None:
    """Not for clients."""


@task(name="sample.with_context", slug="with-context", pass_context=True)
async def with_context(context: Any, number: int) -> int:
    """Take the context that Procrastinate passes."""
    return int(context.job.id) + number


@task(name="sample.sleep_well", slug="sleep-well")
async def sleep_well() -> None:
    """Sleep until somebody wakes it."""
    await asyncio.sleep(60)
