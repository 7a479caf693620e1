"""The queue on a test's own database, and a client of its server."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.queue.app import Afresh

from ..application import serving, settings_for


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
