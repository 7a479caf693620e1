"""Apps on a test's own database, and what they say while it runs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from app import telemetry
from app.config import DatabaseSettings, read_settings
from app.queue.app import Afresh, create
from app.queue.task import declarations
from app.telemetry import Event, JobsClaimed, JobsSettled

OpenApp = Callable[..., Awaitable[Afresh]]


@pytest.fixture
def own_declarations() -> Iterator[None]:
    """Only what this test declares by `@task` is known, and forgotten after it; else the clock would run jobs too."""
    kept = {name: getattr(declarations, name) for name in ("tasks", "schedules", "slugs")}
    former, declarations.app = declarations.app, None
    for name in kept:
        setattr(declarations, name, {})
    yield
    for name, known in kept.items():
        setattr(declarations, name, known)
    declarations.app = former


@pytest.fixture
async def open_app(anyio_backend: str, database_url: str, own_declarations: None) -> AsyncIterator[OpenApp]:  # noqa: ARG001 - they must exist
    """Make open apps on this test's database. Groups of settings can be replaced, as in ``open_app(retry=…)``."""
    async with AsyncExitStack() as stack:

        async def open_app(**groups: Any) -> Afresh:
            settings = replace(read_settings(), database=DatabaseSettings(url=database_url), **groups)
            app = create(settings)
            app.import_paths = []  # A test declares its own tasks.
            await stack.enter_async_context(app.open_async())
            return app

        yield open_app


@pytest.fixture
async def queue_app(open_app: OpenApp) -> Afresh:
    """An open app with the default settings and no tasks of its own."""
    return await open_app()


@pytest.fixture
def announced() -> Iterator[list[Event]]:
    """All that was announced during the test."""
    heard: list[Event] = []
    unsubscribe = telemetry.subscribe(heard.append)
    yield heard
    unsubscribe()


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """What was announced of jobs, workers and the database; not how large the groups were."""
    heard: list[Event] = []
    unsubscribe = telemetry.subscribe(
        lambda event: None if isinstance(event, JobsClaimed | JobsSettled) else heard.append(event)
    )
    yield heard
    unsubscribe()
