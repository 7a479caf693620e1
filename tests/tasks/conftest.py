"""What the tasks call, at a test's command: a joke API and a mail server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.cli.joke_server import JokeServer
from app.config import Settings

from ..application import settings_for
from .mail_host import MailHost, mail_host


@pytest.fixture
def jokes() -> Iterator[JokeServer]:
    """The joke API."""
    with JokeServer() as server:
        yield server


@pytest.fixture
def settings(database_url: str, jokes: JokeServer) -> Settings:
    """Of an application that calls it."""
    return settings_for(database_url, joke_api=jokes.url)


@pytest.fixture
async def post(anyio_backend: str) -> AsyncIterator[MailHost]:  # noqa: ARG001 - it makes the fixture async
    """The mail server."""
    async with mail_host() as host:
        yield host
