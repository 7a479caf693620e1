"""Dead letters of jobs that really died, and replays of them."""

from typing import Any

import psycopg

from app.queue.app import Afresh
from app.queue.letters import Changes, replay_letter

from .jobs import Row, rows, status
from .workers import work_off

Connection = psycopg.AsyncConnection


async def only_letter(conn: Connection) -> Row:
    """The one letter there is."""
    (letter,) = await rows(conn, "SELECT * FROM afresh.dead_letter")
    return letter


async def flaky(conn: Connection, app: Afresh, *errors: Exception, **options: Any) -> int:
    """A job of a task that raises these in turn, one each run, and then succeeds; it has died of the first."""
    coming = list(errors)

    @app.task(name="flaky", **options)
    async def flaky(a: int = 1) -> int:
        if coming:
            raise coming.pop(0)
        return a

    job_id: int = await flaky.defer_async(a=1)
    await work_off(app)
    assert await status(conn, job_id) == "failed"
    return job_id


async def replayed(conn: Connection, app: Afresh, changes: Changes | None = None) -> int:
    """The job in the place of the only letter's."""
    letter_id: int = (await only_letter(conn))["id"]
    made = await replay_letter(conn, letter_id, changes, catalog=app.catalog, actor="me", reason="why not")
    return made.job_id
