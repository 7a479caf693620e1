"""What somebody has to mend: jobs that fail for it hold their dependency, and the others wait however long it takes."""

import os
from collections.abc import Callable

import psycopg
import pytest

from app.queue.overdue import Overdue, bury_overdue

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import calling, rests, several
from .jobs import value

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


def refused_key() -> None:
    """Be refused for the credentials."""
    raise PermissionError("401 Unauthorized: invalid API key")


def missing_setting() -> None:
    """Look for a setting that nobody wrote."""
    os.environ["AFRESH_TESTS_HAVE_NO_SUCH_SETTING"]


@pytest.mark.parametrize(
    ("concurrency", "fault", "kind"),
    [
        (1, refused_key, "PERMANENT_AUTH"),
        (10, refused_key, "PERMANENT_AUTH"),
        (1, missing_setting, "CONFIG_MISSING_SETTING"),
    ],
)
async def test_a_hold_buries_no_more_than_it_takes_to_know(
    open_app: OpenApp, conn: Connection, concurrency: int, fault: Callable[[], None], kind: str
):
    """Of jobs that fail for their credentials or for a setting two die at most: the third holds the rest, in flight or
    not, and days later they wait still.
    """  # noqa: D205 - one sentence

    async def refused() -> None:
        fault()

    call = calling(refused)
    apps = [await open_app() for _ in range(2)]
    await call.batch_defer_async(*[{} for _ in range(30)])
    async with several(*apps, concurrency=concurrency):
        await eventually(lambda: rests(conn, "held"))
    dead = await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'")
    waiting = await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")
    assert dead <= 2
    assert dead + waiting == 30
    assert await value(conn, "SELECT failure_type FROM afresh.breaker") == kind
    await conn.execute("UPDATE afresh.hold SET held_at = held_at - interval '3 days'")
    await conn.execute(
        "UPDATE afresh.attempt SET started_at = started_at - interval '3 days', ended_at = ended_at - interval '3 days'"
    )
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '3 days'")
    assert await bury_overdue(apps[0]) == Overdue()
