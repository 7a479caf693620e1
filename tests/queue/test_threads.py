"""What a task that is not async may do in its thread."""

import contextvars
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from procrastinate.exceptions import AlreadyEnqueued

from app.config import DatabaseSettings, read_settings
from app.postgres.connect import Database
from app.queue.app import Afresh, create
from app.queue.connector import AfreshConnector
from app.queue.task import current_job

from ..eventually import eventually
from .jobs import value
from .workers import all_succeeded, nothing, work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def test_a_sync_task_may_defer(queue_app: Afresh, conn: Connection):
    """Many sync tasks that defer further jobs at once, by Procrastinate's sync functions, do so without delay."""

    @queue_app.task(name="inner")
    async def inner(n: int) -> None:
        assert n

    @queue_app.task(name="outer")
    def outer() -> None:
        inner.defer(n=1)
        inner.batch_defer({"n": 2}, {"n": 3})

    await outer.batch_defer_async(*[{}] * 20)
    began = time.monotonic()
    await work_off(queue_app, concurrency=20)
    assert time.monotonic() - began < 15
    assert await all_succeeded(conn)
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs") == 80


def test_a_sync_program_may_defer(database_url: str, own_declarations: None):  # noqa: ARG001 - it must be restored
    """A program without a loop opens the app, defers jobs one by one and together, and closes it."""
    app = create(replace(read_settings(), database=DatabaseSettings(url=database_url)))
    app.import_paths = []
    registered = app.task(name="t")(nothing)
    with app.open():
        ids = [registered.configure(queueing_lock="same").defer(), *registered.batch_defer({}, {})]
        with pytest.raises(AlreadyEnqueued):
            registered.configure(queueing_lock="same").defer()
        assert app.job_manager.get_job_status(ids[0]).value == "todo"
    assert len(set(ids)) == 3


async def test_a_sync_task_may_defer_over_the_callers_pool(conn: Connection, db: Database, own_declarations: None):  # noqa: ARG001 - it must be restored
    """An app that was opened with a pool of its caller's lets sync tasks defer as over its own."""
    app = create(replace(read_settings(), database=DatabaseSettings(url=db.url)))
    app.import_paths = []
    inner = app.task(name="inner")(nothing)

    @app.task(name="outer")
    def outer() -> None:
        inner.defer()

    async with db.pool(max_size=4) as pool, app.open_async(pool):
        await outer.batch_defer_async(*[{}] * 20)
        await work_off(app, concurrency=20)
    assert await all_succeeded(conn)
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs") == 40


async def test_a_program_may_become_asynchronous(conn: Connection, db: Database, own_declarations: None):  # noqa: ARG001 - as above
    """What an app has opened for code without a loop is closed when it is opened for code with one."""
    app = create(replace(read_settings(), database=DatabaseSettings(url=db.url)))
    app.open()
    assert await value(conn, CONNECTED) == 4
    async with app.open_async():
        await eventually(lambda: is_connected(conn, 1))
        await app.job_manager.list_queues_async()
    await eventually(lambda: is_connected(conn, 0))


def test_it_is_opened_and_closed_once(db: Database, own_declarations: None):  # noqa: ARG001 - as above
    """An app that is opened again is open as before, and one that is closed again is closed."""
    used: list[int] = []

    class Counted(Database):
        def open(self) -> None:
            used.append(1)
            super().open()

        def close(self) -> None:
            used.append(-1)
            super().close()

    connector = AfreshConnector(Counted(url=db.url, data_dir=Path()))
    app = create(replace(read_settings(), database=DatabaseSettings(url=db.url)), connector=connector)
    app.close()
    with app.open(), app.open():
        assert sum(used) == 1
    assert sum(used) == 0
    with app.open():
        assert app.job_manager.list_queues() == []
    assert sum(used) == 0


CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'afresh'"


async def is_connected(conn: Connection, times: int) -> bool:
    """Whether apps hold so many connections."""
    return bool(await value(conn, CONNECTED) == times)


async def test_sync_functions_are_refused_inside_the_loop(queue_app: Afresh):
    """In async code a sync call says so instead of waiting for itself for ever."""
    with pytest.raises(RuntimeError, match="same thread as an async event loop"):
        queue_app.task(name="t")(nothing).defer()


async def test_a_thread_knows_its_job(queue_app: Afresh, conn: Connection):
    """Context variables of the worker reach the thread, the running job among them."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    @queue_app.task(name="knows")
    def knows() -> list[object]:
        return [current_job().job_id, variable.get()]

    job_id = await knows.defer_async()
    await work_off(queue_app)
    assert await value(conn, "SELECT result FROM afresh.result") == [job_id, "set"]
