"""The HTTP server's composition root: ``uvicorn app.api.main:app``."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from .. import __version__
from ..dashboard import pages
from ..monitoring.alerts.standby import stand_by
from ..monitoring.logs import configure_logs
from ..postgres.errors import PostgresError
from ..queue import app as queue_app
from ..queue.app import Afresh
from ..queue.connector import AfreshConnector
from ..queue.garbage import collect_less_often
from ..store.keys import any_key
from ..web import problem
from ..web.auth import VIEWER, Door, SignIn
from ..web.bind import OpenBind, bind_host, refuse_open_bind
from ..web.head import HeadAsGet
from ..web.headers import SecurityHeaders
from ..web.keyring import Keyring
from ..web.limits import MAX_BATCH_BYTES, BodyLimit
from ..web.origin import OriginGuard
from ..web.outbound import OutboundLimit
from ..web.shutdown import told_of_shutdown
from . import (
    alerts,
    audit,
    batches,
    bulk,
    dead_letters,
    dependencies,
    documentation,
    events,
    failure_groups,
    failure_trends,
    failures,
    job_actions,
    jobs,
    limits,
    machines,
    maintenance,
    metrics,
    monitoring,
    performance,
    progress,
    queues,
    retry,
    scaling,
    simulation,
    statistics,
    summary,
    tasks,
    translations,
)
from .description import describe, operation_id

BATCH_SUFFIX = "/batch"
"""How the paths end to which many jobs are sent at once."""

DESCRIPTION = """Background jobs on Postgres that know why they failed, when to try again, and say so in words.

`POST /tasks/{task}` puts a job into its queue; `GET /jobs/{job_id}` says what became of it, and
`GET /jobs/{job_id}/attempts` why. Every error is a problem+json (RFC 9457)."""


def create_app(queue: Afresh) -> FastAPI:
    """Return the HTTP server in front of `queue`, which it opens and closes."""

    def end_streams() -> None:
        queue.hub.close()
        app.state.liveliness.close()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with queue.open_async():
            collect_less_often()
            with told_of_shutdown(end_streams), app.state.metrics[0].listening():
                async with _standing_by(queue):
                    yield

    queue.perform_import_paths()
    app = FastAPI(
        title="Afresh",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
    )
    app.state.queue = queue
    app.state.outbound = OutboundLimit(queue.settings.submission.outbound_limit)
    app.state.metrics = metrics.watch(queue)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it.
    for router in (
        tasks.router,
        batches.router,
        jobs.router,
        progress.router,
        events.router,
        job_actions.router,
        translations.router,
        queues.router,
        dependencies.router,
        limits.router,
        bulk.router,
        dead_letters.router,
        failures.router,
        failure_groups.router,
        failure_trends.router,
        retry.router,
        simulation.router,
        statistics.router,
        monitoring.router,
        metrics.router,
        summary.router,
        performance.router,
        machines.router,
        alerts.router,
        maintenance.router,
        scaling.router,
        audit.router,
        documentation.router,
    ):
        app.include_router(router)
    documentation.mount_assets(app)
    pages.mount_pages(app, queue)
    app.add_api_route("/", lambda: RedirectResponse("/dashboard"), include_in_schema=False, dependencies=[VIEWER])
    problem.install(app)
    # The one added last looks at a request first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, larger={BATCH_SUFFIX: MAX_BATCH_BYTES})
    keyring = Keyring(queue.connection, queue.settings.api.admin_key)
    app.state.door = Door(keyring, metrics_token=queue.settings.metrics.token)
    app.add_middleware(SignIn, door=app.state.door)
    app.add_middleware(OriginGuard, allowed_hosts=queue.settings.api.allowed_hosts)
    pages.show_problems(app)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _standing_by(queue: Afresh) -> AsyncIterator[None]:
    """Be ready meanwhile to tell of alerts where no worker does."""
    if not isinstance(queue.connector, AfreshConnector):
        yield
        return
    standing_by = asyncio.create_task(stand_by(queue), name="standby for alerts")
    try:
        yield
    finally:
        standing_by.cancel()
        await asyncio.wait({standing_by})


def _fit_to_serve(queue: Afresh) -> Afresh:
    """Return `queue`, or print one line and exit with code 2.

    That is where this process is about to serve the network, or where a database that is not ours to migrate is
    behind. One that does not answer may do so by the time the server starts.
    """
    try:
        host = bind_host(queue.settings.api.host)
        refuse_open_bind(host, lambda: _has_keys(queue, host))
        if isinstance(queue.connector, AfreshConnector) and not queue.connector.database.embedded:
            queue.connector.database.ensure_schema()
    except psycopg.OperationalError:
        return queue
    except (OpenBind, PostgresError) as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201 - for the person who has just started it.
        raise SystemExit(2) from None
    return queue


def _has_keys(queue: Afresh, host: str) -> bool:
    """Whether a server on `host` in front of `queue` would demand a key.

    Raises:
        OpenBind: The database, which would know, does not answer.
        PostgresError: Its schema is behind, or it cannot be started.
    """
    if queue.settings.api.admin_key is not None:
        return True
    if not isinstance(queue.connector, AfreshConnector):
        return False
    try:
        with queue.connector.database as database:
            database.ensure_schema()
            with database.connect() as conn:
                return any_key(conn)
    except psycopg.OperationalError as error:
        raise OpenBind(f"refusing to serve on {host}: no database says whether there are API keys") from error


def __getattr__(name: str) -> Any:
    """`app`, made when a server first asks for it: then settings are read and the address is judged.

    Raises:
        SystemExit: A setting is wrong, the address is open to other machines, or the schema is behind; the line that
            says so is printed.
    """
    if name == "app":
        queue = _fit_to_serve(queue_app.app)
        configure_logs(queue.settings.log)
        made = globals()["app"] = create_app(queue)
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
