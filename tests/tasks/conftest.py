"""The queue and a client of its server, on a joke API that the test commands."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from app.cli.joke_server import JokeServer
from app.queue.app import Afresh

from ..application import serving, settings_for


@pytest.fixture
def jokes() -> Iterator[JokeServer]:
    """The joke API."""
    with JokeServer() as server:
        yield server


@pytest.fixture
async def served(
    anyio_backend: str,  # noqa: ARG001 - it makes the fixture async
    database_url: str,
    jokes: JokeServer,
) -> AsyncIterator[tuple[Afresh, httpx.AsyncClient]]:
    """The queue on this test's own database, and a client."""
    async with serving(settings_for(database_url, joke_api=jokes.url)) as both:
        yield both
