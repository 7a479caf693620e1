"""One server for the tests that store nothing, and one each for those that do."""

import itertools
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from app.queue.app import Afresh

from ..application import serving, settings_for
from ..servers import Server

_numbers = itertools.count(1)


@pytest.fixture
async def served(anyio_backend: str, database_url: str) -> AsyncIterator[tuple[Afresh, httpx.AsyncClient]]:  # noqa: ARG001 - it makes the fixture async
    """The queue on this test's own database, and a client."""
    async with serving(settings_for(database_url)) as both:
        yield both


@pytest.fixture
def queue(served: tuple[Afresh, httpx.AsyncClient]) -> Afresh:
    """The queue."""
    return served[0]


@pytest.fixture
def client(served: tuple[Afresh, httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client of its server."""
    return served[1]


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, server: Server, template: str) -> AsyncIterator[tuple[Afresh, httpx.AsyncClient]]:  # noqa: ARG001 - as above
    """The queue and a client that a module's tests share, because they leave nothing behind."""
    name = f"afresh_shared_{os.getpid()}_{next(_numbers)}"
    async with serving(settings_for(server.create(name, template=template))) as both:
        yield both
    server.drop(name)
