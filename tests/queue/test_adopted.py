"""Jobs of a plain Procrastinate go on under Afresh, and under a plain Procrastinate again once Afresh is gone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import procrastinate
import psycopg
import pytest

from app.postgres.migrate import migrate
from app.postgres.undo import undo

from ..postgres.adoption import procrastinate_of
from .conftest import OpenApp
from .jobs import hold, rows, status
from .workers import nothing, work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A database that grew with Procrastinate."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        procrastinate_of(conn)
    return empty_database_url


async def refuse() -> None:
    """Fail as if the network did."""
    raise ConnectionRefusedError(111, "Connection refused")


async def misunderstand() -> None:
    """Fail for good."""
    raise TypeError("unsupported operand")


TASKS = {"fine": nothing, "fails": refuse, "hopeless": misunderstand}


def plain_app(url: str, tasks: dict[str, Callable[[], Awaitable[None]]] | None = None) -> procrastinate.App:
    """A plain Procrastinate."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    for name, run in (tasks or TASKS).items():
        app.task(name=name)(run)
    return app


async def plain_work(app: procrastinate.App) -> None:
    """Let its worker work off what it can."""
    async with app.open_async():
        await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)


async def defer(app: procrastinate.App, *tasks: str, **options: Any) -> list[int]:
    """Defer a job of each task."""
    async with app.open_async():
        return [await app.configure_task(name, **options).defer_async() for name in tasks]


async def test_there_and_back(conn: Connection, database_url: str, open_app: OpenApp):
    """Whoever is there runs what waits; each job runs where it left off, and none is lost or run again."""
    plain = plain_app(database_url)
    done, lost = await defer(plain, "fine", "fails")
    await plain_work(plain)
    waiting = await defer(plain, "fine", "fine", "fine", lock="one")
    retried, dead = await defer(plain, "fails", "hopeless")
    (held,) = await defer(plain, "fine", queue="held")
    with psycopg.connect(database_url, autocommit=True) as direct:
        migrate(direct)

    ours = await open_app()
    for name, run in TASKS.items():
        ours.task(name=name)(run)
    await hold(conn, "queue", "held")
    await work_off(ours)
    states = {
        **dict.fromkeys([done, *waiting], "succeeded"),
        lost: "failed",
        held: "todo",
        retried: "todo",
        dead: "failed",
    }
    assert {each: await status(conn, each) for each in states} == states
    assert await rows(conn, "SELECT job_id, status FROM afresh.dead_letter") == [{"job_id": dead, "status": "pending"}]

    with psycopg.connect(database_url, autocommit=True) as direct:
        undo(direct, stalled_after=timedelta(seconds=30))
    await plain_work(plain)
    assert {each: await status(conn, each) for each in states} == states | {held: "succeeded"}

    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")
    await conn.execute("SELECT procrastinate_retry_job_v2(%s, now(), NULL, NULL, NULL)", [dead])
    await plain_work(plain_app(database_url, {"fails": nothing, "hopeless": nothing}))
    ended = states | dict.fromkeys([held, retried, dead], "succeeded")
    assert {each: await status(conn, each) for each in states} == ended
    runs = await rows(conn, "SELECT id, attempts FROM procrastinate_jobs ORDER BY id")
    assert {each["id"]: each["attempts"] for each in runs} == dict.fromkeys(states, 1) | {retried: 2, dead: 3}
