"""One server for the tests that store nothing."""

import itertools
import os
from collections.abc import AsyncIterator

import pytest

from ..application import Served, serving, settings_for
from ..servers import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, server: Server, template: str) -> AsyncIterator[Served]:  # noqa: ARG001 - it makes the fixture async
    """The queue and a client that a module's tests share, because they leave nothing behind."""
    name = f"afresh_shared_{os.getpid()}_{next(_numbers)}"
    async with serving(settings_for(server.create(name, template=template))) as both:
        yield both
    server.drop(name)
