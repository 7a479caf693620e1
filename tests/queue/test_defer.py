"""Deferring a declared task: the same job, whichever way it is made."""

import logging
from typing import Any

import psycopg
import pytest
from procrastinate import exceptions, jobs

from app.queue.app import Afresh
from app.queue.defer import DeclaredTask

from .jobs import job
from .workers import nothing

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection

SAME = ("queue_name", "task_name", "priority", "lock", "queueing_lock", "args", "scheduled_at", "status", "attempts")


def declared(app: Afresh, **options: Any) -> DeclaredTask:
    """A task of this app with a queue, a priority and locks of its own."""
    made = DeclaredTask(nothing, blueprint=app, name="tests.declared", queue="orders", priority=7, **options)
    app.register(made, None)
    return made


async def test_straight_or_not(queue_app: Afresh, conn: Connection, caplog: pytest.LogCaptureFixture):
    """Where nobody reads of it in a log a job is made straight from its task, and is the job that it would be."""
    task = declared(queue_app, lock="customer-7")
    with caplog.at_level(logging.WARNING, jobs.__name__):
        straight = await job(conn, await task.defer_async(order=1))
    with caplog.at_level(logging.DEBUG, jobs.__name__):
        described = await job(conn, await task.defer_async(order=1))
    assert {name: straight[name] for name in SAME} == {name: described[name] for name in SAME}
    assert (straight["queue_name"], straight["priority"], straight["lock"]) == ("orders", 7, "customer-7")
    assert "Deferred 1 job" in caplog.text


async def test_twin(queue_app: Afresh, caplog: pytest.LogCaptureFixture):
    """A queueing lock that a waiting job holds is told as ever."""
    task = declared(queue_app, queueing_lock="one")
    with caplog.at_level(logging.WARNING, jobs.__name__):
        await task.defer_async(order=1)
        with pytest.raises(exceptions.AlreadyEnqueued):
            await task.defer_async(order=2)
