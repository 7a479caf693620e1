"""What a task that is not async may do in its thread."""

import contextvars
import time
from dataclasses import replace

import psycopg
import pytest
from procrastinate.exceptions import AlreadyEnqueued

from app.config import DatabaseSettings, read_settings
from app.queue.app import Afresh, create
from app.queue.task import current_job

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
    assert time.monotonic() - began < 5
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
