"""Periodic tasks: Procrastinate's deferrer, supervised by our worker."""

import time

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.clock import PatientDeferrer
from app.queue.task import Periodic, task

from ..eventually import eventually
from .conftest import OpenApp
from .jobs import rows, value
from .workers import nothing, working

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection

EVERY_SECOND = "* * * * * *"


async def succeeded(conn: Connection, task_name: str) -> int:
    """How many jobs of this task have succeeded."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s AND status = 'succeeded'"
    return int(await value(conn, query, task_name))


async def test_a_periodic_task_is_deferred(queue_app: Afresh):
    """A task declared by Procrastinate's own decorator is deferred by the worker and run, with the time of its tick."""
    stamps: list[int] = []

    @queue_app.periodic(cron=EVERY_SECOND)
    @queue_app.task(name="ticks")
    async def ticks(timestamp: int) -> None:
        stamps.append(timestamp)

    async with working(queue_app):
        await eventually(lambda: len(stamps) >= 2)
    assert abs(stamps[-1] - time.time()) < 30
    assert len(stamps) == len(set(stamps))


async def test_a_periodic_declaration_is_deferred(queue_app: Afresh, conn: Connection):
    """`@task(periodic=…)` does the same."""

    @task(name="declared", periodic=EVERY_SECOND)
    async def declared(timestamp: int) -> None:
        assert timestamp

    async with working(queue_app):
        await eventually(lambda: succeeded(conn, "declared"))


async def test_a_setting_can_switch_a_schedule_off(queue_app: Afresh):
    """A schedule whose setting says no is not kept."""
    task(name="off", periodic=Periodic(EVERY_SECOND, when=lambda _: False))(nothing)
    task(name="on", slug="on", periodic=Periodic(EVERY_SECOND, when=bool))(nothing)
    assert [name for name, _ in queue_app.periodic_registry.periodic_tasks] == ["on"]


async def test_two_workers_defer_a_tick_once(queue_app: Afresh, open_app: OpenApp, conn: Connection):
    """However many workers run, each tick is deferred once."""
    other = await open_app()
    for app in (queue_app, other):
        app.periodic(cron=EVERY_SECOND)(app.task(name="ticks")(_takes_timestamp))
    async with working(queue_app), working(other):
        await eventually(lambda: _enough(conn))
    counts = await rows(conn, "SELECT args ->> 'timestamp', count(*) FROM procrastinate_jobs GROUP BY 1")
    assert {row["count"] for row in counts} == {1}


DAY = 86_400
NOON = 22_000 * DAY + DAY // 2


def deferrer(app: Afresh, known: dict[str, int]) -> PatientDeferrer:
    """One of an app with two tasks that run at noon."""
    for name in ("report", "other"):
        app.periodic(cron="0 12 * * *")(app.task(name=name)(_takes_timestamp))
    return PatientDeferrer(app.periodic_registry, known)


def test_what_was_missed_is_made_good(queue_app: Afresh):
    """The last tick of a task that catches up is deferred hours later, no other task's is; then each in its time."""
    late = deferrer(queue_app, {"report": NOON - 3 * DAY})
    assert [(each.task.name, tick) for each, tick in late.get_previous_tasks(NOON + 9 * 3600)] == [("report", NOON)]
    assert list(late.get_previous_tasks(NOON + 10 * 3600)) == []
    again = [(each.task.name, tick) for each, tick in late.get_previous_tasks(NOON + DAY + 60)]
    assert again == [("report", NOON + DAY), ("other", NOON + DAY)]


def test_what_was_not_missed(queue_app: Afresh):
    """A tick that was deferred is not deferred again."""
    assert list(deferrer(queue_app, {"report": NOON}).get_previous_tasks(NOON + 9 * 3600)) == []


def test_the_first_start(queue_app: Afresh):
    """A task that was never deferred has missed nothing."""
    assert list(deferrer(queue_app, {}).get_previous_tasks(NOON + 9 * 3600)) == []


async def test_a_worker_that_comes_late(queue_app: Afresh, conn: Connection):
    """A worker that comes after an absence defers the last tick of what catches up, once."""
    hour = time.gmtime().tm_hour
    cron = f"30 {(hour - 2) % 24} * * *"  # Between one and two and a half hours ago.

    @task(name="daily", periodic=Periodic(cron, catches_up=True))
    async def daily(timestamp: int) -> None:
        assert timestamp

    @task(name="unmissed", periodic=cron)
    async def unmissed(timestamp: int) -> None:
        assert timestamp

    for name in ("daily", "unmissed"):
        await conn.execute(
            "INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp) "
            "VALUES (%s, '', extract(epoch FROM now())::bigint - 86400)",
            (name,),
        )
    for _ in range(2):
        async with working(queue_app):
            await eventually(lambda: succeeded(conn, "daily"))
    counts = await rows(conn, "SELECT task_name, count(*) FROM procrastinate_jobs GROUP BY 1")
    assert counts == [{"task_name": "daily", "count": 1}]


async def test_a_lost_database_does_not_end_the_schedule(queue_app: Afresh, conn: Connection):
    """The schedule goes on after every connection was killed."""
    queue_app.periodic(cron=EVERY_SECOND)(queue_app.task(name="ticks")(_takes_timestamp))
    async with working(queue_app):
        await eventually(lambda: succeeded(conn, "ticks"))
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
        )
        before = await succeeded(conn, "ticks")
        await eventually(lambda: _more(conn, before + 1))


async def _takes_timestamp(timestamp: int) -> None:
    assert timestamp


async def _enough(conn: Connection) -> bool:
    return await succeeded(conn, "ticks") >= 2


async def _more(conn: Connection, than: int) -> bool:
    return await succeeded(conn, "ticks") > than
