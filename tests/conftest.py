"""Every test that asks for one gets a database of its own, copied from a template that has the present schema."""

import gc
import itertools
import logging
import os
from collections.abc import AsyncIterator, Iterator

import httpx
import hypothesis
import psycopg
import pytest

from app.config import Settings
from app.postgres.connect import Database
from app.queue.app import Afresh

from .application import Served, serving, settings_for
from .servers import Server, running_server

COLLECTED = gc.get_threshold()
"""How often Python has garbage collected."""

hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Procrastinate and psycopg stand on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def garbage() -> Iterator[None]:
    """Let a worker or an API in this process change how often it collects for its own test alone.

    What a test leaves behind is then found, and told, soon, and not beside another test.
    """
    gc.set_threshold(*COLLECTED)
    yield
    gc.set_threshold(*COLLECTED)


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Let a worker or an API in this process set the level of all logs for its own test alone."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One Postgres server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """The name of a database with Procrastinate's schema and all of ours. Nobody connects to it."""
    name = f"afresh_template_{os.getpid()}"
    yield server.make_template(name)
    server.drop(name)


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """How to connect to this test's own database."""
    name = f"afresh_test_{os.getpid()}_{next(_numbers)}"
    yield server.create(name, template=template)
    server.drop(name)


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """How to connect to a database of this test's own that has no schema yet."""
    name = f"afresh_empty_{os.getpid()}_{next(_numbers)}"
    yield server.create(name)
    server.drop(name)


@pytest.fixture
def db(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """This test's own database as the application sees it."""
    with Database(url=database_url, data_dir=tmp_path_factory.getbasetemp()) as database:
        yield database


@pytest.fixture
async def conn(anyio_backend: str, db: Database) -> AsyncIterator[psycopg.AsyncConnection]:  # noqa: ARG001 - it makes the fixture async
    """A connection to this test's own database, in autocommit."""
    async with await db.connect_async(application_name="test") as conn:
        yield conn


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Those of `served`; a module that wants others has a fixture of this name."""
    return settings_for(database_url)


@pytest.fixture
async def served(anyio_backend: str, settings: Settings) -> AsyncIterator[Served]:  # noqa: ARG001 - as above.
    """The application on this test's own database."""
    async with serving(settings) as both:
        yield both


@pytest.fixture
def queue(served: Served) -> Afresh:
    """Its queue."""
    return served[0]


@pytest.fixture
def client(served: Served) -> httpx.AsyncClient:
    """A client of its server."""
    return served[1]
