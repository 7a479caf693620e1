"""`worker` and `api`: one process each, in the foreground."""

import os
from typing import Annotated, Any, Literal

import typer

from .refusals import refuse, told_in_one_line

# `up` starts its processes with it; tether.py says what for.
Tether = Annotated[int | None, typer.Option(hidden=True)]


def worker(  # noqa: PLR0913 - each is an option of the command
    *,
    queues: Annotated[str | None, typer.Option(help="Queues to take jobs from, separated by commas.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Jobs that run at the same time.")] = None,
    name: Annotated[str | None, typer.Option(help="What the logs call this worker.")] = None,
    wait: Annotated[bool | None, typer.Option("--wait/--one-shot", help="Go on, or end when no job is left.")] = None,
    listen_notify: Annotated[bool | None, typer.Option(help="Hear of new jobs at once, or only poll.")] = None,
    fetch_job_polling_interval: Annotated[float | None, typer.Option(help="Seconds between two polls.")] = None,
    shutdown_graceful_timeout: Annotated[
        float | None, typer.Option(help="Seconds in which running jobs may end before they are put back.")
    ] = None,
    delete_jobs: Annotated[
        Literal["never", "successful", "always"] | None, typer.Option(help="Which ended jobs to delete.")
    ] = None,
    tether: Tether = None,
) -> None:
    """Start a worker. What is not given comes from the settings (WORKER_QUEUES, WORKER_CONCURRENCY, SHUTDOWN_GRACE)."""
    _follow(tether)
    options = {
        "queues": [each.strip() for each in queues.split(",") if each.strip()] if queues else None,
        "concurrency": concurrency,
        "name": name,
        "wait": wait,
        "listen_notify": listen_notify,
        "fetch_job_polling_interval": fetch_job_polling_interval,
        "shutdown_graceful_timeout": shutdown_graceful_timeout,
        "delete_jobs": delete_jobs,
    }
    import uvloop  # asyncio's own loop is slower.

    with told_in_one_line():
        uvloop.run(_work({option: value for option, value in options.items() if value is not None}))


async def _work(options: dict[str, Any]) -> None:
    from ..queue import app as queue
    from ..queue.settle import UnsettledJobs

    queue.app.perform_import_paths()
    try:
        async with queue.app.open_async():
            await queue.app.run_worker_async(**options)
    except UnsettledJobs as error:
        refuse(str(error), code=1)


def api(
    *,
    host: Annotated[str | None, typer.Option(help="Address to serve on, in place of API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port, in place of API_PORT; 0: any.")] = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    tether: Tether = None,
) -> None:
    """Start the API and the dashboard."""
    _follow(tether)
    given = {"API_HOST": host, "API_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    with told_in_one_line():
        _serve(fd)


def _serve(fd: int | None) -> None:
    import socket

    import uvicorn

    from ..config import load_settings
    from .listener import address_of, bind

    settings = load_settings()
    bound = bind(settings.api.host, settings.api.port) if fd is None else socket.socket(fileno=fd)
    from ..api import main

    config = uvicorn.Config(main.app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    if fd is None:
        typer.echo(f"Serving on http://{address_of(bound)} (Ctrl-C stops)")
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:  # uvicorn has ended in order, and then raises its signal again.
        raise typer.Exit from None


def _follow(tether: int | None) -> None:
    if tether is not None:
        from .tether import follow

        follow(tether)
