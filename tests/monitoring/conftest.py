"""Who looks at the service, and who is told."""

from collections.abc import Iterator

import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh

from .watchman import Watchman, posted
from .webhook import Webhook, webhook


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Where alerts go."""
    with webhook() as state:
        yield state


@pytest.fixture
async def watchman(queue: Afresh, conn: AsyncConnection) -> Watchman:
    """One that has looked before, when all was well."""
    return await posted(queue, conn)
