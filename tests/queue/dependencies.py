"""A dependency that is up or down at a test's word, the tasks that call it, and its breaker's row."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.task import task
from app.queue.worker import AfreshWorker
from app.retry.breaker.counting import Counted, Report
from app.retry.breaker.rules import rules_from
from app.retry.failure import FailureType
from app.retry.presets import default_policies
from app.store import breakers

from .jobs import rows, value
from .workers import working

NAME = "joke-api"
RULES = rules_from(default_policies())
REFUSED = FailureType.TRANSIENT_NETWORK

_numbers = count(1)


class Service:
    """What the jobs call: it answers, or refuses every connection."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if not self.up:
            raise ConnectionRefusedError(111, "Connection refused")


def calling(service: Any, name: str = NAME, **options: Any) -> Any:
    """A task that calls a service, on which it relies."""

    async def call() -> None:
        await service()

    return registered(call, depends_on=name, **options)


def registered(call: Any, **options: Any) -> Any:
    """A task of a name that no other test has: wherever else in this process the app is used, it is there once."""
    number = next(_numbers)
    return task(name=f"tests.call_{number}", slug=f"call-{number}", **options)(call)


@asynccontextmanager
async def several(*apps: Afresh, **options: Any) -> AsyncIterator[list[AfreshWorker]]:
    """A worker for each app, as separate processes would have."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(working(app, **options)) for app in apps]


async def state(conn: AsyncConnection[Any], name: str = NAME) -> str:
    """The state of a breaker."""
    found = await rows(conn, "SELECT state FROM afresh.breaker WHERE name = %s", name)
    return str(found[0]["state"]) if found else "closed"


async def rests(conn: AsyncConnection[Any], expected: str) -> bool:
    """Whether the breaker is in this state while nothing runs: at one moment, not one after the other."""
    return bool(
        await value(
            conn,
            "SELECT EXISTS (SELECT FROM afresh.breaker WHERE name = %s AND state = %s) "
            "AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'doing')",
            NAME,
            expected,
        )
    )


async def open_breaker(conn: AsyncConnection[Any], name: str = NAME, *, kind: FailureType = REFUSED) -> None:
    """Report an outage, as a worker would after five seconds of it."""
    now = await value(conn, "SELECT clock_timestamp()")
    second = int(now.timestamp())
    said = Report(
        generation=0,
        at=now,
        failures=tuple(Counted(second - 5 + ago, -ago - 1, kind) for ago in range(5)),
        last_failure_at=now,
    )
    await breakers.report(conn, name, said, RULES, Random(1))
    assert await state(conn, name) == "open"


async def hold_breaker(conn: AsyncConnection[Any], kind: FailureType, name: str = NAME) -> None:
    """Report three jobs that were refused for want of credentials or a setting."""
    now = await value(conn, "SELECT clock_timestamp()")
    said = Report(generation=0, at=now, holding=tuple((-number, kind) for number in (1, 2, 3)))
    await breakers.report(conn, name, said, RULES, Random(1))
    assert await state(conn, name) == "held"


async def ramp(conn: AsyncConnection[Any], name: str = NAME, *, rate: float) -> None:
    """Let an open breaker's jobs out, at so many a second."""
    await breakers.reset(conn, name, actor="me", reason="it is up")
    await conn.execute("UPDATE afresh.breaker SET rate = %s, tokens_at = now() WHERE name = %s", (rate, name))


async def let_probes_go(conn: AsyncConnection[Any], name: str = NAME) -> None:
    """End the break of an open breaker now."""
    await conn.execute("UPDATE afresh.breaker SET until = now(), probe_at = now() WHERE name = %s", (name,))
    await conn.execute("SELECT pg_notify('afresh_wake', '{\"type\": \"breaker\"}')")


async def open_to_probes(conn: AsyncConnection[Any], name: str = NAME) -> None:
    """Report an outage, and let the first probe go at once."""
    await open_breaker(conn, name)
    await let_probes_go(conn, name)


async def lease(conn: AsyncConnection[Any]) -> timedelta:
    """How long the only permit that is out still lasts."""
    ((_, expires_at),) = await value(conn, "SELECT permits FROM afresh.breaker")
    left: timedelta = datetime.fromisoformat(expires_at) - await value(conn, "SELECT clock_timestamp()")
    return left


async def succeeded(conn: AsyncConnection[Any]) -> int:
    """How many jobs have succeeded."""
    return int(await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"))


async def transitions(conn: AsyncConnection[Any], name: str = NAME) -> list[str]:
    """The states that a breaker came to, oldest first."""
    return [
        row["after"]
        for row in await rows(conn, "SELECT after FROM afresh.breaker_event WHERE name = %s ORDER BY id", name)
    ]
