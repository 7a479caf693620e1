"""Guards of one run inside each other, side by side, and given up: whose failure it was, and what goes back."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from app.queue.guarded import DependencyUnavailable, guarded, refusal_in

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import Service, open_breaker, open_to_probes, registered, state
from .jobs import attempts, rows, value
from .workers import Gate, first_run, is_, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection
HOST = "api.example.com"
OUTER = "outer.example"


@pytest.mark.parametrize("inside", ["refused", "failed"])
async def test_a_guard_inside_a_guard(open_app: OpenApp, conn: Connection, inside: str):
    """What an inner guard refuses, or what fails in it, says nothing about the outer one, and is no probe of it."""
    service = Service(up=False)

    async def call() -> None:
        async with guarded(OUTER), guarded(HOST):
            await service()

    both = registered(call)
    app = await open_app()
    await open_to_probes(conn, OUTER)
    if inside == "refused":
        await open_breaker(conn, HOST)
    job_id = await both.defer_async()
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
        await eventually(lambda: no_permits(conn, OUTER))
    assert await state(conn, OUTER) == "half_open"
    found = await rows(conn, "SELECT name FROM afresh.breaker WHERE slots <> '[]' OR state = 'open'")
    assert [each["name"] for each in found] == [HOST]
    (run,) = await attempts(conn, job_id)
    assert (run["decision"], service.calls) == (("snooze", 0) if inside == "refused" else ("retry", 1))


async def test_the_outer_one_after_the_inner_one(open_app: OpenApp, conn: Connection):
    """A task that goes on without the inner one, and then fails at the outer, has failed at the outer."""
    service = Service(up=False)

    async def call() -> None:
        async with guarded(OUTER):
            try:
                async with guarded(HOST):
                    await service()
            except ConnectionRefusedError:
                await service()

    both = registered(call)
    app = await open_app()
    await both.defer_async()
    async with working(app):
        await eventually(lambda: is_suspect(conn, HOST, OUTER))


async def test_guards_side_by_side(open_app: OpenApp, conn: Connection):
    """A task group that ends because a breaker lets nobody in puts its job back at no cost, as one guard does."""
    service = Service()

    async def one(host: str) -> None:
        async with guarded(host):
            await service()

    async def call() -> None:
        async with asyncio.TaskGroup() as group:
            for host in (HOST, HOST):
                group.create_task(one(host))

    both = registered(call)
    app = await open_app()
    await open_breaker(conn, HOST)
    run = await first_run(app, conn, both)
    assert (run["outcome"], run["counted"], service.calls) == ("snoozed", False, 0)
    assert run["reason"].startswith(f"breaker of {HOST} is open")


async def test_one_of_two_side_by_side_fails(open_app: OpenApp, conn: Connection):
    """A failure in one guard is that one's, and the call beside it, which it cut off, gives its permit back."""
    service, gate = Service(up=False), Gate()

    async def probe() -> None:
        async with guarded(OUTER):
            await gate()

    async def fail() -> None:
        async with guarded(HOST):
            await eventually(lambda: gate.running)
            await service()

    async def call() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(probe())
            group.create_task(fail())

    both = registered(call)
    app = await open_app()
    await open_to_probes(conn, OUTER)
    job_id = await both.defer_async()
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
        await eventually(lambda: no_permits(conn, OUTER))
        await eventually(lambda: is_suspect(conn, HOST))
    assert await state(conn, OUTER) == "half_open"
    assert service.calls == 1


async def test_a_call_that_the_task_gave_up(open_app: OpenApp, conn: Connection):
    """A task that waits for a guarded call no longer than it likes, and goes on, gives the permit back at its end."""
    gate = Gate()

    async def call() -> str:
        try:
            async with asyncio.timeout(None) as limit, guarded(HOST):
                limit.reschedule(asyncio.get_running_loop().time() + 0.05)  # By now it has its permit.
                await gate()
        except TimeoutError:
            return "later"
        return "now"

    impatient = registered(call)
    app = await open_app()
    await open_to_probes(conn, HOST)
    job_id = await impatient.defer_async()
    async with working(app):
        await eventually(lambda: is_(conn, job_id, "succeeded"))
        await eventually(lambda: no_permits(conn, HOST))
    assert await value(conn, "SELECT result FROM afresh.result") == "later"
    assert await state(conn, HOST) == "half_open"


def test_which_refusal():
    """Of a group of refusals the longest counts; with another failure in it, it is a failure."""
    short, long = (DependencyUnavailable(HOST, "open", timedelta(seconds=seconds)) for seconds in (1, 2))
    nested = BaseExceptionGroup("", [short, BaseExceptionGroup("", [long])])
    assert refusal_in(short) is short
    assert refusal_in(nested) is long
    assert refusal_in(BaseExceptionGroup("", [nested, ValueError()])) is None


async def is_suspect(conn: Connection, *names: str) -> bool:
    """Whether failures of these were counted, and of no others."""
    found = await rows(conn, "SELECT name FROM afresh.breaker WHERE slots <> '[]' ORDER BY name")
    return [each["name"] for each in found] == list(names)


async def no_permits(conn: Connection, name: str) -> bool:
    """Whether no probe of a dependency is out."""
    return bool(
        await value(conn, "SELECT permits = '[]' AND last_permit > 0 FROM afresh.breaker WHERE name = %s", name)
    )
