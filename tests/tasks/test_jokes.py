import httpx
import pytest
from psycopg import AsyncConnection

from app.cli.joke_server import JokeServer, Reply
from app.queue.app import create
from app.retry.classify import classify
from app.retry.failure import FailureType
from app.tasks.jokes import TaskError, fetch_joke

from ..application import Served, run_waiting_jobs, settings_for

pytestmark = pytest.mark.anyio


async def kept(conn: AsyncConnection) -> list[tuple[int, str]]:
    """The jokes in the table."""
    cursor = await conn.execute("SELECT id, punchline FROM afresh.jokes ORDER BY id")
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def test_fetch_twice(served: Served, jokes: JokeServer, conn: AsyncConnection):
    """A joke that is fetched twice is kept once, as it was told last."""
    queue, client = served
    told = b'{"id": 7, "type": "t", "setup": "s", "punchline": "%s"}'
    jokes.will(Reply(body=told % b"old"), Reply(body=told % b"new"))
    for _ in range(2):
        await client.post("/tasks/fetch-joke", json={"args": {"joke_id": 7}})
        await run_waiting_jobs(queue)
    assert await kept(conn) == [(7, "new")]
    assert list(jokes.visits) == ["/jokes/7", "/jokes/7"]


async def test_random_joke(served: Served, jokes: JokeServer, conn: AsyncConnection):
    """Without a number any joke is fetched."""
    queue, client = served
    await client.post("/tasks/fetch-joke")
    await run_waiting_jobs(queue)
    assert list(jokes.visits) == ["/random_joke"]
    assert len(await kept(conn)) == 1


async def test_schedule(served: Served, jokes: JokeServer, conn: AsyncConnection):
    """The scheduled task keeps a joke too."""
    queue, client = served
    await client.post("/tasks/scheduled-fetch-random-joke", json={"args": {"timestamp": 0}})
    await run_waiting_jobs(queue)
    assert len(await kept(conn)) == len(jokes.visits) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_switch(wanted: bool):  # noqa: FBT001 - the promise is about a switch.
    """A joke is fetched every two minutes where JOKE_SCHEDULE says so, and never otherwise."""
    queue = create(settings_for("postgresql://nobody@127.0.0.1:9/nothing", joke_schedule=wanted))
    queue.perform_import_paths()
    ticking = {task.task.name: task.cron for task in queue.periodic_registry.periodic_tasks.values()}
    assert ticking.get("app.tasks.jokes.scheduled_fetch_random_joke") == ("*/2 * * * *" if wanted else None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": "1"}', b"\xff"])
async def test_no_joke(jokes: JokeServer, body: bytes):
    """An answer that is no joke is an error of the task's own, which is tried again."""
    jokes.will(Reply(body=body))
    with pytest.raises(TaskError) as caught:
        await fetch_joke(jokes.url, 1)
    assert classify(caught.value).retryable


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (404, FailureType.PERMANENT_NOT_FOUND, False),
        (429, FailureType.TRANSIENT_RATE_LIMIT, True),
        (503, FailureType.EXTERNAL_API_DOWN, True),
    ],
)
async def test_statuses(jokes: JokeServer, status: int, kind: FailureType, retryable: bool):  # noqa: FBT001 - as above.
    """An error status is classified by what it says."""
    jokes.will(Reply(status=status))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await fetch_joke(jokes.url, 1)
    failure = classify(caught.value)
    assert (failure.type, failure.retryable) == (kind, retryable)


async def test_redirect(jokes: JokeServer):
    """An API that has moved is followed."""
    jokes.will(Reply(status=301, headers={"Location": "/jokes/5"}))
    assert (await fetch_joke(jokes.url, 1)).id == 5
