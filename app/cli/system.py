"""`up`: everything at once, in the foreground. What it starts, it stops."""

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

import typer

from .refusals import Refusal, refuse, told_in_one_line

if TYPE_CHECKING:
    import psycopg

    from ..config import Settings
    from ..postgres.connect import Database
    from .supervise import Children

READY_SECONDS = 120.0
"""How long the API may take to answer; a cold start from a slow disk takes seconds."""

API_PATIENCE = 10.0
"""Seconds for requests in flight."""


def up() -> None:
    """Start everything: the database, its migrations, the API with the dashboard, and a worker. Ctrl-C stops all."""
    from ..config import load_settings
    from ..postgres.connect import Database
    from ..postgres.migrate import migrate
    from .listener import bind
    from .supervise import ChildEnded, Children, StopSignals

    began = time.monotonic()
    settings = load_settings()
    died: ChildEnded | None = None
    with StopSignals() as stop, told_in_one_line():
        _check_task_modules()
        listener = bind(settings.api.host, settings.api.port)
        with listener, Database.from_settings(settings.database) as found:
            with found.connect() as conn:
                migrate(conn)
                _refuse_open_bind(settings, conn)
            try:
                with Children(stop, typer.echo) as children:
                    run(children, settings, listener, found, began)
            except ChildEnded as ended:
                died = ended
        if found.embedded:
            shared = found.server.is_running()
            typer.echo("The database is still used by others, and goes on." if shared else "Database stopped.")
    if died:
        refuse(f"{died}, so everything was stopped; its last lines are above", code=1)
    typer.echo("Stopped; the data is kept.")


def _check_task_modules() -> None:
    """Import TASK_MODULES as the API and the worker will, so that nothing is started that they would refuse."""
    from ..queue.app import app

    app.perform_import_paths()


def _refuse_open_bind(settings: "Settings", conn: "psycopg.Connection[Any]") -> None:
    """Here, so that nothing is started that the API's own process would refuse.

    Raises:
        Refusal: API_HOST can be reached from elsewhere, and there are no keys.
    """
    from ..store.keys import any_key
    from ..web.bind import OpenBind, refuse_open_bind

    try:
        refuse_open_bind(settings.api.host, lambda: settings.api.admin_key is not None or any_key(conn))
    except OpenBind as refusal:
        raise Refusal(str(refusal)) from None


def run(
    children: "Children", settings: "Settings", listener: socket.socket, database: "Database", began: float
) -> None:
    """Start the API and a worker, say where they are, and watch them until somebody wants this to end.

    Raises:
        ChildEnded: One of them ended before.
    """
    if children.stop.asked:
        return
    start_api(children, listener)
    start_worker(children, settings)
    if children.wait_until(lambda: answers(listener), within=READY_SECONDS):
        _tell_where(listener, database, time.monotonic() - began)
        children.watch()
    elif not children.stop.asked:
        refuse(f"the API did not answer within {READY_SECONDS:.0f} s", code=1)


def start_api(children: "Children", listener: socket.socket) -> None:
    """Start the API on a socket that is bound already."""
    fd = str(listener.fileno())
    children.start("API", "api", "--fd", fd, patience=API_PATIENCE, pass_fds=[listener.fileno()])


def start_worker(children: "Children", settings: "Settings", *options: str) -> None:
    """Start a worker. It may take SHUTDOWN_GRACE for its jobs, as long again to store their ends, and last words."""
    patience = 2 * settings.worker.shutdown_grace.total_seconds() + 30
    children.start("worker", "worker", *options, patience=patience)


def answers(listener: socket.socket) -> bool:
    """Whether the API serves requests on this socket."""
    host, port = listener.getsockname()[:2]
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/monitoring/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tell_where(listener: socket.socket, database: "Database", seconds: float) -> None:
    from .listener import address_of
    from .show import console, name_of

    url = f"http://{address_of(listener)}"
    out = console()
    out.print()
    out.print(f"  [bold]Afresh is running[/bold]  (ready in {seconds:.1f} s)")
    out.print()
    for name, address in (("API", url), ("Docs", f"{url}/docs"), ("Dashboard", f"{url}/dashboard")):
        out.print(f"    {name:<10} [link={address}]{address}[/link]")
    out.print(f"    {'Database':<10} {name_of(database)}")
    out.print()
    out.print("  Ctrl-C stops all of it.")
    out.print()
