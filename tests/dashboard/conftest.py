"""The queue and a client of its server."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.queue.app import Afresh

from ..application import serving, settings_for


@pytest.fixture
async def served(anyio_backend: str, database_url: str) -> AsyncIterator[tuple[Afresh, httpx.AsyncClient]]:  # noqa: ARG001 - it makes the fixture async
    """Both on this test's own database."""
    async with serving(settings_for(database_url)) as both:
        yield both
