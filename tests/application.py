"""The application on a test's own database: its queue, its HTTP server, and a worker that ends when nothing is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import uvicorn
from fastapi import FastAPI

from app.api.main import create_app
from app.config import (
    AlertSettings,
    ApiSettings,
    BreakerSettings,
    DatabaseSettings,
    HttpSettings,
    JokeSettings,
    LlmSettings,
    LogSettings,
    MailSettings,
    MetricsSettings,
    OffPeakSettings,
    RetentionSettings,
    RetrySettings,
    ScalingSettings,
    Settings,
    SubmissionSettings,
    WorkerSettings,
)
from app.queue.app import Afresh, create

from . import sample_tasks
from .eventually import eventually

Served = tuple[Afresh, httpx.AsyncClient]
"""The queue, and a client of its HTTP server."""

NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
"""A database that answers nobody."""


def settings_for(  # noqa: PLR0913 - each is something that a test may want to be otherwise.
    url: str,
    *,
    joke_api: str = "http://127.0.0.1:9",
    joke_schedule: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    admin_key: str | None = None,
    submission: SubmissionSettings | None = None,
    off_peak: OffPeakSettings | None = None,
    metrics: MetricsSettings | None = None,
    alert: AlertSettings | None = None,
    mail: MailSettings | None = None,
    http: HttpSettings | None = None,
    llm: LlmSettings | None = None,
) -> Settings:
    """Settings for a database, with retries that come at once; port 9 answers nobody."""
    soon = timedelta(milliseconds=1)
    return Settings(
        database=DatabaseSettings(url=url),
        api=ApiSettings(allowed_hosts=allowed_hosts, admin_key=admin_key),
        submission=submission or SubmissionSettings(),
        worker=WorkerSettings(),
        retry=RetrySettings(base_delay=soon, max_delay=soon, jitter="none"),
        breaker=BreakerSettings(),
        off_peak=off_peak or OffPeakSettings(),
        joke=JokeSettings(base_url=joke_api, schedule=joke_schedule),
        mail=mail or MailSettings(),
        http=http or HttpSettings(),
        llm=llm or LlmSettings(),
        alert=alert or AlertSettings(),
        retention=RetentionSettings(),
        scaling=ScalingSettings(),
        log=LogSettings(level="ERROR"),
        metrics=metrics or MetricsSettings(),
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """The application, open."""
    async with opened(settings) as (queue, app), client_of(app) as client:
        yield queue, client


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Afresh, FastAPI]]:
    """Its queue, and its server as ASGI has it."""
    queue = create(settings)
    app = create_app(queue)
    assert sample_tasks.add.name in queue.tasks  # Importing them declared them, to every app made from then on.
    queue.periodic_registry.periodic_tasks.clear()  # Else the clock, too, would make jobs.
    async with app.router.lifespan_context(app):
        yield queue, app


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The address of an open application on a socket of this process, for a browser where a test changes a constant."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    run = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or run.done())
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        await run


def client_of(app: object, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client that calls `app` without a socket between them."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))  # type: ignore[arg-type]  # An ASGI app.
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def run_waiting_jobs(queue: Afresh) -> None:
    """Run a worker until nothing can run."""
    await queue.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
