"""The example task: fetch a joke over HTTP and keep it. Running it twice is harmless."""

from datetime import timedelta
from typing import Any

import httpx

from ..queue.task import ExponentialBackoff, Periodic, connection, current_job, task
from ..store.jokes import Joke, keep_joke
from .no_answer import naming
from .trust import trusted

HTTP_SECONDS = 10.0
"""Longest wait for the joke API at any one step; an attempt as a whole may take three times as long."""


class TaskError(Exception):
    """The joke API answered with something that is no joke."""


@task(
    name="app.tasks.jokes.fetch_and_cache_joke",
    slug="fetch-joke",
    queue="api_calls",
    priority=5,
    task_type="api",
    depends_on="joke-api",
    retry=ExponentialBackoff.from_env(),
    timeout=timedelta(seconds=30),
)
async def fetch_and_cache_joke(joke_id: int | None = None) -> dict[str, Any]:
    """Fetch the joke of that number, or any joke, and keep it in the table afresh.jokes."""
    joke = await fetch_joke(current_job().app.settings.joke.base_url, joke_id)
    async with connection() as conn:
        await keep_joke(conn, joke)
    return {"joke_id": joke.id}


@task(
    name="app.tasks.jokes.scheduled_fetch_random_joke",
    queue="api_calls",
    priority=3,
    task_type="api",
    depends_on="joke-api",
    retry=ExponentialBackoff.from_env(),
    timeout=timedelta(seconds=30),
    # One that still waits for the joke API is enough; without this an outage would pile up one every two minutes.
    queueing_lock="scheduled_fetch_random_joke",
    periodic=Periodic("*/2 * * * *", when=lambda settings: settings.joke.schedule),
)
async def scheduled_fetch_random_joke(timestamp: int) -> dict[str, Any]:
    """Fetch any joke and keep it; every two minutes where JOKE_SCHEDULE is true."""
    del timestamp  # Procrastinate passes the tick.
    joke = await fetch_joke(current_job().app.settings.joke.base_url, None)
    async with connection() as conn:
        await keep_joke(conn, joke)
    return {"joke_id": joke.id}


async def fetch_joke(base_url: str, joke_id: int | None) -> Joke:
    """Ask the joke API at `base_url` for one joke; None: any.

    Raises:
        httpx.HTTPError: It cannot be reached, is too slow, or answers with an error.
        TaskError: It answers with something else.
    """
    path = "/random_joke" if joke_id is None else f"/jokes/{joke_id}"
    with naming(f"GET {base_url}{path}", seconds=HTTP_SECONDS):
        async with httpx.AsyncClient(verify=trusted(), timeout=HTTP_SECONDS, follow_redirects=True) as client:
            response = await client.get(base_url + path)
            response.raise_for_status()
            return read_joke(response)


def read_joke(response: httpx.Response) -> Joke:
    """Read the joke in a response.

    Raises:
        TaskError: There is none.
    """
    try:
        content = response.json()
    except ValueError:  # Not the cause of what follows: a ValueError says that our own input was wrong.
        content = None
    match content:
        case {"id": int(number), "type": str(kind), "setup": str(setup), "punchline": str(punchline)}:
            return Joke(number, kind, setup, punchline)
        case _:
            raise TaskError(f"{response.url} answered with no joke")
